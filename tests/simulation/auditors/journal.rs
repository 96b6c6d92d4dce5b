//! When each row came, and in which transaction: what the books in memory have no columns for.

use std::collections::BTreeMap;

use ledger::{EventKey, MovementKey, UnixMillis};
use testkit::memory::books::{Pages, RefusalKey};
use wire::{InstanceId, Sequence};

/// When a row came.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stamp {
    /// The number of its database transaction.
    pub(crate) xid: i64,
    pub(crate) recorded_at: UnixMillis,
    /// Its own number.
    pub(crate) id: i64,
}

/// A row that links an event with a transaction: both, and as what.
pub(crate) type Link = (MovementKey, EventKey, &'static str);

/// Every row that ever came.
#[derive(Debug, Default)]
pub(crate) struct Journal {
    /// How many database transactions there were.
    pub(crate) xid: i64,
    rows: i64,
    pub(crate) deliveries: BTreeMap<(InstanceId, Sequence), Stamp>,
    /// The event's own row, and its later statuses.
    pub(crate) events: BTreeMap<EventKey, Vec<Stamp>>,
    pub(crate) transactions: BTreeMap<MovementKey, Stamp>,
    pub(crate) links: BTreeMap<Link, Stamp>,
    pub(crate) totals: BTreeMap<(InstanceId, u64), Stamp>,
    pub(crate) refusals: BTreeMap<RefusalKey, Stamp>,
}

impl Journal {
    /// A commit left the books as these pages.
    pub(crate) fn note(&mut self, pages: &Pages, now: UnixMillis) {
        self.xid += 1;
        let (xid, mut id) = (self.xid, self.rows);
        let mut stamp = || {
            id += 1;
            Stamp { xid, recorded_at: now, id }
        };
        add(&mut self.deliveries, &pages.deliveries, &mut stamp);
        add(&mut self.transactions, &pages.transactions, &mut stamp);
        add(&mut self.totals, &pages.totals, &mut stamp);
        add(&mut self.refusals, &pages.refusals, &mut stamp);
        for (key, event) in &pages.events {
            let rows = 1 + event.statuses.len();
            if self.events.get(key).is_none_or(|stamps| stamps.len() < rows) {
                let stamps = self.events.entry(key.clone()).or_default();
                stamps.resize_with(rows.max(stamps.len()), &mut stamp);
            }
        }
        let links = pages.transactions.values().map(|kept| 1 + kept.describers.len() + kept.conflicts.len());
        if links.sum::<usize>() > self.links.len() {
            for link in pages.transactions.iter().flat_map(|(key, kept)| links_of(key, kept)) {
                self.links.entry(link).or_insert_with(&mut stamp);
            }
        }
        self.rows = id;
    }
}

/// Stamps what has none. Rows are only ever added, so their number tells whether there are any.
fn add<K: Ord + Clone, V>(
    stamps: &mut BTreeMap<K, Stamp>,
    rows: &BTreeMap<K, V>,
    stamp: &mut impl FnMut() -> Stamp,
) {
    if rows.len() > stamps.len() {
        for key in rows.keys() {
            if !stamps.contains_key(key) {
                stamps.insert(key.clone(), stamp());
            }
        }
    }
}

fn links_of<'k>(
    key: &'k MovementKey,
    kept: &'k testkit::memory::books::TransactionKept,
) -> impl Iterator<Item = Link> + 'k {
    let link = |role| move |event: &EventKey| (key.clone(), event.clone(), role);
    core::iter::once(link("first")(&kept.first))
        .chain(kept.describers.iter().map(link("describer")))
        .chain(kept.conflicts.iter().map(link("conflict")))
}
