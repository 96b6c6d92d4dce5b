//! `countersign send`: signed test deliveries, as the provider would send them.

use clap::Args;
use handle::Handle;
use ledger::{EventId, ObjectId};
use money::Currency;
use runtime::sections::Source;
use secrecy::ExposeSecret as _;
use signature::{Freshness, Scheme, Secret, sign_stripe};

use crate::config::{self, Sending};
use crate::ending::{Answer, Failure};
use crate::output::print;

mod delivery;
mod stripe;

use delivery::{Client, Delivery};

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The source of the configuration whose provider sends
    #[arg(long)]
    source: String,
    /// The type of the events: charge.succeeded, …
    #[arg(long = "event")]
    event_type: String,
    /// How many events
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    count: u32,
    /// The event's id; the object's is made from it
    #[arg(long, value_parser = EventId::parse)]
    id: Option<EventId>,
    /// The id of the object that the event shows: the same for events that describe the same money
    #[arg(long, value_parser = ObjectId::parse)]
    object: Option<ObjectId>,
    /// In the provider's minor units
    #[arg(long, default_value_t = 1099, value_name = "MINOR", allow_negative_numbers = true)]
    amount: i64,
    /// The currency
    #[arg(long, default_value = "USD", value_parser = Currency::parse)]
    currency: Currency,
    /// Made and signed so many seconds ago; where the source admits no such age, 401 is the answer hoped for
    #[arg(long, default_value_t = 0, value_name = "SECONDS")]
    age: u32,
    /// Sign with a secret that is not the source's; 401 is the answer hoped for
    #[arg(long)]
    forge: bool,
    /// Deliver every event twice, as a provider does that lost the answer
    #[arg(long)]
    repeat: bool,
    /// Print each signed request as a curl command instead of sending it
    #[arg(long)]
    print: bool,
    /// Where the ingress is, http://HOST:PORT; `listen` of the section `ingress` if absent
    #[arg(long)]
    url: Option<String>,
}

/// What a fixture is filled with.
#[derive(Debug)]
struct Content<'a> {
    event_type: &'a str,
    event_id: &'a str,
    object_id: Option<&'a str>,
    amount: i64,
    currency: Currency,
    created_s: i64,
}

/// Makes deliveries.
#[derive(Debug)]
struct Sender<'a> {
    arguments: &'a Arguments,
    handle: &'a Handle,
    scheme: Scheme,
    secret: Secret,
}

pub(crate) async fn run(arguments: &Arguments, handle: &Handle) -> Result<Answer, Failure> {
    let Sending { ingress, sources } = config::sending()?;
    let source = chosen(&sources, &arguments.source)?;
    if arguments.count > 1 && arguments.id.is_some() {
        return Err(Failure::Usage("--id names one event, --count asks for several".to_owned()));
    }
    let base = arguments.url.clone().unwrap_or_else(|| format!("http://{ingress}"));
    let url = delivery::url(&base, &source.name)?;
    let sender = Sender::of(source, arguments, handle)?;
    let refusal_hoped = sender.is_to_be_refused(source);
    let client = Client::new()?;
    let mut as_hoped = true;
    for _ in 0..arguments.count {
        let delivery = sender.delivery()?;
        for _ in 0..if arguments.repeat { 2 } else { 1 } {
            if arguments.print {
                print(&delivery.as_curl(&url))?;
                continue;
            }
            let answer = client.post(&url, &delivery).await?;
            print(&format!("{answer}\n"))?;
            as_hoped &= if refusal_hoped { answer.is_refusal() } else { answer.is_success() };
        }
    }
    Ok(Answer::from_bool(as_hoped))
}

fn chosen<'s>(sources: &'s [Source], name: &str) -> Result<&'s Source, Failure> {
    sources.iter().find(|source| source.name == name).ok_or_else(|| {
        let names: Vec<&str> = sources.iter().map(|source| source.name.as_str()).collect();
        Failure::Usage(format!("there is no source {name}; the configuration has {}", names.join(", ")))
    })
}

impl<'a> Sender<'a> {
    fn of(source: &Source, arguments: &'a Arguments, handle: &'a Handle) -> Result<Self, Failure> {
        let provider = provider::by_name(&source.provider).ok_or_else(|| {
            let (name, provider) = (&source.name, &source.provider);
            Failure::Usage(format!("sources.{name}.provider: there is no provider {provider}"))
        })?;
        let scheme = provider.scheme();
        let secret = if arguments.forge { forged(handle, scheme)? } else { first_secret(source, scheme)? };
        Ok(Self { arguments, handle, scheme, secret })
    }

    fn is_to_be_refused(&self, source: &Source) -> bool {
        let past_s = source.signature_past_s.unwrap_or(Freshness::of(self.scheme).past_s);
        self.arguments.forge || u64::from(self.arguments.age) > past_s
    }

    /// A new event, signed.
    fn delivery(&self) -> Result<Delivery, Failure> {
        let arguments = self.arguments;
        let random = format!("evt_{}", letters(self.handle.random()));
        let content = Content {
            event_type: &arguments.event_type,
            event_id: arguments.id.as_ref().map_or(&random, EventId::as_str),
            object_id: arguments.object.as_ref().map(ObjectId::as_str),
            amount: arguments.amount,
            currency: arguments.currency,
            created_s: self.handle.now().seconds().saturating_sub(i64::from(arguments.age)),
        };
        match self.scheme {
            Scheme::Stripe => {
                let body = stripe::event(&content).ok_or_else(|| {
                    let types = stripe::TYPES.join(", ");
                    Failure::Usage(format!("there is no test event {}, but {types}", content.event_type))
                })?;
                let signature = sign_stripe(&self.secret, content.created_s, body.as_bytes());
                let event_id = content.event_id.to_owned();
                Ok(Delivery { event_id, header: ("Stripe-Signature", signature), body })
            }
            Scheme::Telegram => Err(Failure::Usage("there are no test events for telegram".to_owned())),
        }
    }
}

fn first_secret(source: &Source, scheme: Scheme) -> Result<Secret, Failure> {
    let usage = |problem: String| Failure::Usage(format!("sources.{}.secrets: {problem}", source.name));
    let reference = source.secrets.first().ok_or_else(|| usage("there is none".to_owned()))?;
    let lines = reference.read().map_err(usage)?;
    let line = lines.first().ok_or_else(|| usage(format!("{reference}: there is none")))?;
    Secret::parse(line.expose_secret(), scheme).map_err(|invalid| usage(format!("{reference}: {invalid}")))
}

/// A secret that nobody has.
fn forged(handle: &Handle, scheme: Scheme) -> Result<Secret, Failure> {
    let secret = format!("forged_{}", letters(handle.random()));
    Secret::parse(secret.as_bytes(), scheme).map_err(|invalid| Failure::Failed(invalid.into()))
}

/// 24 letters. No digits: the ingress takes a long run of them for the number of a card if its check digit fits.
fn letters(random: [u8; 12]) -> String {
    random.iter().flat_map(|byte| [byte >> 4, byte & 0xf]).map(|nibble| char::from(b'a' + nibble)).collect()
}
