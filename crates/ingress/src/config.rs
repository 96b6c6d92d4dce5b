//! The configuration of the ingress.

use core::net::{Ipv4Addr, SocketAddr};
use core::time::Duration;

use ledger::{ProviderAccount, Source};
use runtime::config::{Document, Problems};
use runtime::sections;
use secrecy::ExposeSecret as _;
use signature::{Freshness, Secret};

use crate::{Policy, ReplayPolicy, SourceGate};

/// Everything that the ingress is told.
#[derive(Debug)]
pub struct Config {
    /// Where webhooks are posted.
    pub listen: SocketAddr,
    /// Health and metrics.
    pub admin_listen: SocketAddr,
    /// The longest body.
    pub body_max_bytes: usize,
    /// How long a body may take to arrive.
    pub body_timeout: Duration,
    /// How long a stop may take.
    pub drain: Duration,
    /// Limits and choices of the gate.
    pub policy: Policy,
    /// The cache.
    pub replay: replay_redis::Settings,
    /// The bus.
    pub bus: bus_rabbitmq::Settings,
    /// The sources.
    pub sources: Vec<SourceGate>,
}

const fn local(port: u16) -> SocketAddr {
    SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), port)
}

impl Config {
    /// Reads it; reports every problem.
    pub fn read(mut document: Document) -> Result<Self, Problems> {
        let replay = replay_settings(sections::redis(&mut document));
        let bus = bus_settings(&sections::rabbitmq(&mut document));
        let bus = document.checked("rabbitmq.url", bus);
        let sources = sources(&mut document);
        document.skip(&["postgres", "processor", "auditor", "operator"]);
        let config = document.section("ingress", |s| {
            let open_or_closed = [("open", ReplayPolicy::Open), ("closed", ReplayPolicy::Closed)];
            Some(Self {
                listen: s.address("listen", local(8080)),
                admin_listen: s.address("admin_listen", local(9081)),
                body_max_bytes: s.integer("body_max_bytes", 1 << 20, 1..=16 << 20),
                body_timeout: Duration::from_millis(s.integer("body_timeout_ms", 10_000, 100..=120_000)),
                drain: Duration::from_secs(s.integer("drain_s", 25, 1..=600)),
                policy: Policy {
                    replay: s.choice("without_replay_state", ReplayPolicy::Open, &open_or_closed),
                    in_flight_max: s.integer("in_flight_max", 1024, 1..=100_000),
                    patience: Duration::from_millis(s.integer("patience_ms", 8_000, 100..=60_000)),
                },
                replay,
                bus: bus?,
                sources,
            })
        });
        document.finish()?;
        config.ok_or_else(|| Problems(vec!["rabbitmq.url cannot be used".to_owned()]))
    }
}

fn bus_settings(
    section: &sections::RabbitMq,
) -> Result<bus_rabbitmq::Settings, bus_rabbitmq::AddressInvalid> {
    Ok(bus_rabbitmq::Settings {
        confirm_deadline: Duration::from_millis(section.confirm_timeout_ms),
        declare: if section.declare {
            bus_rabbitmq::Declare::Declare
        } else {
            bus_rabbitmq::Declare::Passive
        },
        ..bus_rabbitmq::Settings::new(section.url.expose_secret().parse()?, "countersign-ingress")
    })
}

fn replay_settings(section: sections::Redis) -> replay_redis::Settings {
    replay_redis::Settings {
        key_prefix: section.prefix,
        epoch: section.epoch,
        budget: Duration::from_millis(section.budget_ms),
        ..replay_redis::Settings::new(section.url, section.secret)
    }
}

fn sources(document: &mut Document) -> Vec<SourceGate> {
    let mut gates = Vec::new();
    for source in sections::sources(document) {
        let at = format!("sources.{}", source.name);
        let provider = provider::by_name(&source.provider).ok_or("there is no such provider");
        let provider = document.checked(&format!("{at}.provider"), provider);
        let name = document.checked(&at, Source::parse(&source.name));
        let own_account = ProviderAccount::parse(&source.own_account);
        let own_account = document.checked(&format!("{at}.own_account"), own_account);
        let (Some(provider), Some(name), Some(own_account)) = (provider, name, own_account) else { continue };
        let mut secrets = Vec::new();
        for reference in &source.secrets {
            let lines = reference.read().unwrap_or_else(|error| {
                document.problem(format!("{at}.secrets: {error}"));
                Vec::new()
            });
            for line in lines {
                match Secret::parse(line.expose_secret(), provider.scheme()) {
                    Ok(secret) => secrets.push(secret),
                    Err(invalid) => document.problem(format!("{at}.secrets: {reference}: {invalid}")),
                }
            }
        }
        let own = Freshness::of(provider.scheme());
        gates.push(SourceGate {
            source: name,
            provider,
            secrets,
            freshness: Freshness {
                past_s: source.signature_past_s.unwrap_or(own.past_s),
                future_s: source.signature_future_s.unwrap_or(own.future_s),
            },
            own_account,
        });
    }
    gates
}
