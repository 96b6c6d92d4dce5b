//! A hop that can be held: what the server says waits until it is let go.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// A TCP proxy on a port of its own.
#[derive(Debug)]
pub struct Proxy {
    /// Where it listens.
    pub address: SocketAddr,
    held: watch::Sender<bool>,
}

impl Proxy {
    /// A proxy before the server at `server`; everything passes.
    pub async fn before(server: SocketAddr) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (held, holding) = watch::channel(false);
        let runtime = tokio::runtime::Handle::current();
        runtime.clone().spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let Ok(server) = TcpStream::connect(server).await else { continue };
                let (client_read, client_write) = client.into_split();
                let (server_read, server_write) = server.into_split();
                runtime.spawn(pass(client_read, server_write, watch::channel(false).1));
                runtime.spawn(pass(server_read, client_write, holding.clone()));
            }
        });
        Self { address, held }
    }

    /// Holds back what the server says from now on; what clients say still passes.
    pub fn hold(&self) {
        self.held.send_replace(true);
    }

    /// Lets go what was held back.
    pub fn let_go(&self) {
        self.held.send_replace(false);
    }
}

async fn pass(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut holding: watch::Receiver<bool>) {
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(length @ 1..) = from.read(&mut buffer).await {
        // A sender that is gone holds nothing back any more.
        if holding.wait_for(|held| !held).await.is_err() && *holding.borrow() {
            return;
        }
        if to.write_all(&buffer[..length]).await.is_err() {
            return;
        }
    }
}
