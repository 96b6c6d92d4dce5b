//! Recording a batch, whatever it takes: halved when the books refuse it, in place again when they are away.

use core::fmt;
use core::time::Duration;
use std::collections::VecDeque;
use std::sync::Arc;

use futures_util::future::{Either, join_all, select};
use ledger::{Outcome, Reason};
use ports::{
    Books, BooksError, ClaimState, Decision, Filing, Handle, Record, Recorded, Replay, Settled, Settlement,
    StoredResult,
};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::Metrics;

/// How patient the booker is with books that are away.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// The first pause; it doubles.
    pub pause_min: Duration,
    /// The longest pause.
    pub pause_max: Duration,
    /// After this long the messages in hand are given back.
    pub outage_max: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            pause_min: Duration::from_millis(50),
            pause_max: Duration::from_secs(5),
            outage_max: Duration::from_mins(20),
        }
    }
}

/// Why a batch stays unrecorded; its messages are to be given back.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Outage {
    /// The books were away for too long.
    #[error("the books are away: {0}")]
    Away(String),
    /// The service is stopping and the books are away.
    #[error("stopping while the books are away")]
    Stopping,
    /// A person has to look: a record is refused in every form.
    #[error("the books cannot be used: {0}")]
    Unusable(String),
}

/// The seams that a booker acts through.
#[derive(Clone)]
pub struct Seams {
    /// Where records go.
    pub books: Arc<dyn Books>,
    /// Who is told.
    pub replay: Arc<dyn Replay>,
}

/// Records batches and tells the cache.
#[derive(Clone)]
pub struct Booker {
    seams: Seams,
    handle: Handle,
    patience: Patience,
    metrics: Arc<Metrics>,
}

impl fmt::Debug for Seams {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Seams")
    }
}

impl fmt::Debug for Booker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Booker").field("patience", &self.patience).finish_non_exhaustive()
    }
}

impl Booker {
    /// On these seams.
    pub fn new(seams: Seams, handle: Handle, patience: Patience, metrics: Arc<Metrics>) -> Self {
        Self { seams, handle, patience, metrics }
    }

    /// Records every one of `records`; returns only when all are committed, or with an outage.
    pub async fn record(
        &self,
        records: Vec<Record>,
        stop: &CancellationToken,
    ) -> Result<Vec<Recorded>, Outage> {
        let mut recorded = Vec::with_capacity(records.len());
        let mut parts = VecDeque::from([records]);
        while let Some(mut part) = parts.pop_front() {
            match self.in_place(&part, stop).await? {
                Ok(results) => recorded.extend(results),
                Err(refusal) if part.len() > 1 => {
                    tracing::warn!(messages = part.len(), refusal, "The books refuse a batch: halving it");
                    let rest = part.split_off(part.len().div_ceil(2));
                    parts.push_front(rest);
                    parts.push_front(part);
                }
                Err(refusal) => {
                    let lesser =
                        part.pop().and_then(lesser).ok_or_else(|| Outage::Unusable(refusal.clone()))?;
                    tracing::error!(instance = %lesser.delivery.instance, sequence = %lesser.delivery.sequence, refusal,
                        "The books refuse a message: parking it");
                    parts.push_front(vec![lesser]);
                }
            }
        }
        Ok(recorded)
    }

    /// Tries the same batch until the books answer: `Ok(Err(_))` is a refusal.
    async fn in_place(
        &self,
        batch: &[Record],
        stop: &CancellationToken,
    ) -> Result<Result<Vec<Recorded>, String>, Outage> {
        let since = self.handle.monotonic();
        let mut pause = self.patience.pause_min;
        loop {
            let unavailable = match self.seams.books.record(batch).await {
                Ok(recorded) => return Ok(Ok(recorded)),
                Err(BooksError::Refused(refusal)) => return Ok(Err(refusal)),
                // A person has to look. Meanwhile messages are not given back, to be delivered again until they are dead.
                Err(BooksError::Incompatible(why)) => {
                    tracing::error!(messages = batch.len(), why, "The books are of another version: waiting");
                    why
                }
                Err(BooksError::Unavailable(why)) => {
                    tracing::warn!(
                        messages = batch.len(),
                        why,
                        "The books are away: trying the same batch again"
                    );
                    why
                }
            };
            if self.handle.monotonic().saturating_sub(since) >= self.patience.outage_max {
                return Err(Outage::Away(unavailable));
            }
            self.pause(pause, stop).await.ok_or(Outage::Stopping)?;
            pause = pause.saturating_mul(2).min(self.patience.pause_max);
        }
    }

    /// Waits until a write commits, or the stop: `None`.
    pub async fn recovered(&self, stop: &CancellationToken) -> Option<()> {
        let mut pause = self.patience.pause_min;
        while let Err(error) = self.seams.books.probe().await {
            tracing::warn!(%error, "The books cannot be written yet");
            self.pause(pause, stop).await?;
            pause = pause.saturating_mul(2).min(self.patience.pause_max);
        }
        Some(())
    }

    /// Sleeps for 50 to 100 % of `duration`; `None` when the stop comes first.
    async fn pause(&self, duration: Duration, stop: &CancellationToken) -> Option<()> {
        let [jitter] = self.handle.random::<1>();
        let half = duration / 2;
        let sleep = self.handle.sleep(half.saturating_add(half.saturating_mul(u32::from(jitter)) / 255));
        match select(sleep, Box::pin(stop.cancelled())).await {
            Either::Left(_) => Some(()),
            Either::Right(_) => None,
        }
    }

    /// After COMMIT: says in the log and to the cache what became of each message. Best effort.
    pub async fn tell(&self, told: Vec<(Record, Recorded)>) {
        let now = self.handle.now();
        let mut settled = Vec::new();
        for (record, recorded) in told {
            self.metrics.recorded(&recorded, now.since_ms(record.delivery.received_at));
            log(&record, &recorded);
            let Filing::Event(event, _) = record.filing else { continue };
            let Some(provider) = provider::by_name(event.provider.as_str()) else { continue };
            if !speaks_of_the_event(&recorded) {
                continue;
            }
            let state = match recorded.outcome {
                Outcome::Booked | Outcome::Ignored => ClaimState::Booked,
                Outcome::Parked => ClaimState::Parked,
            };
            let answer = Settled {
                state,
                fingerprint: event.fingerprint,
                result: result(&recorded),
                now,
                retention_ms: provider.retry_horizon_ms(),
            };
            settled.push((event.key, answer));
        }
        let answers = settled.iter().map(|(key, answer)| self.seams.replay.settle(key, answer.clone()));
        let failed = join_all(answers).await.into_iter().filter_map(Result::err).collect::<Vec<_>>();
        if let Some(unavailable) = failed.first() {
            self.metrics.untold(failed.len());
            tracing::warn!(events = failed.len(), %unavailable, "The cache was not told");
        }
    }
}

/// Whether an answer of the books is about the event that has the id, which is what the cache speaks of. A message that
/// was kept as mere evidence says nothing about it, neither the first time nor when it is delivered again.
fn speaks_of_the_event(recorded: &Recorded) -> bool {
    match recorded.settlement {
        Settlement::New | Settlement::Hit => true,
        Settlement::Again => !matches!(
            recorded.reason,
            Some(Reason::EventIdReused | Reason::Undecodable | Reason::DeadLettered | Reason::RefusedByBooks)
        ),
        Settlement::Reused | Settlement::Evidence => false,
    }
}

/// The next lesser form of a record that the books refuse: the event parked, then the mere evidence, then nothing.
fn lesser(record: Record) -> Option<Record> {
    let Record { delivery, filing } = record;
    let filing = match filing {
        Filing::Event(event, Decision::Keep(Reason::RefusedByBooks)) => Filing::Evidence {
            key: Some(event.key),
            reason: Reason::RefusedByBooks,
            body: event.payload,
            broker_history: None,
        },
        Filing::Event(event, Decision::Book(_) | Decision::Keep(_)) => {
            Filing::Event(event, Decision::Keep(Reason::RefusedByBooks))
        }
        Filing::Evidence { .. } => return None,
    };
    Some(Record { delivery, filing })
}

/// What a replay of the event is answered with.
fn result(recorded: &Recorded) -> StoredResult {
    let movements: Vec<String> = recorded.movements.iter().map(ToString::to_string).collect();
    let reason = recorded.reason.map(Reason::as_str);
    let result = match reason {
        None => json!({ "outcome": recorded.outcome.as_str(), "movements": movements }),
        Some(reason) => json!({ "outcome": recorded.outcome.as_str(), "reason": reason }),
    };
    StoredResult(result.to_string())
}

/// One line for each message.
fn log(record: &Record, recorded: &Recorded) {
    let trace_id = record.delivery.trace_id.as_ref().map(ledger::TraceId::as_str);
    let (event_id, event_type) = match &record.filing {
        Filing::Event(event, _) => (Some(&event.key.event_id), Some(event.event_type.as_str())),
        Filing::Evidence { key, .. } => (key.as_ref().map(|key| &key.event_id), None),
    };
    let event_id = event_id.map(ledger::EventId::as_str);
    let (outcome, settlement) = (recorded.outcome.as_str(), recorded.settlement);
    match recorded.reason.filter(|reason| reason.outcome() == Outcome::Parked) {
        Some(reason) => {
            tracing::warn!(
                event_id,
                event_type,
                trace_id,
                outcome,
                ?settlement,
                reason = reason.as_str(),
                "Parked an event"
            );
        }
        None => {
            let reason = recorded.reason.map(Reason::as_str);
            tracing::info!(event_id, event_type, trace_id, outcome, ?settlement, reason, "Recorded an event");
        }
    }
}
