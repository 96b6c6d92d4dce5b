use money::{Amount, Currency};
use proptest::prelude::*;

use super::*;
use crate::{Livemode, MovementKey, ObjectId, ProviderAccount, UnixMillis};

fn movement(kind: MovementKind, parts: &[(Part, i64)]) -> Movement {
    let usd = Currency::parse("USD").unwrap();
    Movement {
        key: MovementKey {
            provider: Provider::parse("stripe").unwrap(),
            account: ProviderAccount::parse("acct_dev").unwrap(),
            livemode: Livemode::Test,
            object_id: ObjectId::parse("obj_1").unwrap(),
            kind,
        },
        occurred_at: UnixMillis(0),
        settles: None,
        parts: parts.iter().map(|(part, minor)| (*part, Amount::new(*minor, usd))).collect(),
    }
}

fn capture(minor: i64) -> Movement {
    movement(MovementKind::Capture, &[(Part::Gross, minor)])
}

/// The legs of a movement of these parts, debits and credits.
fn posted(kind: MovementKind, parts: &[(Part, i64)]) -> Vec<(String, i64)> {
    let transaction = PostingTable::built_in().post(&movement(kind, parts)).unwrap();
    transaction.entries().iter().map(|entry| (entry.account.to_string(), entry.amount.minor())).collect()
}

#[test]
fn every_announced_movement_has_clearing_on_one_side() {
    for (kind, debit, credit) in [
        (MovementKind::Capture, "assets:stripe:clearing", "income:sales"),
        (MovementKind::Refund, "income:refunds", "assets:stripe:clearing"),
        (MovementKind::RefundFailed, "assets:stripe:clearing", "income:refunds"),
        (MovementKind::PayoutSent, "assets:stripe:payouts", "assets:stripe:clearing"),
        (MovementKind::PayoutReturned, "assets:stripe:clearing", "assets:stripe:payouts"),
        (MovementKind::TransferSent, "liabilities:connected", "assets:stripe:clearing"),
        (MovementKind::TransferReversed, "assets:stripe:clearing", "liabilities:connected"),
        (MovementKind::FeeEarned, "assets:stripe:clearing", "income:platform-fees"),
        (MovementKind::FeeRefunded, "income:platform-fees", "assets:stripe:clearing"),
        (MovementKind::Topup, "assets:stripe:clearing", "assets:stripe:payouts"),
        (MovementKind::TopupReversed, "assets:stripe:payouts", "assets:stripe:clearing"),
    ] {
        let legs = [(debit.to_owned(), 1000), (credit.to_owned(), -1000)];
        assert_eq!(posted(kind, &[(Part::Gross, 1000)]), legs, "{kind:?}");
        let swapped = [(debit.to_owned(), -1000), (credit.to_owned(), 1000)];
        assert_eq!(posted(kind, &[(Part::Gross, -1000)]), swapped, "{kind:?}");
    }
    let transaction = PostingTable::built_in().post(&capture(1000)).unwrap();
    assert_eq!(transaction.key().to_string(), "stripe/acct_dev/test/obj_1/capture");
}

#[test]
fn a_settlement_follows_the_signs_of_the_balance_transaction() {
    for (parts, legs) in [
        (
            vec![(Part::Gross, 1000), (Part::Net, 941), (Part::FeeProvider, 50), (Part::FeeTax, 9)],
            vec![
                ("assets:stripe:balance", 941),
                ("expenses:psp-fees", 50),
                ("expenses:psp-fees", 9),
                ("assets:stripe:clearing", -1000),
            ],
        ),
        (
            vec![(Part::Disputed, -1000), (Part::FeeProvider, 1500), (Part::Net, -2500)],
            vec![("assets:stripe:balance", -2500), ("expenses:psp-fees", 1500), ("expenses:disputes", 1000)],
        ),
        (
            vec![(Part::Disputed, 1000), (Part::FeeProvider, -1500), (Part::Net, 2500)],
            vec![("assets:stripe:balance", 2500), ("expenses:psp-fees", -1500), ("expenses:disputes", -1000)],
        ),
        (
            vec![(Part::Billed, -20), (Part::Net, -20)],
            vec![("assets:stripe:balance", -20), ("expenses:psp-fees", 20)],
        ),
        (
            vec![(Part::Reserved, -20), (Part::Net, -20)],
            vec![("assets:stripe:balance", -20), ("assets:stripe:reserved", 20)],
        ),
        (
            vec![(Part::Connected, 20), (Part::Net, 20)],
            vec![("assets:stripe:balance", 20), ("liabilities:connected", -20)],
        ),
        (vec![(Part::Unmapped, 7), (Part::Net, 7)], vec![("assets:stripe:balance", 7), ("suspense", -7)]),
    ] {
        let legs: Vec<_> = legs.into_iter().map(|(account, minor)| (account.to_owned(), minor)).collect();
        assert_eq!(posted(MovementKind::Settlement, &parts), legs);
    }
}

#[test]
fn a_movement_that_is_not_of_its_kind_is_refused() {
    let post =
        |kind, parts: &[(Part, i64)]| PostingTable::built_in().post(&movement(kind, parts)).unwrap_err();
    assert_eq!(post(MovementKind::Capture, &[]), PostError::PartMissing(Part::Gross));
    assert_eq!(
        post(MovementKind::Capture, &[(Part::Gross, 2), (Part::Net, 1)]),
        PostError::PartUnexpected(Part::Net)
    );
    assert_eq!(
        post(MovementKind::Settlement, &[(Part::Net, 1), (Part::Gross, 1), (Part::Net, 1)]),
        PostError::PartUnexpected(Part::Net)
    );
    assert!(matches!(
        post(MovementKind::Settlement, &[(Part::Net, 2), (Part::Gross, 3)]),
        PostError::Imbalance(Imbalance::NotZero { difference_minor: -1, .. })
    ));
    assert_eq!(post(MovementKind::Settlement, &[]), PostError::Imbalance(Imbalance::Legs));
    assert_eq!(
        post(MovementKind::Capture, &[(Part::Gross, i64::MIN)]),
        PostError::Amount(money::AmountError::Overflow)
    );
}

#[test]
fn legs_that_do_not_balance_are_no_transaction() {
    let usd = Currency::parse("USD").unwrap();
    let leg = |minor, currency| Entry {
        account: Account::parse("income:sales").unwrap(),
        amount: Amount::new(minor, currency),
    };
    let movement = capture(1);
    let one_short = Transaction::balanced(&movement, 1, vec![leg(2, usd), leg(-1, usd)]);
    assert_eq!(one_short, Err(Imbalance::NotZero { currency: usd, difference_minor: 1 }));
    let eur = Currency::parse("EUR").unwrap();
    assert!(Transaction::balanced(&movement, 1, vec![leg(1, usd), leg(-1, eur)]).is_err());
    assert_eq!(Transaction::balanced(&movement, 1, vec![leg(0, usd), leg(0, usd)]), Err(Imbalance::EmptyLeg));
    assert_eq!(Transaction::balanced(&movement, 1, vec![leg(0, usd)]), Err(Imbalance::Legs));
}

#[test]
fn a_table_with_a_mistake_says_which() {
    let edit = |from: &str, to: &str| {
        let text = DEFAULT.replace(from, to);
        assert_ne!(text, DEFAULT, "{from}");
        PostingTable::parse(&text).map(|_| ()).unwrap_err().to_string()
    };
    for (from, to, refusal) in [
        ("movements.capture", "movements.captured", "captured is no movement or part of the books"),
        ("part = \"net\"", "part = \"nett\"", "nett is no movement or part of the books"),
        ("  \"suspense\",", "  ", "movement settlement posts to suspense, which is not in the chart"),
        ("\"equity:fx\"", "\"equity:FX\"", "not an account name: equity:FX"),
        (
            "credit = [{ account = \"income:sales\", part = \"gross\" }]",
            "credit = [{ account = \"income:sales\", part = \"net\" }]",
            "movement capture never has a part net",
        ),
        (
            "credit = [{ account = \"income:sales\", part = \"gross\" }]",
            "credit = [{ account = \"income:sales\", part = \"gross\" }, { account = \"suspense\", part = \"gross\" }]",
            "movement capture does not balance: look at part gross",
        ),
        (
            "  { account = \"expenses:psp-fees\", part = \"fee-tax\" },\n",
            "",
            "movement settlement does not balance: look at part fee-tax",
        ),
        (
            "{ account = \"assets:<provider>:balance\", part = \"net\" }",
            "{ account = \"assets:<provider>:balance\", part = \"gross\" }",
            "movement settlement does not balance",
        ),
        ("[movements.topup]\ndebit", "[movements.topup]\ncredit = []\ndebit", "duplicate key"),
        (
            "credit = [{ account = \"income:sales\", part = \"gross\" }]",
            "credit = []",
            "movement capture has no",
        ),
    ] {
        let said = edit(from, to);
        assert!(said.contains(refusal), "{said} instead of {refusal}");
    }
    let without_topup: String = DEFAULT.replace("[movements.topup]\n", "[movements.capture]\n").replacen(
        "[movements.capture]",
        "[x]",
        1,
    );
    assert!(PostingTable::parse(&without_topup).is_err());
    assert!(matches!(
        PostingTable::parse(&DEFAULT.replace("version = 1", "version = -1")).unwrap_err(),
        TableInvalid::Syntax(_)
    ));
}

#[test]
fn a_table_may_post_taxes_elsewhere_and_a_part_to_both_sides() {
    let taxes = DEFAULT
        .replace("  \"suspense\",", "  \"suspense\", \"assets:input-tax\",")
        .replace("\"expenses:psp-fees\", part = \"fee-tax\"", "\"assets:input-tax\", part = \"fee-tax\"");
    let legs = PostingTable::parse(&taxes)
        .unwrap()
        .post(&movement(MovementKind::Settlement, &[(Part::Gross, 10), (Part::Net, 9), (Part::FeeTax, 1)]))
        .unwrap();
    assert!(legs.entries().iter().any(|entry| entry.account.as_str() == "assets:input-tax"));
    let memo = "debit = [\n  { account = \"assets:<provider>:reserved\", part = \"net\" },";
    let both = DEFAULT
        .replace("debit = [\n", &format!("{memo}\n"))
        .replace("credit = [\n", "credit = [\n  { account = \"suspense\", part = \"net\" },\n");
    assert!(PostingTable::parse(&both).is_ok());
}

proptest! {
    #[test]
    fn every_capture_that_posts_sums_to_zero(minor in 1_i64..) {
        let transaction = PostingTable::built_in().post(&capture(minor)).unwrap();
        let sum: i128 = transaction.entries().iter().map(|e| i128::from(e.amount.minor())).sum();
        prop_assert_eq!(sum, 0);
    }

    #[test]
    fn whatever_parts_a_settlement_has_it_sums_to_zero_or_is_refused(
        minors in proptest::collection::vec(-1_000_000_i64..1_000_000, Part::ALL.len()), short in 0_i64..2,
    ) {
        let weighted = |pairs: &[(Part, i64)]| pairs.iter().map(|(part, minor)| part.weight() * minor).sum::<i64>();
        let mut parts: Vec<_> = Part::ALL.iter().copied().zip(minors).collect();
        let off = weighted(&parts);
        parts[0].1 -= parts[0].0.weight() * (off - short);
        match PostingTable::built_in().post(&movement(MovementKind::Settlement, &parts)) {
            Ok(transaction) => {
                prop_assert_eq!(short, 0);
                prop_assert_eq!(transaction.entries().iter().map(|e| e.amount.minor()).sum::<i64>(), 0);
            }
            Err(_) => prop_assert_eq!(short, 1),
        }
    }

    #[test]
    fn the_digest_changes_with_the_amount(a in 1_i64.., b in 1_i64..) {
        prop_assert_eq!(capture(a).digest() == capture(b).digest(), a == b);
    }
}

#[test]
fn the_digest_covers_kind_and_every_part_in_any_order() {
    let parts = [(Part::Gross, 10), (Part::Net, 9), (Part::FeeTax, 1)];
    let digest = |parts: &[(Part, i64)]| movement(MovementKind::Settlement, parts).digest();
    let reversed: Vec<_> = parts.iter().rev().copied().collect();
    assert_eq!(digest(&parts), digest(&reversed));
    assert_ne!(digest(&parts), digest(&parts[..2]));
    assert_ne!(digest(&parts), digest(&[(Part::Gross, 10), (Part::Net, 9), (Part::FeeProvider, 1)]));
    let refund = movement(MovementKind::Refund, &[(Part::Gross, 1)]);
    assert_ne!(refund.digest(), capture(1).digest());
}
