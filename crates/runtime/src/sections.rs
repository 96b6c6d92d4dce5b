//! Sections of the configuration that several services read: plain values, given meaning by whoever uses them.

use secrecy::{SecretSlice, SecretString};

use crate::config::{Document, SecretRef};

/// `[redis]` and `[replay]`: the cache of claims.
#[derive(Debug)]
pub struct Redis {
    /// `redis://…`
    pub url: SecretString,
    /// Before every key.
    pub prefix: String,
    /// The time that any operation may take.
    pub budget_ms: u64,
    /// From which the keys of the claims are derived; 32 bytes or more.
    pub secret: SecretSlice<u8>,
    /// Raised after a restore, it forgets every claim.
    pub epoch: u32,
}

/// `[rabbitmq]`: the bus.
#[derive(Debug)]
pub struct RabbitMq {
    /// `amqp://…`
    pub url: SecretString,
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
    /// Seconds that a signature may be old; `None` is the scheme's own.
    pub signature_past_s: Option<u64>,
    /// Seconds that a signature may be ahead; `None` is the scheme's own.
    pub signature_future_s: Option<u64>,
}

/// Reads `[redis]` and `[replay]`.
pub fn redis(document: &mut Document) -> Redis {
    let (url, prefix, budget_ms) = document.section("redis", |s| {
        let url = s.url("url");
        let prefix = s.text("prefix").unwrap_or_else(|| "countersign:".to_owned());
        (url, prefix, s.integer("budget_ms", 50, 1..=10_000))
    });
    let (secret, epoch) =
        document.section("replay", |s| (s.secret("secret"), s.integer("epoch", 0, 0..=u32::MAX)));
    Redis { url, prefix, budget_ms, secret, epoch }
}

/// Reads `[rabbitmq]`.
pub fn rabbitmq(document: &mut Document) -> RabbitMq {
    document.section("rabbitmq", |s| RabbitMq {
        url: s.url("url"),
        confirm_timeout_ms: s.integer("confirm_timeout_ms", 2_000, 100..=60_000),
        declare: s.flag("declare", true),
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
                signature_past_s: s.integer_optional("signature_past_s", 0..=86_400),
                signature_future_s: s.integer_optional("signature_future_s", 0..=86_400),
            }));
        }
        sources
    })
}
