//! The services of one test, and its provider's side.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::OnceLock;

use ledger::EventKey;
use reqwest::Client;
use runtime::config::Document;
use runtime::sections::Telemetry;
use runtime::{Stop, TokioExecutor};
use serde_json::Value;
use tempfile::TempDir;
use testkit::fault_proxy::FaultProxy;
use testkit::servers::postgres::{Database, Role};
use testkit::servers::rabbitmq::Vhost;
use testkit::servers::redis::KeyPrefix;
use testkit::{stripe, telegram};
use tokio::task::JoinHandle;

use crate::{eventually, now_s};

/// Logs and trace ids, once for all systems of this process.
static TELEMETRY: OnceLock<runtime::telemetry::Guard> = OnceLock::new();

/// A system of one test.
#[derive(Debug)]
pub struct System {
    /// Its books.
    pub database: Database,
    /// Its broker.
    pub vhost: Vhost,
    /// Its cache.
    pub redis: KeyPrefix,
    folder: TempDir,
    redis_url: String,
    amqp_url: String,
    more: Vec<(&'static str, &'static str)>,
    sections: String,
    client: Client,
    running: Vec<(Stop, JoinHandle<anyhow::Result<()>>)>,
}

/// An answer of the ingress.
#[derive(Debug, Clone)]
pub struct Reply {
    /// The HTTP status.
    pub status: u16,
    /// The body; `null` if it is no JSON.
    pub body: Value,
    /// The body as it came.
    pub text: String,
    /// The content type.
    pub content_type: String,
    /// The `Retry-After` header.
    pub retry_after: Option<String>,
}

impl Reply {
    /// `accepted`, `replayed`, `parked`, or the slug of the problem.
    pub fn word(&self) -> &str {
        let problem = self.body["type"].as_str().and_then(|urn| urn.strip_prefix("urn:countersign:problem:"));
        problem.or(self.body["status"].as_str()).unwrap_or("no answer of ours")
    }
}

impl System {
    /// Servers for one test; nothing of ours runs yet.
    pub async fn new() -> Self {
        TELEMETRY.get_or_init(|| runtime::telemetry::start("countersign-tests", &Telemetry::default()));
        let (redis, folder) = (KeyPrefix::fresh(), tempfile::tempdir().unwrap());
        std::fs::write(folder.path().join("stripe"), stripe::SECRET).unwrap();
        std::fs::write(folder.path().join("replay"), "a replay secret that only tests know").unwrap();
        let redis_url = redis.url().to_owned();
        let (database, vhost) = (Database::create().await, Vhost::fresh().await);
        let amqp_url = vhost.amqp_url().to_owned();
        Self {
            database,
            vhost,
            redis,
            folder,
            redis_url,
            amqp_url,
            more: Vec::new(),
            sections: String::new(),
            client: Client::new(),
            running: Vec::new(),
        }
    }

    /// Points the services at another Redis, such as none.
    #[must_use]
    pub fn with_redis_at(mut self, url: &str) -> Self {
        url.clone_into(&mut self.redis_url);
        self
    }

    /// Puts a proxy between the services and RabbitMQ.
    pub async fn behind_a_proxy(&mut self) -> FaultProxy {
        let (proxy, url) = FaultProxy::before_url(&self.amqp_url).await;
        self.amqp_url = url;
        proxy
    }

    /// Adds a line to a section of the configuration.
    #[must_use]
    pub fn with_more_config(mut self, section: &'static str, line: &'static str) -> Self {
        self.more.push((section, line));
        self
    }

    /// Adds the source `telegram`, with the token and the bot of the tests.
    #[must_use]
    pub fn with_telegram(mut self) -> Self {
        std::fs::write(self.folder.path().join("telegram"), telegram::TOKEN).unwrap();
        let bot = telegram::BOT;
        self.sections = format!(
            "[sources.telegram]\nsecrets = \"file:telegram\"\nown_account = \"{bot}\"\nlivemode = \"test\"\n"
        );
        self
    }

    /// The configuration of this system.
    pub fn config_text(&self) -> String {
        let mut text = self.plain_config_text() + &self.sections;
        for (section, line) in &self.more {
            text = text.replace(&format!("[{section}]\n"), &format!("[{section}]\n{line}\n"));
        }
        text
    }

    fn plain_config_text(&self) -> String {
        format!(
            "[ingress]\nlisten = \"127.0.0.1:0\"\nadmin_listen = \"127.0.0.1:0\"\n\
             [processor]\nadmin_listen = \"127.0.0.1:0\"\ndatabase_url = \"{}\"\n\
             [auditor]\nhead_file = \"head\"\nadmin_listen = \"127.0.0.1:0\"\ndatabase_url = \"{}\"\n\
             [redis]\nurl = \"{}\"\nprefix = \"{}\"\nbudget_ms = 10000\n\
             [replay]\nsecret = \"file:replay\"\n\
             [rabbitmq]\nurl = \"{}\"\n\
             [sources.stripe]\nsecrets = \"file:stripe\"\nown_account = \"{}\"\n",
            self.database.url(Role::Processor),
            self.database.url(Role::Auditor),
            self.redis_url,
            self.redis.as_str(),
            self.amqp_url,
            stripe::ACCOUNT,
        )
    }

    /// The folder of configuration and logs.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    fn document(&self) -> Document {
        Document::parse(&self.config_text(), self.folder.path(), std::iter::empty()).unwrap()
    }

    /// Starts an ingress in this process; gives its public and its admin address.
    pub async fn start_ingress(&mut self) -> (SocketAddr, SocketAddr) {
        let handle = TokioExecutor::handle();
        let app = ingress::App::bind(ingress::Config::read(self.document()).unwrap(), handle).unwrap();
        let (address, admin) = (app.address, app.admin_address);
        let stop = Stop::default();
        self.running.push((stop.clone(), tokio::runtime::Handle::current().spawn(app.run(stop))));
        self.ready(admin).await;
        (address, admin)
    }

    /// Starts a processor in this process; gives its admin address.
    pub async fn start_processor(&mut self) -> SocketAddr {
        let handle = TokioExecutor::handle();
        let config = processor::Config::read(self.document()).unwrap();
        let app = processor::App::bind(config, handle).unwrap();
        let admin = app.admin_address;
        let stop = Stop::default();
        self.running.push((stop.clone(), tokio::runtime::Handle::current().spawn(app.run(stop))));
        self.ready(admin).await;
        admin
    }

    /// Waits until a service says that it is ready.
    pub async fn ready(&self, admin: SocketAddr) {
        eventually("a service is ready", async || {
            let answer = self.client.get(format!("http://{admin}/readyz")).send().await.ok()?;
            answer.status().is_success().then_some(())
        })
        .await;
    }

    /// The value of a metric of a service.
    pub async fn metric(&self, admin: SocketAddr, line: &str) -> i64 {
        let text =
            self.client.get(format!("http://{admin}/metrics")).send().await.unwrap().text().await.unwrap();
        let value = text.lines().find_map(|each| each.strip_prefix(line)?.strip_prefix(' ')?.parse().ok());
        value.unwrap_or_else(|| panic!("{line} is not in\n{text}"))
    }

    /// Posts a body with these headers to the source `stripe`.
    pub async fn post_raw(
        &self,
        ingress: SocketAddr,
        headers: &[(&str, &str)],
        body: impl Into<reqwest::Body>,
    ) -> Reply {
        self.post_to((ingress, "stripe"), headers, body).await
    }

    /// Posts a body with these headers to a source.
    pub async fn post_to(
        &self,
        (ingress, source): (SocketAddr, &str),
        headers: &[(&str, &str)],
        body: impl Into<reqwest::Body>,
    ) -> Reply {
        let url = format!("http://{ingress}/api/v1/billing/{source}/webhook");
        let mut request = self.client.post(url).body(body);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let answer = request.send().await.unwrap();
        let header = |name: &str| answer.headers().get(name).map(|value| value.to_str().unwrap().to_owned());
        let (status, content_type) = (answer.status().as_u16(), header("content-type").unwrap_or_default());
        let retry_after = header("retry-after");
        let text = answer.text().await.unwrap();
        let body = serde_json::from_str(&text).unwrap_or(Value::Null);
        Reply { status, body, text, content_type, retry_after }
    }

    /// Posts an event as Stripe does, signed now.
    pub async fn post(&self, ingress: SocketAddr, body: &str) -> Reply {
        let signature = stripe::signature(stripe::SECRET, now_s(), body.as_bytes());
        self.post_raw(ingress, &[("Stripe-Signature", &signature)], body.to_owned()).await
    }

    /// How many rows a query finds, asked as superuser.
    pub async fn count(&self, query: &str) -> i64 {
        let client = self.database.connect(Role::Superuser).await;
        client.query_one(&format!("SELECT count(*) FROM ({query}) AS found"), &[]).await.unwrap().get(0)
    }

    /// Takes Postgres away from the processor: its connections end, and it gets no other.
    pub async fn lose_postgres(&self) {
        let superuser = self.database.connect(Role::Superuser).await;
        self.connections_max(0).await;
        let cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND usename = 'countersign_processor'";
        superuser.batch_execute(cut).await.unwrap();
    }

    /// Lets the processor connect to Postgres again.
    pub async fn regain_postgres(&self) {
        self.connections_max(-1).await;
    }

    /// How many connections anybody but a superuser may have; -1 is any number.
    async fn connections_max(&self, most: i32) {
        let alter = format!("ALTER DATABASE {} CONNECTION LIMIT {most}", self.database.name());
        self.database.connect(Role::Superuser).await.batch_execute(&alter).await.unwrap();
    }

    /// Waits until this many deliveries stand in the books.
    pub async fn recorded(&self, deliveries: i64) {
        eventually("the deliveries are recorded", async || {
            (self.count("SELECT FROM countersign.delivery").await >= deliveries).then_some(())
        })
        .await;
    }

    /// Waits until a replay of this event is answered with its stored result: the cache has been told.
    pub async fn told(&self, ingress: SocketAddr, body: &str) {
        eventually("a replay has the stored result", async || {
            let result = self.post(ingress, body).await.body.get("result").cloned();
            result.filter(|result| !result.is_null()).map(|_| ())
        })
        .await;
    }

    /// The key of an event of the source `stripe`, in test mode.
    pub fn key(event_id: &str) -> EventKey {
        EventKey {
            source: ledger::Source::parse("stripe").unwrap(),
            account: ledger::ProviderAccount::parse(stripe::ACCOUNT).unwrap(),
            livemode: ledger::Livemode::Test,
            event_id: ledger::EventId::parse(event_id).unwrap(),
        }
    }

    /// Stops what runs, softly; each service must end without an error. Then audits the books and leaves.
    pub async fn close(self) {
        for (stop, running) in self.running {
            stop.soft.cancel();
            tokio::time::timeout(crate::PATIENCE, running).await.expect("stops in time").unwrap().unwrap();
        }
        self.database.close().await;
    }
}
