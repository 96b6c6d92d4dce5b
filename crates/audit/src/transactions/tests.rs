use proptest::prelude::*;

use super::*;
use crate::{AccountName, EventId, HeaderRow, MovementKey, ProbableCause, TraceId, TransactionId, Written};

fn leg(leg: i32, account: &str, amount_minor: i64) -> LegRow {
    LegRow {
        leg,
        account: Some(AccountName::new(account)),
        amount_minor,
        currency: CurrencyCode::new("USD"),
        livemode: Livemode::Live,
        written: Written::Together,
    }
}

/// A settlement of 100.00 with a fee of 3.20, whole.
fn settlement() -> TransactionRow {
    TransactionRow {
        id: TransactionId(42),
        header: Some(HeaderRow {
            movement_key: MovementKey::new("stripe/acct_dev/live/txn_1/settlement"),
            legs: 3,
            livemode: Livemode::Live,
            event_id: Some(EventId::new("evt_1")),
            trace_id: Some(TraceId::new("4bf92f3577b34da6a3ce929d0e0e4736")),
        }),
        legs: vec![leg(1, "balance", 9_680), leg(2, "psp-fees", 320), leg(3, "clearing", -10_000)],
    }
}

fn check(row: TransactionRow) -> Vec<Finding> {
    check_transactions(&Suspects { transactions: vec![row], left_out: 0 }).findings().to_vec()
}

/// The one finding of a settlement damaged like this.
fn damaged(damage: impl FnOnce(&mut TransactionRow)) -> Finding {
    let mut row = settlement();
    damage(&mut row);
    let mut findings = check(row);
    let finding = findings.pop().unwrap();
    assert_eq!(findings, [], "one damage, one finding");
    finding
}

fn account(finding: &Finding) -> Option<&str> {
    finding.account.as_ref().map(AccountName::as_str)
}

#[test]
fn a_whole_transaction_gives_no_finding() {
    assert_eq!(check(settlement()), []);
}

#[test]
fn a_finding_names_transaction_event_and_trace() {
    let finding = damaged(|row| row.legs[1].amount_minor += 5);
    let transaction = finding.transaction.unwrap();
    assert_eq!(transaction.id, TransactionId(42));
    assert_eq!(transaction.movement_key.unwrap().as_str(), "stripe/acct_dev/live/txn_1/settlement");
    assert_eq!(finding.currency.unwrap().as_str(), "USD");
    assert_eq!(finding.event_id.unwrap().as_str(), "evt_1");
    assert_eq!(finding.trace_id.unwrap().as_str(), "4bf92f3577b34da6a3ce929d0e0e4736");
}

#[test]
fn an_edited_amount_is_named_with_its_account_when_the_leg_is_newer() {
    let finding = damaged(|row| {
        row.legs[1].amount_minor += 5;
        row.legs[1].written = Written::Later;
    });
    assert_eq!(finding.faults, [Fault::NotZero]);
    assert_eq!(finding.difference_minor, 5);
    assert_eq!(finding.probable_cause, ProbableCause::AmountEdited);
    assert_eq!((account(&finding), finding.leg), (Some("psp-fees"), Some(2)));

    let finding = damaged(|row| row.legs[1].amount_minor += 5);
    assert_eq!((finding.probable_cause, account(&finding)), (ProbableCause::AmountEdited, None));
}

#[test]
fn a_deleted_leg_is_named_with_its_amount() {
    let finding = damaged(|row| drop(row.legs.remove(1)));
    assert_eq!(finding.faults, [Fault::NotZero, Fault::FewerLegs]);
    assert_eq!((finding.probable_cause, finding.difference_minor), (ProbableCause::LegMissing, -320));
}

#[test]
fn legs_that_vanished_together_are_missed_though_everything_sums_to_zero() {
    let finding = damaged(|row| row.legs.clear());
    assert_eq!(finding.faults, [Fault::FewerLegs]);
    assert_eq!((finding.probable_cause, finding.currency), (ProbableCause::LegMissing, None));
}

#[test]
fn a_doubled_leg_and_an_added_one_are_told_apart() {
    let finding = damaged(|row| row.legs.push(leg(4, "psp-fees", 320)));
    assert_eq!(finding.faults, [Fault::NotZero, Fault::MoreLegs]);
    assert_eq!((finding.probable_cause, finding.difference_minor), (ProbableCause::LegDoubled, 320));
    assert_eq!((account(&finding), finding.leg), (Some("psp-fees"), Some(4)));

    let finding = damaged(|row| row.legs.push(leg(4, "suspense", 7)));
    assert_eq!((finding.probable_cause, account(&finding)), (ProbableCause::LegAdded, Some("suspense")));
}

#[test]
fn a_leg_on_the_wrong_side_is_recognised_by_twice_its_amount() {
    let finding = damaged(|row| row.legs[1].amount_minor = -320);
    assert_eq!((finding.probable_cause, finding.difference_minor), (ProbableCause::SideSwapped, -640));
    assert_eq!(account(&finding), Some("psp-fees"));
}

#[test]
fn a_leg_moved_to_another_currency_gives_a_finding_in_both() {
    let mut row = settlement();
    row.legs[1].currency = CurrencyCode::new("EUR");
    let findings = check(row);
    let found: Vec<_> =
        findings.iter().map(|f| (f.currency.as_ref().unwrap().as_str(), f.difference_minor)).collect();
    assert_eq!(found, [("EUR", 320), ("USD", -320)]);
    for finding in &findings {
        assert_eq!(finding.probable_cause, ProbableCause::CurrencyChanged);
        assert_eq!(account(finding), Some("psp-fees"));
    }
}

#[test]
fn a_leg_moved_to_test_money_is_named_with_the_amount_that_went_astray() {
    let finding = damaged(|row| row.legs[2].livemode = Livemode::Test);
    assert_eq!(finding.faults, [Fault::MixedLivemode]);
    assert_eq!((finding.livemode, finding.difference_minor), (Some(Livemode::Live), -10_000));
    assert_eq!(finding.probable_cause, ProbableCause::LivemodeChanged);
    assert_eq!(account(&finding), Some("clearing"));
}

#[test]
fn a_header_that_says_otherwise_than_its_legs_was_edited() {
    for (legs, fault) in [(4, Fault::FewerLegs), (2, Fault::MoreLegs), (0, Fault::MoreLegs)] {
        let finding = damaged(|row| row.header.as_mut().unwrap().legs = legs);
        assert_eq!(finding.faults, [fault]);
        assert_eq!((finding.probable_cause, finding.difference_minor), (ProbableCause::HeaderEdited, 0));
    }
    let finding = damaged(|row| row.header.as_mut().unwrap().livemode = Livemode::Test);
    assert_eq!(finding.faults, [Fault::MixedLivemode]);
}

#[test]
fn legs_without_a_header_are_found_though_they_sum_to_zero() {
    let finding = damaged(|row| row.header = None);
    assert_eq!(finding.faults, [Fault::NoHeader]);
    assert_eq!(finding.probable_cause, ProbableCause::HeaderDeleted);
    assert_eq!(finding.transaction.unwrap().movement_key, None);
}

#[test]
fn a_transaction_that_declares_no_legs_and_has_none_is_no_transaction() {
    let finding = damaged(|row| {
        row.legs.clear();
        row.header.as_mut().unwrap().legs = 0;
    });
    assert_eq!(finding.faults, [Fault::FewerLegs]);
}

#[test]
fn two_legs_of_one_number_are_found() {
    let finding = damaged(|row| row.legs[1].leg = 1);
    assert_eq!(
        (&*finding.faults, finding.probable_cause),
        (&[Fault::LegNumbers][..], ProbableCause::LegAdded)
    );
}

#[test]
fn what_the_query_left_out_counts() {
    let result = check_transactions(&Suspects { transactions: Vec::new(), left_out: 3 });
    assert!(matches!(result, CheckResult::Failed(findings) if findings.left_out == 3));
}

#[test]
fn amounts_at_the_end_of_their_range_do_not_panic() {
    let mut row = settlement();
    row.legs = vec![leg(1, "a", i64::MAX), leg(2, "b", i64::MAX), leg(i32::MIN, "c", i64::MAX)];
    assert_eq!(check(row)[0].difference_minor, i128::from(i64::MAX) * 3);
}

prop_compose! {
    /// Some pairs of legs in some currencies: whole by construction.
    fn whole()(
        pairs in prop::collection::vec((-1_000_000_i64..=1_000_000, 0_usize..3), 1..20),
        live: bool,
    ) -> TransactionRow {
        let livemode = Livemode::from_bool(live);
        let codes = ["EUR", "JPY", "USD"];
        let both = pairs.iter().flat_map(|(amount, code)| [(*amount, codes[*code]), (-amount, codes[*code])]);
        let legs: Vec<_> = (1..).zip(both).map(|(number, (amount, code))| LegRow {
            currency: CurrencyCode::new(code),
            livemode,
            ..leg(number, "somewhere", amount)
        }).collect();
        let mut row = settlement();
        let header = row.header.as_mut().unwrap();
        (header.legs, header.livemode) = (i32::try_from(legs.len()).unwrap(), livemode);
        TransactionRow { legs, ..row }
    }
}

proptest! {
    #[test]
    fn whole_transactions_never_give_a_finding(rows in prop::collection::vec(whole(), 0..5)) {
        let suspects = Suspects { transactions: rows, left_out: 0 };
        prop_assert_eq!(check_transactions(&suspects), CheckResult::Passed);
    }

    #[test]
    fn an_edited_amount_is_always_found_to_the_unit(
        row in whole(), which: prop::sample::Index, change in (-1_000_000_i64..=1_000_000).prop_filter("a change", |c| *c != 0)
    ) {
        let mut row = row;
        let at = which.index(row.legs.len());
        row.legs[at].amount_minor += change;
        let currency = row.legs[at].currency.clone();
        let findings = check(row);
        prop_assert_eq!(findings.len(), 1);
        prop_assert_eq!(findings[0].difference_minor, i128::from(change));
        prop_assert_eq!(findings[0].currency.as_ref(), Some(&currency));
    }

    #[test]
    fn a_deleted_leg_is_always_found(row in whole(), which: prop::sample::Index) {
        let mut row = row;
        let lost = row.legs.remove(which.index(row.legs.len()));
        let findings = check(row);
        prop_assert_eq!(findings.len(), 1);
        prop_assert!(findings[0].faults.contains(&Fault::FewerLegs));
        prop_assert_eq!(findings[0].difference_minor, -i128::from(lost.amount_minor));
    }
}
