//! What is sent without the database: kept in memory, under the same keys, and handed over when the database is back.
//!
//! It forgets at a restart. An auditor that is restarted while Postgres is away sends again, under the same key.

use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};

use audit_postgres::{AlertAction, AlertHanded, AlertSettled, AlertWanted};
use jiff::Timestamp;

/// A finding and a route.
type Place = (String, String);

/// Alerts that the outbox does not know.
#[derive(Debug, Default)]
pub(super) struct Direct {
    entries: BTreeMap<Place, Entry>,
}

#[derive(Debug, Clone)]
struct Entry {
    wanted: AlertWanted,
    action: AlertAction,
    since: Duration,
    opened_at: Timestamp,
    attempts: u32,
    notifications: u32,
    /// When the next attempt is due, by the monotonic clock; `None` never.
    next: Option<Duration>,
}

impl Entry {
    /// Whether the receiver may know.
    fn may_be_known(&self) -> bool {
        self.notifications > 0 || self.attempts > 0
    }
}

/// An attempt that is due.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct DirectDue {
    pub(super) wanted: AlertWanted,
    pub(super) action: AlertAction,
    pub(super) opened_at: Timestamp,
    pub(super) attempts: u32,
    pub(super) notifications: u32,
}

/// Now, by both clocks.
#[derive(Debug, Clone, Copy)]
pub(super) struct Now {
    pub(super) monotonic: Duration,
    pub(super) wall: Timestamp,
}

impl Direct {
    /// A finding stands: told now, unless it is known here.
    pub(super) fn raise(&mut self, wanted: AlertWanted, now: Now) {
        let place = (wanted.finding_key.clone(), wanted.route.clone());
        match self.entries.get_mut(&place) {
            Some(entry) if entry.action == AlertAction::Trigger => entry.wanted = wanted,
            Some(entry) => {
                *entry = Entry { notifications: entry.notifications, ..fresh(wanted, now) };
            }
            None => {
                self.entries.insert(place, fresh(wanted, now));
            }
        }
    }

    /// These findings stand and no others: whoever may have heard of another hears that it has healed.
    pub(super) fn resolve_others(&mut self, open: &BTreeSet<&str>, now: Now) {
        let healed = |place: &Place, entry: &Entry| {
            entry.action == AlertAction::Trigger && !open.contains(place.0.as_str())
        };
        self.entries.retain(|place, entry| !healed(place, entry) || entry.may_be_known());
        for (_, entry) in self.entries.iter_mut().filter(|(place, entry)| healed(place, entry)) {
            entry.action = AlertAction::Resolve;
            entry.attempts = 0;
            entry.next = Some(now.monotonic);
        }
    }

    /// What is due on this route; it is not due again before it is settled.
    pub(super) fn claim(&mut self, route: &str, now: Now) -> Option<DirectDue> {
        let due = |entry: &&mut Entry| entry.next.is_some_and(|next| next <= now.monotonic);
        let entry = self.entries.values_mut().filter(|entry| entry.wanted.route == route).find(due)?;
        entry.next = None;
        entry.attempts = entry.attempts.saturating_add(1);
        Some(DirectDue {
            wanted: entry.wanted.clone(),
            action: entry.action,
            opened_at: entry.opened_at,
            attempts: entry.attempts,
            notifications: entry.notifications,
        })
    }

    /// What became of an attempt; of no effect if something else is to be told since.
    pub(super) fn settle(&mut self, due: &DirectDue, settled: &AlertSettled, now: Now) {
        let place = (due.wanted.finding_key.clone(), due.wanted.route.clone());
        let Some(entry) = self.entries.get_mut(&place).filter(|entry| entry.action == due.action) else {
            return;
        };
        let again = match settled {
            AlertSettled::Sent { again } => {
                entry.notifications = entry.notifications.saturating_add(1);
                entry.attempts = 0;
                *again
            }
            AlertSettled::Retry { after, .. } => Some(*after),
            AlertSettled::Failed { again, .. } => {
                entry.attempts = 0;
                *again
            }
        };
        entry.next = again.map(|again| now.monotonic.saturating_add(again));
        if entry.action == AlertAction::Resolve && entry.next.is_none() {
            self.entries.remove(&place);
        }
    }

    /// Everything that receivers may know of, for the outbox. What has healed is resolved there: it is not wanted.
    pub(super) fn handover(&self, now: Now) -> Vec<AlertHanded> {
        let known = self.entries.values().filter(|entry| entry.may_be_known());
        let handed = known.map(|entry| AlertHanded {
            wanted: entry.wanted.clone(),
            age: now.monotonic.saturating_sub(entry.since),
            told: entry.notifications > 0,
            again: if entry.notifications > 0 {
                entry.next.map(|next| next.saturating_sub(now.monotonic))
            } else {
                Some(Duration::ZERO)
            },
        });
        handed.collect()
    }

    /// The outbox has taken over.
    pub(super) fn forget(&mut self, handed: &[AlertHanded]) {
        let handed: BTreeSet<(&str, &str)> = handed
            .iter()
            .map(|handed| (handed.wanted.finding_key.as_str(), handed.wanted.route.as_str()))
            .collect();
        self.entries.retain(|(finding_key, route), entry| {
            // What nobody has heard of is in the list of what stands, or has healed.
            entry.may_be_known() && !handed.contains(&(finding_key.as_str(), route.as_str()))
        });
    }

    /// How many receivers have not been told what they are to be told.
    pub(super) fn untold(&self) -> usize {
        self.entries.values().filter(|entry| entry.notifications == 0).count()
    }
}

fn fresh(wanted: AlertWanted, now: Now) -> Entry {
    Entry {
        wanted,
        action: AlertAction::Trigger,
        since: now.monotonic,
        opened_at: now.wall,
        attempts: 0,
        notifications: 0,
        next: Some(now.monotonic),
    }
}

#[cfg(test)]
mod tests;
