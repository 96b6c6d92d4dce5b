//! The rows that the checks read, from the books in memory: what the statements of `audit-postgres` give.

use std::collections::{BTreeMap, BTreeSet};

use audit::{
    AccountName, CompletenessRows, CoverageRows, CurrencyCode, EventId, HeaderRow, InstanceName, InstanceRow,
    Instant, LegRow, Limits, Livemode, MissingRow, RefusedSourceRow, RejectionRows, Slug, SourceName, Sums,
    Suspects, TotalRow, TransactionId, TransactionRow, UncoveredEventRow, UncoveredTransactionRow, Waiting,
    WaitingRow, WindowRow, Written,
};
use ledger::{EventKey, MovementKey, Reason, Status, UnixMillis};
use testkit::memory::books::{DeliveryKept, EventKept, Pages, Target, TransactionKept};
use wire::{InstanceId, Listed, Sequence};

use super::journal::{Journal, Stamp};

const HOUR_MS: i64 = 3_600_000;

/// Whether the event of a message came once more after the window had closed that tells of it.
pub(super) fn came_again(pages: &Pages, listed: &Listed, closed_at: UnixMillis) -> bool {
    pages.deliveries.values().filter(|row| row.delivery.origin.received_at > closed_at).any(|row| {
        row.key.as_ref().is_some_and(|key| key.source == listed.source && key.event_id == listed.event_id)
    })
}

/// The books at an instant.
#[derive(Clone, Copy)]
pub(super) struct Snapshot<'p> {
    pub(super) pages: &'p Pages,
    pub(super) journal: &'p Journal,
    pub(super) limits: &'p Limits,
    pub(super) now: UnixMillis,
}

impl Snapshot<'_> {
    fn age_s(&self, stamp: Stamp) -> i64 {
        self.now.since_ms(stamp.recorded_at).div_euclid(1_000)
    }

    pub(super) fn totals(&self) -> Vec<TotalRow> {
        let mut books = BTreeMap::<_, Sums>::new();
        for (key, kept) in &self.pages.transactions {
            for entry in &kept.entries {
                let sums = books.entry((livemode(key.livemode), entry.amount.currency().code())).or_default();
                *sums = sums.plus(Sums::of_entry(entry.amount.minor()));
            }
        }
        let row = |((livemode, currency), sums): ((_, &str), Sums)| TotalRow {
            livemode,
            currency: CurrencyCode::new(currency),
            debits_minor: sums.debits_minor,
            credits_minor: sums.credits_minor,
        };
        books.into_iter().map(row).collect()
    }

    /// All of them: whom to suspect is for the check to say.
    pub(super) fn transactions(&self) -> Suspects {
        let row = |(key, kept): (&MovementKey, &TransactionKept)| TransactionRow {
            id: TransactionId(self.journal.transactions[key].id),
            header: Some(HeaderRow {
                movement_key: audit::MovementKey::new(key.to_string()),
                legs: i32::try_from(kept.transaction.entries().len()).unwrap(),
                livemode: livemode(key.livemode),
                event_id: Some(EventId::new(kept.first.event_id.as_str())),
                trace_id: None,
            }),
            legs: (1..)
                .zip(&kept.entries)
                .map(|(leg, entry)| LegRow {
                    leg,
                    account: Some(AccountName::new(entry.account.to_string())),
                    amount_minor: entry.amount.minor(),
                    currency: CurrencyCode::new(entry.amount.currency().code()),
                    livemode: livemode(key.livemode),
                    written: Written::Together,
                })
                .collect(),
        };
        Suspects { transactions: self.pages.transactions.iter().map(row).collect(), left_out: 0 }
    }

    pub(super) fn completeness(&self) -> CompletenessRows {
        let mut rows = CompletenessRows::default();
        let mut totals = self.pages.totals.iter().peekable();
        while let Some(((instance, window), total)) = totals.next() {
            let recorded_age_s = self.age_s(self.journal.totals[&(*instance, *window)]);
            let name = || InstanceName::new(instance.to_string());
            let window = i64::try_from(*window).unwrap();
            let missing = total.listed.iter().filter(|one| {
                !self.pages.deliveries.contains_key(&(*instance, one.sequence))
                    && !came_again(self.pages, one, total.closed_at)
            });
            rows.missing.extend(missing.map(|one| MissingRow {
                instance: name(),
                sequence: i64::try_from(one.sequence.0).unwrap(),
                window,
                source: SourceName::new(one.source.as_str()),
                event_id: EventId::new(one.event_id.as_str()),
                closed_at: at(total.closed_at),
                recorded_age_s,
            }));
            let before = u64::try_from(window - 1).unwrap();
            if before > 0 && !self.pages.totals.contains_key(&(*instance, before)) {
                rows.windows.push(WindowRow {
                    instance: name(),
                    window: window - 1,
                    next_closed_at: at(total.closed_at),
                    recorded_age_s,
                });
            }
            let is_last_word = totals.peek().is_none_or(|((next, _), _)| next != instance);
            if is_last_word && !total.last {
                let closed_at = at(total.closed_at);
                rows.open_instances.push(InstanceRow { instance: name(), window, closed_at, recorded_age_s });
            }
        }
        rows
    }

    /// `twice` stays empty: a movement is the key of a transaction here.
    pub(super) fn coverage(&self) -> CoverageRows {
        let stood_booked = |event: &EventKept| {
            let statuses = event.statuses.iter().map(|status| status.status);
            core::iter::once(event.outcome.into()).chain(statuses).any(|status| status == Status::Booked)
        };
        let transactions = || self.pages.transactions.iter();
        let linked: BTreeSet<&EventKey> =
            transactions().flat_map(|(_, kept)| kept.describers.iter().chain([&kept.first])).collect();
        let booked = self.pages.events.iter().filter(|(_, event)| stood_booked(event));
        let uncovered = booked.filter(|(key, _)| !linked.contains(*key)).map(|(key, _)| UncoveredEventRow {
            event_row: self.journal.events[key][0].id,
            source: SourceName::new(key.source.as_str()),
            event_id: EventId::new(key.event_id.as_str()),
            livemode: livemode(key.livemode),
            amount_minor: None,
            currency: None,
            trace_id: None,
        });
        let astray = transactions().filter(|(_, kept)| {
            let event = self.pages.events.get(&kept.first);
            !event.is_some_and(stood_booked)
        });
        let astray = astray.map(|(key, _)| UncoveredTransactionRow {
            id: TransactionId(self.journal.transactions[key].id),
            movement_key: audit::MovementKey::new(key.to_string()),
            livemode: livemode(key.livemode),
            currency: None,
            amount_minor: None,
            event_id: None,
            trace_id: None,
        });
        CoverageRows {
            booked_without_transaction: uncovered.collect(),
            without_event: astray.collect(),
            ..CoverageRows::default()
        }
    }

    pub(super) fn backlog(&self) -> Vec<WaitingRow> {
        let parked = self.pages.events.iter().filter_map(|(key, event)| {
            let (Status::Parked, Some(reason)) = event.standing() else { return None };
            let since = *self.journal.events[key].last()?;
            let money = event.record.money.map(|money| (money.currency().code(), money.minor()));
            let group = (Some(key.source.as_str()), Some(livemode(key.livemode)), reason);
            Some((Waiting::Events, group, money, key.event_id.as_str(), since))
        });
        let evidence = self.pages.deliveries.iter().filter(|(id, row)| self.is_undecided(**id, row));
        let evidence = evidence.map(|(id, row)| {
            let source = row.key.as_ref().map(|key| key.source.as_str());
            let event_id = row.key.as_ref().map_or("", |key| key.event_id.as_str());
            let group = (source, None, row.reason.unwrap_or(Reason::Undecodable));
            (Waiting::Evidence, group, None, event_id, self.journal.deliveries[id])
        });
        let overdue =
            parked.chain(evidence).filter(|(.., since)| self.age_s(*since) >= self.limits.backlog_due_s);
        let mut waiting = BTreeMap::<_, WaitingRow>::new();
        for (what, (source, livemode, reason), money, event_id, since) in overdue {
            let currency = money.map(|(currency, _)| currency);
            let key = (what == Waiting::Events, source, livemode, reason.as_str(), currency);
            let row = waiting.entry(key).or_insert_with(|| WaitingRow {
                waiting: what,
                source: source.map(SourceName::new),
                livemode,
                reason: Slug::new(reason.as_str()),
                currency: currency.map(CurrencyCode::new),
                amount_minor: currency.map(|_| 0),
                count: 0,
                event_id: Some(EventId::new(event_id)),
                since: at(since.recorded_at),
                age_s: self.age_s(since),
            });
            row.count += 1;
            row.amount_minor = row.amount_minor.zip(money).map(|(sum, (_, minor))| sum + i128::from(minor));
            if self.age_s(since) > row.age_s {
                (row.since, row.age_s) = (at(since.recorded_at), self.age_s(since));
            }
        }
        waiting.into_values().collect()
    }

    /// Whether a message that made no event waits for a person.
    fn is_undecided(&self, (instance, sequence): (InstanceId, Sequence), row: &DeliveryKept) -> bool {
        let reused = row.reason == Some(Reason::EventIdReused);
        if row.event().is_some() || !(row.outcome == "parked" || reused) {
            return false;
        }
        let target = Target::Delivery(instance, sequence);
        let decided = self.pages.actions.values().filter(|action| action.target == target).any(|action| {
            let effect = action.effect.as_ref();
            effect.is_some_and(|effect| effect.status != Status::Parked || effect.event.is_some())
        });
        let event = row.key.as_ref().and_then(|key| self.pages.events.get(key));
        let settled = event.is_some_and(|event| event.standing().0 != Status::Parked);
        !decided && (reused || !settled)
    }

    /// By source; a history has too few events to judge types by.
    pub(super) fn rejections(&self) -> RejectionRows {
        let mut refused = BTreeMap::<_, UnixMillis>::new();
        for row in self.pages.deliveries.values().filter(|row| row.outcome == "refused") {
            let authentic = matches!(
                row.reason,
                Some(Reason::EventTooOld | Reason::EventWrongMode | Reason::EventIdReused)
            );
            if let (true, Some(key)) = (authentic, &row.key) {
                let at = row.delivery.origin.received_at;
                let first = refused.entry((&key.source, &key.event_id, row.reason)).or_insert(at);
                *first = (*first).min(at);
            }
        }
        let counted = self.pages.refusals.iter().filter(|((_, _, _, slug, _), _)| {
            matches!(slug.as_str(), "signature-expired" | "signature-from-future")
        });
        let counted = counted.map(|((_, _, source, _, minute), count)| (source, *minute, *count));
        let mut sources = BTreeMap::<_, (u64, u64)>::new();
        for (source, at, count) in refused.iter().map(|((source, ..), at)| (*source, *at, 1)).chain(counted) {
            let (last_hour, before) = sources.entry(source).or_default();
            *(if self.now.since_ms(at) < HOUR_MS { last_hour } else { before }) += count;
        }
        let row = |(source, (last_hour, week_before)): (&ledger::Source, _)| RefusedSourceRow {
            source: SourceName::new(source.as_str()),
            last_hour,
            week_before,
        };
        RejectionRows { sources: sources.into_iter().map(row).collect(), types: Vec::new() }
    }
}

pub(super) fn livemode(livemode: ledger::Livemode) -> Livemode {
    Livemode::from_bool(livemode == ledger::Livemode::Live)
}

fn at(instant: UnixMillis) -> Instant {
    Instant::new(instant.0.to_string())
}
