//! `countersign events`: the newest events, and what waits for a person.

use core::fmt;

use anyhow::Context as _;
use clap::Args;
use handle::Handle;
use ledger::Status;
use ledger_postgres::{EventSummary, Parked, ParkedSum, PostgresReader, Settings};
use secrecy::ExposeSecret as _;
use serde::Serialize;

use crate::config;
use crate::ending::{Answer, Failure};
use crate::evidence;
use crate::output::print_either;
use crate::table::{Align, Table, decimal, instant, mode};
use runtime::telemetry::TraceUrl;

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Only events that stand so: booked, ignored, parked or dismissed
    #[arg(long, value_parser = status)]
    status: Option<Status>,
    /// Messages that made no event and wait for a person, oldest first, with the name that `--delivery` takes
    #[arg(long, conflicts_with = "status")]
    evidence: bool,
    /// How many, newest first
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    limit: u32,
    /// For programs
    #[arg(long)]
    json: bool,
}

fn status(word: &str) -> Result<Status, String> {
    let words = || Status::ALL.map(Status::as_str).join(", ");
    Status::parse(word).ok_or_else(|| format!("none of {}", words()))
}

/// The whole answer.
#[derive(Debug, Serialize)]
struct Listed {
    events: Vec<EventSummary>,
    /// All that stands parked, by source, mode and currency, whether or not it is listed.
    parked: Vec<ParkedSum>,
    /// How many messages that became no event wait for a person.
    undecided_evidence: u64,
}

pub(crate) async fn run(arguments: &Arguments, handle: Handle) -> Result<Answer, Failure> {
    let reader = reader(handle).await?;
    if arguments.evidence {
        return evidence::run(&reader, arguments.limit, arguments.json).await;
    }
    let events = reader.events(arguments.status, arguments.limit).await.context("read the events")?;
    let Parked { sums, undecided_evidence } =
        reader.parked_money().await.context("read what stands parked")?;
    let listed = Listed { events, parked: sums, undecided_evidence };
    print_either(arguments.json, &listed, &listed)?;
    Ok(Answer::Yes)
}

/// The books for reading, as an operator.
pub(crate) async fn reader(handle: Handle) -> Result<PostgresReader, Failure> {
    Ok(reader_and_links(handle).await?.0)
}

/// The same, and where traces are shown, if anywhere.
pub(crate) async fn reader_and_links(handle: Handle) -> Result<(PostgresReader, Option<TraceUrl>), Failure> {
    let config::Reading { database: config::Database { url, tls }, trace_url } = config::reading()?;
    let settings = Settings { tls, ..Settings::new(url.expose_secret()) };
    let reader = PostgresReader::connect(&settings, handle).await.context("connect to the books")?;
    Ok((reader, trace_url))
}

impl fmt::Display for Listed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", table(&self.events))?;
        for sum in &self.parked {
            let ParkedSum { source, livemode, currency, events, amount_minor } = sum;
            let money = match currency {
                Some(currency) => format!("{} {currency}", decimal(*amount_minor, currency)),
                None => "no amount shown".to_owned(),
            };
            let plural = if *events == 1 { "" } else { "s" };
            writeln!(f, "parked: {money}, {events} event{plural} of {source}, {} mode", mode(*livemode))?;
        }
        match self.undecided_evidence {
            0 => Ok(()),
            1 => writeln!(f, "undecided: 1 message that became no event (--evidence)"),
            several => writeln!(f, "undecided: {several} messages that became no event (--evidence)"),
        }
    }
}

fn table(events: &[EventSummary]) -> Table {
    let titles = ["recorded", "status", "mode", "source", "account", "type", "amount", "event", "reason"];
    let align = |title| (title, if title == "amount" { Align::Right } else { Align::Left });
    let mut table = Table::new(titles.map(align));
    for event in events {
        table.row([
            instant(event.recorded_at),
            event.status.clone(),
            mode(event.livemode).to_owned(),
            event.source.clone(),
            event.provider_account.clone(),
            event.event_type.clone(),
            amount(event).unwrap_or_else(|| "-".to_owned()),
            event.event_id.clone(),
            event.status_reason.clone().unwrap_or_default(),
        ]);
    }
    table
}

/// What the event's object shows.
pub(crate) fn amount(event: &EventSummary) -> Option<String> {
    let (minor, currency) = (event.object_amount?, event.object_currency.as_deref()?);
    Some(format!("{} {currency}", decimal(minor.into(), currency)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sum(currency: Option<&str>, events: u64, amount_minor: i128) -> ParkedSum {
        let (source, currency) = ("stripe".to_owned(), currency.map(str::to_owned));
        ParkedSum { source, livemode: false, currency, events, amount_minor }
    }

    #[test]
    fn what_is_parked_is_summed_up_below_the_table() {
        let listed = Listed {
            events: Vec::new(),
            parked: vec![sum(Some("JPY"), 2, 1250), sum(Some("USD"), 1, 500), sum(None, 3, 0)],
            undecided_evidence: 1,
        };
        let told = listed.to_string();
        let expected = "\
parked: 1250 JPY, 2 events of stripe, test mode
parked: 5.00 USD, 1 event of stripe, test mode
parked: no amount shown, 3 events of stripe, test mode
undecided: 1 message that became no event (--evidence)
";
        assert!(told.ends_with(expected), "{told}");
    }
}
