//! Drives a connection from within the delivery that uses it, without waking the delivery for what it does itself.
//!
//! The HTTP library has a connection and its user talk through channels and wakes whoever waits at the other end. Here both ends
//! are polled in turn by one task: such a wake would only make that task run once more, through every layer, to find nothing new. So
//! what waits for the connection is polled with a waker that does nothing, and what it wakes in the connection is only noted, for
//! the connection is polled next anyway. Wakes from outside, by the socket, reach the task. And what wakes the task for
//! another reason does not concern the connection: it is not polled then.
//!
//! **Invariant:** no wake is lost: after one that was only noted the connection is polled, or the task is woken.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, Ordering};
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
            self.bell.unmuffle();
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
        let mut begun = false;
        poll_fn(|context| {
            self.bell.ring_for(context.waker());
            if std::mem::replace(&mut begun, true) && !self.bell.was_rung() {
                return Poll::Pending;
            }
            if let Poll::Ready(output) = self.ask(future.as_mut()) {
                return Poll::Ready(output);
            }
            self.poll();
            let polled = self.ask(future.as_mut());
            if polled.is_pending() && self.bell.was_rung() {
                context.waker().wake_by_ref();
            }
            polled
        })
        .await
    }

    /// Polls what waits for the connection.
    fn ask<F: Future>(&self, future: Pin<&mut F>) -> Poll<F::Output> {
        self.bell.muffle();
        let polled = future.poll(&mut Context::from_waker(Waker::noop()));
        self.bell.unmuffle();
        polled
    }

    fn poll(&mut self) {
        self.bell.forget();
        if let Some(connection) = &mut self.connection
            && connection.as_mut().poll(&mut Context::from_waker(&self.waker)).is_ready()
        {
            self.connection = None;
        }
    }
}

/// What the connection rings to be polled: it wakes the task that uses the connection, unless it is muffled.
struct Bell {
    muffled: AtomicBool,
    /// Whether it was rung since the connection was polled last, muffled or not.
    rung: AtomicBool,
    task: Mutex<Waker>,
}

impl Bell {
    fn new() -> Self {
        let (muffled, rung) = (AtomicBool::new(false), AtomicBool::new(false));
        Self { muffled, rung, task: Mutex::new(Waker::noop().clone()) }
    }

    fn ring_for(&self, waker: &Waker) {
        self.task.lock().unwrap_or_else(PoisonError::into_inner).clone_from(waker);
    }

    fn muffle(&self) {
        self.muffled.store(true, Ordering::SeqCst);
    }

    fn unmuffle(&self) {
        self.muffled.store(false, Ordering::SeqCst);
    }

    /// Asked after it was unmuffled: who rang before that is seen here, who rings later wakes the task.
    fn was_rung(&self) -> bool {
        self.rung.load(Ordering::SeqCst)
    }

    fn forget(&self) {
        self.rung.store(false, Ordering::SeqCst);
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.rung.store(true, Ordering::SeqCst);
        if !self.muffled.load(Ordering::SeqCst) {
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
    fn the_connection_is_not_polled_when_the_task_was_woken_for_something_else() {
        let polls = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&polls);
        let mut driver = Driver::new(poll_fn(move |_| {
            counted.fetch_add(1, Ordering::SeqCst);
            Poll::Pending
        }));
        let woken = Arc::new(Woken::default());
        let mut waiting = pin!(driver.until(std::future::pending::<()>()));
        for _ in 0..3 {
            assert!(poll(waiting.as_mut(), &woken).is_pending());
        }
        assert_eq!(polls.load(Ordering::SeqCst), 1);
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
