use serde_json::json;

use super::*;
use crate::{
    AccountName, EventId, Fault, HeaderRow, LegRow, MovementKey, ProbableCause, Suspects, TraceId,
    TransactionId, TransactionRow, Written, check_balance, check_transactions,
};

fn run() -> Run {
    Run {
        kind: Kind::Incremental,
        snapshot: Snapshot::new("740:745:742"),
        floor: None,
        started_at: Instant::new("2026-11-22T07:00:00Z"),
        finished_at: Instant::new("2026-11-22T07:00:01Z"),
    }
}

fn total(livemode: Livemode, currency: &str, debits_minor: i128, credits_minor: i128) -> TotalRow {
    TotalRow { livemode, currency: CurrencyCode::new(currency), debits_minor, credits_minor }
}

fn capture(id: i64, debit_minor: i64, credit_minor: i64) -> TransactionRow {
    let leg = |leg, account: &str, amount_minor, written| LegRow {
        leg,
        account: Some(AccountName::new(account)),
        amount_minor,
        currency: CurrencyCode::new("USD"),
        livemode: Livemode::Live,
        written,
    };
    TransactionRow {
        id: TransactionId(id),
        header: Some(HeaderRow {
            movement_key: MovementKey::new(format!("stripe/acct_dev/live/ch_{id}/capture")),
            legs: 2,
            livemode: Livemode::Live,
            event_id: Some(EventId::new(format!("evt_{id}"))),
            trace_id: Some(TraceId::new("4bf92f3577b34da6a3ce929d0e0e4736")),
        }),
        legs: vec![
            leg(1, "assets:stripe:clearing", debit_minor, Written::Later),
            leg(2, "income:sales", -credit_minor, Written::Together),
        ],
    }
}

fn report(totals: &[TotalRow], transactions: Vec<TransactionRow>) -> Report {
    let suspects = Suspects { transactions, left_out: 0 };
    let results =
        vec![(Check::Balance, check_balance(totals)), (Check::Transactions, check_transactions(&suspects))];
    Report::new(run(), totals, results)
}

#[test]
fn balanced_books_are_balanced() {
    let report = report(&[total(Livemode::Live, "USD", 500, 500)], Vec::new());
    assert_eq!(report.verdict, Verdict::Balanced);
    assert_eq!(report.findings_total(), 0);
    assert!(report.to_string().starts_with("Ledger balance verified\n"), "{report}");
}

#[test]
fn an_imbalance_is_said_in_words() {
    let report = report(&[total(Livemode::Live, "USD", 10_500, 10_000)], vec![capture(7, 10_500, 10_000)]);
    let text = "Ledger imbalance detected! Difference: 5.00 USD live
  live USD: imbalanced, debits 105.00 USD live, credits 100.00 USD live
- balance: debits and credits differ; difference 5.00 USD live; probably the transactions tell
- transactions: transaction 7 (stripe/acct_dev/live/ch_7/capture): the legs do not sum to zero; \
difference 5.00 USD live; probably an amount was edited: leg 1 on assets:stripe:clearing; event evt_7; \
trace 4bf92f3577b34da6a3ce929d0e0e4736
incremental run at 2026-11-22T07:00:00Z, snapshot 740:745:742
";
    assert_eq!(report.to_string(), text);
}

#[test]
fn errors_that_cancel_out_are_no_balance() {
    let totals = [total(Livemode::Live, "EUR", 1, 1), total(Livemode::Live, "USD", 20_000, 20_000)];
    let report = report(&totals, vec![capture(7, 10_001, 10_000), capture(8, 9_999, 10_000)]);
    assert_eq!(report.verdict, Verdict::Imbalanced);
    assert_eq!(report.verdict_of(Livemode::Live), Verdict::Imbalanced);
    assert_eq!(report.verdict_of(Livemode::Test), Verdict::Balanced);
    let books: Vec<_> = report.verdicts.iter().map(|b| (b.currency.as_str(), b.verdict)).collect();
    assert_eq!(books, [("EUR", Verdict::Balanced), ("USD", Verdict::Imbalanced)]);
    let named: Vec<_> = report.transactions_in(&report.verdicts[1]).map(|t| t.id.0).collect();
    assert_eq!(named, [7, 8]);
}

#[test]
fn legs_that_vanished_without_a_currency_make_the_livemode_imbalanced() {
    let report = report(&[], vec![TransactionRow { legs: Vec::new(), ..capture(7, 1, 1) }]);
    assert_eq!(report.verdict_of(Livemode::Live), Verdict::Imbalanced);
    assert!(report.to_string().contains("Difference: none in the totals"), "{report}");
}

#[test]
fn a_currency_that_is_none_is_shown_in_minor_units() {
    let report = report(&[total(Livemode::Test, "ZZZ", 5, 0)], Vec::new());
    assert!(report.to_string().contains("Difference: 5 minor units of \"ZZZ\" test"), "{report}");
}

#[test]
fn the_json_is_stable() {
    let report = report(&[total(Livemode::Live, "USD", 10_500, 10_000)], vec![capture(7, 10_500, 10_000)]);
    let expected = json!({
        "schema": 2,
        "kind": "incremental",
        "snapshot": "740:745:742",
        "floor": null,
        "started_at": "2026-11-22T07:00:00Z",
        "finished_at": "2026-11-22T07:00:01Z",
        "verdict": "imbalanced",
        "verdicts": [{
            "livemode": true, "currency": "USD", "verdict": "imbalanced",
            "debits_minor": 10_500, "credits_minor": 10_000, "difference_minor": 500,
        }],
        "checks": [
            {"check": "balance", "passed": false, "findings": 1, "left_out": 0},
            {"check": "transactions", "passed": false, "findings": 1, "left_out": 0},
        ],
        "findings": [
            {
                "check": "balance", "key": "balance/live/USD", "severity": "critical", "faults": ["totals-differ"],
                "livemode": true, "currency": "USD", "difference_minor": 500, "amount_minor": null, "count": null,
                "since": null, "checkpoint": null, "transaction": null, "account": null, "leg": null, "source": null,
                "reason": null, "delivery": null, "event_id": null, "trace_id": null, "money": null,
                "subject": null,
                "probable_cause": "see-transactions", "cure": null,
            },
            {
                "check": "transactions", "key": "transactions/7/USD", "severity": "critical", "faults": ["not-zero"],
                "livemode": true, "currency": "USD", "difference_minor": 500, "amount_minor": null, "count": null,
                "since": null, "checkpoint": null,
                "transaction": {"id": 7, "movement_key": "stripe/acct_dev/live/ch_7/capture"},
                "account": "assets:stripe:clearing", "leg": 1, "source": null, "reason": null, "delivery": null,
                "event_id": "evt_7", "trace_id": "4bf92f3577b34da6a3ce929d0e0e4736", "money": null,
                "subject": null,
                "probable_cause": "amount-edited", "cure": null,
            },
        ],
    });
    assert_eq!(
        serde_json::from_str::<serde_json::Value>(&serde_json::to_string(&report).unwrap()).unwrap(),
        expected
    );
    assert_eq!(report.findings[1].faults, [Fault::NotZero]);
    assert_eq!(report.findings[1].probable_cause, ProbableCause::AmountEdited);
}

#[test]
fn amounts_beyond_64_bits_serialise() {
    let report = report(&[total(Livemode::Live, "USD", i128::from(u64::MAX) * 9, 0)], Vec::new());
    assert!(serde_json::to_string(&report).unwrap().contains("\"difference_minor\":166020696663385964535"));
}
