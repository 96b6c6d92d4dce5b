//! The composition: the same for `main` and for tests on port 0.

use core::time::Duration;
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};

use anyhow::Context as _;
use bus_rabbitmq::RabbitMq;
use ledger_postgres::PostgresBooks;
use ports::{Books as _, BooksError, Bus as _, Handle, Queue};
use prometheus_client::registry::Registry;
use replay_redis::RedisReplay;
use runtime::Stop;
use runtime::admin::{Admin, Readiness, Serving};
use secrecy::ExposeSecret as _;

use crate::depths;
use crate::{Booker, Config, Consumption, Metrics, Pace, Policy, Sources, Teller, consume};

/// The pause between attempts to reach books that are away at start.
const CONNECT_PAUSE: Duration = Duration::from_secs(1);

/// The books, once they are reached.
type Reached = Arc<OnceLock<Arc<PostgresBooks>>>;

/// A processor with its admin listener bound and nothing consumed yet.
#[derive(Debug)]
pub struct App {
    /// Health and metrics.
    pub admin_address: SocketAddr,
    admin: Serving,
    config: Config,
    bus: Arc<RabbitMq>,
    replay: Arc<RedisReplay>,
    books: Reached,
    metrics: Arc<Metrics>,
    handle: Handle,
}

impl App {
    /// Connects (in the background), binds, and composes.
    pub fn bind(config: Config, handle: Handle) -> anyhow::Result<Self> {
        let bus = Arc::new(RabbitMq::connect(config.bus.clone(), handle.clone()));
        let replay = Arc::new(RedisReplay::new(&config.replay, handle.clone())?);
        let books = Reached::default();
        let mut registry = Registry::default();
        let metrics = Arc::new(Metrics::register(&mut registry));
        let admin =
            Admin::bind(config.admin_listen).with_context(|| format!("bind {}", config.admin_listen))?;
        let admin_address = admin.address;
        let admin = admin.serve(registry, readiness(Arc::clone(&bus), Arc::clone(&books)));
        let admin = admin.context("listen for health and metrics")?;
        Ok(Self { admin_address, admin, config, bus, replay, books, metrics, handle })
    }

    /// Consumes until the soft stop, then finishes the batch in hand.
    pub async fn run(mut self, stop: Stop) -> anyhow::Result<()> {
        let ended = match reach(&self.config, &self.handle, &stop).await {
            Ok(None) => Ok(()),
            Err(error) => Err(error),
            Ok(Some((books, sources))) => {
                self.books.get_or_init(|| Arc::clone(&books));
                let announcing = Arc::<RabbitMq>::clone(&self.bus);
                let (metrics, handle) = (self.metrics, self.handle.clone());
                let consumption = Consumption {
                    booker: Booker::new(books, self.handle.clone(), self.config.patience),
                    teller: Teller::new(self.replay, announcing, self.handle.clone(), Arc::clone(&metrics)),
                    policy: Arc::new(Policy { table: self.config.table, sources }),
                    handle: self.handle,
                    pace: self.config.pace,
                    metrics: Arc::clone(&metrics),
                };
                let set_aside = Consumption { pace: Pace::one_at_a_time(), ..consumption.clone() };
                let (bus, soft) = (self.bus.as_ref(), &stop.soft);
                // Whatever was answered 2xx ends up in Postgres, also what found no queue or was delivered too often.
                let consuming = futures_util::future::try_join3(
                    consume(&consumption, bus, Queue::Ledger, soft),
                    consume(&set_aside, bus, Queue::Unrouted, soft),
                    consume(&set_aside, bus, Queue::Dead, soft),
                );
                tokio::select! {
                    ended = consuming => ended.map(|_| ()).context("consume"),
                    never = depths::watch(bus, &metrics, &handle) => match never {},
                    error = self.admin.failed() => Err(error).context("serve health and metrics"),
                    () = stop.hard.cancelled() => Err(anyhow::anyhow!("stopped with a batch in hand; it is delivered again")),
                }
            }
        };
        self.bus.close().await;
        self.admin.stop().await;
        ended
    }
}

/// The books with the accounts of the chart, and the sources that they agree on, as soon as they can be reached; `None`
/// when the stop comes first.
async fn reach(
    config: &Config,
    handle: &Handle,
    stop: &Stop,
) -> anyhow::Result<Option<(Arc<PostgresBooks>, Sources)>> {
    let settings = ledger_postgres::Settings {
        tls: config.database_tls.clone(),
        ..ledger_postgres::Settings::new(config.database_url.expose_secret())
    };
    let accounts = config.table.accounts(&config.providers).context("name the accounts")?;
    loop {
        let reached = async {
            let books = PostgresBooks::connect(&settings, handle.clone()).await?;
            books.ensure_accounts(&accounts).await?;
            let known = books.ensure_sources(&config.sources.identities()).await?;
            Ok((books, known))
        };
        match reached.await {
            Ok((books, known)) => {
                let (sources, disagreements) = config.sources.clone().agreed(&known);
                for disagreement in disagreements {
                    tracing::error!(error = %disagreement, "A source is another one than before: its events are parked");
                }
                return Ok(Some((Arc::new(books), sources)));
            }
            Err(BooksError::Unavailable(why)) => {
                tracing::warn!(error = why, "The books cannot be reached yet");
            }
            Err(unusable) => return Err(unusable).context("open the books"),
        }
        tokio::select! {
            () = handle.sleep(CONNECT_PAUSE) => {}
            () = stop.soft.cancelled() => return Ok(None),
        }
    }
}

fn readiness(bus: Arc<RabbitMq>, books: Reached) -> Readiness {
    Arc::new(move || {
        let (bus, books) = (Arc::clone(&bus), Arc::clone(&books));
        Box::pin(async move {
            let rabbitmq = if bus.ready() { Ok(()) } else { Err("not connected".to_owned()) };
            let postgres = match books.get() {
                None => Err("not reached yet".to_owned()),
                Some(books) => books.probe().await.map_err(|error| error.to_string()),
            };
            vec![("rabbitmq", rabbitmq), ("postgres", postgres)]
        })
    })
}
