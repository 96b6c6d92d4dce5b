//! The check `coverage`: events and transactions belong together, each once.

use crate::{
    Check, CheckResult, CurrencyCode, EventId, Fault, Finding, Livemode, MovementKey, ProbableCause,
    SourceName, TraceId, TransactionId, TransactionRef,
};

/// What belongs to nothing, or is there twice.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CoverageRows {
    /// Events that stand booked and are linked to no transaction that exists.
    pub booked_without_transaction: Vec<UncoveredEventRow>,
    /// Transactions whose event does not exist, is not linked to them as their first or does not stand booked.
    pub without_event: Vec<UncoveredTransactionRow>,
    /// Transactions of a movement that has an older one.
    pub twice: Vec<UncoveredTransactionRow>,
    /// How many more of each.
    pub left_out: u64,
}

/// An event without what it should have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UncoveredEventRow {
    /// Its row: the number in the books.
    pub event_row: i64,
    /// Whose.
    pub source: SourceName,
    /// Its id.
    pub event_id: EventId,
    /// Real money or not.
    pub livemode: Livemode,
    /// What its object shows, minor units.
    pub amount_minor: Option<i64>,
    /// In this currency.
    pub currency: Option<CurrencyCode>,
    /// The trace of its processing.
    pub trace_id: Option<TraceId>,
}

/// A transaction that should not be there as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UncoveredTransactionRow {
    /// Its number.
    pub id: TransactionId,
    /// What it books.
    pub movement_key: MovementKey,
    /// Real money or not.
    pub livemode: Livemode,
    /// The currency of its debits; absent if there are several or none.
    pub currency: Option<CurrencyCode>,
    /// Its debits in that currency, minor units.
    pub amount_minor: Option<i128>,
    /// The event that it names, if that exists.
    pub event_id: Option<EventId>,
    /// The trace of its booking.
    pub trace_id: Option<TraceId>,
}

/// Fails for every event that stands booked without a transaction, every transaction without a booked event, and every
/// movement that is there twice.
pub fn check_coverage(rows: &CoverageRows) -> CheckResult {
    let events = rows.booked_without_transaction.iter().map(of_event);
    let without = rows.without_event.iter().map(|row| {
        of_transaction(row, Fault::TransactionWithoutEvent, ProbableCause::WrittenByHand, "transaction")
    });
    let twice = rows
        .twice
        .iter()
        .map(|row| of_transaction(row, Fault::MovementTwice, ProbableCause::WrittenByHand, "twice"));
    CheckResult::of(events.chain(without).chain(twice).collect(), rows.left_out)
}

fn of_event(row: &UncoveredEventRow) -> Finding {
    let key = format!("event/{}", row.event_row);
    Finding {
        livemode: Some(row.livemode),
        currency: row.currency.clone(),
        amount_minor: row.amount_minor.map(Into::into),
        source: Some(row.source.clone()),
        event_id: Some(row.event_id.clone()),
        trace_id: row.trace_id.clone(),
        ..Finding::new(
            Check::Coverage,
            Fault::BookedWithoutTransaction,
            ProbableCause::TransactionDeleted,
            key,
        )
    }
}

fn of_transaction(row: &UncoveredTransactionRow, fault: Fault, cause: ProbableCause, what: &str) -> Finding {
    Finding {
        livemode: Some(row.livemode),
        currency: row.currency.clone(),
        amount_minor: row.amount_minor,
        transaction: Some(TransactionRef { id: row.id, movement_key: Some(row.movement_key.clone()) }),
        event_id: row.event_id.clone(),
        trace_id: row.trace_id.clone(),
        ..Finding::new(Check::Coverage, fault, cause, format_args!("{what}/{}", row.id))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_belongs_to_nothing_is_named_with_its_amount() {
        let transaction = UncoveredTransactionRow {
            id: TransactionId(42),
            movement_key: MovementKey::new("stripe/acct_dev/live/ch_1/capture"),
            livemode: Livemode::Live,
            currency: Some(CurrencyCode::new("USD")),
            amount_minor: Some(10_000),
            event_id: None,
            trace_id: None,
        };
        let rows = CoverageRows {
            booked_without_transaction: vec![UncoveredEventRow {
                event_row: 7,
                source: SourceName::new("stripe"),
                event_id: EventId::new("evt_7"),
                livemode: Livemode::Live,
                amount_minor: Some(500),
                currency: Some(CurrencyCode::new("USD")),
                trace_id: None,
            }],
            without_event: vec![transaction.clone()],
            twice: vec![transaction],
            left_out: 0,
        };
        let result = check_coverage(&rows);
        let found: Vec<_> =
            result.findings().iter().map(|f| (f.key.as_str(), f.faults[0], f.amount_minor)).collect();
        assert_eq!(
            found,
            [
                ("coverage/event/7", Fault::BookedWithoutTransaction, Some(500)),
                ("coverage/transaction/42", Fault::TransactionWithoutEvent, Some(10_000)),
                ("coverage/twice/42", Fault::MovementTwice, Some(10_000)),
            ]
        );
        assert_eq!(check_coverage(&CoverageRows::default()), CheckResult::Passed);
    }
}
