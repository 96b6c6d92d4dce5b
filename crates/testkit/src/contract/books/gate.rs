//! What the gate refuses is kept, and gives way to what it accepts.

use futures_util::future::join_all;
use ledger::Reason;
use ports::{Books, BooksError, Gate, Record, Settlement};
use wire::Fingerprint;

use super::samples::{
    body_refused, booking, delivery, dollars, keeping, refusing, set_aside, with_fingerprint,
};
use super::{booked, kept, many, one};

pub(super) async fn all(books: &dyn Books) {
    what_the_gate_refused_is_parked_and_a_delivery_it_accepts_takes_over(books).await;
    a_takeover_within_a_batch_goes_by_the_order_of_instance_and_sequence(books).await;
    what_takes_over_may_be_parked_itself_and_nothing_takes_over_from_that(books).await;
    a_takeover_that_contradicts_the_books_books_nothing(books).await;
    another_content_takes_nothing_over(books).await;
    the_gates_reasons_go_with_its_refusals_alone(books).await;
    refused_evidence_makes_no_event(books).await;
    of_many_deliveries_at_once_one_takes_over(books).await;
}

const OLD: Reason = Reason::EventTooOld;

async fn what_the_gate_refused_is_parked_and_a_delivery_it_accepts_takes_over(books: &dyn Books) {
    for (instance, reason) in [(20, Reason::EventTooOld), (21, Reason::EventWrongMode)] {
        let id = format!("evt_gate_{instance}");
        let charge = format!("ch_gate_{instance}");
        let refused = |sequence| refusing(delivery(instance, sequence), &id, reason, Some(dollars(100)));
        let accepted = |sequence| booking(delivery(instance, sequence), &id, &[(&charge, 100)]);
        assert_eq!(one(books, refused(1)).await, kept(Settlement::New, reason));
        assert_eq!(one(books, refused(2)).await, kept(Settlement::Hit, reason));
        assert_eq!(one(books, accepted(3)).await, booked(Settlement::TookOver, &[&charge]));
        assert_eq!(one(books, accepted(3)).await, booked(Settlement::Again, &[&charge]));
        // Every message of the event is answered where that stands now, the first one too.
        assert_eq!(one(books, refused(1)).await, booked(Settlement::Again, &[&charge]));
        assert_eq!(one(books, accepted(4)).await, booked(Settlement::Hit, &[&charge]));
        assert_eq!(one(books, refused(5)).await, booked(Settlement::Hit, &[&charge]));
    }
}

async fn a_takeover_within_a_batch_goes_by_the_order_of_instance_and_sequence(books: &dyn Books) {
    let refused = |sequence, id| refusing(delivery(22, sequence), id, OLD, None);
    let accepted = |sequence, id| booking(delivery(22, sequence), id, &[("ch_gate_batch", 100)]);
    let batch = vec![
        accepted(2, "evt_gate_after"),
        refused(1, "evt_gate_after"),
        refused(1, "evt_gate_after"),
        refused(4, "evt_gate_before"),
        accepted(3, "evt_gate_before"),
    ];
    let charge = &["ch_gate_batch"];
    let expected = [
        booked(Settlement::TookOver, charge),
        kept(Settlement::New, OLD),
        kept(Settlement::Again, OLD),
        booked(Settlement::Hit, charge),
        booked(Settlement::New, charge),
    ];
    assert_eq!(many(books, batch).await, expected);
    // A message from before, behind the one that takes over and ahead of it.
    one(books, refused(6, "evt_gate_mixed")).await;
    one(books, refused(8, "evt_gate_mixed")).await;
    let batch =
        vec![refused(6, "evt_gate_mixed"), accepted(7, "evt_gate_mixed"), refused(8, "evt_gate_mixed")];
    let expected = [
        kept(Settlement::Again, OLD),
        booked(Settlement::TookOver, charge),
        booked(Settlement::Again, charge),
    ];
    assert_eq!(many(books, batch).await, expected);
}

async fn what_takes_over_may_be_parked_itself_and_nothing_takes_over_from_that(books: &dyn Books) {
    one(books, refusing(delivery(23, 1), "evt_gate_parked", OLD, None)).await;
    let parked = keeping(delivery(23, 2), "evt_gate_parked", Reason::UnknownMoney);
    let parked = with_fingerprint(parked, Fingerprint { version: 1, digest: [1; 32] });
    assert_eq!(one(books, parked).await, kept(Settlement::TookOver, Reason::UnknownMoney));
    let accepted = booking(delivery(23, 3), "evt_gate_parked", &[("ch_gate_parked", 1)]);
    assert_eq!(one(books, accepted).await, kept(Settlement::Hit, Reason::UnknownMoney));
    let refused = refusing(delivery(23, 4), "evt_gate_parked", OLD, None);
    assert_eq!(one(books, refused).await, kept(Settlement::Hit, Reason::UnknownMoney));
    one(books, refusing(delivery(23, 5), "evt_gate_ignored", OLD, None)).await;
    let ignored = keeping(delivery(23, 6), "evt_gate_ignored", Reason::NothingMovedYet);
    assert_eq!(one(books, ignored).await, kept(Settlement::TookOver, Reason::NothingMovedYet));
}

async fn a_takeover_that_contradicts_the_books_books_nothing(books: &dyn Books) {
    one(books, booking(delivery(24, 1), "evt_gate_stands", &[("ch_gate_taken", 100)])).await;
    one(books, refusing(delivery(24, 2), "evt_gate_wrong", OLD, None)).await;
    let wrong = booking(delivery(24, 3), "evt_gate_wrong", &[("ch_gate_free", 1), ("ch_gate_taken", 99)]);
    assert_eq!(one(books, wrong).await, kept(Settlement::TookOver, Reason::MovementConflict));
    let free = booking(delivery(24, 4), "evt_gate_free", &[("ch_gate_free", 7)]);
    assert_eq!(one(books, free).await, booked(Settlement::New, &["ch_gate_free"]));
}

async fn another_content_takes_nothing_over(books: &dyn Books) {
    let other = Fingerprint { version: 1, digest: [2; 32] };
    one(books, refusing(delivery(25, 1), "evt_gate_other", OLD, None)).await;
    let accepted = |sequence| booking(delivery(25, sequence), "evt_gate_other", &[("ch_gate_other", 1)]);
    let reused = kept(Settlement::Reused, Reason::EventIdReused);
    assert_eq!(one(books, with_fingerprint(accepted(2), other)).await, reused);
    let refused = refusing(delivery(25, 3), "evt_gate_other", OLD, None);
    assert_eq!(one(books, with_fingerprint(refused, other)).await, reused);
    let newer = Fingerprint { version: 2, ..other };
    let taken = booked(Settlement::TookOver, &["ch_gate_other"]);
    assert_eq!(one(books, with_fingerprint(accepted(4), newer)).await, taken);
}

async fn the_gates_reasons_go_with_its_refusals_alone(books: &dyn Books) {
    let refuse = |mut record: Record| {
        record.delivery.gate = Gate::Refused;
        record
    };
    let accept = |mut record: Record| {
        record.delivery.gate = Gate::Accepted;
        record
    };
    for mistaken in [
        refuse(booking(delivery(26, 1), "evt_gate_mistake", &[("ch_gate_mistake", 1)])),
        refuse(keeping(delivery(26, 2), "evt_gate_mistake", Reason::UnknownMoney)),
        accept(keeping(delivery(26, 3), "evt_gate_mistake", OLD)),
    ] {
        assert!(matches!(books.record(&[mistaken]).await, Err(BooksError::Refused(_))));
    }
}

async fn refused_evidence_makes_no_event(books: &dyn Books) {
    let invalid = kept(Settlement::Evidence, Reason::PayloadInvalid);
    assert_eq!(one(books, body_refused(delivery(27, 1))).await, invalid);
    assert_eq!(
        one(books, body_refused(delivery(27, 1))).await,
        kept(Settlement::Again, Reason::PayloadInvalid)
    );
    // Whatever evidence of a refusal is put aside for, it is kept.
    for (reason, sequence) in
        [Reason::EventIdReused, Reason::DeadLettered, Reason::RefusedByBooks, OLD].into_iter().zip(2..)
    {
        let refused = refusing(delivery(27, sequence), "evt_gate_evidence", OLD, None);
        assert_eq!(one(books, set_aside(refused, reason)).await, kept(Settlement::Evidence, reason));
    }
    let fresh = booking(delivery(27, 9), "evt_gate_evidence", &[("ch_gate_evidence", 1)]);
    assert_eq!(one(books, fresh).await, booked(Settlement::New, &["ch_gate_evidence"]));
}

async fn of_many_deliveries_at_once_one_takes_over(books: &dyn Books) {
    one(books, refusing(delivery(28, 100), "evt_gate_many", OLD, None)).await;
    let batches: Vec<[Record; 1]> = (1..=8)
        .map(|sequence| [booking(delivery(28, sequence), "evt_gate_many", &[("ch_gate_many", 100)])])
        .collect();
    let answers = join_all(batches.iter().map(|batch| books.record(batch))).await;
    let answers: Vec<_> = answers.into_iter().flat_map(Result::unwrap).collect();
    let count = |settlement| {
        answers.iter().filter(|answer| **answer == booked(settlement, &["ch_gate_many"])).count()
    };
    assert_eq!((count(Settlement::TookOver), count(Settlement::Hit)), (1, 7), "{answers:?}");
}
