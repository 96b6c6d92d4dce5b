//! `[sources.<name>]`: what each source is, what it is for, and what becomes of what it is not for.

use std::sync::Arc;

use ledger::{Livemode, ProviderAccount, Source};
use provider::Provider;
use provider::telegram::CheckoutVerdict;
use runtime::config::Document;
use runtime::sections;
use signature::{Freshness, Scheme};

use crate::{Pins, Secrets, SourceGate, TooOld};

/// Every source that can be had; what is wrong with the others is noted.
pub(super) fn sources(document: &mut Document) -> Vec<SourceGate> {
    let sections = sections::sources(document);
    sections.into_iter().filter_map(|section| source(document, section)).collect()
}

fn source(document: &mut Document, section: sections::Source) -> Option<SourceGate> {
    let at = |key: &str| format!("sources.{}.{key}", section.name);
    let name = document.checked(&format!("sources.{}", section.name), Source::parse(&section.name));
    let own_account = document.checked(&at("own_account"), ProviderAccount::parse(&section.own_account));
    let provider = provider::by_name(&section.provider).ok_or("there is no such provider");
    let provider = document.checked(&at("provider"), provider)?;
    let livemode = livemode(section.livemode.as_deref(), provider);
    let livemode = document.checked(&at("livemode"), livemode).flatten();
    let accounts = section.accounts.map(|accounts| {
        let parsed = accounts.iter().map(|account| (account, ProviderAccount::parse(account)));
        let parsed = parsed.map(|(text, parsed)| parsed.map_err(|error| format!("{text:?}: {error}")));
        parsed.filter_map(|parsed| document.checked(&at("accounts"), parsed)).collect()
    });
    let too_old = document.checked(&at("too_old"), too_old(section.too_old.as_deref(), provider));
    let checkout = document.checked(&at("checkout"), checkout(section.checkout.as_deref(), provider));
    if section.secrets.is_empty() {
        // Named when the section was read.
        return None;
    }
    let secrets = match Secrets::read(section.secrets.clone(), provider.scheme(), livemode) {
        Ok(secrets) => Arc::new(secrets),
        Err(problems) => {
            for problem in problems {
                document.problem(format!("{}: {problem}", at("secrets")));
            }
            return None;
        }
    };
    let own = Freshness::of(provider.scheme());
    Some(SourceGate {
        source: name?,
        provider,
        secrets,
        freshness: Freshness {
            past_s: section.signature_past_s.unwrap_or(own.past_s),
            future_s: section.signature_future_s.unwrap_or(own.future_s),
        },
        own_account: own_account?,
        pins: Pins { livemode, accounts },
        event_age_max_s: section.event_age_max_s,
        too_old: too_old?,
        checkout: checkout?,
    })
}

fn livemode(text: Option<&str>, provider: &dyn Provider) -> Result<Option<Livemode>, &'static str> {
    match text {
        None if provider.names_livemode() => Ok(None),
        None => Err("is missing: this provider's events do not say whether money is real"),
        Some("live") => Ok(Some(Livemode::Live)),
        Some("test") => Ok(Some(Livemode::Test)),
        Some(_) => Err("\"live\" or \"test\" is expected"),
    }
}

fn too_old(text: Option<&str>, provider: &dyn Provider) -> Result<TooOld, &'static str> {
    match text {
        None => Ok(match provider.scheme() {
            // Each of its events is retried alone.
            Scheme::Stripe => TooOld::Reject,
            Scheme::Telegram => TooOld::Accept,
        }),
        Some("reject") if provider.retries_in_order() => {
            Err("this provider holds back what comes after a refusal: \"park\" or \"accept\" is expected")
        }
        Some("reject") => Ok(TooOld::Reject),
        Some("park") => Ok(TooOld::Park),
        Some("accept") => Ok(TooOld::Accept),
        Some(_) => Err("\"reject\", \"park\" or \"accept\" is expected"),
    }
}

fn checkout(text: Option<&str>, provider: &dyn Provider) -> Result<CheckoutVerdict, &'static str> {
    match text {
        None | Some("leave") => Ok(CheckoutVerdict::LeaveToBot),
        Some("approve") if provider.scheme() == Scheme::Telegram => Ok(CheckoutVerdict::Approve),
        Some("approve") => Err("this provider asks nothing before a payment"),
        Some(_) => Err("\"approve\" or \"leave\" is expected"),
    }
}
