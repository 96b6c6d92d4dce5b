//! The configuration of the ingress.

use core::net::{Ipv4Addr, SocketAddr};
use core::time::Duration;

use runtime::config::{Document, Problems};
use runtime::sections;
use secrecy::ExposeSecret as _;

use crate::{Limits, Policy, Proxies, ReplayPolicy, SourceGate};

mod sources;

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
    /// What people are shown of traces.
    pub telemetry: sections::Telemetry,
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
        let sources = sources::sources(&mut document);
        let telemetry = sections::telemetry(&mut document);
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
                    control_total: Duration::from_secs(s.integer("control_total_s", 10, 1..=60)),
                },
                replay,
                bus: bus?,
                sources,
                telemetry,
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

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use ledger::{Livemode, ProviderAccount};
    use provider::telegram::CheckoutVerdict;

    use super::*;
    use crate::{Pins, TooOld};

    /// What is wrong with a configuration that is right but for these lines of `[ingress]` and `[sources.stripe]`.
    fn problems(folder: &Path, ingress: &str, source: &str) -> Vec<String> {
        read(folder, ingress, source).err().map_or(Vec::new(), |problems| problems.0)
    }

    fn read(folder: &Path, ingress: &str, source: &str) -> Result<Config, Problems> {
        let text = format!(
            "[ingress]\n{ingress}\n[redis]\nurl = \"redis://127.0.0.1\"\n[replay]\nsecret = \"file:replay\"\n\
             [rabbitmq]\nurl = \"amqp://127.0.0.1\"\n[sources.stripe]\nown_account = \"acct_1\"\n{source}\n"
        );
        fs::write(folder.join("replay"), "0123456789abcdef0123456789abcdef").unwrap();
        let document = Document::parse(&text, folder, std::iter::empty()).unwrap();
        Config::read(document)
    }

    /// The source that these lines make, or what is wrong with them.
    fn source(lines: &str) -> Result<SourceGate, Vec<String>> {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("secret"), "a-secret-of-the-tests").unwrap();
        let config = read(folder.path(), "", &format!("secrets = \"file:secret\"\n{lines}"));
        config.map(|mut config| config.sources.remove(0)).map_err(|problems| problems.0)
    }

    #[test]
    fn a_source_of_stripe_takes_any_mode_and_account_and_rejects_what_is_older_than_300_seconds() {
        let gate = source("").unwrap();
        assert_eq!((gate.pins, gate.event_age_max_s, gate.too_old), (Pins::default(), 300, TooOld::Reject));
        assert_eq!(gate.checkout, CheckoutVerdict::LeaveToBot);
    }

    #[test]
    fn pins_and_policies_are_taken_as_they_are_written() {
        let lines = "livemode = \"live\"\naccounts = [\"acct_2\"]\nevent_age_max_s = 0\ntoo_old = \"park\"\n\
            connected = \"ignore\"\nsettles_with = \"bank\"\ncheckout = \"leave\"";
        let gate = source(lines).unwrap();
        let accounts = Some(vec![ProviderAccount::parse("acct_2").unwrap()]);
        assert_eq!(gate.pins, Pins { livemode: Some(Livemode::Live), accounts });
        assert_eq!((gate.event_age_max_s, gate.too_old), (0, TooOld::Park));
        assert_eq!(source("accounts = []").unwrap().pins.accounts, Some(vec![]));
        assert_eq!(source("too_old = \"accept\"").unwrap().too_old, TooOld::Accept);
    }

    #[test]
    fn a_source_of_telegram_must_say_its_mode_and_may_not_reject_what_is_old() {
        let telegram = |lines: &str| source(&format!("provider = \"telegram\"\n{lines}"));
        let gate = telegram("livemode = \"test\"\ncheckout = \"approve\"").unwrap();
        assert_eq!((gate.too_old, gate.checkout), (TooOld::Accept, CheckoutVerdict::Approve));
        let found = telegram("too_old = \"reject\"").unwrap_err();
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(found[0].starts_with("sources.stripe.livemode: is missing"), "{found:?}");
        assert!(found[1].starts_with("sources.stripe.too_old: this provider holds back"), "{found:?}");
    }

    #[test]
    fn every_mistake_in_pins_and_policies_is_named_at_once() {
        let lines = "livemode = \"yes\"\naccounts = [\"a b\", \"acct_2\", \"\"]\nevent_age_max_s = -1\n\
            too_old = \"drop\"\ncheckout = \"approve\"\ncolour = 1";
        let found = source(lines).unwrap_err();
        for expected in [
            "livemode: \"live\" or \"test\"",
            "accounts: \"a b\": not a provider account",
            "accounts: \"\": not a provider account",
            "event_age_max_s: a whole number",
            "too_old: \"reject\", \"park\" or \"accept\"",
            "checkout: this provider asks nothing",
            "colour: unknown key",
        ] {
            let expected = format!("sources.stripe.{expected}");
            assert!(found.iter().any(|problem| problem.starts_with(&expected)), "{expected} in {found:?}");
        }
        assert_eq!(found.len(), 7, "{found:?}");
        let found = source("checkout = \"no\"").unwrap_err();
        assert!(
            found.len() == 1 && found[0].starts_with("sources.stripe.checkout: \"approve\" or"),
            "{found:?}"
        );
    }

    #[test]
    fn control_totals_are_told_every_ten_seconds_or_as_often_as_written() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("stripe"), "whsec_a").unwrap();
        let secrets = "secrets = [\"file:stripe\"]";
        let every = |line: &str| read(folder.path(), line, secrets).unwrap().policy.control_total;
        assert_eq!((every("").as_secs(), every("control_total_s = 60").as_secs()), (10, 60));
        for line in ["control_total_s = 0", "control_total_s = 61"] {
            let found = problems(folder.path(), line, secrets);
            assert!(found.len() == 1 && found[0].starts_with("ingress.control_total_s: "), "{found:?}");
        }
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
