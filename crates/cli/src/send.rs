//! `countersign send`: signed test deliveries, as the provider would send them.

use core::time::Duration;

use clap::Args;
use futures_util::{StreamExt as _, stream};
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
mod tally;
mod telegram;

use delivery::{Answered, Client};
use sender::Sender;
use tally::Tally;

#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag that somebody types")]
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
    /// So many at a time
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1000))]
    concurrency: u16,
    /// At most so many events a second
    #[arg(long, value_name = "PER_SECOND", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    rate: Option<u32>,
    /// How many were answered what, how fast, in the end, instead of a line for each
    #[arg(long, conflicts_with = "print")]
    summary: bool,
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
    if arguments.print {
        for _ in 0..arguments.count {
            let printed = sender.delivery()?.as_curl(&url);
            print(&printed.repeat(arguments.times()))?;
        }
        return Ok(Answer::from_bool(true));
    }
    let (client, began) = (Client::new()?, handle.monotonic());
    let run = &Run { arguments, handle, sender, client, url, began };
    let mut answers = stream::iter(0..arguments.count)
        .map(|number| run.event(number))
        .buffer_unordered(arguments.concurrency.into());
    let (mut as_hoped, mut tally) = (true, Tally::default());
    while let Some(answered) = answers.next().await {
        for (answer, took) in answered? {
            let good = answer.is_success() || (stale && answer.is_too_old());
            as_hoped &= if refusal_hoped { answer.is_refusal() } else { good };
            if arguments.summary {
                tally.add(&answer, took);
            } else {
                print(&format!("{answer}\n"))?;
            }
        }
    }
    if arguments.summary {
        print(&tally.summary(handle.monotonic().saturating_sub(began)))?;
    }
    Ok(Answer::from_bool(as_hoped))
}

impl Arguments {
    /// How often each event is delivered.
    fn times(&self) -> usize {
        if self.repeat { 2 } else { 1 }
    }
}

/// What all deliveries of a run share.
struct Run<'a> {
    arguments: &'a Arguments,
    handle: &'a Handle,
    sender: Sender<'a>,
    client: Client,
    url: String,
    began: Duration,
}

impl Run<'_> {
    /// Makes and delivers an event when it is due, and gives each answer with the time that it took.
    async fn event(&self, number: u32) -> Result<Vec<(Answered, Duration)>, Failure> {
        if let Some(rate) = self.arguments.rate {
            let due = self.began.saturating_add(Duration::from_secs(u64::from(number)) / rate);
            self.handle.sleep(due.saturating_sub(self.handle.monotonic())).await;
        }
        let delivery = self.sender.delivery()?;
        let mut answers = Vec::new();
        for _ in 0..self.arguments.times() {
            let sent = self.handle.monotonic();
            let answer = self.client.post(&self.url, &delivery).await?;
            answers.push((answer, self.handle.monotonic().saturating_sub(sent)));
        }
        Ok(answers)
    }
}

fn chosen<'s>(sources: &'s [Source], name: &str) -> Result<&'s Source, Failure> {
    sources.iter().find(|source| source.name == name).ok_or_else(|| {
        let names: Vec<&str> = sources.iter().map(|source| source.name.as_str()).collect();
        Failure::Usage(format!("there is no source {name}; the configuration has {}", names.join(", ")))
    })
}
