//! What every `Books` promises. Each function uses ids of its own, so that all can run on the same books; they must be
//! empty at the start, with the accounts of [`samples::accounts`] open.

mod actions;
mod evidence;
mod gate;
pub mod samples;
mod totals;

use std::collections::BTreeMap;

use futures_util::future::join_all;
use ledger::{ActionId, ActionKind, Livemode, MovementKey, Outcome, ProviderAccount, Reason, Source};
use ports::{Books, BooksError, BoxFuture, Decision, Filing, Record, Recorded, Settlement};
use wire::{Event, Fingerprint, InstanceId};

use crate::memory::books::{MemoryBooks, RefusalKey, Target, TotalKept};

use samples::{
    booking, capture, capture_key, capture_of, decided, delivery, event, event_key, evidence, filed, keeping,
    with_fingerprint,
};

/// What the contract needs of the books beside the port.
pub trait Desk: Sync {
    /// Puts an operator's action down, wherever its target stands.
    fn ask(&self, kind: ActionKind, target: Target) -> BoxFuture<'_, ActionId>;

    /// The control totals of an instance, by window.
    fn totals(&self, instance: InstanceId) -> BoxFuture<'_, BTreeMap<u64, TotalKept>>;

    /// The counts of refusals that an instance told.
    fn refusals(&self, instance: InstanceId) -> BoxFuture<'_, BTreeMap<RefusalKey, u64>>;
}

impl Desk for MemoryBooks {
    fn ask(&self, kind: ActionKind, target: Target) -> BoxFuture<'_, ActionId> {
        Box::pin(async move { Self::ask(self, kind, target) })
    }

    fn totals(&self, instance: InstanceId) -> BoxFuture<'_, BTreeMap<u64, TotalKept>> {
        let totals = Self::totals(self).into_iter().filter(move |((of, _), _)| *of == instance);
        Box::pin(async move { totals.map(|((_, window), total)| (window, total)).collect() })
    }

    fn refusals(&self, instance: InstanceId) -> BoxFuture<'_, BTreeMap<RefusalKey, u64>> {
        let refusals = Self::refusals(self).into_iter().filter(move |(key, _)| key.0 == instance);
        Box::pin(async move { refusals.collect() })
    }
}

/// The whole contract.
pub async fn all(books: &dyn Books, desk: &dyn Desk) {
    a_batch_of_nothing_and_a_probe_change_nothing(books).await;
    a_new_event_is_booked_and_its_message_again_says_so(books).await;
    another_delivery_of_an_event_is_a_hit(books).await;
    what_is_not_booked_is_kept_with_its_reason(books).await;
    several_events_that_describe_one_movement_book_it_once(books).await;
    a_contradiction_parks_the_event_and_books_none_of_its_movements(books).await;
    a_parked_event_contradicts_nobody(books).await;
    an_event_that_contradicts_itself_is_parked(books).await;
    another_content_under_an_id_is_kept_as_evidence(books).await;
    fingerprints_of_different_versions_are_not_compared(books).await;
    evidence_makes_no_event(books).await;
    another_message_under_a_name_that_is_taken_is_not_recorded(books).await;
    the_first_is_the_first_by_instance_and_sequence(books).await;
    events_that_differ_in_any_part_of_the_key_are_different(books).await;
    real_money_and_test_money_are_different_movements(books).await;
    what_cannot_be_booked_is_refused_with_its_whole_batch(books).await;
    of_many_recorders_at_once_one_brings_the_event(books).await;
    gate::all(books).await;
    actions::all(books, desk).await;
    evidence::all(books, desk).await;
    totals::all(books, desk).await;
}

/// Records one message and answers for it.
async fn one(books: &dyn Books, record: Record) -> Recorded {
    many(books, vec![record]).await.remove(0)
}

async fn many(books: &dyn Books, batch: Vec<Record>) -> Vec<Recorded> {
    let answers = books.record(&batch).await.unwrap();
    assert_eq!(answers.len(), batch.len());
    answers
}

fn booked(settlement: Settlement, charges: &[&str]) -> Recorded {
    let movements: Vec<MovementKey> = charges.iter().map(|charge| capture_key(charge)).collect();
    Recorded { settlement, outcome: Outcome::Booked, reason: None, movements }
}

fn kept(settlement: Settlement, reason: Reason) -> Recorded {
    Recorded { settlement, outcome: reason.outcome(), reason: Some(reason), movements: vec![] }
}

async fn a_batch_of_nothing_and_a_probe_change_nothing(books: &dyn Books) {
    assert_eq!(books.record(&[]).await, Ok(vec![]));
    assert_eq!(books.probe().await, Ok(()));
}

async fn a_new_event_is_booked_and_its_message_again_says_so(books: &dyn Books) {
    let record = || booking(delivery(1, 1), "evt_new", &[("ch_new_2", 200), ("ch_new_1", 100)]);
    let charges = ["ch_new_1", "ch_new_2"];
    assert_eq!(one(books, record()).await, booked(Settlement::New, &charges));
    assert_eq!(one(books, record()).await, booked(Settlement::Again, &charges));
    let company = booking(delivery(1, 2), "evt_new_company", &[("ch_new_3", 1)]);
    let answers = many(books, vec![company, record(), record()]).await;
    let again = booked(Settlement::Again, &charges);
    assert_eq!(answers, [booked(Settlement::New, &["ch_new_3"]), again.clone(), again]);
}

async fn another_delivery_of_an_event_is_a_hit(books: &dyn Books) {
    let from = |sequence| booking(delivery(2, sequence), "evt_hit", &[("ch_hit", 100)]);
    let hit = booked(Settlement::Hit, &["ch_hit"]);
    let answers = many(books, vec![from(1), from(2), from(2)]).await;
    assert_eq!(
        answers,
        [booked(Settlement::New, &["ch_hit"]), hit.clone(), booked(Settlement::Again, &["ch_hit"])]
    );
    assert_eq!(one(books, from(3)).await, hit);
    // What a later delivery decides is nobody's business: the event stands.
    assert_eq!(one(books, keeping(delivery(2, 4), "evt_hit", Reason::UnknownType)).await, hit);
}

async fn what_is_not_booked_is_kept_with_its_reason(books: &dyn Books) {
    for (reason, sequence) in Reason::ALL.iter().zip((1..).step_by(2)) {
        let id = format!("evt_kept_{reason}");
        let first = one(books, keeping(delivery(3, sequence), &id, *reason)).await;
        assert_eq!(first, kept(Settlement::New, *reason));
        if reason.is_of_gate() {
            continue; // what the gate accepts takes over from these
        }
        let later = booking(delivery(3, sequence + 1), &id, &[("ch_kept", 100)]);
        assert_eq!(one(books, later.clone()).await, kept(Settlement::Hit, *reason));
        assert_eq!(one(books, later).await, kept(Settlement::Again, *reason));
    }
}

async fn several_events_that_describe_one_movement_book_it_once(books: &dyn Books) {
    let charge = |sequence, id| booking(delivery(4, sequence), id, &[("ch_described", 100)]);
    let new = booked(Settlement::New, &["ch_described"]);
    assert_eq!(many(books, vec![charge(1, "evt_ch"), charge(2, "evt_pi")]).await, [new.clone(), new.clone()]);
    assert_eq!(one(books, charge(3, "evt_later")).await, new);
    // One of the movements stands, the other is new.
    let both = booking(delivery(4, 4), "evt_both", &[("ch_described", 100), ("ch_only_here", 5)]);
    assert_eq!(one(books, both).await, booked(Settlement::New, &["ch_described", "ch_only_here"]));
    let twice = booking(delivery(4, 5), "evt_twice", &[("ch_twice", 5), ("ch_twice", 5)]);
    assert_eq!(one(books, twice).await, booked(Settlement::New, &["ch_twice"]));
}

async fn a_contradiction_parks_the_event_and_books_none_of_its_movements(books: &dyn Books) {
    let right = booking(delivery(5, 1), "evt_right", &[("ch_taken", 100)]);
    let wrong = booking(delivery(5, 2), "evt_wrong", &[("ch_free_1", 1), ("ch_taken", 101)]);
    let conflict = kept(Settlement::New, Reason::MovementConflict);
    assert_eq!(
        many(books, vec![wrong.clone(), right]).await,
        [conflict.clone(), booked(Settlement::New, &["ch_taken"])]
    );
    assert_eq!(one(books, wrong).await, kept(Settlement::Again, Reason::MovementConflict));
    let later = booking(delivery(5, 3), "evt_wrong_later", &[("ch_taken", 99), ("ch_free_2", 1)]);
    assert_eq!(one(books, later).await, conflict);
    // None of what they asserted beside it was booked: it can be, with any amount.
    let free = booking(delivery(5, 4), "evt_free", &[("ch_free_1", 7), ("ch_free_2", 7)]);
    assert_eq!(one(books, free).await, booked(Settlement::New, &["ch_free_1", "ch_free_2"]));
}

async fn a_parked_event_contradicts_nobody(books: &dyn Books) {
    one(books, booking(delivery(6, 1), "evt_stands", &[("ch_stands", 100)])).await;
    let parked = booking(delivery(6, 2), "evt_loses", &[("ch_stands", 1), ("ch_open", 1)]);
    let other = booking(delivery(6, 3), "evt_wins", &[("ch_open", 2)]);
    let third = booking(delivery(6, 4), "evt_too_late", &[("ch_open", 1)]);
    let answers = many(books, vec![parked, other, third]).await;
    let conflict = kept(Settlement::New, Reason::MovementConflict);
    assert_eq!(answers, [conflict.clone(), booked(Settlement::New, &["ch_open"]), conflict]);
}

async fn an_event_that_contradicts_itself_is_parked(books: &dyn Books) {
    let torn = booking(delivery(7, 1), "evt_torn", &[("ch_torn", 1), ("ch_torn", 2)]);
    assert_eq!(one(books, torn).await, kept(Settlement::New, Reason::MovementConflict));
    let whole = booking(delivery(7, 2), "evt_whole", &[("ch_torn", 2)]);
    assert_eq!(one(books, whole).await, booked(Settlement::New, &["ch_torn"]));
}

async fn another_content_under_an_id_is_kept_as_evidence(books: &dyn Books) {
    let other = Fingerprint { version: 1, digest: [2; 32] };
    let from = |sequence| booking(delivery(8, sequence), "evt_reused", &[("ch_reused", 100)]);
    let reused = kept(Settlement::Reused, Reason::EventIdReused);
    let answers = many(books, vec![from(1), with_fingerprint(from(2), other)]).await;
    assert_eq!(answers, [booked(Settlement::New, &["ch_reused"]), reused.clone()]);
    assert_eq!(one(books, with_fingerprint(from(3), other)).await, reused);
    let again = one(books, with_fingerprint(from(3), other)).await;
    assert_eq!(again, kept(Settlement::Again, Reason::EventIdReused));
    assert_eq!(one(books, from(4)).await, booked(Settlement::Hit, &["ch_reused"]));
}

async fn fingerprints_of_different_versions_are_not_compared(books: &dyn Books) {
    let from = |sequence| booking(delivery(9, sequence), "evt_versions", &[("ch_versions", 100)]);
    one(books, from(1)).await;
    let newer = with_fingerprint(from(2), Fingerprint { version: 2, digest: [2; 32] });
    assert_eq!(one(books, newer).await, booked(Settlement::Hit, &["ch_versions"]));
}

async fn evidence_makes_no_event(books: &dyn Books) {
    let answer = kept(Settlement::Evidence, Reason::Undecodable);
    let batch = vec![evidence(delivery(10, 1), None), evidence(delivery(10, 2), Some("evt_evidence"))];
    assert_eq!(many(books, batch).await, [answer.clone(), answer]);
    // The same message, decoded after all, stays what it was recorded as.
    let decoded = booking(delivery(10, 6), "evt_decoded", &[("ch_decoded", 1)]);
    let mut undecoded = evidence(delivery(10, 6), None);
    undecoded.delivery.message = decoded.delivery.message.clone();
    assert_eq!(one(books, undecoded).await, kept(Settlement::Evidence, Reason::Undecodable));
    assert_eq!(one(books, decoded).await, kept(Settlement::Again, Reason::Undecodable));
    let fresh = booking(delivery(10, 3), "evt_evidence", &[("ch_evidence", 1)]);
    assert_eq!(one(books, fresh).await, booked(Settlement::New, &["ch_evidence"]));
    let late = evidence(delivery(10, 4), Some("evt_evidence"));
    assert_eq!(one(books, late).await, kept(Settlement::Evidence, Reason::Undecodable));
    // Evidence is parked: a reason that would make it anything else is a mistake.
    let mut mistaken = evidence(delivery(10, 5), None);
    if let Filing::Evidence { reason, .. } = &mut mistaken.filing {
        *reason = Reason::MovesNoMoney;
    }
    assert!(matches!(books.record(&[mistaken]).await, Err(BooksError::Refused(_))));
}

async fn another_message_under_a_name_that_is_taken_is_not_recorded(books: &dyn Books) {
    let genuine = |sequence| booking(delivery(19, sequence), "evt_named", &[("ch_named", 1)]);
    one(books, evidence(delivery(19, 1), Some("evt_named"))).await;
    assert_eq!(one(books, genuine(1)).await, Recorded::name_taken());
    // Within a batch too, whichever comes first; and its neighbours are recorded.
    let other = booking(delivery(19, 2), "evt_other_named", &[("ch_other_named", 1)]);
    let answers = many(books, vec![genuine(2), other.clone(), genuine(3)]).await;
    let hit = booked(Settlement::Hit, &["ch_named"]);
    assert_eq!(answers, [booked(Settlement::New, &["ch_named"]), Recorded::name_taken(), hit]);
    assert_eq!(one(books, other).await, Recorded::name_taken());
    assert_eq!(one(books, genuine(2)).await, booked(Settlement::Again, &["ch_named"]));
}

async fn the_first_is_the_first_by_instance_and_sequence(books: &dyn Books) {
    let (second, first) = (delivery(12, 1), delivery(11, 9));
    let batch = vec![
        booking(second.clone(), "evt_order", &[("ch_order", 100)]),
        booking(first.clone(), "evt_order", &[("ch_order", 100)]),
        booking(delivery(12, 3), "evt_order_3", &[("ch_other_order", 3)]),
        booking(delivery(12, 2), "evt_order_2", &[("ch_other_order", 2)]),
    ];
    let answers = many(books, batch).await;
    let settlements: Vec<Settlement> = answers.iter().map(|answer| answer.settlement).collect();
    assert_eq!(settlements, [Settlement::Hit, Settlement::New, Settlement::New, Settlement::New]);
    assert_eq!(answers[2].reason, Some(Reason::MovementConflict));
    assert_eq!(answers[3], booked(Settlement::New, &["ch_other_order"]));
}

async fn events_that_differ_in_any_part_of_the_key_are_different(books: &dyn Books) {
    let key = event_key("evt_key");
    let keys = [
        key.clone(),
        ledger::EventKey { source: Source::parse("stripe-eu").unwrap(), ..key.clone() },
        ledger::EventKey { account: ProviderAccount::parse("acct_2").unwrap(), ..key.clone() },
        ledger::EventKey { livemode: Livemode::Live, ..key },
        event_key("evt_kez"),
    ];
    for (key, sequence) in keys.into_iter().zip(1..) {
        let event = Event { key, ..event("evt_key", "price.created", 1) };
        let record = decided(event, Decision::Keep(Reason::MovesNoMoney));
        let answer = one(books, filed(delivery(13, sequence), record)).await;
        assert_eq!(answer.settlement, Settlement::New);
    }
}

async fn real_money_and_test_money_are_different_movements(books: &dyn Books) {
    let live = MovementKey { livemode: Livemode::Live, ..capture_key("ch_mode") };
    for (key, sequence) in [capture_key("ch_mode"), live].into_iter().zip(1_u32..) {
        let event = event(&format!("evt_mode_{sequence}"), "charge.succeeded", 1);
        let decision = Decision::Book(vec![capture_of(key.clone(), 100 + i64::from(sequence))]);
        let record = filed(delivery(14, u64::from(sequence)), decided(event, decision));
        let answer = one(books, record).await;
        assert_eq!(answer.movements, [key]);
    }
}

async fn what_cannot_be_booked_is_refused_with_its_whole_batch(books: &dyn Books) {
    let good = booking(delivery(15, 1), "evt_good", &[("ch_good", 1)]);
    let nothing = booking(delivery(15, 2), "evt_nothing", &[]);
    let mut no_text = event("evt_no_text", "charge.succeeded", 1);
    no_text.payload = bytes::Bytes::from_static(b"{\"a\":\"\xff\"}");
    let decision = Decision::Book(vec![capture("ch_no_text", 1)]);
    let no_text = filed(delivery(15, 3), decided(no_text, decision));
    for bad in [nothing, no_text] {
        let refused = books.record(&[good.clone(), bad]).await;
        assert!(matches!(refused, Err(BooksError::Refused(_))), "{refused:?}");
    }
    assert_eq!(one(books, good).await, booked(Settlement::New, &["ch_good"]));
}

async fn of_many_recorders_at_once_one_brings_the_event(books: &dyn Books) {
    let batches: Vec<Vec<Record>> = (1..=8)
        .map(|sequence| {
            let shared = booking(delivery(16, sequence), "evt_shared", &[("ch_shared", 100)]);
            let own = booking(delivery(17, sequence), &format!("evt_own_{sequence}"), &[("ch_shared", 100)]);
            // Every recorder gets this one: the broker gave it to each when it lost the one before.
            vec![own, booking(delivery(18, 1), "evt_common", &[("ch_common", 1)]), shared]
        })
        .collect();
    let answers = join_all(batches.iter().map(|batch| books.record(batch))).await;
    let answers: Vec<Recorded> = answers.into_iter().flat_map(Result::unwrap).collect();
    let count = |charge: &str, settlement| {
        answers.iter().filter(|answer| **answer == booked(settlement, &[charge])).count()
    };
    assert_eq!(count("ch_shared", Settlement::New), 8 + 1);
    assert_eq!(count("ch_shared", Settlement::Hit), 7);
    assert_eq!(count("ch_common", Settlement::New), 1);
    assert_eq!(count("ch_common", Settlement::Again), 7);
}
