//! Recording, counting and acting, whatever it takes: halved when the books refuse a batch, in place again when they are
//! away.

use core::fmt;
use core::panic::AssertUnwindSafe;
use core::time::Duration;
use std::collections::VecDeque;
use std::sync::Arc;

use futures_util::FutureExt as _;
use futures_util::future::{Either, select};
use ledger::Reason;
use ports::{
    Acted, Assess, Books, BooksError, BoxFuture, Decision, Filing, Gate, Handle, Record, Recorded,
    Settlement, Subject,
};
use tokio_util::sync::CancellationToken;
use wire::{ControlTotal, Origin, Request};

use crate::evidence::name_of;

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

/// Told of every attempt that fails.
pub type Failing<'a> = &'a (dyn Fn() + Send + Sync);

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

/// Why the books do not take what they are given, and never will.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// They say so.
    #[error("{0}")]
    Refused(String),
    /// A bug of ours.
    #[error("recording it panicked")]
    Panicked,
}

impl Refusal {
    /// What its message is parked for.
    pub const fn reason(&self) -> Reason {
        match self {
            Self::Refused(_) => Reason::RefusedByBooks,
            Self::Panicked => Reason::ProcessingPanicked,
        }
    }
}

/// Brings messages into the books.
#[derive(Clone)]
pub struct Booker {
    books: Arc<dyn Books>,
    handle: Handle,
    patience: Patience,
}

impl fmt::Debug for Booker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Booker").field("patience", &self.patience).finish_non_exhaustive()
    }
}

impl Booker {
    /// For these books.
    pub fn new(books: Arc<dyn Books>, handle: Handle, patience: Patience) -> Self {
        Self { books, handle, patience }
    }

    /// Records every one of `records`; returns only when all are committed, or with an outage.
    pub async fn record(
        &self,
        records: Vec<Record>,
        failing: Failing<'_>,
        stop: &CancellationToken,
    ) -> Result<Vec<Recorded>, Outage> {
        let mut recorded = Vec::with_capacity(records.len());
        let mut parts = VecDeque::from([records]);
        while let Some(mut part) = parts.pop_front() {
            match self.in_place("deliveries", || self.books.record(&part), failing, stop).await? {
                Ok(mut results) => {
                    for (record, result) in part.into_iter().zip(&mut results) {
                        if result.settlement == Settlement::NameTaken {
                            *result = self.renamed(record, failing, stop).await?;
                        }
                    }
                    recorded.extend(results);
                }
                Err(refusal) if part.len() > 1 => {
                    tracing::warn!(count = part.len(), error = %refusal, "The books refuse a batch: halving it");
                    let rest = part.split_off(part.len().div_ceil(2));
                    parts.push_front(rest);
                    parts.push_front(part);
                }
                Err(refusal) => {
                    let lesser = part.pop().and_then(|record| lesser(record, refusal.reason()));
                    let lesser = lesser.ok_or_else(|| Outage::Unusable(refusal.to_string()))?;
                    let origin = lesser.delivery.origin;
                    tracing::error!(instance = %origin.instance, sequence = %origin.sequence, error = %refusal,
                        "The books refuse a message: parking it");
                    parts.push_front(vec![lesser]);
                }
            }
        }
        Ok(recorded)
    }

    /// Records a message whose name another one has, under one made of its content: whoever took the name, and with
    /// whatever, must not keep a message that was answered 2xx from being booked.
    async fn renamed(
        &self,
        mut record: Record,
        failing: Failing<'_>,
        stop: &CancellationToken,
    ) -> Result<Recorded, Outage> {
        let Origin { instance, sequence, .. } = record.delivery.origin;
        tracing::error!(%instance, %sequence, "Another message has this one's name: recording it under its content's");
        // Of the taken name too, so that a taken one of these leads on to the next, and a redelivery the same way.
        let named = [record.delivery.message.as_ref(), format!("{instance}:{sequence}").as_bytes()].concat();
        let (instance, sequence) = name_of(&named);
        record.delivery.origin = Origin { instance, sequence, ..record.delivery.origin };
        let mut recorded = Box::pin(self.record(vec![record], failing, stop)).await?;
        recorded.pop().ok_or_else(|| Outage::Unusable("a record was not answered".to_owned()))
    }

    /// Records a control total.
    pub async fn count(
        &self,
        total: &ControlTotal,
        stop: &CancellationToken,
    ) -> Result<Result<(), Refusal>, Outage> {
        self.in_place("a control total", || self.books.count(total), &|| {}, stop).await
    }

    /// Carries out an operator's action, if there is such a one.
    pub async fn act(
        &self,
        request: Request,
        assess: &Assess,
        failing: Failing<'_>,
        stop: &CancellationToken,
    ) -> Result<Result<Option<Acted>, Refusal>, Outage> {
        self.in_place("an action", || self.books.act(request, assess), failing, stop).await
    }

    /// Tries the same again until the books answer: `Ok(Err(_))` is a refusal.
    async fn in_place<'a, T>(
        &self,
        what: &'static str,
        attempt: impl Fn() -> BoxFuture<'a, Result<T, BooksError>>,
        failing: Failing<'_>,
        stop: &CancellationToken,
    ) -> Result<Result<T, Refusal>, Outage> {
        let since = self.handle.monotonic();
        let mut pause = self.patience.pause_min;
        loop {
            let answer = AssertUnwindSafe(attempt()).catch_unwind().await;
            let unavailable = match answer {
                Ok(Ok(done)) => return Ok(Ok(done)),
                Ok(Err(BooksError::Refused(refusal))) => return Ok(Err(Refusal::Refused(refusal))),
                Err(_panic) => return Ok(Err(Refusal::Panicked)),
                // A person has to look. Meanwhile messages are not given back, to be delivered again until they are dead.
                Ok(Err(BooksError::Incompatible(why))) => {
                    tracing::error!(what, error = why, "The books are of another version: waiting");
                    why
                }
                Ok(Err(BooksError::Unavailable(why))) => {
                    tracing::warn!(what, error = why, "The books are away: trying the same again");
                    why
                }
            };
            failing();
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
        while let Err(error) = self.books.probe().await {
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
}

/// The next lesser form of a record that the books refuse: the event parked, then the mere evidence, then nothing. The
/// evidence is parked also where the gate refused the delivery: a person has to look.
fn lesser(record: Record, reason: Reason) -> Option<Record> {
    let Record { mut delivery, filing } = record;
    let filing = match filing {
        Filing::Event(mut event) if delivery.gate == Gate::Accepted && !is_lesser(&event.decision) => {
            event.decision = Decision::Keep(reason);
            // It may be the money that is refused.
            event.money = None;
            Filing::Event(event)
        }
        Filing::Event(event) => {
            delivery.gate = Gate::Accepted;
            Filing::Evidence { subject: Subject::Event(event.event.key), reason, broker_history: None }
        }
        // What the broker said of its way is the one part of evidence that a stranger may have written.
        Filing::Evidence { subject, reason, broker_history: Some(_) } => {
            Filing::Evidence { subject, reason, broker_history: None }
        }
        Filing::Evidence { broker_history: None, .. } => return None,
    };
    Some(Record { delivery, filing })
}

const fn is_lesser(decision: &Decision) -> bool {
    matches!(decision, Decision::Keep(Reason::RefusedByBooks | Reason::ProcessingPanicked))
}
