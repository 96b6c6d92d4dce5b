//! `countersign trace`: the life of what a webhook brought, as a tree, from what the database knows.

use core::fmt;
use std::collections::{BTreeMap, BTreeSet};

use anyhow::Context as _;
use clap::Args;
use handle::Handle;
use jiff::Timestamp;
use ledger::{EventId, TraceId};
use ledger_postgres::{ActionRow, Batch, DeliveryRow, EventStory, Life, TransactionStory};

use crate::ending::{Answer, Failure, complain};
use crate::event::{Linked, role};
use crate::events::{amount, reader_and_links};
use crate::output::print_either;
use crate::table::{decimal, instant, mode};
use crate::tree::{Branch, span};

/// A trace id is 16 bytes in hex.
const TRACE_ID_DIGITS: usize = 32;

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The provider's id of an event, or a trace id of 32 hex digits
    #[arg(value_name = "EVENT_OR_TRACE_ID", value_parser = EventId::parse)]
    id: EventId,
    /// For programs
    #[arg(long)]
    json: bool,
}

pub(crate) async fn run(arguments: &Arguments, handle: Handle) -> Result<Answer, Failure> {
    let (reader, trace_url) = reader_and_links(handle).await?;
    let mut life = None;
    if let Some(trace_id) = trace_id(arguments.id.as_str()) {
        life = Some(reader.lives_in_trace(&trace_id).await.context("read the trace")?).filter(is_known);
    }
    let life = match life {
        Some(life) => life,
        // An id of an event may look like one of a trace.
        None => reader.life_of_event(&arguments.id).await.context("read the event")?,
    };
    let found = is_known(&life);
    let linked = Linked::new(&life, trace_ids(&life), trace_url.as_ref());
    print_either(arguments.json, &linked, &Told(&life, &linked.trace_urls))?;
    if !found {
        complain(&format!("the books know no event and no trace {}", arguments.id));
    }
    Ok(Answer::from_bool(found))
}

fn trace_id(text: &str) -> Option<TraceId> {
    let text = text.to_ascii_lowercase();
    TraceId::parse(&text).ok().filter(|_| text.len() == TRACE_ID_DIGITS)
}

fn is_known(life: &Life) -> bool {
    !(life.story.events.is_empty() && life.story.evidence.is_empty())
}

fn trace_ids(life: &Life) -> impl Iterator<Item = &str> {
    let of_events = life.story.events.iter().flat_map(|event| &event.deliveries);
    of_events.chain(&life.story.evidence).filter_map(|delivery| delivery.trace_id.as_deref())
}

/// A life in words, and the links of its traces.
struct Told<'l>(&'l Life, &'l BTreeMap<&'l str, String>);

impl fmt::Display for Told<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(life, links) = self;
        let of_event = |event| Course {
            event: Some(event),
            deliveries: &event.deliveries,
            actions: &event.actions,
            life,
            links,
        };
        let of_message = |message: &'_ DeliveryRow| {
            let (deliveries, actions) = (core::slice::from_ref(message), message.actions.as_slice());
            Course { event: None, deliveries, actions, life, links }.tell()
        };
        let events = life.story.events.iter().map(|event| of_event(event).tell());
        let trees = events.chain(life.story.evidence.iter().map(of_message));
        for (index, tree) in trees.enumerate() {
            let between = if index == 0 { "" } else { "\n" };
            write!(f, "{between}{tree}")?;
        }
        Ok(())
    }
}

/// What happened to an event, or to a message that became none.
struct Course<'l> {
    event: Option<&'l EventStory>,
    deliveries: &'l [DeliveryRow],
    actions: &'l [ActionRow],
    life: &'l Life,
    links: &'l BTreeMap<&'l str, String>,
}

impl Course<'_> {
    fn tell(&self) -> Branch {
        let received = self.deliveries.iter().map(|delivery| delivery.received_at).min();
        let recorded = self.event.map(|story| story.event.recorded_at);
        let Some(start) = received.or(recorded) else { return Branch::leaf("nothing") };
        let mut steps: Vec<(Timestamp, Branch)> = Vec::new();
        for delivery in self.deliveries {
            steps.push((delivery.received_at, self.receipt(start, delivery)));
        }
        for action in self.actions {
            let ActionRow { operator, kind, action: number, reason, recorded_at, effect } = action;
            let pending = if effect.is_none() { ", not done yet" } else { "" };
            let after = after(start, *recorded_at);
            let line = format!("{after}: {operator} asks to {kind} it, action {number}: {reason}{pending}");
            steps.push((*recorded_at, Branch::leaf(line)));
        }
        let batches = self.batches();
        for batch in self.life.batches.iter().filter(|batch| batches.contains(&batch.batch)) {
            steps.push((batch.recorded_at, self.batch(start, batch)));
        }
        steps.sort_by_key(|(at, _)| *at);
        let facts = self.event.map(|story| facts(story, start));
        let twigs = facts.into_iter().chain(steps.into_iter().map(|(_, step)| step));
        Branch::new(self.title(), twigs.collect())
    }

    fn title(&self) -> String {
        match self.event {
            Some(EventStory { event, .. }) => {
                let stands = standing(&event.status, event.status_reason.as_deref());
                format!("event {}, {}: {stands}", event.event_id, event.event_type)
            }
            None => {
                let names = self.deliveries.iter().find_map(|message| message.event_id.as_deref());
                let names = names.map_or_else(|| "of no id".to_owned(), |id| format!("of {id}"));
                format!("message {names} that belongs to no event")
            }
        }
    }

    fn receipt(&self, start: Timestamp, delivery: &DeliveryRow) -> Branch {
        let DeliveryRow { instance, sequence, received_at, replay_checked, trace_id, .. } = delivery;
        let at = if *received_at == start { format!("{received_at:.3}") } else { after(start, *received_at) };
        let unasked = if *replay_checked { "" } else { ", the replay cache not asked" };
        let line = format!("{at}: received as {instance}:{sequence}{unasked}");
        let trace = trace_id.as_deref().map(|trace| match self.links.get(trace) {
            Some(link) => format!("trace {trace} {link}"),
            None => format!("trace {trace}"),
        });
        Branch::new(line, trace.into_iter().map(Branch::leaf).collect())
    }

    /// The batches that this was recorded in.
    fn batches(&self) -> BTreeSet<i64> {
        let effects = self.actions.iter().filter_map(|action| action.effect.as_ref());
        let mut batches: BTreeSet<i64> = effects.map(|effect| effect.batch).collect();
        batches.extend(self.deliveries.iter().map(|delivery| delivery.batch));
        if let Some(story) = self.event {
            batches.insert(story.batch);
            batches.extend(story.statuses.iter().map(|status| status.batch));
        }
        batches
    }

    fn batch(&self, start: Timestamp, batch: &Batch) -> Branch {
        let Batch { batch: number, recorded_at, deliveries, audit, sealed } = batch;
        let plural = if *deliveries == 1 { "y" } else { "ies" };
        let line = format!(
            "{}: recorded in batch {number}, {deliveries} deliver{plural}",
            after(start, *recorded_at)
        );
        let mut twigs = Vec::new();
        for delivery in self.deliveries.iter().filter(|delivery| delivery.batch == *number) {
            let DeliveryRow { instance, sequence, outcome, reason, received_at, .. } = delivery;
            let (outcome, waited) = (standing(outcome, reason.as_deref()), span(*received_at, *recorded_at));
            twigs.push(Branch::leaf(format!("{instance}:{sequence} {waited} after its receipt: {outcome}")));
        }
        if let Some(story) = self.event {
            twigs.extend(became(story, *number).into_iter().map(Branch::leaf));
        }
        for action in self.actions {
            if let Some(effect) = action.effect.as_ref().filter(|effect| effect.batch == *number) {
                let came_to = standing(&effect.status, effect.reason.as_deref());
                let other = effect
                    .event_id
                    .as_ref()
                    .filter(|id| self.event.is_none_or(|story| story.event.event_id != **id));
                let other = other.map(|id| format!(" as event {id}")).unwrap_or_default();
                twigs.push(Branch::leaf(format!("action {} came to: {came_to}{other}", action.action)));
            }
        }
        let transactions = self.event.iter().flat_map(|story| &story.transactions);
        twigs.extend(transactions.filter(|of| of.batch == *number).map(transaction));
        twigs.push(Branch::leaf(match audit {
            Some(run) => {
                let later = span(*recorded_at, run.started_at);
                format!("{later} later: seen by {} audit run {}: {}", run.kind, run.run, run.verdict)
            }
            None => "not seen by an audit yet".to_owned(),
        }));
        twigs.push(Branch::leaf(match sealed {
            Some(sealed) => {
                let later = span(*recorded_at, sealed.sealed_at);
                format!("{later} later: sealed at height {}, digest {}", sealed.height, sealed.digest)
            }
            None => "not sealed yet".to_owned(),
        }));
        Branch::new(line, twigs)
    }
}

fn facts(story: &EventStory, start: Timestamp) -> Branch {
    let event = &story.event;
    let object = event.object_id.as_ref().map(|object| format!(", object {object}")).unwrap_or_default();
    let amount = amount(event).map(|amount| format!(", {amount}")).unwrap_or_default();
    Branch::leaf(format!(
        "{} {}, {} mode{object}{amount}, made {}, {} before its receipt",
        event.source,
        event.provider_account,
        mode(event.livemode),
        instant(event.occurred_at),
        span(event.occurred_at, start),
    ))
}

/// What became of the event in this batch.
fn became(story: &EventStory, batch: i64) -> Vec<String> {
    let event = &story.event;
    let first = (story.batch == batch)
        .then(|| format!("the event is new: {}", standing(&event.outcome, event.reason.as_deref())));
    let later = story.statuses.iter().filter(|status| status.batch == batch).map(|status| {
        let by =
            status.action.map_or_else(|| format!("a {}", status.cause), |action| format!("action {action}"));
        format!("the event is by {by}: {}", standing(&status.status, status.reason.as_deref()))
    });
    first.into_iter().chain(later).collect()
}

fn transaction(story: &TransactionStory) -> Branch {
    let entries = story.entries.iter().map(|entry| {
        let minor = i128::from(entry.amount_minor);
        let side = if minor >= 0 { "debit " } else { "credit" };
        let amount = decimal(minor.saturating_abs(), &entry.currency);
        Branch::leaf(format!("{side} {} {amount} {}", entry.account, entry.currency))
    });
    let line = format!("transaction {} {}: {}", story.row, story.movement_key, role(&story.role));
    Branch::new(line, entries.collect())
}

/// How long after the start; before it, where clocks differ.
fn after(start: Timestamp, at: Timestamp) -> String {
    if at < start { span(start, at) } else { format!("+{}", span(start, at)) }
}

fn standing(status: &str, reason: Option<&str>) -> String {
    reason.map_or_else(|| status.to_owned(), |reason| format!("{status}, {reason}"))
}
