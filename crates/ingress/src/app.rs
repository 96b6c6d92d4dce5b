//! The composition: the same for `main` and for tests on port 0.

use core::time::Duration;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;

use actix_web::{App as Web, HttpServer};
use anyhow::Context as _;
use bus_rabbitmq::RabbitMq;
use ports::{Bus as _, Handle};
use prometheus_client::registry::Registry;
use replay_redis::RedisReplay;
use runtime::Stop;
use runtime::admin::{Admin, Readiness, Serving};

use crate::http::{Shell, routes};
use crate::{Config, Gate, Metrics, ReplayPolicy, Seams};

/// How long a request head may take to arrive; actix answers 408 after it.
const HEAD_TIMEOUT: Duration = Duration::from_secs(5);

/// Longer than a balancer's idle timeout, so that the balancer is the one to close.
const KEEP_ALIVE: Duration = Duration::from_secs(75);

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
}

impl App {
    /// Connects (in the background), binds, and composes.
    pub fn bind(config: Config, handle: Handle) -> anyhow::Result<Self> {
        let bus = Arc::new(RabbitMq::connect(config.bus, handle.clone()));
        let replay = Arc::new(RedisReplay::new(&config.replay, handle.clone())?);
        let mut registry = Registry::default();
        let names = config.sources.iter().map(|gate| &gate.source);
        let metrics = Metrics::register(&mut registry, handle.clone(), names);
        let readiness = readiness(Arc::clone(&bus), Arc::clone(&replay), config.policy.replay);
        let seams = Seams { replay, bus: bus.clone() };
        let gate = Gate::new(config.sources, seams, handle.clone(), config.policy, metrics);
        let (body_max_bytes, body_timeout) = (config.body_max_bytes, config.body_timeout);
        tracing::info!(instance = %gate.instance(), "Ingress starts");
        let shell = Shell { gate: Arc::clone(&gate), handle, body_max_bytes, body_timeout };

        let listener = TcpListener::bind(config.listen).with_context(|| format!("bind {}", config.listen))?;
        let address = listener.local_addr().context("read the bound address")?;
        let admin =
            Admin::bind(config.admin_listen).with_context(|| format!("bind {}", config.admin_listen))?;
        let admin_address = admin.address;
        let public = HttpServer::new(move || Web::new().configure(|web| routes(web, shell.clone())))
            .workers(2)
            .client_request_timeout(HEAD_TIMEOUT)
            .keep_alive(KEEP_ALIVE)
            .shutdown_timeout(config.drain.as_secs())
            .disable_signals()
            .listen(listener)
            .context("listen for webhooks")?
            .run();
        let public = Serving::spawn(public);
        let admin = admin.serve(registry, readiness).context("listen for health and metrics")?;
        Ok(Self { address, admin_address, public, admin, bus, gate })
    }

    /// Serves until the soft stop, then takes nothing new and finishes what is in hand.
    pub async fn run(mut self, stop: Stop) -> anyhow::Result<()> {
        let ended = tokio::select! {
            () = stop.soft.cancelled() => Ok(()),
            error = self.public.failed() => Err(error).context("serve webhooks"),
            error = self.admin.failed() => Err(error).context("serve health and metrics"),
        };
        self.public.stop().await;
        tokio::select! {
            () = self.gate.drained() => {}
            () = stop.hard.cancelled() => tracing::error!("Stopped with deliveries in hand; their providers retry"),
        }
        self.bus.close().await;
        self.admin.stop().await;
        ended
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
