//! The configuration of the ingress.

use core::net::{Ipv4Addr, SocketAddr};
use core::time::Duration;
use std::sync::Arc;

use ledger::{Livemode, ProviderAccount, Source};
use runtime::config::{Document, Problems};
use runtime::sections;
use secrecy::ExposeSecret as _;
use signature::Freshness;

use crate::{Limits, Policy, Proxies, ReplayPolicy, Secrets, SourceGate};

/// How long a request head may take to arrive.
const HEAD_TIMEOUT: Duration = Duration::from_secs(5);

/// Everything that the ingress is told.
#[derive(Debug)]
pub struct Config {
    /// Where webhooks are posted.
    pub listen: SocketAddr,
    /// Health and metrics.
    pub admin_listen: SocketAddr,
    /// Who is believed about whose request it is.
    pub proxies: Proxies,
    /// What a request may cost.
    pub limits: Limits,
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
                proxies: Proxies(s.parsed_list("trusted_proxies")),
                limits: Limits {
                    head_timeout: HEAD_TIMEOUT,
                    body_max_bytes: s.integer("body_max_bytes", 1 << 20, 1..=16 << 20),
                    body_timeout: Duration::from_millis(s.integer("body_timeout_ms", 10_000, 100..=120_000)),
                    drain: Duration::from_secs(s.integer("drain_s", 25, 1..=600)),
                },
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
        tls: section.tls.clone(),
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
        tls: section.tls,
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
        let livemode = document.checked(&format!("{at}.livemode"), livemode(source.livemode.as_deref()));
        if source.secrets.is_empty() {
            // Named when the section was read.
            continue;
        }
        let secrets = match Secrets::read(source.secrets, provider.scheme(), livemode.flatten()) {
            Ok(secrets) => Arc::new(secrets),
            Err(problems) => {
                for problem in problems {
                    document.problem(format!("{at}.secrets: {problem}"));
                }
                continue;
            }
        };
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

fn livemode(text: Option<&str>) -> Result<Option<Livemode>, &'static str> {
    match text {
        None => Ok(None),
        Some("live") => Ok(Some(Livemode::Live)),
        Some("test") => Ok(Some(Livemode::Test)),
        Some(_) => Err("\"live\" or \"test\" is expected"),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;

    /// What is wrong with a configuration that is right but for these lines of `[ingress]` and `[sources.stripe]`.
    fn problems(folder: &Path, ingress: &str, source: &str) -> Vec<String> {
        let text = format!(
            "[ingress]\n{ingress}\n[redis]\nurl = \"redis://127.0.0.1\"\n[replay]\nsecret = \"file:replay\"\n\
             [rabbitmq]\nurl = \"amqp://127.0.0.1\"\n[sources.stripe]\nown_account = \"acct_1\"\n{source}\n"
        );
        fs::write(folder.join("replay"), "0123456789abcdef0123456789abcdef").unwrap();
        let document = Document::parse(&text, folder, std::iter::empty()).unwrap();
        Config::read(document).err().map_or(Vec::new(), |problems| problems.0)
    }

    #[test]
    fn a_live_source_with_the_secret_of_development_is_refused_and_any_other_is_not() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("stripe"), "whsec_countersign_dev\n").unwrap();
        let with =
            |livemode: &str| problems(folder.path(), "", &format!("secrets = [\"file:stripe\"]\n{livemode}"));
        for fine in ["", "livemode = \"test\""] {
            assert_eq!(with(fine), Vec::<String>::new(), "{fine}");
        }
        let refused = with("livemode = \"live\"");
        assert!(refused.len() == 1 && refused[0].starts_with("sources.stripe.secrets: file:"), "{refused:?}");
        let refused = with("livemode = \"yes\"");
        assert!(refused.len() == 1 && refused[0].starts_with("sources.stripe.livemode: "), "{refused:?}");
    }

    #[test]
    fn every_mistake_about_secrets_and_proxies_is_named_at_once() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("stripe"), "whsec_a \n\n").unwrap();
        let proxies = "trusted_proxies = [\"10.0.0.0/8\", \"10.0.0.1/8\"]";
        let found = problems(folder.path(), proxies, "secrets = [\"file:stripe\", \"file:none\"]");
        assert_eq!(found.len(), 4, "{found:?}");
        for part in [
            "white space",
            "on a line of its own",
            "none: No such file",
            "ingress.trusted_proxies: \"10.0.0.1/8\"",
        ] {
            assert!(found.iter().any(|problem| problem.contains(part)), "{part} in {found:?}");
        }
        assert_eq!(problems(folder.path(), "", "").len(), 1);
        assert_eq!(problems(folder.path(), "", "secrets = []").len(), 1);
    }
}
