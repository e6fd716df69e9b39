//! Whose turn it is to be read, where more connections have something to say than a worker can take at once.
//!
//! A worker's tasks run in the order in which they woke. Were each connection read as soon as something came, a delivery would wait at each of its steps
//! behind all that had come before: a fraction of a second, where ten thousand clients send junk. So between two looks of the runtime at its sockets
//! only [`TURNS`] turns are taken. The others stand in line, those [`Known`](Standing::Known) before [`Strangers`](Standing::Stranger), who keep a
//! quarter of the turns: somebody new must get through, too. What is there in whole needs no further turn, so a delivery under way waits for one round at most.
//!
//! It stands below TLS, where a handshake, a request and a piece of a body are all the same: something to read that will cost time. One read can bring a
//! hundred requests of HTTP/2, so each of these takes a turn of its own, too; but those of one connection have one place in line together, and go to its
//! end with every turn, so whoever stands behind waits for connections, not for all that they bring. Turns decide who is first and refuse nobody; a line is
//! as long as there are connections, twice.
//!
//! **Invariant:** within a line nobody is overtaken, and those of each standing move with every round.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker, ready};

use tokio::sync::Notify;

use crate::admit::client::Standing;

/// How many turns there are in one round: some tenths of a millisecond of forged deliveries. A round costs a look at the sockets, about a microsecond.
pub const TURNS: usize = 8;

/// How many of them are strangers' while both lines are long.
pub const STRANGERS: usize = TURNS / 4;

/// The turns of one worker.
#[derive(Debug)]
pub struct Turns {
    round: Mutex<Round>,
    used_up: Notify,
}

/// What a turn is wanted for.
#[derive(Debug, Clone, Copy)]
pub enum Errand<'c> {
    /// To read from a connection.
    Read,
    /// To begin with a request that was read with others of its connection.
    Request(&'c Arc<Requests>),
}

/// The requests of one connection that wait for their turns.
#[derive(Debug, Default)]
pub struct Requests(Mutex<Line<Waker>>);

/// One turn: waited for, and then taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// Not yet; for who waits, with the place in line.
    Untaken(Option<Ticket>),
    /// It is this one's turn.
    Taken,
}

/// A place in a line: of reads in that of their standing, of requests in their connection's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ticket {
    standing: Standing,
    number: u64,
}

#[derive(Debug, Default)]
struct Round {
    left: usize,
    known: Crowd,
    strangers: Crowd,
}

/// Those of one standing.
#[derive(Debug, Default)]
struct Crowd {
    line: Line<Place>,
    /// How many turns they wait for.
    turns: usize,
}

#[derive(Debug)]
enum Place {
    Read(Waker),
    /// As long as some wait.
    Requests(Arc<Requests>),
}

#[derive(Debug)]
struct Line<T> {
    /// The number of the first that still waits: whoever has a lower one may go on.
    first: u64,
    waiting: VecDeque<T>,
}

impl<T> Default for Line<T> {
    fn default() -> Self {
        Self { first: 0, waiting: VecDeque::new() }
    }
}

impl Default for Turns {
    fn default() -> Self {
        Self { round: Mutex::new(Round { left: TURNS, ..Round::default() }), used_up: Notify::new() }
    }
}

impl Turns {
    /// Takes a turn. While there is none, the caller's place in line is in `ticket`, and its task is woken when it is called.
    fn poll(
        &self,
        standing: Standing,
        errand: Errand<'_>,
        ticket: &mut Option<Ticket>,
        context: &mut Context<'_>,
    ) -> Poll<()> {
        let mut round = self.lock();
        if let Some(Ticket { standing, number }) = *ticket {
            if round.crowd(standing).still_waits(errand, number, context.waker()) {
                return Poll::Pending;
            }
            *ticket = None;
            return Poll::Ready(());
        }
        if round.left == 0 {
            let number = round.crowd(standing).join(errand, context.waker());
            *ticket = Some(Ticket { standing, number });
            return Poll::Pending;
        }
        round.left -= 1;
        if round.left == 0 {
            self.used_up.notify_one();
        }
        Poll::Ready(())
    }

    /// Begins a new round each time the turns are used up, once the runtime has looked at its sockets. It never ends.
    pub async fn renew(&self) {
        loop {
            self.used_up.notified().await;
            tokio::task::yield_now().await;
            self.begin_round();
        }
    }

    fn begin_round(&self) {
        let mut round = self.lock();
        let known = round.known.turns.min(TURNS - STRANGERS.min(round.strangers.turns));
        let strangers = round.strangers.turns.min(TURNS - known);
        round.left = TURNS - known - strangers;
        if round.left == 0 {
            self.used_up.notify_one();
        }
        // Woken in this order, they run in this order.
        round.known.call(known);
        round.strangers.call(strangers);
    }

    fn lock(&self) -> MutexGuard<'_, Round> {
        self.round.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Turn {
    /// Ready when it is this one's turn, and from then on.
    pub fn poll(
        &mut self,
        turns: &Turns,
        standing: Standing,
        errand: Errand<'_>,
        context: &mut Context<'_>,
    ) -> Poll<()> {
        if let Self::Untaken(ticket) = self {
            ready!(turns.poll(standing, errand, ticket, context));
            *self = Self::Taken;
        }
        Poll::Ready(())
    }
}

impl Requests {
    fn lock(&self) -> MutexGuard<'_, Line<Waker>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Round {
    const fn crowd(&mut self, standing: Standing) -> &mut Crowd {
        match standing {
            Standing::Known => &mut self.known,
            Standing::Stranger => &mut self.strangers,
        }
    }
}

impl Crowd {
    fn join(&mut self, errand: Errand<'_>, waker: &Waker) -> u64 {
        self.turns += 1;
        match errand {
            Errand::Read => self.line.join(Place::Read(waker.clone())),
            Errand::Request(requests) => {
                let mut line = requests.lock();
                if line.waiting.is_empty() {
                    self.line.join(Place::Requests(Arc::clone(requests)));
                }
                line.join(waker.clone())
            }
        }
    }

    /// Whether who has this number was not called yet; then this is whom to wake.
    fn still_waits(&mut self, errand: Errand<'_>, number: u64, waker: &Waker) -> bool {
        match errand {
            Errand::Read => match self.line.find(number) {
                Some(Place::Read(waiting)) => {
                    waiting.clone_from(waker);
                    true
                }
                Some(Place::Requests(_)) | None => false,
            },
            Errand::Request(requests) => match requests.lock().find(number) {
                Some(waiting) => {
                    waiting.clone_from(waker);
                    true
                }
                None => false,
            },
        }
    }

    fn call(&mut self, turns: usize) {
        self.turns -= turns;
        for _ in 0..turns {
            match self.line.call() {
                Some(Place::Read(waker)) => waker.wake(),
                Some(Place::Requests(requests)) => {
                    let mut line = requests.lock();
                    line.call().into_iter().for_each(Waker::wake);
                    let is_done = line.waiting.is_empty();
                    drop(line);
                    if !is_done {
                        self.line.join(Place::Requests(requests));
                    }
                }
                None => return,
            }
        }
    }
}

impl<T> Line<T> {
    fn join(&mut self, one: T) -> u64 {
        self.waiting.push_back(one);
        self.first + self.waiting.len() as u64 - 1
    }

    fn find(&mut self, number: u64) -> Option<&mut T> {
        let place = usize::try_from(number.checked_sub(self.first)?).ok()?;
        self.waiting.get_mut(place)
    }

    fn call(&mut self) -> Option<T> {
        let called = self.waiting.pop_front()?;
        self.first += 1;
        Some(called)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;
    use std::time::Duration;

    #[derive(Default)]
    struct Counter(AtomicUsize);

    impl Wake for Counter {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// A connection that wants to be read.
    struct Client {
        standing: Standing,
        /// For one that wants a request begun: those of its connection.
        requests: Option<Arc<Requests>>,
        turn: Turn,
        woken: Arc<Counter>,
    }

    impl Client {
        fn new(standing: Standing) -> Self {
            Self { standing, requests: None, turn: Turn::Untaken(None), woken: Arc::default() }
        }

        fn is_read(&mut self, turns: &Turns) -> bool {
            let waker = Arc::clone(&self.woken).into();
            let errand = self.requests.as_ref().map_or(Errand::Read, Errand::Request);
            self.turn.poll(turns, self.standing, errand, &mut Context::from_waker(&waker)).is_ready()
        }

        fn woken(&self) -> usize {
            self.woken.0.load(Ordering::Relaxed)
        }
    }

    fn clients(standing: Standing, count: usize) -> Vec<Client> {
        std::iter::repeat_with(|| Client::new(standing)).take(count).collect()
    }

    fn read(clients: &mut [Client], turns: &Turns) -> usize {
        clients.iter_mut().filter_map(|client| client.is_read(turns).then_some(())).count()
    }

    #[test]
    fn a_round_reads_so_many_and_the_next_one_those_that_waited_in_order() {
        let turns = Turns::default();
        let mut first = clients(Standing::Stranger, TURNS - 1);
        assert_eq!(read(&mut first, &turns), TURNS - 1);
        let mut last = clients(Standing::Stranger, 2);
        assert!(last[0].is_read(&turns), "the last turn of a round");
        assert!(!last[1].is_read(&turns), "one too many");
        let mut others = clients(Standing::Stranger, TURNS);
        assert_eq!(read(&mut others, &turns), 0);
        turns.begin_round();
        let mut late = Client::new(Standing::Stranger);
        assert!(!late.is_read(&turns), "who waited is not overtaken");
        assert!(last[1].is_read(&turns) && others[0].is_read(&turns) && others[TURNS - 2].is_read(&turns));
        assert!(!others[TURNS - 1].is_read(&turns), "the round is full");
        assert_eq!([&others[0], &others[TURNS - 1]].map(Client::woken), [1, 0]);
        turns.begin_round();
        assert!(others[TURNS - 1].is_read(&turns) && late.is_read(&turns));
        assert!(Client::new(Standing::Stranger).is_read(&turns), "the line is empty, and turns are left");
    }

    #[test]
    fn the_known_come_first_and_strangers_keep_their_share() {
        for (known, strangers, read_known, read_strangers) in [
            (3 * TURNS, 3 * TURNS, TURNS - STRANGERS, STRANGERS),
            (3 * TURNS, STRANGERS - 1, TURNS - STRANGERS + 1, STRANGERS - 1),
            (3 * TURNS, 0, TURNS, 0),
            (1, 3 * TURNS, 1, TURNS - 1),
            (0, 3 * TURNS, 0, TURNS),
        ] {
            let turns = Turns::default();
            assert_eq!(read(&mut clients(Standing::Stranger, TURNS), &turns), TURNS);
            let (mut strangers, mut known) = (clients(Standing::Stranger, strangers), clients(Standing::Known, known));
            assert_eq!(read(&mut strangers, &turns) + read(&mut known, &turns), 0);
            turns.begin_round();
            assert_eq!((read(&mut known, &turns), read(&mut strangers, &turns)), (read_known, read_strangers));
        }
    }

    #[test]
    fn a_connection_s_requests_have_one_place_in_line_and_go_to_its_end_with_every_turn() {
        let turns = Turns::default();
        read(&mut clients(Standing::Stranger, TURNS), &turns);
        let mut connections: [_; 3] = std::array::from_fn(|_| {
            let requests = Arc::default();
            let mut clients = clients(Standing::Stranger, 2 * TURNS);
            for client in &mut clients {
                client.requests = Some(Arc::clone(&requests));
            }
            clients
        });
        for connection in &mut connections {
            assert_eq!(read(connection, &turns), 0);
        }
        let mut late = Client::new(Standing::Stranger);
        assert!(!late.is_read(&turns));
        turns.begin_round();
        assert!(late.is_read(&turns), "it waited for three turns, not for those of all requests");
        assert_eq!(connections.each_mut().map(|connection| read(connection, &turns)), [3, 2, 2]);
        assert!(connections.iter().all(|connection| connection[0].woken() == 1), "the first of each came first");
        for _ in 0..5 {
            turns.begin_round();
        }
        assert_eq!(connections.each_mut().map(|connection| read(connection, &turns)), [16, 16, 15]);
        turns.begin_round();
        assert_eq!(read(&mut connections[2], &turns), 16);
        assert!(Client::new(Standing::Stranger).is_read(&turns), "the line is empty, and turns are left");
    }

    #[test]
    fn requests_of_one_connection_take_whole_rounds_where_nobody_else_waits() {
        let turns = Turns::default();
        read(&mut clients(Standing::Stranger, TURNS), &turns);
        let mut requests = clients(Standing::Stranger, 2 * TURNS + 1);
        let connection = Arc::default();
        for client in &mut requests {
            client.requests = Some(Arc::clone(&connection));
        }
        for called in [0, TURNS, 2 * TURNS, 2 * TURNS + 1] {
            assert_eq!(read(&mut requests, &turns), called);
            turns.begin_round();
        }
    }

    #[test]
    fn whoever_waits_is_woken_by_its_latest_task_and_keeps_its_place_if_its_standing_changes() {
        let turns = Turns::default();
        read(&mut clients(Standing::Stranger, TURNS), &turns);
        let mut client = Client::new(Standing::Stranger);
        assert!(!client.is_read(&turns));
        let before = std::mem::take(&mut client.woken);
        client.standing = Standing::Known;
        assert!(!client.is_read(&turns));
        turns.begin_round();
        assert_eq!((before.0.load(Ordering::Relaxed), client.woken()), (0, 1));
        assert!(client.is_read(&turns));
        assert_eq!(client.turn, Turn::Taken);
        read(&mut clients(Standing::Stranger, 2 * TURNS), &turns);
        assert!(client.is_read(&turns), "it stays its turn");
    }

    #[tokio::test]
    async fn rounds_begin_by_themselves_once_turns_are_used_up() {
        let turns = Arc::new(Turns::default());
        let renewing = Arc::clone(&turns);
        tokio::spawn(async move { renewing.renew().await });
        let ten_rounds = async {
            for _ in 0..10 * TURNS {
                let mut turn = Turn::Untaken(None);
                std::future::poll_fn(|context| turn.poll(&turns, Standing::Stranger, Errand::Read, context)).await;
                assert_eq!(turn, Turn::Taken);
            }
        };
        tokio::time::timeout(Duration::from_secs(20), ten_rounds).await.expect("rounds begin");
    }
}
