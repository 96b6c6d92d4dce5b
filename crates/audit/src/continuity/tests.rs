use super::*;
use crate::{AccountName, Content, CurrencyCode, EventId, Livemode, MovementKey, Sums, Written};

fn totals(of: &[(&str, i64)]) -> Totals {
    let mut totals = Totals::default();
    for (account, amount) in of {
        let key = (Livemode::Live, CurrencyCode::new("USD"), AccountName::new(*account));
        totals.add(key, Sums::of_entry(*amount));
    }
    totals
}

fn facts(rows: u64, digest: u8, of: &[(&str, i64)]) -> RangeFacts {
    let content = Content { rows, digest: Digest([digest; 32]) };
    RangeFacts { contents: [("entry".to_owned(), content)].into(), totals: totals(of) }
}

const CAPTURE: &[(&str, i64)] = &[("clearing", 10_000), ("sales", -10_000)];

/// Two ranges of one capture each.
fn sealed() -> (Checkpoint, Checkpoint) {
    let first = Checkpoint::seal(None, 800, facts(2, 1, CAPTURE));
    let second = Checkpoint::seal(Some(&first), 900, facts(2, 2, CAPTURE));
    (first, second)
}

fn range(found: RangeFacts, rewritten: Vec<RewrittenRow>) -> Vec<Finding> {
    let (first, second) = sealed();
    let ranges = vec![RangeRow { checkpoint: second, before: first.totals, found, rewritten }];
    findings(&ContinuityRows { ranges, ..ContinuityRows::default() })
}

fn findings(rows: &ContinuityRows) -> Vec<Finding> {
    check_continuity(rows, &Limits::default()).findings().to_vec()
}

fn link(checkpoint: &Checkpoint) -> LinkRow {
    LinkRow {
        height: checkpoint.height,
        lo: checkpoint.lo,
        hi: checkpoint.hi,
        digest: checkpoint.digest,
        previous_digest: checkpoint.previous_digest,
        adopted: checkpoint.adopted.is_some(),
    }
}

#[test]
fn a_range_that_is_what_it_was_is_no_finding() {
    assert_eq!(range(facts(2, 2, CAPTURE), Vec::new()), []);
}

#[test]
fn an_edited_amount_is_named_with_its_entry() {
    let leg = LegRow {
        leg: 1,
        account: Some(AccountName::new("clearing")),
        amount_minor: 10_005,
        currency: CurrencyCode::new("USD"),
        livemode: Livemode::Live,
        written: Written::Later,
    };
    let header = HeaderRow {
        movement_key: MovementKey::new("key"),
        legs: 2,
        livemode: Livemode::Live,
        event_id: Some(EventId::new("evt_1")),
        trace_id: None,
    };
    let rewritten = RewrittenRow { transaction: TransactionId(42), header: Some(header), leg };
    let found = range(facts(2, 9, &[("clearing", 10_005), ("sales", -10_000)]), vec![rewritten]);
    let [finding] = found.as_slice() else { panic!("{found:?}") };
    assert_eq!(finding.key.as_str(), "continuity/range/2/live/USD");
    assert_eq!((finding.difference_minor, finding.amount_minor), (5, Some(5)));
    assert_eq!(finding.probable_cause, ProbableCause::RowsEdited);
    assert_eq!(finding.transaction.as_ref().unwrap().id, TransactionId(42));
    assert_eq!(finding.event_id.as_ref().unwrap().as_str(), "evt_1");
    assert_eq!(finding.subject.as_deref(), Some("entry: 2 of 2 rows, changed"));
}

#[test]
fn a_deleted_transaction_is_named_with_its_amount() {
    let found = range(facts(0, 9, &[]), Vec::new());
    assert_eq!((found[0].probable_cause, found[0].amount_minor), (ProbableCause::RowsDeleted, Some(10_000)));
    assert_eq!(found[0].difference_minor, 0);
}

#[test]
fn a_leg_on_another_account_is_found_though_everything_balances() {
    let found = range(facts(2, 9, &[("suspense", 10_000), ("sales", -10_000)]), Vec::new());
    assert_eq!(
        (found[0].probable_cause, found[0].amount_minor),
        (ProbableCause::AccountChanged, Some(10_000))
    );
}

#[test]
fn rows_without_money_are_sealed_too() {
    let found = range(facts(2, 9, CAPTURE), Vec::new());
    assert_eq!((found.len(), found[0].key.as_str()), (1, "continuity/range/2"));
}

#[test]
fn a_checkpoint_that_was_edited_is_not_what_its_digest_says() {
    let (first, mut second) = sealed();
    second.totals = totals(CAPTURE);
    let ranges = vec![RangeRow {
        checkpoint: second,
        before: first.totals,
        found: facts(2, 2, CAPTURE),
        rewritten: Vec::new(),
    }];
    let found = findings(&ContinuityRows { ranges, ..ContinuityRows::default() });
    assert_eq!(found[0].faults, [Fault::ChainBroken]);
}

#[test]
fn a_chain_with_a_gap_or_another_past_is_broken() {
    let (first, second) = sealed();
    let third = Checkpoint::adopt(Some(&second), 950, facts(4, 3, CAPTURE), "because");
    assert_eq!(third.lo, 0);
    let chain = |links: &[&Checkpoint]| {
        let chain = links.iter().map(|checkpoint| link(checkpoint)).collect();
        findings(&ContinuityRows { chain, ..ContinuityRows::default() }).len()
    };
    assert_eq!(chain(&[&first, &second, &third]), 0);
    assert_eq!(chain(&[&second, &third]), 0);
    assert_eq!(chain(&[&first, &third]), 1);
    let other = Checkpoint::seal(None, 800, facts(2, 7, CAPTURE));
    assert_eq!(chain(&[&other, &second]), 1);
}

#[test]
fn a_head_that_was_published_must_still_be_there() {
    let (_, second) = sealed();
    let published = |found: Option<Digest>, height| {
        let head = Head { height: second.height, digest: second.digest };
        let published = Some(PublishedRow { head, found, height: Height(height) });
        findings(&ContinuityRows { published, ..ContinuityRows::default() })
    };
    assert_eq!(published(Some(second.digest), 7), []);
    assert_eq!(published(None, 1)[0].faults, [Fault::ChainShorter]);
    let other = published(Some(Digest::NONE), 2);
    assert_eq!((other[0].faults[0], other[0].key.as_str()), (Fault::ChainDiffers, "continuity/head"));
}

#[test]
fn numbers_that_start_again_and_a_horizon_that_stands_still_are_found() {
    let horizon = |sealed, xmin, age_s| {
        let oldest_above = Some((Instant::new("2026-11-22T07:00:00Z"), age_s));
        let horizon = HorizonRow { sealed, xmin, oldest_above };
        let found = findings(&ContinuityRows { horizon, ..ContinuityRows::default() });
        found.first().map(|finding| finding.faults[0])
    };
    assert_eq!(horizon(Some(900), 900, 3599), None);
    assert_eq!(horizon(None, 3, 0), None);
    assert_eq!(horizon(Some(900), 900, 3600), Some(Fault::HorizonStuck));
    assert_eq!(horizon(Some(900), 899, 0), Some(Fault::ForeignHistory));
}
