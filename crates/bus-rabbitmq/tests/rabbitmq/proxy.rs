//! A proxy before the broker that can freeze, cut, and speak in the broker's name.

use std::net::SocketAddr;

use ports::Handle;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// What the proxy does to every connection through it.
#[derive(Debug, Clone, Default)]
struct Orders {
    frozen: bool,
    /// How often all connections were cut.
    cuts: u32,
    /// What to say to the clients next, and how often something was said.
    said: (u32, Vec<u8>),
}

pub(crate) struct Proxy {
    address: SocketAddr,
    orders: watch::Sender<Orders>,
}

impl Proxy {
    /// In front of the broker of `amqp_url`.
    pub(crate) async fn before(amqp_url: &str, handle: &Handle) -> (Self, String) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (head, rest) = amqp_url.split_once('@').unwrap();
        let (upstream, vhost) = rest.split_once('/').unwrap();
        let url = format!("{head}@{address}/{vhost}");
        let orders = watch::Sender::default();
        let proxy = Self { address, orders: orders.clone() };
        let (upstream, tasks) = (upstream.to_owned(), handle.clone());
        drop(handle.spawn("proxy", async move {
            loop {
                let (client, _) = listener.accept().await.unwrap();
                let Ok(broker) = TcpStream::connect(&upstream).await else { continue };
                let ((from_client, to_client), (from_broker, to_broker)) =
                    (client.into_split(), broker.into_split());
                drop(tasks.spawn("proxy out", relay(from_client, to_broker, orders.subscribe(), false)));
                drop(tasks.spawn("proxy in", relay(from_broker, to_client, orders.subscribe(), true)));
            }
        }));
        (proxy, url)
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Lets nothing through, without ending a connection; or lets everything through again.
    pub(crate) fn freeze(&self, frozen: bool) {
        self.orders.send_modify(|orders| orders.frozen = frozen);
    }

    /// Ends all connections.
    pub(crate) fn cut(&self) {
        self.orders.send_modify(|orders| orders.cuts += 1);
    }

    /// Tells the clients that they are blocked, as a broker short of memory does (connection.blocked, 10/60).
    pub(crate) fn block(&self) {
        self.say([10, 60], b"\x0alow memory");
    }

    /// Tells them that they are no longer (connection.unblocked, 10/61).
    pub(crate) fn unblock(&self) {
        self.say([10, 61], b"");
    }

    /// A method frame on channel 0. The line must be quiet, so that it falls between two frames.
    fn say(&self, [class, method]: [u8; 2], arguments: &[u8]) {
        let size = u8::try_from(4 + arguments.len()).unwrap();
        let head = [1, 0, 0, 0, 0, 0, size, 0, class, 0, method];
        let frame = [&head, arguments, &[0xCE]].concat();
        self.orders.send_modify(|orders| orders.said = (orders.said.0 + 1, frame));
    }
}

async fn relay(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut orders: watch::Receiver<Orders>,
    to_client: bool,
) {
    let began = orders.borrow_and_update().clone();
    let (mut frozen, mut said) = (began.frozen, began.said.0);
    let mut buffer = vec![0; 64 * 1024];
    loop {
        tokio::select! {
            changed = orders.changed() => {
                let Ok(()) = changed else { return };
                let now = orders.borrow_and_update().clone();
                if now.cuts != began.cuts {
                    return;
                }
                frozen = now.frozen;
                if to_client && now.said.0 != said && to.write_all(&now.said.1).await.is_err() {
                    return;
                }
                said = now.said.0;
            }
            read = from.read(&mut buffer), if !frozen => {
                let Ok(count @ 1..) = read else { return };
                if to.write_all(&buffer[..count]).await.is_err() {
                    return;
                }
            }
        }
    }
}
