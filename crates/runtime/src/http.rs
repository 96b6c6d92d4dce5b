//! One request over HTTP/1.1, each over a connection of its own: alerts and batches of spans are rare, and a connection that was
//! kept would be found closed. Redirects are not followed: the next host was not configured. The answer's body is not read: it
//! may repeat what was sent.

use core::fmt;
use core::pin::pin;
use std::sync::Arc;

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::header::{HOST, HeaderValue, RETRY_AFTER};
use hyper::{Request, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use tls::Tls;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;

/// What came back.
#[derive(Debug)]
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// The header `Retry-After`.
    pub retry_after: Option<String>,
}

/// Why nothing came back. Says no URL, for it may be a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unsent {
    /// The URL names no host that can be asked.
    #[error("it cannot be written as a request")]
    Unwritable,
    /// No connection.
    #[error("the host cannot be reached")]
    Unreachable,
    /// A connection, and no TLS over it.
    #[error("TLS with the host failed")]
    Tls,
    /// It ended before the answer.
    #[error("the connection broke")]
    Broken,
}

/// Who is trusted over TLS.
pub struct Client(TlsConnector);

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Client")
    }
}

impl Client {
    /// Over TLS it trusts whom `tls` says.
    pub fn new(tls: &Tls) -> anyhow::Result<Self> {
        Ok(Self(TlsConnector::from(Arc::new(tls.client_config()?))))
    }

    /// Sends a request to its whole URL (`https://…`, or `http://…`) and awaits the head of the answer; the caller sets a limit.
    pub async fn send(&self, mut request: Request<Bytes>) -> Result<Answer, Unsent> {
        let url = request.uri().clone();
        let encrypted = url.scheme_str() == Some("https");
        let host = url.host().ok_or(Unsent::Unwritable)?;
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let port = url.port_u16().unwrap_or(if encrypted { 443 } else { 80 });
        let authority = url.authority().and_then(|authority| HeaderValue::from_str(authority.as_str()).ok());
        request.headers_mut().insert(HOST, authority.ok_or(Unsent::Unwritable)?);
        *request.uri_mut() = url.path_and_query().cloned().map_or(Uri::from_static("/"), Uri::from);
        let request = request.map(Full::from);
        let tcp = TcpStream::connect((host.as_str(), port)).await.map_err(|_| Unsent::Unreachable)?;
        if encrypted {
            let name = ServerName::try_from(host).map_err(|_| Unsent::Unwritable)?;
            exchange(self.0.connect(name, tcp).await.map_err(|_| Unsent::Tls)?, request).await
        } else {
            exchange(tcp, request).await
        }
    }
}

async fn exchange(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    request: Request<Full<Bytes>>,
) -> Result<Answer, Unsent> {
    let (mut sender, connection) =
        http1::handshake(TokioIo::new(stream)).await.map_err(|_| Unsent::Broken)?;
    let (mut connection, mut sending) = (pin!(connection), pin!(sender.send_request(request)));
    let mut ended = false;
    // A receiver may close at once after it has answered: what the connection ends with is no news then.
    let answer = loop {
        tokio::select! {
            answer = &mut sending => break answer.map_err(|_| Unsent::Broken)?,
            _ = &mut connection, if !ended => ended = true,
        }
    };
    let retry_after = answer.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok());
    Ok(Answer { status: answer.status(), retry_after: retry_after.map(str::to_owned) })
}
