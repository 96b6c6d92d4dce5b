//! The servers that this run may break: started, killed and asked by name.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context as _, bail};
use reqwest::{Client, Method};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;

/// The servers of one offset.
#[derive(Debug, Clone)]
pub(crate) struct Ground {
    offset: u16,
    http: Client,
}

/// A server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Server {
    Postgres,
    Redis,
    RabbitMq,
}

impl Server {
    pub(crate) const ALL: [Self; 3] = [Self::Postgres, Self::Redis, Self::RabbitMq];

    const fn name(self) -> &'static str {
        match self {
            Self::Postgres => "postgres",
            Self::Redis => "redis",
            Self::RabbitMq => "rabbitmq",
        }
    }

    /// Its port at offset 0.
    const fn port(self) -> u16 {
        match self {
            Self::Postgres => 55_432,
            Self::Redis => 56_379,
            Self::RabbitMq => 55_672,
        }
    }
}

impl Ground {
    pub(crate) fn new(offset: u16) -> anyhow::Result<Self> {
        let http = Client::builder().timeout(core::time::Duration::from_secs(10)).build()?;
        Ok(Self { offset, http })
    }

    /// Where a server is.
    pub(crate) fn address(&self, server: Server) -> core::net::SocketAddr {
        (core::net::Ipv4Addr::LOCALHOST, server.port() + self.offset).into()
    }

    /// Where the books are, for a role.
    pub(crate) fn database_url(&self, role: &str) -> String {
        format!("postgres://{role}@{}/countersign", self.address(Server::Postgres))
    }

    /// Runs `deploy/dev/servers.sh`; its words.
    pub(crate) async fn servers(&self, arguments: &[&str]) -> anyhow::Result<String> {
        let mut command = Command::new("deploy/dev/servers.sh");
        command.args(arguments).env("COUNTERSIGN_PORT_OFFSET", self.offset.to_string()).stdin(Stdio::null());
        let what = arguments.join(" ");
        let output =
            tokio::task::spawn_blocking(move || command.output()).await?.context("run servers.sh")?;
        if !output.status.success() {
            bail!("servers.sh {what}: {}", String::from_utf8_lossy(&output.stderr));
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Starts again what does not run. A busy machine may take longer than the script waits: asked again, it goes on waiting.
    pub(crate) async fn start(&self) -> anyhow::Result<()> {
        let mut started = self.servers(&["start"]).await;
        for _ in 0..2 {
            if started.is_err() {
                started = self.servers(&["start"]).await;
            }
        }
        started.map(drop)
    }

    /// Sends a signal to a server.
    pub(crate) fn signal(&self, server: Server, signal: &str) -> anyhow::Result<()> {
        let file: PathBuf = format!(".run/offset-{}/servers/{}.pid", self.offset, server.name()).into();
        let pid = std::fs::read_to_string(&file).with_context(|| format!("read {}", file.display()))?;
        signal_to(pid.trim(), signal)
    }

    /// Asks Redis; its first line.
    pub(crate) async fn redis(&self, command: &str) -> anyhow::Result<String> {
        let mut stream = BufReader::new(TcpStream::connect(self.address(Server::Redis)).await?);
        stream.write_all(format!("{command}\r\n").as_bytes()).await?;
        let mut line = String::new();
        stream.read_line(&mut line).await?;
        if line.starts_with('-') {
            bail!("Redis: {line}");
        }
        Ok(line)
    }

    /// Asks the management API of RabbitMQ.
    pub(crate) async fn api(&self, method: Method, path: &str, body: Option<Value>) -> anyhow::Result<Value> {
        let url = format!("http://127.0.0.1:{}/api/{path}", 55_674 + self.offset);
        let mut request = self.http.request(method, url).basic_auth("guest", Some("guest"));
        if let Some(body) = body {
            request = request.json(&body);
        }
        let answer = request.send().await?.error_for_status()?;
        let text = answer.text().await?;
        Ok(if text.is_empty() { Value::Null } else { serde_json::from_str(&text)? })
    }

    /// How many messages a queue holds, given out or not; `None` while nobody can say.
    pub(crate) async fn depth(&self, queue: &str) -> Option<u64> {
        self.api(Method::GET, &format!("queues/%2f/{queue}"), None).await.ok()?.get("messages")?.as_u64()
    }

    /// A connection to the books as superuser, past every proxy.
    pub(crate) async fn superuser(&self) -> anyhow::Result<testkit::servers::postgres::Connected> {
        testkit::servers::postgres::try_connect(&self.database_url("postgres"))
            .await
            .context("connect to Postgres")
    }
}

/// Sends a signal to a process that this run started.
pub(crate) fn signal_to(pid: &str, signal: &str) -> anyhow::Result<()> {
    let sent = Command::new("kill").args(["-s", signal, pid]).status()?;
    if !sent.success() {
        bail!("no process {pid} to send {signal} to");
    }
    Ok(())
}
