//! Every damage that a superuser can do to a transaction is found, to the unit and with its name.

use audit::{Fault, Finding, Kind, ProbableCause, Report, Verdict};
use testkit::servers::postgres::{Database, Role};

use crate::books::{CAPTURE, SETTLEMENT, book, of_transactions, report, store, unguard};

/// Books with a whole capture in live and in test, and a settlement that `damage` is done to.
async fn damaged_by(damage: &str) -> (i64, Report) {
    let database = Database::create().await;
    let mut client = database.connect(Role::Superuser).await;
    book(&mut client, "ch_live", true, CAPTURE).await;
    book(&mut client, "ch_test", false, CAPTURE).await;
    let settlement = book(&mut client, "txn_1", true, SETTLEMENT).await;
    assert_eq!(report(&database).await.verdict, Verdict::Balanced);
    let superuser = unguard(&database).await;
    let damage = damage.replace("$settlement", &settlement.to_string());
    superuser.batch_execute(&damage).await.unwrap();
    let report = report(&database).await;
    assert_eq!(report.verdict, Verdict::Imbalanced, "{report}");
    database.close().await;
    (settlement, report)
}

/// Livemode, currency and difference of the books that are imbalanced in total.
fn differences(report: &Report) -> Vec<(bool, &str, i128)> {
    let books = report.verdicts.iter().filter(|book| book.verdict == Verdict::Imbalanced);
    books.map(|book| (book.livemode.is_live(), book.currency.as_str(), book.difference_minor)).collect()
}

/// The one finding of `transactions`, with everything that localises.
fn only_finding(report: &Report, transaction: i64) -> &Finding {
    let findings = of_transactions(report);
    assert_eq!(findings.len(), 1, "{report}");
    let named = findings[0].transaction.as_ref().unwrap();
    assert_eq!(named.id.0, transaction);
    if let Some(key) = &named.movement_key {
        assert_eq!(key.as_str(), "stripe/acct_dev/live/txn_1/capture");
        assert_eq!(findings[0].event_id.as_ref().unwrap().as_str(), "evt_txn_1");
        assert_eq!(findings[0].trace_id.as_ref().unwrap().as_str().len(), 32);
    }
    findings[0]
}

fn place(finding: &Finding) -> (Option<&str>, Option<i32>) {
    (finding.account.as_ref().map(audit::AccountName::as_str), finding.leg)
}

#[tokio::test]
async fn an_edited_amount_is_found_with_its_account() {
    let (settlement, report) = damaged_by(
        "UPDATE countersign.entry SET amount_minor = 325 WHERE transaction_id = $settlement AND leg = 4",
    )
    .await;
    assert_eq!(differences(&report), [(true, "USD", 5)]);
    let finding = only_finding(&report, settlement);
    assert_eq!(finding.faults, [Fault::NotZero]);
    assert_eq!((finding.probable_cause, finding.difference_minor), (ProbableCause::AmountEdited, 5));
    assert_eq!(place(finding), (Some("expenses:psp-fees"), Some(4)));
}

#[tokio::test]
async fn a_deleted_leg_is_found_with_its_amount() {
    let (settlement, report) =
        damaged_by("DELETE FROM countersign.entry WHERE transaction_id = $settlement AND leg = 4").await;
    assert_eq!(differences(&report), [(true, "USD", -320)]);
    let finding = only_finding(&report, settlement);
    assert_eq!(finding.faults, [Fault::NotZero, Fault::FewerLegs]);
    assert_eq!((finding.probable_cause, finding.difference_minor), (ProbableCause::LegMissing, -320));
}

#[tokio::test]
async fn a_doubled_leg_is_found() {
    let (settlement, report) = damaged_by(
        "INSERT INTO countersign.entry (transaction_id, leg, account_id, amount_minor, currency, livemode)
         SELECT transaction_id, 6, account_id, amount_minor, currency, livemode FROM countersign.entry
         WHERE transaction_id = $settlement AND leg = 4",
    )
    .await;
    assert_eq!(differences(&report), [(true, "USD", 320)]);
    let finding = only_finding(&report, settlement);
    assert_eq!(finding.faults, [Fault::NotZero, Fault::MoreLegs]);
    assert_eq!(finding.probable_cause, ProbableCause::LegDoubled);
    assert_eq!(place(finding), (Some("expenses:psp-fees"), Some(6)));
}

#[tokio::test]
async fn a_leg_moved_to_another_currency_is_found_in_both() {
    let (settlement, report) = damaged_by(
        "UPDATE countersign.entry SET currency = 'JPY' WHERE transaction_id = $settlement AND leg = 4",
    )
    .await;
    assert_eq!(differences(&report), [(true, "JPY", 320), (true, "USD", -320)]);
    let findings = of_transactions(&report);
    assert_eq!(findings.len(), 2);
    for finding in findings {
        assert_eq!(finding.transaction.as_ref().unwrap().id.0, settlement);
        assert_eq!(finding.probable_cause, ProbableCause::CurrencyChanged);
        assert_eq!(place(finding), (Some("expenses:psp-fees"), Some(4)));
    }
}

#[tokio::test]
async fn a_leg_moved_to_test_money_is_found() {
    let (settlement, report) = damaged_by(
        "UPDATE countersign.entry SET livemode = FALSE WHERE transaction_id = $settlement AND leg = 4",
    )
    .await;
    assert_eq!(differences(&report), [(false, "USD", 320), (true, "USD", -320)]);
    let finding = only_finding(&report, settlement);
    assert_eq!(finding.faults, [Fault::MixedLivemode]);
    assert_eq!((finding.probable_cause, finding.difference_minor), (ProbableCause::LivemodeChanged, 320));
    assert_eq!(place(finding), (Some("expenses:psp-fees"), Some(4)));
}

#[tokio::test]
async fn a_swapped_side_is_found() {
    let (settlement, report) = damaged_by(
        "UPDATE countersign.entry SET amount_minor = -amount_minor WHERE transaction_id = $settlement AND leg = 4",
    )
    .await;
    let finding = only_finding(&report, settlement);
    assert_eq!((finding.probable_cause, finding.difference_minor), (ProbableCause::SideSwapped, -640));
}

#[tokio::test]
async fn legs_that_vanish_together_are_found_though_all_totals_agree() {
    let (settlement, report) =
        damaged_by("DELETE FROM countersign.entry WHERE transaction_id = $settlement").await;
    assert!(report.verdicts.iter().all(|book| book.difference_minor == 0));
    let finding = only_finding(&report, settlement);
    assert_eq!(finding.faults, [Fault::FewerLegs]);
    assert_eq!((finding.probable_cause, finding.currency.as_ref()), (ProbableCause::LegMissing, None));
}

#[tokio::test]
async fn legs_without_their_transaction_are_found() {
    let (settlement, report) = damaged_by("DELETE FROM countersign.transaction WHERE id = $settlement").await;
    let finding = only_finding(&report, settlement);
    assert_eq!(finding.faults, [Fault::NoHeader]);
    assert_eq!(finding.probable_cause, ProbableCause::HeaderDeleted);
}

#[tokio::test]
async fn two_errors_that_cancel_out_are_found() {
    let (_, report) = damaged_by(
        "UPDATE countersign.entry SET amount_minor = amount_minor + 5
         WHERE leg = 1 AND transaction_id = (SELECT id FROM countersign.transaction WHERE object_id = 'ch_live');
         UPDATE countersign.entry SET amount_minor = amount_minor - 5 WHERE transaction_id = $settlement AND leg = 4",
    )
    .await;
    assert_eq!(differences(&report), [(true, "USD", 0)]);
    assert_eq!(of_transactions(&report).len(), 2);
}

#[tokio::test]
async fn an_entry_on_no_account_is_found_by_what_it_does_to_the_sum() {
    let (settlement, report) = damaged_by(
        "UPDATE countersign.entry SET account_id = 0, amount_minor = 9223372036854775807
         WHERE transaction_id = $settlement AND leg = 1;
         UPDATE countersign.entry SET amount_minor = 9223372036854775807
         WHERE transaction_id = $settlement AND leg = 2",
    )
    .await;
    let finding = only_finding(&report, settlement);
    assert_eq!(finding.difference_minor, i128::from(i64::MAX) * 2);
}

#[tokio::test]
async fn damage_beyond_64_bits_is_a_finding_that_can_be_stored() {
    let database = Database::create().await;
    let mut client = database.connect(Role::Superuser).await;
    for number in 1..=4 {
        book(&mut client, &format!("ch_{number}"), true, CAPTURE).await;
    }
    let superuser = unguard(&database).await;
    let damage = "UPDATE countersign.entry SET amount_minor = 9223372036854775807";
    superuser.batch_execute(damage).await.unwrap();
    let audited = store(&database).run(Kind::Full).await.unwrap();
    assert_eq!(differences(&audited.report), [(true, "USD", i128::from(i64::MAX) * 8)]);
    let open = audited.standing.unwrap().open;
    assert!(open.iter().any(|finding| finding.key == "balance/live/USD"), "{open:?}");
    database.close().await;
}
