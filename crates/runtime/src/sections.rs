//! Sections of the configuration that several services read: plain values, given meaning by whoever uses them.

use secrecy::{ExposeSecret as _, SecretSlice, SecretString};
use tls::Files;
pub use tls::Tls;
use tls::postgres::Address;

use crate::config::{Document, SecretRef, Section};
use crate::telemetry::{TRACE_ID, TraceUrl};

/// `[redis]` and `[replay]`: the cache of claims.
#[derive(Debug)]
pub struct Redis {
    /// `redis://…` or `rediss://…`
    pub url: SecretString,
    /// Whom to trust over TLS and as whom to appear.
    pub tls: Tls,
    /// Before every key.
    pub prefix: String,
    /// The time that any operation may take.
    pub budget_ms: u64,
    /// From which the keys of the claims are derived; 32 bytes or more.
    pub secret: SecretSlice<u8>,
    /// Raised after a restore, it forgets every claim.
    pub epoch: u32,
}

/// `[telemetry]`: what people are shown of traces. Where spans are exported to is said by the standard `OTEL_…` variables.
#[derive(Debug, Clone, Default)]
pub struct Telemetry {
    /// Where a trace can be looked at.
    pub trace_url: Option<TraceUrl>,
}

/// `[rabbitmq]`: the bus.
#[derive(Debug)]
pub struct RabbitMq {
    /// `amqp://…` or `amqps://…`
    pub url: SecretString,
    /// Whom to trust over TLS and as whom to appear.
    pub tls: Tls,
    /// How long a publish may wait for its confirm.
    pub confirm_timeout_ms: u64,
    /// Whether queues and exchanges are declared, or only checked.
    pub declare: bool,
}

/// `[sources.<name>]`: a sender of webhooks.
#[derive(Debug)]
pub struct Source {
    /// The last but one segment of its URL.
    pub name: String,
    /// Whose scheme it speaks.
    pub provider: String,
    /// Where its signing secrets stand.
    pub secrets: Vec<SecretRef>,
    /// The provider account of events that name none.
    pub own_account: String,
    /// The only livemode that its events may have, `live` or `test`, and that of events which name none; `None` takes both.
    pub livemode: Option<String>,
    /// The accounts besides its own that its events may be about; `None` takes any.
    pub accounts: Option<Vec<String>>,
    /// Seconds that an event may be old on arrival.
    pub event_age_max_s: u64,
    /// What becomes of one that is older: `reject`, `park` or `accept`; `None` is the provider's own.
    pub too_old: Option<String>,
    /// What becomes of events about other accounts: `book` or `ignore`; `None` is `book`.
    pub connected: Option<String>,
    /// The source that settles the money which this one only announces.
    pub settles_with: Option<String>,
    /// What a question before a payment is answered: `approve` or `leave`; `None` is `leave`.
    pub checkout: Option<String>,
    /// Seconds that a signature may be old; `None` is the scheme's own.
    pub signature_past_s: Option<u64>,
    /// Seconds that a signature may be ahead; `None` is the scheme's own.
    pub signature_future_s: Option<u64>,
}

/// Reads `[telemetry]`.
pub fn telemetry(document: &mut Document) -> Telemetry {
    document.section("telemetry", |s| {
        let trace_url = s.text("trace_url").and_then(|template| {
            let parsed = TraceUrl::parse(&template);
            if parsed.is_none() {
                s.problem("trace_url", format_args!("a URL with {TRACE_ID} in it is expected"));
            }
            parsed
        });
        Telemetry { trace_url }
    })
}

/// Reads `[redis]` and `[replay]`.
pub fn redis(document: &mut Document) -> Redis {
    let (url, tls, prefix, budget_ms) = document.section("redis", |s| {
        let (url, tls) = (s.url("url"), tls(s));
        let prefix = s.text("prefix").unwrap_or_else(|| "countersign:".to_owned());
        (url, tls, prefix, s.integer("budget_ms", 50, 1..=10_000))
    });
    let (secret, epoch) =
        document.section("replay", |s| (s.secret("secret"), s.integer("epoch", 0, 0..=u32::MAX)));
    Redis { url, tls, prefix, budget_ms, secret, epoch }
}

/// Reads `[rabbitmq]`.
pub fn rabbitmq(document: &mut Document) -> RabbitMq {
    document.section("rabbitmq", |s| RabbitMq {
        url: s.url("url"),
        tls: tls(s),
        confirm_timeout_ms: s.integer("confirm_timeout_ms", 2_000, 100..=60_000),
        declare: s.flag("declare", true),
    })
}

/// Reads the TLS keys of `[postgres]`, which every program that opens the database shares, and leaves the rest.
pub fn postgres_tls(document: &mut Document) -> Tls {
    document.section("postgres", |s| {
        let tls = tls(s);
        s.leave_rest();
        tls
    })
}

/// Reads the URL of a database; one that asks for TLS in vain is a problem.
pub fn database_url(section: &mut Section<'_>, key: &str) -> SecretString {
    let url = section.url(key);
    // An absent or unreadable one is a problem already.
    if !url.expose_secret().is_empty()
        && let Err(refused) = Address::parse(url.expose_secret())
    {
        section.problem(key, refused);
    }
    url
}

/// Reads `ca_file`, `client_cert_file` and `client_key_file`: the files themselves, whether or not the URL asks for TLS.
pub fn tls(section: &mut Section<'_>) -> Tls {
    let files = Files {
        ca: section.path("ca_file"),
        client_cert: section.path("client_cert_file"),
        client_key: section.path("client_key_file"),
    };
    Tls::read(&files).unwrap_or_else(|unusable| {
        for problem in unusable {
            section.problem(problem.key, &problem.fault);
        }
        Tls::default()
    })
}

/// Reads `[sources.<name>]`, each; at least one.
pub fn sources(document: &mut Document) -> Vec<Source> {
    document.section("sources", |all| {
        let names = all.names();
        if names.is_empty() {
            all.problem("<name>", "at least one source is expected");
        }
        let mut sources = Vec::new();
        for name in names {
            sources.push(all.section(&name, |s| Source {
                name: name.clone(),
                provider: s.text("provider").unwrap_or_else(|| name.clone()),
                secrets: s.secret_refs("secrets"),
                own_account: s.text("own_account").unwrap_or_default(),
                livemode: s.text("livemode"),
                accounts: s.names().iter().any(|key| key == "accounts").then(|| s.parsed_list("accounts")),
                event_age_max_s: s.integer("event_age_max_s", 300, 0..=30 * 86_400),
                too_old: s.text("too_old"),
                connected: s.text("connected"),
                settles_with: s.text("settles_with"),
                checkout: s.text("checkout"),
                signature_past_s: s.integer_optional("signature_past_s", 0..=86_400),
                signature_future_s: s.integer_optional("signature_future_s", 0..=86_400),
            }));
        }
        sources
    })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn problems(text: &str) -> Vec<String> {
        let mut document = Document::parse(text, Path::new("/nowhere"), core::iter::empty()).unwrap();
        redis(&mut document);
        rabbitmq(&mut document);
        document.section("processor", |s| database_url(s, "database_url"));
        postgres_tls(&mut document);
        document.finish().map_or_else(|problems| problems.0, |()| Vec::new())
    }

    fn one_source(lines: &str) -> (Source, Vec<String>) {
        let text = format!("[sources.stripe]\nsecrets = \"env:S\"\n{lines}");
        let mut document = Document::parse(&text, Path::new("/nowhere"), core::iter::empty()).unwrap();
        let source = sources(&mut document).pop().unwrap();
        (source, document.finish().map_or_else(|problems| problems.0, |()| Vec::new()))
    }

    #[test]
    fn a_source_is_read_with_its_pins_and_policies_and_has_defaults_for_them() {
        let (source, problems) = one_source("");
        assert_eq!(problems, Vec::<String>::new());
        assert_eq!((source.accounts, source.event_age_max_s), (None, 300));
        assert_eq!(
            (source.too_old, source.connected, source.settles_with, source.checkout),
            (None, None, None, None)
        );
        let (source, problems) = one_source(
            "accounts = [\"acct_2\"]\nevent_age_max_s = 0\ntoo_old = \"park\"\nconnected = \"ignore\"\n\
             settles_with = \"bank\"\ncheckout = \"approve\"",
        );
        assert_eq!(problems, Vec::<String>::new());
        assert_eq!((source.accounts, source.event_age_max_s), (Some(vec!["acct_2".to_owned()]), 0));
        let words = [source.too_old, source.connected, source.settles_with, source.checkout];
        assert_eq!(words.map(Option::unwrap), ["park", "ignore", "bank", "approve"]);
        assert_eq!(one_source("accounts = []").0.accounts, Some(vec![]));
    }

    #[test]
    fn a_pin_or_policy_of_another_kind_is_a_problem_with_its_key() {
        for line in [
            "accounts = \"acct_2\"",
            "accounts = [2]",
            "event_age_max_s = -1",
            "event_age_max_s = \"300\"",
            "too_old = 1",
            "checkout = true",
        ] {
            let (_, problems) = one_source(line);
            let key = line.split(' ').next().unwrap();
            assert!(
                problems.len() == 1 && problems[0].starts_with(&format!("sources.stripe.{key}: ")),
                "{problems:?}"
            );
        }
    }

    #[test]
    fn a_trace_url_has_a_place_for_the_trace_id() {
        let read = |line: &str| {
            let text = format!("[telemetry]\n{line}\n");
            let mut document = Document::parse(&text, Path::new("/nowhere"), core::iter::empty()).unwrap();
            let url = telemetry(&mut document).trace_url.map(|url| url.of("4bf9"));
            (url, document.finish().is_ok())
        };
        assert_eq!(read(""), (None, true));
        assert_eq!(
            read("trace_url = \"https://t.example/{trace_id}?x\""),
            (Some("https://t.example/4bf9?x".to_owned()), true)
        );
        for bad in ["https://t.example/", "ftp://t.example/{trace_id}", "{trace_id}"] {
            assert_eq!(read(&format!("trace_url = {bad:?}")), (None, false), "{bad}");
        }
    }

    #[test]
    fn a_tls_file_of_no_use_is_a_problem_with_its_key_and_its_name_among_the_others() {
        let text = "[redis]\nurl = \"rediss://h\"\nca_file = \"ca.pem\"\n[rabbitmq]\nurl = \"amqps://h\"\n\
            client_key_file = \"k.pem\"\n[postgres]\nurl = \"x\"\nca_file = \"/etc/hostname\"\n\
            [processor]\ndatabase_url = \"postgres://db.example/c?sslmode=require\"\ncolour = 1\n";
        let found = problems(text);
        for expected in [
            "redis.ca_file: /nowhere/ca.pem:",
            "rabbitmq.client_key_file: client_cert_file is missing",
            "postgres.ca_file: /etc/hostname: holds no certificate",
            "processor.database_url: sslmode=require does not check who db.example is: only sslmode=verify-full",
            "processor.colour: unknown key",
            "replay.secret: is missing",
        ] {
            assert!(found.iter().any(|problem| problem.starts_with(expected)), "{expected}: {found:?}");
        }
        assert_eq!(found.len(), 6, "{found:?}");
    }
}
