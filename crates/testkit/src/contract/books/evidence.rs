//! What operators ask for, of evidence: released it may come to an event, dismissed it is put away.

use futures_util::future::join_all;
use ledger::{ActionKind, Reason, Status};
use ports::{Acted, Books, Filing, Record, Settlement};
use wire::{Event, Fingerprint};

use super::actions::{act, acted, as_captures, as_kept, still, unasked};
use super::samples::{
    body_refused, booking, delivery, evidence, keeping, refusing, set_aside, with_fingerprint,
};
use super::{Desk, booked, kept, many, one};
use crate::memory::books::Target;

pub(super) async fn all(books: &dyn Books, desk: &dyn Desk) {
    released_evidence_comes_to_the_event_that_it_holds(books, desk).await;
    evidence_that_holds_no_event_stays_what_it_is(books, desk).await;
    released_evidence_that_stays_parked_is_an_event_from_then_on(books, desk).await;
    another_content_is_released_under_a_key_of_its_own(books, desk).await;
    released_evidence_of_an_event_that_is_there_is_that_event(books, desk).await;
    what_the_books_refuse_of_released_evidence_stays_evidence(books, desk).await;
    dismissed_evidence_is_put_away(books, desk).await;
    of_a_release_and_a_dismissal_at_once_one_counts(books, desk).await;
}

fn target(record: &Record) -> Target {
    Target::Delivery(record.delivery.origin.instance, record.delivery.origin.sequence)
}

fn event_of(record: &Record) -> Event {
    let Filing::Event(of) = &record.filing else { panic!("evidence: {record:?}") };
    of.event.clone()
}

fn evidence_stays(status: Status, reason: Option<Reason>) -> Acted {
    Acted { event: None, status, reason, movements: Vec::new(), trace_id: None }
}

const OTHER: Fingerprint = Fingerprint { version: 1, digest: [2; 32] };

async fn released_evidence_comes_to_the_event_that_it_holds(books: &dyn Books, desk: &dyn Desk) {
    for (reason, instance) in [
        (Reason::DeadLettered, 60),
        (Reason::Undecodable, 61),
        (Reason::RefusedByBooks, 62),
        (Reason::ProcessingPanicked, 63),
    ] {
        let id = format!("evt_evidence_{reason}");
        let whole = booking(delivery(instance, 1), &id, &[]);
        let put_aside = set_aside(whole.clone(), reason);
        assert_eq!(one(books, put_aside.clone()).await, kept(Settlement::Evidence, reason));
        let action = desk.ask(ActionKind::Release, target(&put_aside)).await;
        let done = acted(event_of(&whole), Status::Booked, &["ch_evidence_released"]);
        let assess = as_captures(&[("ch_evidence_released", 100)]);
        assert_eq!(act(books, action, &assess).await, done);
        assert_eq!(act(books, action, &unasked).await, done);
        let again = desk.ask(ActionKind::Release, target(&put_aside)).await;
        assert_eq!(act(books, again, &unasked).await, done);
        // The message itself stays what it was recorded as; the event is there.
        assert_eq!(one(books, put_aside).await, kept(Settlement::Again, reason));
        let fresh = booking(delivery(instance, 2), &id, &[("ch_evidence_else", 1)]);
        assert_eq!(one(books, fresh).await, booked(Settlement::Hit, &["ch_evidence_released"]));
    }
    // A delivery that the gate had refused and the broker put aside: released it is past the gate too.
    let refused = refusing(delivery(64, 1), "evt_evidence_gate", Reason::EventTooOld, None);
    let put_aside = set_aside(refused.clone(), Reason::DeadLettered);
    one(books, put_aside.clone()).await;
    let action = desk.ask(ActionKind::Release, target(&put_aside)).await;
    let done = acted(event_of(&refused), Status::Booked, &["ch_evidence_gate"]);
    assert_eq!(act(books, action, &as_captures(&[("ch_evidence_gate", 1)])).await, done);
}

async fn evidence_that_holds_no_event_stays_what_it_is(books: &dyn Books, desk: &dyn Desk) {
    for record in [evidence(delivery(65, 1), Some("evt_evidence_none")), body_refused(delivery(65, 2))] {
        let reason = one(books, record.clone()).await.reason;
        for _ in 0..2 {
            let action = desk.ask(ActionKind::Release, target(&record)).await;
            let stays = evidence_stays(Status::Parked, reason);
            assert_eq!(act(books, action, &unasked).await, stays);
            assert_eq!(act(books, action, &unasked).await, stays);
        }
    }
}

async fn released_evidence_that_stays_parked_is_an_event_from_then_on(books: &dyn Books, desk: &dyn Desk) {
    let whole = booking(delivery(66, 1), "evt_evidence_parked", &[("ch_evidence_parked", 1)]);
    let put_aside = set_aside(whole.clone(), Reason::DeadLettered);
    one(books, put_aside.clone()).await;
    for reason in [Reason::DeadLettered, Reason::ThinEvent] {
        let action = desk.ask(ActionKind::Release, target(&put_aside)).await;
        assert_eq!(act(books, action, &as_kept(reason)).await, still(event_of(&whole), reason));
        let fresh = booking(delivery(66, 2), "evt_evidence_parked", &[("ch_evidence_parked", 1)]);
        assert_eq!(one(books, fresh).await.reason, Some(reason));
    }
    let action = desk.ask(ActionKind::Dismiss, target(&put_aside)).await;
    let dismissed = acted(event_of(&whole), Status::Dismissed, &[]);
    assert_eq!(act(books, action, &unasked).await, dismissed);
}

async fn another_content_is_released_under_a_key_of_its_own(books: &dyn Books, desk: &dyn Desk) {
    let first = booking(delivery(67, 1), "evt_evidence_reused", &[("ch_evidence_first", 1)]);
    let other = booking(delivery(67, 2), "evt_evidence_reused", &[("ch_evidence_other", 2)]);
    let other = with_fingerprint(other, OTHER);
    // Found by the gate, whoever else has the id now.
    let found = refusing(delivery(67, 3), "evt_evidence_reused", Reason::EventTooOld, None);
    let found = with_fingerprint(found, Fingerprint { digest: [3; 32], ..OTHER });
    let of_gate = set_aside(found.clone(), Reason::EventIdReused);
    let reused = kept(Settlement::Reused, Reason::EventIdReused);
    let answers = many(books, vec![first, other.clone(), of_gate.clone()]).await;
    assert_eq!(answers[1..], [reused, kept(Settlement::Evidence, Reason::EventIdReused)]);
    let own_key = |record: &Record| {
        let event = event_of(record);
        Event { key: event.key_of_content(), ..event }
    };
    for (whole, put_aside, charge) in
        [(&other, &other, "ch_evidence_other"), (&found, &of_gate, "ch_evidence_found")]
    {
        let action = desk.ask(ActionKind::Release, target(put_aside)).await;
        let done = acted(own_key(whole), Status::Booked, &[charge]);
        let assess = match charge {
            "ch_evidence_other" => as_captures(&[("ch_evidence_other", 2)]),
            _ => as_captures(&[("ch_evidence_found", 3)]),
        };
        assert_eq!(act(books, action, &assess).await, done);
        assert_eq!(act(books, action, &unasked).await, done);
    }
    // A dead letter whose id has meanwhile been taken by another content.
    let late = booking(delivery(67, 4), "evt_evidence_late", &[("ch_evidence_late", 1)]);
    let put_aside = set_aside(late.clone(), Reason::DeadLettered);
    one(books, put_aside.clone()).await;
    let taken = booking(delivery(67, 5), "evt_evidence_late", &[("ch_evidence_taken", 1)]);
    one(books, with_fingerprint(taken, OTHER)).await;
    let action = desk.ask(ActionKind::Release, target(&put_aside)).await;
    let done = acted(own_key(&late), Status::Booked, &["ch_evidence_late"]);
    assert_eq!(act(books, action, &as_captures(&[("ch_evidence_late", 1)])).await, done);
}

async fn released_evidence_of_an_event_that_is_there_is_that_event(books: &dyn Books, desk: &dyn Desk) {
    let whole = booking(delivery(68, 1), "evt_evidence_there", &[("ch_evidence_there", 1)]);
    let put_aside = set_aside(whole, Reason::DeadLettered);
    let fresh = booking(delivery(68, 2), "evt_evidence_there", &[("ch_evidence_there", 1)]);
    many(books, vec![put_aside.clone(), fresh.clone()]).await;
    let action = desk.ask(ActionKind::Release, target(&put_aside)).await;
    let stands = acted(event_of(&fresh), Status::Booked, &["ch_evidence_there"]);
    assert_eq!(act(books, action, &unasked).await, stands);
    let put_aside = set_aside(booking(delivery(68, 3), "evt_evidence_waits", &[]), Reason::DeadLettered);
    let waits = keeping(delivery(68, 4), "evt_evidence_waits", Reason::UnknownMoney);
    many(books, vec![put_aside.clone(), waits.clone()]).await;
    let action = desk.ask(ActionKind::Release, target(&put_aside)).await;
    let done = acted(event_of(&waits), Status::Booked, &["ch_evidence_waits"]);
    assert_eq!(act(books, action, &as_captures(&[("ch_evidence_waits", 1)])).await, done);
    // An action may name any message; of one that belongs to an event it is about that.
    let action = desk.ask(ActionKind::Release, target(&waits)).await;
    assert_eq!(act(books, action, &unasked).await, done);
}

async fn what_the_books_refuse_of_released_evidence_stays_evidence(books: &dyn Books, desk: &dyn Desk) {
    let whole = booking(delivery(69, 1), "evt_evidence_refused", &[]);
    let put_aside = set_aside(whole.clone(), Reason::RefusedByBooks);
    one(books, put_aside.clone()).await;
    let action = desk.ask(ActionKind::Release, target(&put_aside)).await;
    let refused = act(books, action, &as_captures(&[])).await;
    assert_eq!(refused, evidence_stays(Status::Parked, Some(Reason::RefusedByBooks)));
    let action = desk.ask(ActionKind::Release, target(&put_aside)).await;
    let done = acted(event_of(&whole), Status::Booked, &["ch_evidence_refused"]);
    assert_eq!(act(books, action, &as_captures(&[("ch_evidence_refused", 1)])).await, done);
}

async fn dismissed_evidence_is_put_away(books: &dyn Books, desk: &dyn Desk) {
    let whole = booking(delivery(70, 1), "evt_evidence_away", &[]);
    for record in [set_aside(whole, Reason::DeadLettered), evidence(delivery(70, 2), None)] {
        one(books, record.clone()).await;
        let away = evidence_stays(Status::Dismissed, None);
        for kind in [ActionKind::Dismiss, ActionKind::Release, ActionKind::Dismiss] {
            let action = desk.ask(kind, target(&record)).await;
            assert_eq!(act(books, action, &unasked).await, away);
        }
    }
    // The event itself may still come.
    let fresh = booking(delivery(70, 3), "evt_evidence_away", &[("ch_evidence_away", 1)]);
    assert_eq!(one(books, fresh).await, booked(Settlement::New, &["ch_evidence_away"]));
}

async fn of_a_release_and_a_dismissal_at_once_one_counts(books: &dyn Books, desk: &dyn Desk) {
    for sequence in 1..=4 {
        let id = format!("evt_evidence_race_{sequence}");
        let whole = booking(delivery(71, sequence), &id, &[]);
        let put_aside = set_aside(whole.clone(), Reason::DeadLettered);
        one(books, put_aside.clone()).await;
        let release = desk.ask(ActionKind::Release, target(&put_aside)).await;
        let dismiss = desk.ask(ActionKind::Dismiss, target(&put_aside)).await;
        let assess = as_captures(&[("ch_evidence_race", 1)]);
        let actions = [release, dismiss, release, dismiss];
        let answers = join_all(actions.iter().map(|action| act(books, *action, &assess))).await;
        let booked = acted(event_of(&whole), Status::Booked, &["ch_evidence_race"]);
        let away = evidence_stays(Status::Dismissed, None);
        let all = |of: &Acted| answers.iter().all(|answer| answer == of);
        assert!(all(&booked) || all(&away), "{answers:?}");
    }
}
