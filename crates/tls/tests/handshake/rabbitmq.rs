use std::fs;
use std::io;
use std::process::Command;
use std::sync::{Arc, Mutex};

use bus_rabbitmq::{RabbitMq, Settings};
use ports::Bus as _;
use runtime::TokioExecutor;
use testkit::contract::bus::{message, until_ready};
use tls::Tls;

use crate::authority::Authority;
use crate::server::{Server, free_port, until, until_listening};

struct Broker {
    authority: Authority,
    encrypted: u16,
    plain: u16,
    _servers: [Server; 2],
}

impl Broker {
    async fn start() -> Self {
        let authority = Authority::new();
        let folder = authority.folder();
        let (encrypted, plain, inner, epmd) = (free_port(), free_port(), free_port(), free_port());
        let config = format!(
            "listeners.tcp.1 = 127.0.0.1:{plain}\nlisteners.ssl.1 = 127.0.0.1:{encrypted}\n\
             ssl_options.cacertfile = {}\nssl_options.certfile = {}\nssl_options.keyfile = {}\n\
             ssl_options.verify = verify_none\n\
             vm_memory_high_watermark.absolute = 2GB\ndisk_free_limit.absolute = 200MB\n",
            authority.file("ca.pem").display(),
            authority.file("server.pem").display(),
            authority.file("server.key").display(),
        );
        fs::write(authority.file("rabbitmq.conf"), config).unwrap();
        fs::write(authority.file("enabled_plugins"), "[].").unwrap();
        fs::write(authority.file("rabbitmq-env.conf"), "").unwrap();
        let mut names = Command::new("epmd");
        names.args(["-address", "127.0.0.1", "-port", &epmd.to_string()]);
        let names = Server::start(names, "KILL", &authority.file("epmd.log"));
        until_listening(epmd).await;
        // Not the script in the path: that one changes the user.
        let mut node = Command::new("/usr/lib/rabbitmq/bin/rabbitmq-server");
        let loopback = "-kernel inet_dist_use_interface {127,0,0,1} -start_epmd false +S 2:2";
        node.env("HOME", folder)
            .env("ERL_EPMD_PORT", epmd.to_string())
            .env("ERL_EPMD_ADDRESS", "127.0.0.1")
            .env("RABBITMQ_NODENAME", format!("tls{plain}@localhost"))
            .env("RABBITMQ_DIST_PORT", inner.to_string())
            .env("RABBITMQ_CONF_ENV_FILE", authority.file("rabbitmq-env.conf"))
            .env("RABBITMQ_CONFIG_FILE", authority.file("rabbitmq.conf"))
            .env("RABBITMQ_ENABLED_PLUGINS_FILE", authority.file("enabled_plugins"))
            .env("RABBITMQ_MNESIA_BASE", authority.file("data"))
            .env("RABBITMQ_LOG_BASE", authority.file("log"))
            .env("RABBITMQ_GENERATED_CONFIG_DIR", authority.file("generated"))
            .env("RABBITMQ_LOGS", "-")
            .env("RUNNING_UNDER_SYSTEMD", "true")
            .env("RABBITMQ_PID_FILE", authority.file("rabbitmq.pid"))
            .env("RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS", loopback);
        let node = Server::start(node, "KILL", &authority.file("rabbitmq.log"));
        until_listening(plain).await;
        until_listening(encrypted).await;
        Self { authority, encrypted, plain, _servers: [node, names] }
    }

    fn connect(scheme: &str, port: u16, tls: Tls) -> RabbitMq {
        let address = format!("{scheme}://guest:guest@localhost:{port}/%2f").parse().unwrap();
        RabbitMq::connect(Settings { tls, ..Settings::new(address, "test") }, TokioExecutor::handle())
    }
}

/// What is logged, by every test of this process.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Log {
    fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().unwrap()).into_owned()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rabbitmq_over_tls_is_reached_with_its_authority_and_else_file_and_host_are_named() {
    let log = Log::default();
    let writer = log.clone();
    tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone()).init();
    let (broker, handle) = (Broker::start().await, TokioExecutor::handle());

    for (scheme, port, ca) in [("amqps", broker.encrypted, "ca.pem"), ("amqp", broker.plain, "wrong-ca.pem")]
    {
        let bus = Broker::connect(scheme, port, broker.authority.trusting(ca));
        until_ready(&bus, &handle).await;
        assert_eq!(bus.publish(message(scheme)).await, Ok(()));
        bus.close().await;
    }

    let wrong = broker.authority.file("wrong-ca.pem").display().to_string();
    assert!(!log.text().contains(&wrong));
    let bus = Broker::connect("amqps", broker.encrypted, broker.authority.trusting("wrong-ca.pem"));
    let server = format!("localhost:{}", broker.encrypted);
    until("the refusal is logged", || {
        log.text()
            .lines()
            .any(|line| line.contains("Cannot publish") && line.contains(&wrong) && line.contains(&server))
    })
    .await;
    assert!(!bus.ready());
    bus.close().await;
}
