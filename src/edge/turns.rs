//! Whose turn it is to be read, where more connections have something to say than a worker can take at once.
//!
//! A worker's tasks run in the order in which they woke. Were each connection read as soon as something came, a delivery would wait at each of its steps
//! behind all that had come before: a fraction of a second, where ten thousand clients send junk. So between two looks of the runtime at its sockets
//! only [`TURNS`] turns are taken. The others stand in line, those [`Known`](Standing::Known) before [`Strangers`](Standing::Stranger), who keep a
//! quarter of the turns: somebody new must get through, too. What is there in whole needs no further turn, so a delivery under way waits for one round at most.
//!
//! It stands below TLS, where a handshake, a request and a piece of a body are all the same: something to read that will cost time. One read can bring a
//! hundred requests of HTTP/2, so each of these takes a turn of its own, too, and before anything else is read for whoever stands alike: so no more of
//! them wait than a round brings. Turns decide who is first and refuse nobody; a line is as long as there are connections.
//!
//! **Invariant:** within a line nobody is overtaken, and those of each standing move with every round.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
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
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Errand {
    /// To begin with a request that was read with others.
    Request,
    /// To read from a connection.
    Read,
}

/// One turn: waited for, and then taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// Not yet; for who waits, with the place in line.
    Untaken(Option<Ticket>),
    /// It is this one's turn.
    Taken,
}

/// A place in a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ticket {
    standing: Standing,
    errand: Errand,
    number: u64,
}

#[derive(Debug)]
struct Round {
    left: usize,
    known: Lines,
    strangers: Lines,
}

/// Those of one standing.
#[derive(Debug, Default)]
struct Lines {
    requests: Line,
    reads: Line,
}

#[derive(Debug, Default)]
struct Line {
    /// The number of the first that still waits: whoever has a lower one may go on.
    first: u64,
    waiting: VecDeque<Waker>,
}

impl Default for Turns {
    fn default() -> Self {
        let round = Round { left: TURNS, known: Lines::default(), strangers: Lines::default() };
        Self { round: Mutex::new(round), used_up: Notify::new() }
    }
}

impl Turns {
    /// Takes a turn. While there is none, the caller's place in line is in `ticket`, and its task is woken when it is called.
    fn poll(
        &self,
        standing: Standing,
        errand: Errand,
        ticket: &mut Option<Ticket>,
        context: &mut Context<'_>,
    ) -> Poll<()> {
        let mut round = self.lock();
        if let Some(Ticket { standing, errand, number }) = *ticket {
            if !round.line(standing, errand).still_waits(number, context.waker()) {
                *ticket = None;
                return Poll::Ready(());
            }
            return Poll::Pending;
        }
        if round.left == 0 {
            let number = round.line(standing, errand).join(context.waker());
            *ticket = Some(Ticket { standing, errand, number });
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
        let known = round.known.len().min(TURNS - STRANGERS.min(round.strangers.len()));
        let strangers = round.strangers.len().min(TURNS - known);
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
    pub fn poll(&mut self, turns: &Turns, standing: Standing, errand: Errand, context: &mut Context<'_>) -> Poll<()> {
        if let Self::Untaken(ticket) = self {
            ready!(turns.poll(standing, errand, ticket, context));
            *self = Self::Taken;
        }
        Poll::Ready(())
    }
}

impl Round {
    const fn line(&mut self, standing: Standing, errand: Errand) -> &mut Line {
        let lines = match standing {
            Standing::Known => &mut self.known,
            Standing::Stranger => &mut self.strangers,
        };
        match errand {
            Errand::Request => &mut lines.requests,
            Errand::Read => &mut lines.reads,
        }
    }
}

impl Lines {
    fn len(&self) -> usize {
        self.requests.waiting.len() + self.reads.waiting.len()
    }

    fn call(&mut self, count: usize) {
        let requests = count.min(self.requests.waiting.len());
        self.requests.call(requests);
        self.reads.call(count - requests);
    }
}

impl Line {
    fn join(&mut self, waker: &Waker) -> u64 {
        self.waiting.push_back(waker.clone());
        self.first + self.waiting.len() as u64 - 1
    }

    /// Whether `number` was not called yet; then this is whom to wake.
    fn still_waits(&mut self, number: u64, waker: &Waker) -> bool {
        let place = number.checked_sub(self.first).and_then(|place| usize::try_from(place).ok());
        match place.and_then(|place| self.waiting.get_mut(place)) {
            Some(waiting) => {
                waiting.clone_from(waker);
                true
            }
            None => false,
        }
    }

    fn call(&mut self, count: usize) {
        self.first += count as u64;
        self.waiting.drain(..count).for_each(Waker::wake);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
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
        errand: Errand,
        turn: Turn,
        woken: Arc<Counter>,
    }

    impl Client {
        fn new(standing: Standing) -> Self {
            Self { standing, errand: Errand::Read, turn: Turn::Untaken(None), woken: Arc::default() }
        }

        fn is_read(&mut self, turns: &Turns) -> bool {
            let waker = Arc::clone(&self.woken).into();
            self.turn.poll(turns, self.standing, self.errand, &mut Context::from_waker(&waker)).is_ready()
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
    fn requests_that_were_read_come_before_further_reads_of_those_who_stand_alike() {
        let turns = Turns::default();
        read(&mut clients(Standing::Stranger, TURNS), &turns);
        let mut reads = clients(Standing::Stranger, TURNS);
        let mut requests = clients(Standing::Stranger, TURNS + 1);
        for request in &mut requests {
            request.errand = Errand::Request;
        }
        let mut known = clients(Standing::Known, 1);
        assert_eq!(read(&mut reads, &turns) + read(&mut requests, &turns) + read(&mut known, &turns), 0);
        for expected in [(1, TURNS - 1, 0), (1, TURNS + 1, TURNS - 2), (1, TURNS + 1, TURNS)] {
            turns.begin_round();
            assert_eq!((read(&mut known, &turns), read(&mut requests, &turns), read(&mut reads, &turns)), expected);
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
