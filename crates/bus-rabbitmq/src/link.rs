//! One connection to the broker, opened with a deadline and ended for certain.

use core::time::Duration;
use std::io;
use std::net::{Shutdown, TcpStream};
use std::os::fd::AsFd;
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::Stream;
use lapin::tcp::RustlsConnector;
use lapin::{AsyncTcpStream, Channel, Connection, ConnectionProperties, Event};
use ports::Handle;

use crate::settings::Settings;

/// For the TCP connection alone.
const CONNECT: Duration = Duration::from_secs(5);

/// For a whole handshake, and for any single request to the broker.
pub(crate) const REQUEST: Duration = Duration::from_secs(5);

/// For an orderly end.
const CLOSE: Duration = Duration::from_secs(2);

/// Why a request to the broker failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LinkError {
    #[error(transparent)]
    Broker(#[from] lapin::Error),
    #[error("the broker did not answer within the deadline")]
    Deadline,
    #[error("{0}")]
    Tls(String),
}

/// A connection. Dropping it ends the socket, whatever the driver or the broker may be waiting for.
pub(crate) struct Link {
    connection: Connection,
    socket: TcpStream,
    handle: Handle,
}

/// Where the driver's thread leaves its end of the socket.
type Slot = Arc<Mutex<Option<TcpStream>>>;

impl Link {
    /// One attempt.
    pub(crate) async fn open(settings: &Settings, role: &str, handle: &Handle) -> Result<Self, LinkError> {
        let slot = Slot::default();
        let name = format!("{} {role}", settings.connection_name);
        let connector = if settings.address.is_encrypted() {
            let config = settings.tls.client_config().map_err(|none| LinkError::Tls(none.to_string()))?;
            Some(RustlsConnector::from(config))
        } else {
            None
        };
        let connecting = connect(settings, name, connector, handle, Arc::clone(&slot));
        // The socket's own deadline is within, on the driver's thread, where dropping a future does not reach.
        let connected = handle.within(CONNECT.saturating_add(REQUEST), connecting).await;
        let socket = slot.lock().unwrap_or_else(PoisonError::into_inner).take();
        match (connected, socket) {
            (Some(Ok(connection)), Some(socket)) => Ok(Self { connection, socket, handle: handle.clone() }),
            (failed, socket) => {
                if let Some(socket) = socket {
                    end(&socket);
                }
                Err(failed.map_or(LinkError::Deadline, |failed| match failed {
                    Ok(_without_socket) => LinkError::Deadline,
                    Err(error) => match settings.tls.explain(&settings.address.server(), &error) {
                        Some(why) => LinkError::Tls(why),
                        None => error.into(),
                    },
                }))
            }
        }
    }

    /// A new channel.
    pub(crate) async fn channel(&self) -> Result<Channel, LinkError> {
        self.request(self.connection.create_channel()).await
    }

    /// What `request` gives, within the deadline: the driver knows none.
    pub(crate) async fn request<T>(
        &self,
        request: impl Future<Output = lapin::Result<T>>,
    ) -> Result<T, LinkError> {
        self.handle.within(REQUEST, request).await.ok_or(LinkError::Deadline)?.map_err(LinkError::from)
    }

    /// Ends a channel in order, if it has not ended yet. Left to the driver, the end of a channel races with the
    /// cancelling of its consumer and with the end of the connection, and the loser takes the connection down.
    pub(crate) async fn close_channel(&self, channel: &Channel) {
        if channel.status().connected()
            && !matches!(self.handle.within(CLOSE, channel.close(200, "OK".into())).await, Some(Ok(())))
        {
            tracing::debug!("A channel to RabbitMQ ended without goodbye");
        }
    }

    /// Blocked, unblocked, failed. To be called once: several listeners would share the events, not each get them all.
    pub(crate) fn events(&self) -> impl Stream<Item = Event> + Send + 'static {
        self.connection.events_listener()
    }

    pub(crate) fn is_connected(&self) -> bool {
        self.connection.status().connected()
    }

    pub(crate) fn is_blocked(&self) -> bool {
        self.connection.status().blocked()
    }

    /// Says goodbye, briefly. A failure is no matter: dropping ends it all the same.
    pub(crate) async fn close(&self) {
        let goodbye = self.connection.close(200, "OK".into());
        if !matches!(self.handle.within(CLOSE, goodbye).await, Some(Ok(()))) {
            tracing::debug!("A connection to RabbitMQ ended without goodbye");
        }
    }
}

impl Drop for Link {
    /// A blocked connection writes nothing, not even its own close: without this, its thread, its buffers (8 MiB) and
    /// the frames that wait in it would live until the broker's alarm ends, and those frames would then be published.
    fn drop(&mut self) {
        end(&self.socket);
    }
}

fn end(socket: &TcpStream) {
    if let Err(error) = socket.shutdown(Shutdown::Both) {
        tracing::trace!(%error, "The socket had ended already");
    }
}

/// Connects without automatic recovery: it would come back with confirms, qos and consumers of its own making.
async fn connect(
    settings: &Settings,
    name: String,
    connector: Option<RustlsConnector>,
    handle: &Handle,
    slot: Slot,
) -> lapin::Result<Connection> {
    let uri = settings.address.uri(settings.heartbeat_seconds);
    let properties = ConnectionProperties::default().with_connection_name(name.into());
    let handle = handle.clone();
    let runtime = lapin::runtime::default_runtime()?;
    Connection::connector(
        uri,
        runtime,
        async move |uri, runtime| {
            let addresses = runtime.to_socket_addrs((uri.authority.host.clone(), uri.authority.port));
            let stream = handle
                .within(CONNECT, AsyncTcpStream::connect(&runtime, addresses))
                .await
                .unwrap_or_else(|| Err(io::ErrorKind::TimedOut.into()))?;
            // TLS wraps the stream below; the socket beneath it is the one to keep.
            let AsyncTcpStream::Plain(plain) = &stream else {
                return Err(io::Error::other("not a plain stream").into());
            };
            let socket = TcpStream::from(plain.get_ref().as_fd().try_clone_to_owned()?);
            *slot.lock().unwrap_or_else(PoisonError::into_inner) = Some(socket);
            let Some(connector) = connector.as_ref() else { return Ok(stream) };
            handle
                .within(REQUEST, stream.into_rustls(connector, &uri.authority.host))
                .await
                .unwrap_or_else(|| Err(io::ErrorKind::TimedOut.into()))
                .map_err(Into::into)
        },
        properties,
    )
    .await
}
