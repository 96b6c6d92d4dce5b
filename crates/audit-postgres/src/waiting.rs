//! What waits: for a person, or for its way into the books. For gauges, so nothing of it is a judgement.

use core::sync::atomic::Ordering;

use audit::Limits;

use crate::error::of_driver;
use crate::run::{snapshot, xmin};
use crate::schema::check_schema;
use crate::{AuditStore, AuditStoreError, facts};

/// What waits, as of one look.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standstill {
    /// Parked events and messages that nobody has decided about, by source (absent where a message names none) and reason.
    pub undecided: Vec<Undecided>,
    /// Messages that were confirmed to an ingress, told of in a control total, and are not in the books: how many, of the
    /// totals that the completeness check does not judge yet.
    pub unbooked: u64,
    /// Since when the oldest of them has been told of, seconds; 0 of none.
    pub unbooked_age_s: i64,
    /// How long ago an ingress that has not ended was last heard of, through bus and books, seconds. They speak once a minute
    /// even with nothing to say. Absent where there is none.
    pub heard_age_s: Option<i64>,
}

/// What a person has to decide about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Undecided {
    /// Whose.
    pub source: Option<String>,
    /// Why.
    pub reason: String,
    /// How many.
    pub count: u64,
    /// How long the oldest has waited, seconds.
    pub age_s: i64,
}

impl AuditStore {
    /// Looks at what waits. It is not part of a run: what it says is gone with the next look. What is booked stays so, and a
    /// total below the snapshot's xmin has come: the next look begins there, or at the first total that something is missing of.
    pub async fn waiting(&self) -> Result<Standstill, AuditStoreError> {
        let mut client = self.client().await?;
        check_schema(&client).await?;
        let transaction = snapshot(&mut client).await?;
        let at_once = Limits { backlog_due_s: 0, instance_silent_s: 0, ..self.limits.clone() };
        let undecided = facts::backlog(&transaction, &at_once).await?;
        let xmin = xmin(&transaction).await?;
        let from = self.booked_below.load(Ordering::Relaxed).min(xmin);
        let unbooked = facts::unbooked(&transaction, from, self.limits.delivery_due_s).await?;
        self.booked_below.store(unbooked.first.unwrap_or(xmin).min(xmin), Ordering::Relaxed);
        let heard_age_s = facts::heard(&transaction, &at_once).await?;
        transaction.commit().await.map_err(of_driver("commit"))?;
        let undecided = undecided.into_iter().map(|row| Undecided {
            source: row.source.map(|source| source.as_str().to_owned()),
            reason: row.reason.as_str().to_owned(),
            count: row.count,
            age_s: row.age_s,
        });
        Ok(Standstill {
            undecided: undecided.collect(),
            unbooked: unbooked.count,
            unbooked_age_s: unbooked.age_s,
            heard_age_s,
        })
    }
}
