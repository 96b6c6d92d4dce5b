//! What ranges of database transactions hold, as a checkpoint seals it: every row of every table, in the order of its number.

use std::collections::BTreeMap;

use audit::{AccountName, Content, CurrencyCode, Encoder, Field, RangeFacts, Sums};
use ledger::Reason;
use testkit::memory::books::Pages;

use super::journal::{Journal, Stamp};
use super::rows::livemode;

/// What the consecutive ranges hold that end at each of `ends`; the first begins at the beginning.
pub(super) fn facts(pages: &Pages, journal: &Journal, ends: &[i64]) -> Vec<RangeFacts> {
    let mut ranges = Ranges { ends, facts: vec![RangeFacts::default(); ends.len()] };
    let deliveries = pages.deliveries.iter().map(|(id, row)| (journal.deliveries[id], (id, row)));
    ranges.table("delivery", deliveries, |encoder, ((instance, sequence), row)| {
        let event = row.key.as_ref().map(ToString::to_string);
        encoder.row(&[
            Field::Text(&instance.to_string()),
            number(sequence.0),
            event.as_deref().map_or(Field::Null, Field::Text),
            Field::Text(row.outcome),
            reason(row.reason),
            Field::Bytes(&row.delivery.message),
            Field::Integer(row.delivery.origin.received_at.0),
        ]);
    });
    let events = pages.events.iter().map(|(key, event)| (journal.events[key][0], (key, event)));
    ranges.table("event", events, |encoder, (key, event)| {
        encoder.row(&[
            Field::Text(&key.to_string()),
            Field::Text(event.outcome.as_str()),
            reason(event.reason),
            Field::Bytes(&event.record.event.payload),
        ]);
    });
    let statuses = pages.events.iter().flat_map(|(key, event)| {
        let stamps = journal.events[key].iter().skip(1).copied();
        stamps.zip(event.statuses.iter().map(move |status| (key, status)))
    });
    ranges.table("event_status", statuses, |encoder, (key, status)| {
        let key = key.to_string();
        encoder.row(&[Field::Text(&key), Field::Text(status.status.as_str()), reason(status.reason)]);
    });
    let links = journal.links.iter().map(|(link, stamp)| (*stamp, link));
    let links = links.filter(|(_, (key, event, role))| {
        pages.transactions.get(key).is_some_and(|kept| match *role {
            "first" => kept.first == *event,
            "describer" => kept.describers.contains(event),
            _ => kept.conflicts.contains(event),
        })
    });
    ranges.table("event_transaction", links, |encoder, (key, event, role)| {
        encoder.row(&[Field::Text(&key.to_string()), Field::Text(&event.to_string()), Field::Text(role)]);
    });
    let transactions = pages.transactions.iter().map(|(key, kept)| (journal.transactions[key], (key, kept)));
    ranges.table("transaction", transactions.clone(), |encoder, (key, kept)| {
        encoder.row(&[
            Field::Text(&key.to_string()),
            Field::Text(&kept.first.to_string()),
            Field::Bytes(&kept.transaction.digest().0),
            number(u64::try_from(kept.transaction.entries().len()).unwrap()),
        ]);
    });
    let entries = transactions.flat_map(|(stamp, (key, kept))| {
        (1..).zip(&kept.entries).map(move |(leg, entry)| (stamp, (key, leg, entry)))
    });
    ranges.entries(entries.clone().map(|(stamp, (key, _, entry))| {
        let name = AccountName::new(entry.account.to_string());
        let total = (livemode(key.livemode), CurrencyCode::new(entry.amount.currency().code()), name);
        (stamp, total, Sums::of_entry(entry.amount.minor()))
    }));
    ranges.table("entry", entries, |encoder, (key, leg, entry)| {
        encoder.row(&[
            Field::Text(&key.to_string()),
            Field::Integer(leg),
            Field::Text(&entry.account.to_string()),
            Field::Integer(entry.amount.minor()),
            Field::Text(entry.amount.currency().code()),
        ]);
    });
    let totals = pages.totals.iter().map(|(id, total)| (journal.totals[id], (id, total)));
    ranges.table("control_total", totals, |encoder, ((instance, window), total)| {
        let instance = instance.to_string();
        let mut row = vec![
            Field::Text(&instance),
            number(*window),
            Field::Integer(total.closed_at.0),
            number(total.confirmed),
            Field::Boolean(total.last),
            Field::Boolean(total.restated),
        ];
        row.extend(
            total.listed.iter().flat_map(|one| [number(one.sequence.0), Field::Text(one.event_id.as_str())]),
        );
        encoder.row(&row);
    });
    let refusals = pages.refusals.iter().map(|(key, count)| (journal.refusals[key], (key, count)));
    ranges.table("refusal_count", refusals, |encoder, ((instance, window, source, slug, minute), count)| {
        encoder.row(&[
            Field::Text(&instance.to_string()),
            number(*window),
            Field::Text(source.as_str()),
            Field::Text(slug.as_str()),
            Field::Integer(minute.0),
            number(*count),
        ]);
    });
    ranges.facts
}

struct Ranges<'e> {
    ends: &'e [i64],
    facts: Vec<RangeFacts>,
}

impl Ranges<'_> {
    fn of(&self, stamp: Stamp) -> usize {
        self.ends.partition_point(|end| *end <= stamp.xid)
    }

    fn table<R>(
        &mut self,
        name: &str,
        rows: impl Iterator<Item = (Stamp, R)>,
        encode: impl Fn(&mut Encoder, R),
    ) {
        let mut rows: Vec<_> = rows.collect();
        rows.sort_by_key(|(stamp, _)| (stamp.xid, stamp.id));
        let mut digests: BTreeMap<usize, (u64, Encoder)> = BTreeMap::new();
        for (stamp, row) in rows {
            let (rows, encoder) = digests.entry(self.of(stamp)).or_default();
            *rows += 1;
            encode(encoder, row);
        }
        for (range, (rows, encoder)) in digests {
            if let Some(facts) = self.facts.get_mut(range) {
                facts.contents.insert(name.to_owned(), Content { rows, digest: encoder.finish() });
            }
        }
    }

    fn entries(&mut self, entries: impl Iterator<Item = (Stamp, audit::TotalKey, Sums)>) {
        for (stamp, key, sums) in entries {
            let range = self.of(stamp);
            if let Some(facts) = self.facts.get_mut(range) {
                facts.totals.add(key, sums);
            }
        }
    }
}

fn number(number: u64) -> Field<'static> {
    Field::Integer(i64::try_from(number).unwrap())
}

fn reason(reason: Option<Reason>) -> Field<'static> {
    reason.map_or(Field::Null, |reason| Field::Text(reason.as_str()))
}
