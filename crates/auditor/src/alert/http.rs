//! One POST over HTTP/1.1, each over a connection of its own: alerts are rare, and a connection that was kept would be found
//! closed. Redirects are not followed: the next host was not configured. The answer's body is not read: it may repeat what
//! was sent.

use core::fmt;
use core::pin::pin;
use std::sync::Arc;

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::header::{CONTENT_TYPE, HOST, RETRY_AFTER, USER_AGENT};
use hyper::{StatusCode, Uri};
use hyper_util::rt::TokioIo;
use runtime::sections::Tls;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;

/// What is posted, and where; JSON.
pub(super) struct Request {
    /// `https://…`, or `http://…` on this machine.
    pub(super) url: Uri,
    pub(super) headers: Vec<(&'static str, String)>,
    pub(super) body: String,
}

/// What came back.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) retry_after: Option<String>,
}

/// Why nothing came back. Says no URL, for it may be a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Unsent {
    #[error("it cannot be written as a request")]
    Unwritable,
    #[error("the host cannot be reached")]
    Unreachable,
    #[error("TLS with the host failed")]
    Tls,
    #[error("the connection broke")]
    Broken,
}

/// Who is trusted over TLS.
pub(super) struct Client(TlsConnector);

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Client")
    }
}

impl Client {
    pub(super) fn new(tls: &Tls) -> anyhow::Result<Self> {
        Ok(Self(TlsConnector::from(Arc::new(tls.client_config()?))))
    }

    /// Sends and awaits the head of the answer; the caller sets a limit.
    pub(super) async fn post(&self, request: Request) -> Result<Answer, Unsent> {
        let encrypted = request.url.scheme_str() == Some("https");
        let host = request.url.host().ok_or(Unsent::Unwritable)?;
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let port = request.url.port_u16().unwrap_or(if encrypted { 443 } else { 80 });
        let head = head(request)?;
        let tcp = TcpStream::connect((host.as_str(), port)).await.map_err(|_| Unsent::Unreachable)?;
        if encrypted {
            let name = ServerName::try_from(host).map_err(|_| Unsent::Unwritable)?;
            exchange(self.0.connect(name, tcp).await.map_err(|_| Unsent::Tls)?, head).await
        } else {
            exchange(tcp, head).await
        }
    }
}

fn head(request: Request) -> Result<hyper::Request<Full<Bytes>>, Unsent> {
    let path = request.url.path_and_query().map_or("/", |path| path.as_str());
    let authority = request.url.authority().ok_or(Unsent::Unwritable)?;
    let mut head = hyper::Request::post(path)
        .header(HOST, authority.as_str())
        .header(CONTENT_TYPE, "application/json")
        .header(USER_AGENT, concat!("countersign-auditor/", env!("CARGO_PKG_VERSION")));
    for (name, value) in &request.headers {
        head = head.header(*name, value);
    }
    head.body(Full::from(request.body)).map_err(|_| Unsent::Unwritable)
}

async fn exchange(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    request: hyper::Request<Full<Bytes>>,
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
