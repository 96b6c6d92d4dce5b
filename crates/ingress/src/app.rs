//! The composition: the same for `main` and for tests on port 0.

use core::time::Duration;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;

use anyhow::Context as _;
use bus_rabbitmq::RabbitMq;
use ledger::Source;
use ports::{Bus as _, Handle};
use prometheus_client::registry::Registry;
use replay_redis::RedisReplay;
use runtime::Stop;
use runtime::admin::{Admin, Readiness, Serving};

use crate::secrets::watch;
use crate::{Config, Gate, Metrics, ReplayPolicy, Seams, Secrets, Shell};

/// An ingress with its listeners bound and nothing served yet.
#[derive(Debug)]
pub struct App {
    /// Where webhooks are posted.
    pub address: SocketAddr,
    /// Health and metrics.
    pub admin_address: SocketAddr,
    public: Serving,
    admin: Serving,
    bus: Arc<RabbitMq>,
    gate: Arc<Gate>,
    watched: Vec<(Source, Arc<Secrets>)>,
    drain: Duration,
    handle: Handle,
}

impl App {
    /// Connects (in the background), binds, and composes.
    pub fn bind(config: Config, handle: Handle) -> anyhow::Result<Self> {
        let bus = Arc::new(RabbitMq::connect(config.bus, handle.clone()));
        let replay = Arc::new(RedisReplay::new(&config.replay, handle.clone())?);
        let mut registry = Registry::default();
        let metrics = Metrics::register(&mut registry, handle.clone(), &config.sources);
        let watched = config.sources.iter().map(|gate| (gate.source.clone(), Arc::clone(&gate.secrets)));
        let watched = watched.collect();
        let readiness = readiness(Arc::clone(&bus), Arc::clone(&replay), config.policy.replay);
        let seams = Seams { replay, bus: bus.clone() };
        let gate = Gate::new(config.sources, seams, handle.clone(), config.policy, metrics);
        tracing::info!(instance = %gate.instance(), "Ingress starts");
        if config.proxies.0.is_empty() {
            tracing::info!(
                "No trusted proxy is configured: callers with private addresses are never limited"
            );
        }
        let (proxies, limits, drain) = (config.proxies, config.limits, config.limits.drain);
        let shell = Shell { gate: Arc::clone(&gate), handle: handle.clone(), proxies, limits };

        let listener = TcpListener::bind(config.listen).with_context(|| format!("bind {}", config.listen))?;
        let address = listener.local_addr().context("read the bound address")?;
        let admin =
            Admin::bind(config.admin_listen).with_context(|| format!("bind {}", config.admin_listen))?;
        let admin_address = admin.address;
        let public = shell.serve(listener).context("listen for webhooks")?;
        let admin = admin.serve(registry, readiness).context("listen for health and metrics")?;
        Ok(Self { address, admin_address, public, admin, bus, gate, watched, drain, handle })
    }

    /// Serves until the soft stop, then takes nothing new and finishes what is in hand.
    pub async fn run(mut self, stop: Stop) -> anyhow::Result<()> {
        let ended = tokio::select! {
            () = stop.soft.cancelled() => Ok(()),
            never = watch(self.watched, self.handle.clone()) => match never {},
            never = self.gate.totals().tell() => match never {},
            error = self.public.failed() => Err(error).context("serve webhooks"),
            error = self.admin.failed() => Err(error).context("serve health and metrics"),
        };
        let totals = self.gate.totals();
        let finished = async {
            let drained = async {
                self.public.stop().await;
                self.gate.drained().await;
            };
            tokio::select! {
                () = drained => {}
                never = totals.tell() => match never {},
            }
            totals.finish().await;
        };
        // Where nobody has asked for a stop, nobody will ask for the hard one.
        let too_long = async {
            match &ended {
                Ok(()) => stop.hard.cancelled().await,
                Err(_) => self.handle.sleep(self.drain).await,
            }
        };
        let drained = tokio::select! {
            biased;
            () = finished => Ok(()),
            () = too_long => Err(anyhow::anyhow!(
                "stopped with deliveries or a control total in hand; providers retry, and the auditor misses the last window"
            )),
        };
        self.bus.close().await;
        self.admin.stop().await;
        ended.and(drained)
    }
}

/// Ready when events can be made durable; the cache counts only where its absence refuses them.
fn readiness(bus: Arc<RabbitMq>, replay: Arc<RedisReplay>, policy: ReplayPolicy) -> Readiness {
    Arc::new(move || {
        let (bus, replay) = (Arc::clone(&bus), Arc::clone(&replay));
        Box::pin(async move {
            let rabbitmq = if bus.ready() { Ok(()) } else { Err("publishing does not work now".to_owned()) };
            let mut dependencies = vec![("rabbitmq", rabbitmq)];
            if policy == ReplayPolicy::Closed {
                dependencies.push(("redis", replay.ready().await.map_err(|error| error.to_string())));
            }
            dependencies
        })
    })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use runtime::TokioExecutor;
    use runtime::config::Document;

    use super::*;

    /// An ingress whose broker and cache are away, and that gives itself a second to drain.
    fn alone(folder: &Path) -> App {
        std::fs::write(folder.join("secret"), "0123456789abcdef0123456789abcdef").unwrap();
        let text = "[ingress]\nlisten = \"127.0.0.1:0\"\nadmin_listen = \"127.0.0.1:0\"\ndrain_s = 1\n\
            [redis]\nurl = \"redis://127.0.0.1:1\"\n[replay]\nsecret = \"file:secret\"\n\
            [rabbitmq]\nurl = \"amqp://127.0.0.1:1\"\n\
            [sources.stripe]\nown_account = \"acct_1\"\nsecrets = \"file:secret\"\n";
        let document = Document::parse(text, folder, std::iter::empty()).unwrap();
        App::bind(Config::read(document).unwrap(), TokioExecutor::handle()).unwrap()
    }

    #[tokio::test]
    async fn an_ingress_whose_listener_has_failed_ends_although_the_broker_is_away() {
        let folder = tempfile::tempdir().unwrap();
        for which in ["serve webhooks", "serve health and metrics"] {
            let app = alone(folder.path());
            let listener = if which == "serve webhooks" { &app.public } else { &app.admin };
            listener.stop().await;
            // Nobody asks for a stop; its last control total is confirmed by nobody.
            let ended =
                TokioExecutor::handle().within(Duration::from_secs(30), app.run(Stop::default())).await;
            let error = ended.expect("it ends").expect_err("it has failed");
            assert!(format!("{error:#}").starts_with(which), "{error:#}");
        }
    }
}
