//! Drives a connection from within the delivery that uses it, without waking the delivery for what it does itself.
//!
//! The HTTP library has a connection and its user talk through channels and wakes whoever waits at the other end. Here both ends
//! are polled in turn by one task: such a wake would only make that task run once more, through every layer, to find nothing new. So
//! what waits for the connection is polled with a waker that does nothing, and what it wakes in the connection is only noted, for
//! the connection is polled next anyway. Wakes from outside, by the socket, reach the task.
//!
//! **Invariant:** no wake is lost: after one that was only noted the connection is polled, or the task is woken.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

/// A connection, polled by whoever uses it.
pub(super) struct Driver {
    connection: Option<Pin<Box<dyn Future<Output = hyper::Result<()>> + Send>>>,
    bell: Arc<Bell>,
    waker: Waker,
}

impl Driver {
    /// A connection that was just made.
    pub(super) fn new(connection: impl Future<Output = hyper::Result<()>> + Send + 'static) -> Self {
        let bell = Arc::new(Bell::new());
        Self { connection: Some(Box::pin(connection)), waker: Waker::from(Arc::clone(&bell)), bell }
    }

    /// Whether the connection has ended, well or not.
    pub(super) const fn has_ended(&self) -> bool {
        self.connection.is_none()
    }

    /// Nobody uses the connection for now: what happens to it meanwhile is seen when it is polled next.
    pub(super) fn rest(&self) {
        self.bell.muffle();
    }

    /// Polls the connection once.
    pub(super) async fn turn(&mut self) {
        poll_fn(|context| {
            self.bell.ring_for(context.waker());
            // What rang while nobody used it is seen by this very poll.
            let _ = self.bell.unmuffle();
            self.poll();
            Poll::Ready(())
        })
        .await;
    }

    /// Gives the connection something to do, in a call that does not wait. It begins when the connection is polled next.
    pub(super) fn hand_over<T>(&self, give: impl FnOnce() -> T) -> T {
        self.bell.muffle();
        give()
    }

    /// Waits for `future`, which nothing but this connection can complete, while keeping the connection going.
    pub(super) async fn until<F: Future>(&mut self, future: F) -> F::Output {
        let mut future = pin!(future);
        poll_fn(|context| {
            self.bell.ring_for(context.waker());
            if let (Poll::Ready(output), _) = self.ask(future.as_mut()) {
                return Poll::Ready(output);
            }
            self.poll();
            let (polled, rang) = self.ask(future.as_mut());
            if polled.is_pending() && rang == Rang::Yes {
                context.waker().wake_by_ref();
            }
            polled
        })
        .await
    }

    /// Polls what waits for the connection, and tells whether that woke the connection.
    fn ask<F: Future>(&self, future: Pin<&mut F>) -> (Poll<F::Output>, Rang) {
        self.bell.muffle();
        let polled = future.poll(&mut Context::from_waker(Waker::noop()));
        (polled, self.bell.unmuffle())
    }

    fn poll(&mut self) {
        if let Some(connection) = &mut self.connection
            && connection.as_mut().poll(&mut Context::from_waker(&self.waker)).is_ready()
        {
            self.connection = None;
        }
    }
}

/// What wakes the task that uses a connection, unless it is muffled.
struct Bell {
    state: AtomicU8,
    task: Mutex<Waker>,
}

/// It wakes the task.
const CLEAR: u8 = 0;
/// It only notes that it was rung.
const MUFFLED: u8 = 1;
/// It was rung while it was muffled.
const NOTED: u8 = 2;

/// Whether a bell was rung while it was muffled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rang {
    Yes,
    No,
}

impl Bell {
    fn new() -> Self {
        Self { state: AtomicU8::new(CLEAR), task: Mutex::new(Waker::noop().clone()) }
    }

    fn ring_for(&self, waker: &Waker) {
        self.task.lock().unwrap_or_else(PoisonError::into_inner).clone_from(waker);
    }

    fn muffle(&self) {
        self.state.store(MUFFLED, Ordering::SeqCst);
    }

    fn unmuffle(&self) -> Rang {
        if self.state.swap(CLEAR, Ordering::SeqCst) == NOTED { Rang::Yes } else { Rang::No }
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let noted = self.state.compare_exchange(MUFFLED, NOTED, Ordering::SeqCst, Ordering::SeqCst);
        if noted == Err(CLEAR) {
            self.task.lock().unwrap_or_else(PoisonError::into_inner).wake_by_ref();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicUsize;
    use tokio::sync::{mpsc, oneshot};

    /// Counts how often a task is woken.
    #[derive(Default)]
    struct Woken(AtomicUsize);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    type Question = (u32, oneshot::Sender<u32>);

    /// A connection that doubles numbers until nobody asks any more; with each it waits for a word from its socket.
    fn doubling() -> (mpsc::UnboundedSender<Question>, mpsc::UnboundedSender<()>, Driver) {
        let (ask, mut asked) = mpsc::unbounded_channel::<Question>();
        let (socket, mut words) = mpsc::unbounded_channel();
        let driver = Driver::new(async move {
            while let Some((number, answer)) = asked.recv().await {
                if words.recv().await.is_none() {
                    break;
                }
                let _ = answer.send(2 * number);
            }
            Ok(())
        });
        (ask, socket, driver)
    }

    fn poll<F: Future>(future: Pin<&mut F>, woken: &Arc<Woken>) -> Poll<F::Output> {
        future.poll(&mut Context::from_waker(&Waker::from(Arc::clone(woken))))
    }

    #[test]
    fn only_the_socket_wakes_the_task() {
        let (ask, socket, mut driver) = doubling();
        let woken = Arc::new(Woken::default());
        for round in 1..=3 {
            assert!(poll(pin!(driver.turn()), &woken).is_ready());
            let (answer, answered) = oneshot::channel();
            driver.hand_over(|| ask.send((round, answer)).unwrap());
            let mut waiting = pin!(driver.until(answered));
            assert!(poll(waiting.as_mut(), &woken).is_pending());
            assert_eq!(woken.0.swap(0, Ordering::SeqCst), 0, "round {round}: handed over and not answered yet");
            socket.send(()).unwrap();
            assert_eq!(woken.0.swap(0, Ordering::SeqCst), 1, "round {round}: the socket spoke");
            assert_eq!(poll(waiting.as_mut(), &woken), Poll::Ready(Ok(2 * round)));
            assert_eq!(woken.0.swap(0, Ordering::SeqCst), 0, "round {round}: answered");
        }
    }

    #[test]
    fn what_is_asked_too_late_to_be_seen_wakes_the_task() {
        let (ask, _socket, mut driver) = doubling();
        let woken = Arc::new(Woken::default());
        let mut polls = 0;
        let late = poll_fn(|_| {
            polls += 1;
            if polls == 2 {
                ask.send((1, oneshot::channel().0)).unwrap();
            }
            Poll::<()>::Pending
        });
        assert!(poll(pin!(driver.until(late)), &woken).is_pending());
        assert_eq!(woken.0.load(Ordering::SeqCst), 1);
    }

    #[test]
    fn a_connection_at_rest_wakes_nobody_and_its_end_is_seen_when_it_is_taken() {
        let (ask, _socket, mut driver) = doubling();
        let woken = Arc::new(Woken::default());
        assert!(poll(pin!(driver.turn()), &woken).is_ready());
        driver.rest();
        drop(ask);
        assert_eq!(woken.0.load(Ordering::SeqCst), 0);
        assert!(!driver.has_ended());
        assert!(poll(pin!(driver.turn()), &woken).is_ready());
        assert!(driver.has_ended());
    }
}
