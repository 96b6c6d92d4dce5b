//! Who sends: the provider of a source, with its secret or with another one.

use handle::Handle;
use ledger::EventId;
use money::Currency;
use runtime::sections::Source;
use secrecy::{ExposeSecret as _, SecretString};
use signature::{Freshness, Scheme, Secret, sign_stripe};

use super::delivery::Delivery;
use super::{Arguments, Content, stripe, telegram};
use crate::ending::Failure;

/// What makes a delivery its provider's.
enum Signer {
    /// The key of a MAC over body and time.
    Stripe(Secret),
    /// A token, as it stands.
    Telegram(SecretString),
}

/// Makes deliveries.
pub(super) struct Sender<'a> {
    arguments: &'a Arguments,
    handle: &'a Handle,
    source: &'a Source,
    signer: Signer,
}

impl<'a> Sender<'a> {
    /// Of this source; with a secret that nobody has, for a forgery.
    pub(super) fn of(
        source: &'a Source,
        arguments: &'a Arguments,
        handle: &'a Handle,
    ) -> Result<Self, Failure> {
        let provider = provider::by_name(&source.provider).ok_or_else(|| {
            let (name, provider) = (&source.name, &source.provider);
            Failure::Usage(format!("sources.{name}.provider: there is no provider {provider}"))
        })?;
        let scheme = provider.scheme();
        let signer = if arguments.forge { forged(handle, scheme)? } else { first_secret(source, scheme)? };
        Ok(Self { arguments, handle, source, signer })
    }

    /// A new event, signed.
    pub(super) fn delivery(&self) -> Result<Delivery, Failure> {
        let signed_s = self.handle.now().seconds().saturating_sub(i64::from(self.arguments.age));
        let created_s = signed_s.saturating_sub(i64::from(self.arguments.created_ago));
        match &self.signer {
            Signer::Stripe(secret) => {
                let random = format!("evt_{}", letters(self.handle.random()));
                let event_id = self.arguments.id.as_ref().map_or(&*random, EventId::as_str);
                let content = self.content(Currency::parse("USD"), created_s)?;
                let body = stripe::event(event_id, &content).ok_or_else(|| self.unknown(&stripe::TYPES))?;
                let signature = sign_stripe(secret, signed_s, body.as_bytes());
                let header = ("Stripe-Signature", signature);
                Ok(Delivery { event_id: event_id.to_owned(), header, body })
            }
            Signer::Telegram(token) => {
                let number = self.update_number()?;
                let content = self.content(Currency::parse("XTR"), created_s)?;
                if self.arguments.age > 0 {
                    return Err(Failure::Usage("telegram signs no time: --created-ago is all".to_owned()));
                }
                if self.arguments.created_ago > 0 && !telegram::is_dated(content.event_type) {
                    let why = format!("a {} says not when it was made", content.event_type);
                    return Err(Failure::Usage(why));
                }
                let body =
                    telegram::update(number, &content).ok_or_else(|| self.unknown(&telegram::TYPES))?;
                let event_id = format!("{}:{number}", self.source.own_account);
                let header = ("X-Telegram-Bot-Api-Secret-Token", token.expose_secret().to_owned());
                Ok(Delivery { event_id, header, body })
            }
        }
    }

    /// What the event shows; in the currency that is usual there, unless another is asked for.
    fn content<E>(&self, usual: Result<Currency, E>, created_s: i64) -> Result<Content<'_>, Failure> {
        let arguments = self.arguments;
        let usual = usual.map_err(|_| Failure::Usage("the usual currency is none of the books".to_owned()));
        Ok(Content {
            event_type: &arguments.event_type,
            object_id: arguments.object.as_ref().map(ledger::ObjectId::as_str),
            amount: arguments.amount,
            currency: arguments.currency.map_or(usual, Ok)?,
            created_s,
        })
    }

    /// The number in `--id`, which is an update's id with or without the bot's before it; else a random one.
    fn update_number(&self) -> Result<u32, Failure> {
        let Some(id) = &self.arguments.id else {
            return Ok(u32::from_be_bytes(self.handle.random()) >> 1);
        };
        let bot = format!("{}:", self.source.own_account);
        let number = id.as_str().strip_prefix(&bot).unwrap_or(id.as_str());
        number.parse().map_err(|_| Failure::Usage(format!("--id {id}: {bot}NUMBER or NUMBER is expected")))
    }

    fn unknown(&self, types: &[&str]) -> Failure {
        let event_type = &self.arguments.event_type;
        Failure::Usage(format!("there is no test event {event_type}, but {}", types.join(", ")))
    }

    /// Whether the signature is to be refused.
    pub(super) fn is_to_be_refused(&self) -> bool {
        let past_s = match self.signer {
            Signer::Stripe(_) => self.source.signature_past_s.unwrap_or(Freshness::of(Scheme::Stripe).past_s),
            Signer::Telegram(_) => u64::MAX,
        };
        self.arguments.forge || u64::from(self.arguments.age) > past_s
    }
}

fn first_secret(source: &Source, scheme: Scheme) -> Result<Signer, Failure> {
    let usage = |problem: String| Failure::Usage(format!("sources.{}.secrets: {problem}", source.name));
    let reference = source.secrets.first().ok_or_else(|| usage("there is none".to_owned()))?;
    let lines = reference.read().map_err(usage)?;
    let line = lines.first().ok_or_else(|| usage(format!("{reference}: there is none")))?;
    signer(line.expose_secret(), scheme).map_err(|invalid| usage(format!("{reference}: {invalid}")))
}

/// A secret that nobody has.
fn forged(handle: &Handle, scheme: Scheme) -> Result<Signer, Failure> {
    let secret = format!("forged_{}", letters(handle.random()));
    signer(secret.as_bytes(), scheme).map_err(|invalid| Failure::Failed(invalid.into()))
}

fn signer(line: &[u8], scheme: Scheme) -> Result<Signer, signature::SecretInvalid> {
    let secret = Secret::parse(line, scheme)?;
    Ok(match scheme {
        Scheme::Stripe => Signer::Stripe(secret),
        // Its alphabet is a part of ASCII.
        Scheme::Telegram => Signer::Telegram(String::from_utf8_lossy(line).into_owned().into()),
    })
}

/// 24 letters. No digits: the ingress takes a long run of them for the number of a card if its check digit fits.
fn letters(random: [u8; 12]) -> String {
    random.iter().flat_map(|byte| [byte >> 4, byte & 0xf]).map(|nibble| char::from(b'a' + nibble)).collect()
}
