//! A hop that misbehaves on order: stalls, delays, refuses, resets, or ends just when the interesting byte passes.

use core::pin::pin;
use core::time::Duration;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// What passes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Flow {
    /// Everything.
    #[default]
    Pass,
    /// What clients say; what the server says waits.
    HoldAnswers,
    /// Nothing, and no connection ends.
    Freeze,
    /// Nothing, and every connection ends.
    Refuse,
}

/// The end of one connection, at a byte that means something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cut {
    /// Who says it.
    pub by: Side,
    /// What is said.
    pub at: &'static [u8],
    /// Whether it still arrives.
    pub arrives: bool,
}

/// Who speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// Whoever connected.
    Client,
    /// Whom the proxy connected to.
    Server,
}

impl Cut {
    /// A publish has reached the broker and its confirm is lost: method basic.ack (60, 80) on a channel.
    pub const CONFIRM_LOST: Self = Self { by: Side::Server, at: &[0, 60, 0, 80], arrives: false };
    /// What was committed is not acknowledged: the consumer's basic.ack never arrives.
    pub const ACKNOWLEDGEMENT_LOST: Self = Self { by: Side::Client, at: &[0, 60, 0, 80], arrives: false };
    /// Postgres has committed and nobody hears of it: `CommandComplete` of a COMMIT.
    pub const COMMITTED_UNHEARD: Self = Self { by: Side::Server, at: b"C\0\0\0\x0bCOMMIT\0", arrives: false };
    /// A COMMIT never reaches Postgres.
    pub const COMMIT_LOST: Self = Self { by: Side::Client, at: b"COMMIT\0", arrives: false };
    /// Redis does what it is asked and its answer is lost: the first byte of any answer after a claim was sent.
    pub const CLAIM_UNHEARD: Self = Self { by: Side::Client, at: b"NX", arrives: true };
    /// An HTTP answer of success is lost.
    pub const ANSWER_LOST: Self = Self { by: Side::Server, at: b"HTTP/1.1 200", arrives: false };
}

#[derive(Debug, Clone, Default)]
struct Orders {
    flow: Flow,
    latency: Duration,
    /// How often all connections were ended.
    resets: u32,
    /// How often something was said in the server's name, and what.
    said: (u32, Vec<u8>),
}

/// A TCP proxy on a port of its own; everything passes until it is told otherwise.
#[derive(Debug, Clone)]
pub struct FaultProxy {
    /// Where it listens.
    pub address: SocketAddr,
    orders: watch::Sender<Orders>,
    cut: Arc<Mutex<Option<Cut>>>,
}

/// How one direction ended.
enum End {
    /// Its sender has no more to say.
    Finished,
    /// The connection is over.
    Over,
}

impl FaultProxy {
    /// Before the server at this address, which need not be there yet.
    pub async fn before(server: SocketAddr) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let proxy = Self { address, orders: watch::Sender::default(), cut: Arc::default() };
        let runtime = tokio::runtime::Handle::current();
        let relaying = proxy.clone();
        runtime.clone().spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                runtime.spawn(relaying.clone().connect(client, server));
            }
        });
        proxy
    }

    /// The same URL, through a proxy: `scheme://user@host:port/path`.
    pub async fn before_url(url: &str) -> (Self, String) {
        let (scheme, rest) = url.split_once("://").expect("a URL");
        let (user, rest) =
            rest.split_once('@').map_or((String::new(), rest), |(u, rest)| (format!("{u}@"), rest));
        let (server, path) = rest.split_once('/').expect("a URL with a path");
        let proxy = Self::before(server.parse().expect("an address and a port")).await;
        let url = format!("{scheme}://{user}{}/{path}", proxy.address);
        (proxy, url)
    }

    /// What passes from now on, of old connections and new ones.
    pub fn set(&self, flow: Flow) {
        self.orders.send_modify(|orders| orders.flow = flow);
    }

    /// Everything that passes takes so much longer.
    pub fn delay(&self, latency: Duration) {
        self.orders.send_modify(|orders| orders.latency = latency);
    }

    /// Resets every connection.
    pub fn reset(&self) {
        self.orders.send_modify(|orders| orders.resets += 1);
    }

    /// Resets the next connection on which it is said.
    pub fn cut_next(&self, cut: Cut) {
        *self.armed() = Some(cut);
    }

    /// Takes back a cut that has not come to pass; `false` if it has.
    pub fn disarm(&self) -> bool {
        self.armed().take().is_some()
    }

    /// Whether a cut has not come to pass yet.
    pub fn is_armed(&self) -> bool {
        self.armed().is_some()
    }

    /// Says something to every client in the server's name. The line must be quiet, so that it falls between two messages.
    pub fn say(&self, words: Vec<u8>) {
        self.orders.send_modify(|orders| orders.said = (orders.said.0 + 1, words));
    }

    fn armed(&self) -> std::sync::MutexGuard<'_, Option<Cut>> {
        self.cut.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn connect(self, mut client: TcpStream, server: SocketAddr) {
        if self.orders.borrow().flow != Flow::Refuse
            && let Ok(mut server) = TcpStream::connect(server).await
        {
            drop((client.set_nodelay(true), server.set_nodelay(true)));
            self.relay_both(&mut client, &mut server).await;
            drop(server.set_zero_linger());
        }
        drop(client.set_zero_linger());
    }

    async fn relay_both(&self, client: &mut TcpStream, server: &mut TcpStream) {
        let ((client_says, to_client), (server_says, to_server)) = (client.split(), server.split());
        let mut out = pin!(self.relay(client_says, to_server, Side::Client));
        let mut back = pin!(self.relay(server_says, to_client, Side::Server));
        let end = tokio::select! {
            end = &mut out => (end, Side::Client),
            end = &mut back => (end, Side::Server),
        };
        match end {
            (End::Over, _) => {}
            (End::Finished, Side::Client) => {
                back.await;
            }
            (End::Finished, Side::Server) => {
                out.await;
            }
        }
    }

    async fn relay(&self, mut from: ReadHalf<'_>, mut to: WriteHalf<'_>, side: Side) -> End {
        let mut orders = self.orders.subscribe();
        let Orders { mut flow, mut latency, resets, said: (mut said, _) } =
            orders.borrow_and_update().clone();
        let (mut buffer, mut window) = (vec![0; 64 * 1024], Vec::new());
        loop {
            let passes = match flow {
                Flow::Pass => true,
                Flow::HoldAnswers => side == Side::Client,
                Flow::Freeze | Flow::Refuse => false,
            };
            tokio::select! {
                changed = orders.changed() => {
                    let Ok(()) = changed else { return End::Over };
                    let now = orders.borrow_and_update().clone();
                    if now.resets != resets || now.flow == Flow::Refuse {
                        return End::Over;
                    }
                    if side == Side::Server && now.said.0 != said && to.write_all(&now.said.1).await.is_err() {
                        return End::Over;
                    }
                    (flow, latency, said) = (now.flow, now.latency, now.said.0);
                }
                read = from.read(&mut buffer), if passes => {
                    let words = match read {
                        Ok(0) => {
                            drop(to.shutdown().await);
                            return End::Finished;
                        }
                        Ok(count) => &buffer[..count],
                        Err(_) => return End::Over,
                    };
                    let cut = self.met(side, &mut window, words);
                    if !latency.is_zero() {
                        pause(latency).await;
                    }
                    if cut.is_none_or(|cut| cut.arrives) && to.write_all(words).await.is_err() {
                        return End::Over;
                    }
                    if cut.is_some() {
                        return End::Over;
                    }
                }
            }
        }
    }

    /// The armed cut, if these words complete what it waits for; then it is armed no longer.
    fn met(&self, side: Side, window: &mut Vec<u8>, words: &[u8]) -> Option<Cut> {
        let mut armed = self.armed();
        let cut = armed.filter(|cut| cut.by == side);
        let Some(cut) = cut else {
            window.clear();
            return None;
        };
        window.extend_from_slice(words);
        if window.windows(cut.at.len()).any(|part| part == cut.at) {
            return armed.take();
        }
        window.drain(..window.len().saturating_sub(cut.at.len() - 1));
        None
    }
}

#[expect(clippy::disallowed_methods, reason = "latency is time that really passes")]
async fn pause(latency: Duration) {
    tokio::time::sleep(latency).await;
}
