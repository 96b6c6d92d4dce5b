//! `countersign event`: one event's whole story.

use core::fmt;

use anyhow::Context as _;
use clap::Args;
use handle::Handle;
use ledger::EventId;
use ledger_postgres::{ActionRow, DeliveryRow, EventStory, Story, TransactionStory};

use crate::ending::{Answer, Failure, complain};
use crate::events::{amount, reader};
use crate::output::print_either;
use crate::table::{Align, Table, decimal, instant, mode};

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
    let story = reader(handle).await?.event(&arguments.id).await.context("read the event")?;
    let found = !(story.events.is_empty() && story.evidence.is_empty());
    print_either(arguments.json, &story, &Told(&story))?;
    if !found {
        complain(&format!("the books know no event {}", arguments.id));
    }
    Ok(Answer::from_bool(found))
}

/// A story in words.
struct Told<'s>(&'s Story);

impl fmt::Display for Told<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, event) in self.0.events.iter().enumerate() {
            if index > 0 {
                writeln!(f)?;
            }
            tell(event, f)?;
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

fn tell(story: &EventStory, f: &mut fmt::Formatter<'_>) -> fmt::Result {
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
    let role = match story.role.as_str() {
        "first" => "booked for this event",
        "describer" => "booked before, for another event that describes the same money",
        "conflict" => "contradicted by this event: the same money, another amount",
        other => other,
    };
    writeln!(f, "\nTransaction {} {}\n  {role}", story.row, story.movement_key)?;
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
