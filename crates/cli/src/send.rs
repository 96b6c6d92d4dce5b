//! `countersign send`: signed test deliveries, as the provider would send them.

use clap::Args;
use handle::Handle;
use ledger::{EventId, ObjectId};
use money::Currency;
use runtime::sections::Source;

use crate::config::{self, Sending};
use crate::ending::{Answer, Failure};
use crate::output::print;

mod delivery;
mod sender;
mod stripe;
mod telegram;

use delivery::Client;
use sender::Sender;

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The source of the configuration whose provider sends
    #[arg(long)]
    source: String,
    /// The type of the events: charge.succeeded, …; for Telegram successful_payment, refunded_payment or
    /// pre_checkout_query
    #[arg(long = "event")]
    event_type: String,
    /// How many events
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    count: u32,
    /// The event's id, for Telegram the update's number; the object's is made from it
    #[arg(long, value_parser = EventId::parse)]
    id: Option<EventId>,
    /// The id of the object that the event shows: the same for events that describe the same money
    #[arg(long, value_parser = ObjectId::parse)]
    object: Option<ObjectId>,
    /// In the provider's minor units
    #[arg(long, default_value_t = 1099, value_name = "MINOR", allow_negative_numbers = true)]
    amount: i64,
    /// The currency; USD if absent, for Telegram Stars (XTR)
    #[arg(long, value_parser = Currency::parse)]
    currency: Option<Currency>,
    /// Made and signed so many seconds ago; where the source admits no such age, 401 is the answer hoped for
    #[arg(long, default_value_t = 0, value_name = "SECONDS")]
    age: u32,
    /// Made so many seconds before it was signed; event-too-old is as good an answer as any success
    #[arg(long, default_value_t = 0, value_name = "SECONDS")]
    created_ago: u32,
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
    object_id: Option<&'a str>,
    amount: i64,
    currency: Currency,
    created_s: i64,
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
    let (refusal_hoped, stale) = (sender.is_to_be_refused(), arguments.created_ago > 0);
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
            let good = answer.is_success() || (stale && answer.is_too_old());
            as_hoped &= if refusal_hoped { answer.is_refusal() } else { good };
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
