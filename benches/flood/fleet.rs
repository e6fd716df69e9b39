//! Many senders at once, in a thread of their own: each has an address and keeps a connection.
//!
//! Open loop: each sender has a schedule of its own, and what they send together comes at random, as often as asked for. Closed loop: each sends
//! its next request when it has the answer to the one before.

use std::cell::RefCell;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::LocalSet;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::Fault;
use crate::genuine::read;
use crate::requests::Schedule;
use crate::tally::{Answer, Tally};
use crate::threads;

/// Who sends what.
#[derive(Debug, Clone)]
pub struct Senders {
    pub gateway: SocketAddr,
    pub tls: Arc<ClientConfig>,
    /// Their requests, in turn.
    pub requests: Vec<Bytes>,
    /// Their addresses; one connection each.
    pub addresses: Vec<Ipv4Addr>,
}

/// How requests are due.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Load {
    /// The next one with the answer to the one before.
    Closed,
    /// So many a second, whatever becomes of them.
    Open(f64),
}

/// Senders with their connections.
pub struct Fleet {
    orders: UnboundedSender<Order>,
}

/// A phase, and who is told how it went.
struct Order {
    load: Load,
    lasts: Duration,
    done: mpsc::Sender<Tally>,
}

/// Connections that are being made at the same time.
const CONNECTING: usize = 32;
/// As long as GitHub waits.
const PATIENCE: Duration = Duration::from_secs(10);

impl Fleet {
    /// Opens all connections.
    pub fn connect(senders: Senders) -> Result<Self, Fault> {
        let (order, orders) = unbounded_channel();
        let (opened, ready) = mpsc::channel();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        thread::Builder::new().name("fleet".to_owned()).spawn(move || {
            // Senders, upstream and what is timed share a core, and what is timed must not wait for the rest.
            threads::yield_to_others();
            LocalSet::new().block_on(&runtime, obey(Rc::new(senders), orders, opened));
        })?;
        ready.recv().map_err(|_| "the senders broke")??;
        Ok(Self { orders: order })
    }

    /// Begins to send; the answer comes when the phase has ended and the last request has its own.
    pub fn start(&self, load: Load, lasts: Duration) -> mpsc::Receiver<Tally> {
        let (done, tally) = mpsc::channel();
        // If nobody takes it, `done` is dropped, and whoever waits is told.
        let _ = self.orders.send(Order { load, lasts, done });
        tally
    }

    /// Sends, and waits.
    pub fn run(&self, load: Load, lasts: Duration) -> Result<Tally, Fault> {
        self.start(load, lasts).recv().map_err(|_| "the senders broke".into())
    }
}

async fn obey(senders: Rc<Senders>, mut orders: UnboundedReceiver<Order>, opened: mpsc::Sender<io::Result<()>>) {
    let mut fleet = Vec::with_capacity(senders.addresses.len());
    for (batch, addresses) in senders.addresses.chunks(CONNECTING).enumerate() {
        let connecting: Vec<_> = addresses
            .iter()
            .enumerate()
            .map(|(index, from)| {
                let sender = Sender {
                    senders: Rc::clone(&senders),
                    from: *from,
                    number: batch * CONNECTING + index,
                    stream: None,
                };
                tokio::task::spawn_local(sender.connected())
            })
            .collect();
        for sender in connecting {
            match sender.await {
                Ok(Ok(sender)) => fleet.push(sender),
                Ok(Err(fault)) => return drop(opened.send(Err(fault))),
                Err(_) => return,
            }
        }
    }
    let _ = opened.send(Ok(()));
    while let Some(Order { load, lasts, done }) = orders.recv().await {
        let tally = Rc::new(RefCell::new(Tally::default()));
        let phase = Phase { load, begins: Instant::now(), lasts, senders: fleet.len() };
        let sending: Vec<_> =
            fleet.drain(..).map(|sender| tokio::task::spawn_local(sender.send(phase, Rc::clone(&tally)))).collect();
        for sender in sending {
            match sender.await {
                Ok(sender) => fleet.push(sender),
                Err(_) => return,
            }
        }
        let _ = done.send(tally.take());
    }
}

#[derive(Debug, Clone, Copy)]
struct Phase {
    load: Load,
    begins: Instant,
    lasts: Duration,
    senders: usize,
}

struct Sender {
    senders: Rc<Senders>,
    from: Ipv4Addr,
    number: usize,
    stream: Option<TlsStream<TcpStream>>,
}

impl Sender {
    async fn connected(mut self) -> io::Result<Self> {
        self.stream = Some(self.connect().await?);
        // One request at once: the first one has only `head_seconds`, and others are still connecting.
        let request = self.senders.requests[0].clone();
        tokio::time::timeout(PATIENCE, self.exchange(&request)).await??;
        Ok(self)
    }

    async fn connect(&self) -> io::Result<TlsStream<TcpStream>> {
        let connecting = async {
            let socket = TcpSocket::new_v4()?;
            socket.bind((self.from, 0).into())?;
            let stream = socket.connect(self.senders.gateway).await?;
            stream.set_nodelay(true)?;
            let name = ServerName::try_from("localhost").map_err(io::Error::other)?;
            TlsConnector::from(Arc::clone(&self.senders.tls)).connect(name, stream).await
        };
        tokio::time::timeout(PATIENCE, connecting).await?
    }

    async fn send(mut self, phase: Phase, tally: Rc<RefCell<Tally>>) -> Self {
        let ends = phase.begins + phase.lasts;
        let mut schedule = match phase.load {
            Load::Closed => None,
            Load::Open(per_second) => {
                #[expect(clippy::cast_precision_loss, reason = "some thousand senders")]
                let each = per_second / phase.senders as f64;
                Some(Schedule::new(self.number as u64, each))
            }
        };
        let mut due = phase.begins + schedule.as_mut().map_or(Duration::ZERO, Schedule::gap);
        let requests = self.senders.requests.clone();
        let turn = self.number % requests.len();
        for request in requests.iter().cycle().skip(turn) {
            if due >= ends {
                break;
            }
            let mut now = Instant::now();
            if now < due {
                tokio::time::sleep_until(due.into()).await;
                now = Instant::now();
            }
            if now >= ends {
                tally.borrow_mut().unsent += 1;
            } else if let Ok(Ok(answer)) = tokio::time::timeout(PATIENCE, self.exchange(request)).await {
                tally.borrow_mut().answered(answer, due.elapsed());
            } else {
                tally.borrow_mut().failed += 1;
                self.stream = None;
            }
            due = schedule.as_mut().map_or_else(Instant::now, |schedule| due + schedule.gap());
        }
        self
    }

    async fn exchange(&mut self, request: &[u8]) -> io::Result<Answer> {
        let mut stream = match self.stream.take() {
            Some(stream) => stream,
            None => self.connect().await?,
        };
        stream.write_all(request).await?;
        stream.flush().await?;
        let mut room = [0; 2048];
        let mut filled = 0;
        loop {
            let length = stream.read(&mut room[filled..]).await?;
            if length == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            filled += length;
            if let Some(answer) = read(&room[..filled]) {
                if !answer.close {
                    self.stream = Some(stream);
                }
                return Ok(answer);
            }
        }
    }
}
