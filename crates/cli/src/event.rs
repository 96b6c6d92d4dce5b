//! `countersign event`: one event's whole story.

use core::fmt;
use std::collections::BTreeMap;

use anyhow::Context as _;
use clap::Args;
use handle::Handle;
use ledger::EventId;
use ledger_postgres::{ActionRow, DeliveryRow, EventStory, Story, TransactionStory};
use serde::Serialize;

use crate::ending::{Answer, Failure, complain};
use crate::events::{amount, reader_and_links};
use crate::output::print_either;
use crate::table::{Align, Table, decimal, instant, mode};
use runtime::telemetry::TraceUrl;

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The provider's id of the event
    #[arg(value_parser = EventId::parse)]
    id: EventId,
    /// For programs
    #[arg(long)]
    json: bool,
}

pub(crate) async fn run(arguments: &Arguments, handle: Handle) -> Result<Answer, Failure> {
    let (reader, trace_url) = reader_and_links(handle).await?;
    let story = reader.event(&arguments.id).await.context("read the event")?;
    let found = !(story.events.is_empty() && story.evidence.is_empty());
    let traces = story.events.iter().filter_map(|event| event.event.trace_id.as_deref());
    let linked = Linked::new(&story, traces, trace_url.as_ref());
    print_either(arguments.json, &linked, &Told(&story, &linked.trace_urls))?;
    if !found {
        complain(&format!("the books know no event {}", arguments.id));
    }
    Ok(Answer::from_bool(found))
}

/// An answer, and where the traces in it are shown.
#[derive(Debug, Serialize)]
pub(crate) struct Linked<'a, T> {
    #[serde(flatten)]
    answer: &'a T,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) trace_urls: BTreeMap<&'a str, String>,
}

impl<'a, T> Linked<'a, T> {
    pub(crate) fn new(
        answer: &'a T,
        traces: impl Iterator<Item = &'a str>,
        trace_url: Option<&TraceUrl>,
    ) -> Self {
        let trace_urls = traces.filter_map(|trace| Some((trace, trace_url?.of(trace)))).collect();
        Self { answer, trace_urls }
    }
}

/// A story in words, and the links of its traces.
struct Told<'s>(&'s Story, &'s BTreeMap<&'s str, String>);

impl fmt::Display for Told<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, event) in self.0.events.iter().enumerate() {
            if index > 0 {
                writeln!(f)?;
            }
            tell(event, self.1, f)?;
        }
        if !self.0.evidence.is_empty() {
            let between = if self.0.events.is_empty() { "" } else { "\n" };
            writeln!(f, "{between}Messages of this id that belong to no event")?;
            write!(f, "{}", deliveries(&self.0.evidence))?;
            tell_actions(self.0.evidence.iter().flat_map(|message| &message.actions), None, f)?;
        }
        Ok(())
    }
}

fn tell(story: &EventStory, links: &BTreeMap<&str, String>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let event = &story.event;
    let fact = |f: &mut fmt::Formatter<'_>, name: &str, value: &str| writeln!(f, "  {name:<10}{value}");
    writeln!(f, "Event {}", event.event_id)?;
    fact(f, "type", &event.event_type)?;
    fact(f, "status", &event.status)?;
    if let Some(reason) = &event.status_reason {
        fact(f, "reason", reason)?;
    }
    fact(f, "source", &event.source)?;
    fact(f, "account", &event.provider_account)?;
    fact(f, "mode", mode(event.livemode))?;
    fact(f, "object", event.object_id.as_deref().unwrap_or("-"))?;
    fact(f, "amount", amount(event).as_deref().unwrap_or("-"))?;
    fact(f, "occurred", &instant(event.occurred_at))?;
    fact(f, "recorded", &instant(event.recorded_at))?;
    fact(f, "trace", event.trace_id.as_deref().unwrap_or("-"))?;
    if let Some(link) = event.trace_id.as_deref().and_then(|trace| links.get(trace)) {
        fact(f, "link", link)?;
    }
    fact(f, "content", story.payload.as_ref().map_or("not JSON", |payload| payload.get()))?;
    write!(f, "\nDeliveries\n{}", deliveries(&story.deliveries))?;
    if !story.statuses.is_empty() {
        write!(f, "\nHow it came to stand\n{}", statuses(story))?;
    }
    tell_actions(&story.actions, Some(&event.event_id), f)?;
    if story.transactions.is_empty() {
        writeln!(f, "\nNo transactions")?;
    }
    story.transactions.iter().try_for_each(|transaction| tell_transaction(transaction, f))
}

fn deliveries(rows: &[DeliveryRow]) -> Table {
    let titles = ["received", "status", "reason", "replay cache", "instance", "sequence", "trace"];
    let align = |title| (title, if title == "sequence" { Align::Right } else { Align::Left });
    let mut table = Table::new(titles.map(align));
    for row in rows {
        table.row([
            instant(row.received_at),
            row.outcome.clone(),
            row.reason.clone().unwrap_or_else(|| "-".to_owned()),
            if row.replay_checked { "asked" } else { "not asked" }.to_owned(),
            row.instance.clone(),
            row.sequence.to_string(),
            row.trace_id.clone().unwrap_or_else(|| "-".to_owned()),
        ]);
    }
    table
}

/// What its first processing found, and each step after that.
fn statuses(story: &EventStory) -> Table {
    let mut table = Table::new(["recorded", "status", "reason", "by"].map(|title| (title, Align::Left)));
    let or_none = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".to_owned());
    let event = &story.event;
    let first = [instant(event.recorded_at), event.outcome.clone(), or_none(&event.reason)];
    table.row(first.into_iter().chain(["its first delivery".to_owned()]));
    for step in &story.statuses {
        let by = step.action.map_or_else(|| step.cause.clone(), |action| format!("action {action}"));
        table.row([instant(step.recorded_at), step.status.clone(), or_none(&step.reason), by]);
    }
    table
}

/// What was asked for, and the event that it came to where that is not the one told of.
fn tell_actions<'a>(
    actions: impl IntoIterator<Item = &'a ActionRow>,
    of: Option<&str>,
    f: &mut fmt::Formatter<'_>,
) -> fmt::Result {
    let mut actions = actions.into_iter().peekable();
    if actions.peek().is_none() {
        return Ok(());
    }
    let align = |title| (title, if title == "action" { Align::Right } else { Align::Left });
    let mut table = Table::new(["asked", "action", "kind", "operator", "came to", "why"].map(align));
    for action in actions {
        let came_to = match &action.effect {
            None => "not done yet".to_owned(),
            Some(effect) => {
                let other = effect.event_id.as_deref().filter(|id| Some(*id) != of);
                let other = other.map(|id| format!(" as {id}")).unwrap_or_default();
                let why = effect.reason.as_ref().map(|reason| format!(", {reason}")).unwrap_or_default();
                format!("{}{other}{why}", effect.status)
            }
        };
        table.row([
            instant(action.recorded_at),
            action.action.to_string(),
            action.kind.clone(),
            action.operator.clone(),
            came_to,
            action.reason.clone(),
        ]);
    }
    write!(f, "\nWhat operators asked for\n{table}")
}

fn tell_transaction(story: &TransactionStory, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    writeln!(f, "\nTransaction {} {}\n  {}", story.row, story.movement_key, role(&story.role))?;
    write!(f, "  occurred {}, recorded {}", instant(story.occurred_at), instant(story.recorded_at))?;
    writeln!(f, ", trace {}", story.trace_id.as_deref().unwrap_or("-"))?;
    let mut table = Table::new([
        ("  account", Align::Left),
        ("debit", Align::Right),
        ("credit", Align::Right),
        ("currency", Align::Left),
    ]);
    for entry in &story.entries {
        let minor = i128::from(entry.amount_minor);
        let amount = decimal(minor.saturating_abs(), &entry.currency);
        let (debit, credit) = if minor >= 0 { (amount, String::new()) } else { (String::new(), amount) };
        table.row([format!("  {}", entry.account), debit, credit, entry.currency.clone()]);
    }
    write!(f, "{table}")
}

/// What an event is to a transaction, in words.
pub(crate) fn role(role: &str) -> &str {
    match role {
        "first" => "booked for this event",
        "describer" => "booked before, for another event that describes the same money",
        "conflict" => "contradicted by this event: the same money, another amount",
        other => other,
    }
}
