//! The configuration of the processor.

use core::net::{IpAddr, Ipv4Addr, SocketAddr};
use core::time::Duration;

use ledger::{PostingTable, Provider};
use ports::Linger;
use runtime::config::{Document, Problems};
use runtime::sections::{self, Tls};
use secrecy::{ExposeSecret as _, SecretString};

use crate::{Pace, Patience};

/// Everything that the processor is told.
#[derive(Debug)]
pub struct Config {
    /// Health and metrics.
    pub admin_listen: SocketAddr,
    /// The books, as role `countersign_processor`.
    pub database_url: SecretString,
    /// Whom to trust over TLS and as whom to appear.
    pub database_tls: Tls,
    /// How long a stop may take.
    pub drain: Duration,
    /// How fast messages are taken.
    pub pace: Pace,
    /// How patient it is with books that are away.
    pub patience: Patience,
    /// The cache.
    pub replay: replay_redis::Settings,
    /// The bus.
    pub bus: bus_rabbitmq::Settings,
    /// The providers whose accounts must exist.
    pub providers: Vec<Provider>,
    /// How movements are posted.
    pub table: PostingTable,
}

impl Config {
    /// Reads it; reports every problem.
    pub fn read(mut document: Document) -> Result<Self, Problems> {
        let redis = sections::redis(&mut document);
        let replay = replay_redis::Settings {
            key_prefix: redis.prefix,
            epoch: redis.epoch,
            budget: Duration::from_millis(redis.budget_ms),
            tls: redis.tls,
            ..replay_redis::Settings::new(redis.url, redis.secret)
        };
        let rabbitmq = sections::rabbitmq(&mut document);
        let address = document.checked("rabbitmq.url", rabbitmq.url.expose_secret().parse());
        let mut providers = Vec::new();
        for source in sections::sources(&mut document) {
            let provider = provider::by_name(&source.provider).ok_or("there is no such provider");
            let key = format!("sources.{}.provider", source.name);
            providers.extend(document.checked(&key, provider).map(provider::Provider::name));
        }
        let database_tls = sections::postgres_tls(&mut document);
        document.skip(&["ingress", "auditor", "operator"]);
        let own = (Pace::default(), Patience::default());
        let config = document.section("processor", |s| {
            Some(Self {
                admin_listen: s
                    .address("admin_listen", SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 9082)),
                database_url: sections::database_url(s, "database_url"),
                database_tls,
                drain: Duration::from_secs(s.integer("drain_s", 25, 1..=600)),
                pace: Pace {
                    batch: Linger {
                        messages_max: s.integer("batch_messages_max", own.0.batch.messages_max, 1..=5_000),
                        after_first: Duration::from_millis(s.integer("batch_linger_ms", 5, 0..=1_000)),
                    },
                    prefetch_max: s.integer("prefetch_max", own.0.prefetch_max, 1..=10_000),
                    ..own.0
                },
                patience: Patience {
                    outage_max: Duration::from_secs(s.integer("outage_max_s", 1_200, 1..=1_500)),
                    ..own.1
                },
                replay,
                bus: bus_rabbitmq::Settings {
                    tls: rabbitmq.tls,
                    declare: if rabbitmq.declare {
                        bus_rabbitmq::Declare::Declare
                    } else {
                        bus_rabbitmq::Declare::Passive
                    },
                    ..bus_rabbitmq::Settings::new(address?, "countersign-processor")
                },
                providers,
                table: PostingTable::built_in(),
            })
        });
        document.finish()?;
        config.ok_or_else(|| Problems(vec!["rabbitmq.url cannot be used".to_owned()]))
    }
}
