//! The configuration of the processor.

use core::net::{IpAddr, Ipv4Addr, SocketAddr};
use core::time::Duration;
use std::collections::BTreeMap;

use ledger::{PostingTable, Provider, ProviderAccount, Source};
use ports::{Exchange, Linger};
use runtime::config::{Document, Problems};
use runtime::sections::{self, Tls};
use secrecy::{ExposeSecret as _, SecretString};

use crate::{Connected, Pace, Patience, SourceTerms, Sources};

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
    /// Whose events are booked, and as whose.
    pub sources: Sources,
    /// How movements are posted.
    pub table: PostingTable,
    /// What people are shown of traces.
    pub telemetry: sections::Telemetry,
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
        let (sources, providers) = sources(&mut document);
        let database_tls = sections::postgres_tls(&mut document);
        let telemetry = sections::telemetry(&mut document);
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
                    publishes_to: Exchange::Booked,
                    declare: if rabbitmq.declare {
                        bus_rabbitmq::Declare::Declare
                    } else {
                        bus_rabbitmq::Declare::Passive
                    },
                    ..bus_rabbitmq::Settings::new(address?, "countersign-processor")
                },
                providers,
                sources,
                table: PostingTable::built_in(),
                telemetry,
            })
        });
        document.finish()?;
        config.ok_or_else(|| Problems(vec!["rabbitmq.url cannot be used".to_owned()]))
    }
}

/// The sources, and the providers whose accounts they need.
fn sources(document: &mut Document) -> (Sources, Vec<Provider>) {
    let mut terms = BTreeMap::new();
    for section in sections::sources(document) {
        let at = format!("sources.{}", section.name);
        let provider = provider::by_name(&section.provider).ok_or("there is no such provider");
        let provider = document.checked(&format!("{at}.provider"), provider);
        let name = document.checked(&at, Source::parse(&section.name));
        let own_account = ProviderAccount::parse(&section.own_account);
        let own_account = document.checked(&format!("{at}.own_account"), own_account);
        let connected = match section.connected.as_deref() {
            None | Some("book") => Ok(Connected::Book),
            Some("ignore") => Ok(Connected::Ignore),
            Some(_) => Err("\"book\" or \"ignore\" is expected"),
        };
        let connected = document.checked(&format!("{at}.connected"), connected);
        let settles_with = section.settles_with.as_deref().map(Source::parse).transpose();
        let settles_with = document.checked(&format!("{at}.settles_with"), settles_with);
        let (Some(provider), Some(name), Some(own_account)) = (provider, name, own_account) else { continue };
        let (Some(connected), Some(settles_with)) = (connected, settles_with) else { continue };
        terms.insert(name, SourceTerms { provider: provider.name(), own_account, connected, settles_with });
    }
    let providers = terms.values().map(|own| own.provider.clone()).collect();
    let sources = Sources::new(terms).unwrap_or_else(|unsettled| {
        for (source, fault) in unsettled {
            document.problem(format!("sources.{source}.settles_with: {fault}"));
        }
        Sources::default()
    });
    (sources, providers)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    /// What is wrong with a configuration that is right but for these sources.
    fn problems(sources: &str) -> Vec<String> {
        let secret = "replay.secret"; // Of no use here: it is missed, and left out below.
        let text = format!(
            "[redis]\nurl = \"redis://127.0.0.1\"\n[rabbitmq]\nurl = \"amqp://127.0.0.1\"\n\
             [processor]\ndatabase_url = \"postgres://127.0.0.1/countersign\"\n{sources}"
        );
        let document = Document::parse(&text, Path::new("/nowhere"), core::iter::empty()).unwrap();
        let found = Config::read(document).err().map_or(Vec::new(), |problems| problems.0);
        found.into_iter().filter(|problem| !problem.starts_with(secret)).collect()
    }

    #[test]
    fn a_source_that_settles_with_another_is_right_and_every_mistake_is_named_at_once() {
        let source = |name: &str, lines: &str| {
            format!("[sources.{name}]\nsecrets = \"env:S\"\nown_account = \"acct_1\"\n{lines}\n")
        };
        let right = source("stripe", "connected = \"ignore\"")
            + &source("telegram", "settles_with = \"stripe\"\nlivemode = \"test\"");
        assert_eq!(problems(&right), Vec::<String>::new());
        let wrong = source("stripe", "connected = \"sell\"")
            + &source("telegram", "settles_with = \"telegram\"")
            + &source("other", "provider = \"stripe\"\nsettles_with = \"bank\"");
        let found = problems(&wrong);
        for expected in
            ["sources.stripe.connected: ", "sources.telegram.settles_with: ", "sources.other.settles_with: "]
        {
            assert!(found.iter().any(|problem| problem.starts_with(expected)), "{expected} in {found:?}");
        }
        assert_eq!(found.len(), 3, "{found:?}");
    }
}
