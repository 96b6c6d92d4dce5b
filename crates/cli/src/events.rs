//! `countersign events`: the newest events.

use anyhow::Context as _;
use clap::Args;
use handle::Handle;
use ledger::Outcome;
use ledger_postgres::{EventSummary, PostgresReader, Settings};
use secrecy::ExposeSecret as _;

use crate::config;
use crate::ending::{Answer, Failure};
use crate::output::print_either;
use crate::table::{Align, Table, instant, mode};

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Only events that stand so: booked, ignored or parked
    #[arg(long, value_parser = outcome)]
    status: Option<Outcome>,
    /// How many, newest first
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    limit: u32,
    /// For programs
    #[arg(long)]
    json: bool,
}

fn outcome(word: &str) -> Result<Outcome, String> {
    let words = || Outcome::ALL.map(Outcome::as_str).join(", ");
    Outcome::parse(word).ok_or_else(|| format!("none of {}", words()))
}

pub(crate) async fn run(arguments: &Arguments, handle: Handle) -> Result<Answer, Failure> {
    let events = reader(handle).await?.events(arguments.status, arguments.limit).await;
    let events = events.context("read the events")?;
    print_either(arguments.json, &events, &table(&events))?;
    Ok(Answer::Yes)
}

/// The books for reading, as an operator.
pub(crate) async fn reader(handle: Handle) -> Result<PostgresReader, Failure> {
    let config::Database { url, tls } = config::operator()?;
    let settings = Settings { tls, ..Settings::new(url.expose_secret()) };
    Ok(PostgresReader::connect(&settings, handle).await.context("connect to the books")?)
}

fn table(events: &[EventSummary]) -> Table {
    let titles = ["recorded", "status", "mode", "source", "account", "type", "object", "event", "reason"];
    let mut table = Table::new(titles.map(|title| (title, Align::Left)));
    for event in events {
        table.row([
            instant(event.recorded_at),
            event.outcome.clone(),
            mode(event.livemode).to_owned(),
            event.source.clone(),
            event.provider_account.clone(),
            event.event_type.clone(),
            event.object_id.clone().unwrap_or_else(|| "-".to_owned()),
            event.event_id.clone(),
            event.reason.clone().unwrap_or_default(),
        ]);
    }
    table
}
