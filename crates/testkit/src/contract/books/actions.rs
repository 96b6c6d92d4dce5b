//! What operators ask for, of events: each action acts once.

use futures_util::future::join_all;
use ledger::{ActionId, ActionKind, MovementKey, Reason, Status};
use ports::{Acted, Assess, Books, Decision, EventRecord, Settlement};
use wire::{Event, Request};

use super::samples::{
    booking, capture_key, captures, decided, delivery, dollars, event, event_key, keeping, refusing,
};
use super::{Desk, booked, kept, one};
use crate::memory::books::Target;

pub(super) async fn all(books: &dyn Books, desk: &dyn Desk) {
    an_action_that_was_never_put_down_does_nothing(books).await;
    a_released_event_is_booked_once_however_often_that_is_asked(books, desk).await;
    a_release_past_the_gate_is_final(books, desk).await;
    a_release_that_finds_nothing_new_changes_nothing(books, desk).await;
    a_released_event_that_contradicts_the_books_stays_parked_until_it_no_longer_does(books, desk).await;
    what_the_books_refuse_of_a_release_stays_parked(books, desk).await;
    a_dismissed_event_is_never_booked(books, desk).await;
    what_is_final_is_only_told(books, desk).await;
    of_many_who_act_at_once_one_does(books, desk).await;
    of_a_release_and_a_dismissal_that_wait_the_later_one_counts(books, desk).await;
}

pub(super) async fn act(books: &dyn Books, action: ActionId, assess: &Assess) -> Acted {
    let mut acted = books.act(Request { action }, assess).await.unwrap().unwrap();
    assert_eq!(
        acted.trace_id.take().is_some(),
        acted.event.is_some(),
        "an event has the trace that brought it"
    );
    acted
}

/// Books these captures, whatever the event.
pub(super) fn as_captures(
    asserted: &'static [(&'static str, i64)],
) -> impl Fn(Event) -> EventRecord + Send + Sync {
    move |event| EventRecord { event, money: Some(dollars(1)), decision: captures(asserted) }
}

pub(super) fn as_kept(reason: Reason) -> impl Fn(Event) -> EventRecord + Send + Sync {
    move |event| decided(event, Decision::Keep(reason))
}

/// Nobody has to ask again.
pub(super) fn unasked(event: Event) -> EventRecord {
    let Event { key, .. } = event;
    panic!("{key} was assessed again")
}

pub(super) fn acted(event: Event, status: Status, charges: &[&str]) -> Acted {
    let movements: Vec<MovementKey> = charges.iter().map(|charge| capture_key(charge)).collect();
    Acted { event: Some(event), status, reason: None, movements, trace_id: None }
}

pub(super) fn still(event: Event, reason: Reason) -> Acted {
    let status = reason.outcome().into();
    Acted { event: Some(event), status, reason: Some(reason), movements: Vec::new(), trace_id: None }
}

async fn an_action_that_was_never_put_down_does_nothing(books: &dyn Books) {
    let request = Request { action: ActionId(1_000_000_007) };
    assert_eq!(books.act(request, &unasked).await, Ok(None));
}

async fn a_released_event_is_booked_once_however_often_that_is_asked(books: &dyn Books, desk: &dyn Desk) {
    let id = "evt_act_release";
    one(books, keeping(delivery(40, 1), id, Reason::UnknownMoney)).await;
    let action = desk.ask(ActionKind::Release, Target::Event(event_key(id))).await;
    let event = event(id, "price.created", 1);
    let charges = &["ch_act_release"];
    let done = acted(event.clone(), Status::Booked, charges);
    let seen = move |given: Event| {
        assert_eq!(given, event); // byte for byte what was kept
        as_captures(&[("ch_act_release", 100)])(given)
    };
    assert_eq!(act(books, action, &seen).await, done);
    assert_eq!(act(books, action, &unasked).await, done);
    let again = desk.ask(ActionKind::Release, Target::Event(event_key(id))).await;
    assert_eq!(act(books, again, &unasked).await, done);
    // Messages of the event are answered where it stands now.
    let before = keeping(delivery(40, 1), id, Reason::UnknownMoney);
    assert_eq!(one(books, before).await, booked(Settlement::Again, charges));
    let later = booking(delivery(40, 2), id, &[("ch_act_else", 1)]);
    assert_eq!(one(books, later).await, booked(Settlement::Hit, charges));
    // Another event that describes it.
    let witness = booking(delivery(40, 3), "evt_act_witness", &[("ch_act_release", 100)]);
    assert_eq!(one(books, witness).await, booked(Settlement::New, charges));
}

async fn a_release_past_the_gate_is_final(books: &dyn Books, desk: &dyn Desk) {
    let id = "evt_act_gate";
    one(books, refusing(delivery(41, 1), id, Reason::EventTooOld, None)).await;
    let action = desk.ask(ActionKind::Release, Target::Event(event_key(id))).await;
    let done = acted(event(id, "charge.succeeded", 1), Status::Booked, &["ch_act_gate"]);
    assert_eq!(act(books, action, &as_captures(&[("ch_act_gate", 5)])).await, done);
    let accepted = booking(delivery(41, 2), id, &[("ch_act_gate", 5)]);
    assert_eq!(one(books, accepted).await, booked(Settlement::Hit, &["ch_act_gate"]));
}

async fn a_release_that_finds_nothing_new_changes_nothing(books: &dyn Books, desk: &dyn Desk) {
    let id = "evt_act_same";
    let event = event(id, "price.created", 1);
    one(books, keeping(delivery(42, 1), id, Reason::UnknownMoney)).await;
    for reason in [
        Reason::UnknownMoney,
        Reason::ThinEvent,
        Reason::ThinEvent,
        Reason::Multicapture,
        Reason::UnknownType,
    ] {
        let action = desk.ask(ActionKind::Release, Target::Event(event_key(id))).await;
        assert_eq!(act(books, action, &as_kept(reason)).await, still(event.clone(), reason));
        let later = booking(delivery(42, 2), id, &[("ch_act_same", 1)]);
        let answer = one(books, later).await;
        assert_eq!((answer.outcome, answer.reason), (reason.outcome(), Some(reason)));
    }
}

async fn a_released_event_that_contradicts_the_books_stays_parked_until_it_no_longer_does(
    books: &dyn Books,
    desk: &dyn Desk,
) {
    let id = "evt_act_wrong";
    one(books, booking(delivery(43, 1), "evt_act_right", &[("ch_act_taken", 100)])).await;
    one(books, booking(delivery(43, 2), id, &[("ch_act_taken", 99)])).await;
    let event = event(id, "charge.succeeded", 1);
    for _ in 0..2 {
        let action = desk.ask(ActionKind::Release, Target::Event(event_key(id))).await;
        let wrong = as_captures(&[("ch_act_taken", 98), ("ch_act_more", 1)]);
        assert_eq!(act(books, action, &wrong).await, still(event.clone(), Reason::MovementConflict));
    }
    let action = desk.ask(ActionKind::Release, Target::Event(event_key(id))).await;
    let right = as_captures(&[("ch_act_taken", 100), ("ch_act_more", 2)]);
    let done = acted(event, Status::Booked, &["ch_act_more", "ch_act_taken"]);
    assert_eq!(act(books, action, &right).await, done);
}

async fn what_the_books_refuse_of_a_release_stays_parked(books: &dyn Books, desk: &dyn Desk) {
    let id = "evt_act_refused";
    one(books, keeping(delivery(44, 1), id, Reason::UnknownMoney)).await;
    let event = event(id, "price.created", 1);
    for _ in 0..2 {
        let action = desk.ask(ActionKind::Release, Target::Event(event_key(id))).await;
        let refused = act(books, action, &as_captures(&[])).await;
        assert_eq!(refused, still(event.clone(), Reason::RefusedByBooks));
    }
    let action = desk.ask(ActionKind::Release, Target::Event(event_key(id))).await;
    let done = acted(event, Status::Booked, &["ch_act_refused"]);
    assert_eq!(act(books, action, &as_captures(&[("ch_act_refused", 1)])).await, done);
}

async fn a_dismissed_event_is_never_booked(books: &dyn Books, desk: &dyn Desk) {
    let id = "evt_act_dismiss";
    one(books, keeping(delivery(45, 1), id, Reason::UnknownMoney)).await;
    let released = desk.ask(ActionKind::Release, Target::Event(event_key(id))).await;
    act(books, released, &as_kept(Reason::ThinEvent)).await;
    let dismissed = desk.ask(ActionKind::Dismiss, Target::Event(event_key(id))).await;
    let done = acted(event(id, "price.created", 1), Status::Dismissed, &[]);
    assert_eq!(act(books, dismissed, &unasked).await, done);
    assert_eq!(act(books, dismissed, &unasked).await, done);
    let released = desk.ask(ActionKind::Release, Target::Event(event_key(id))).await;
    assert_eq!(act(books, released, &unasked).await, done);
    // A provider is told what it had been parked for.
    let later = booking(delivery(45, 2), id, &[("ch_act_dismiss", 1)]);
    assert_eq!(one(books, later).await, kept(Settlement::Hit, Reason::ThinEvent));
    // Of the gate's reasons too: no delivery takes over.
    one(books, refusing(delivery(45, 3), "evt_act_gone", Reason::EventTooOld, None)).await;
    let dismissed = desk.ask(ActionKind::Dismiss, Target::Event(event_key("evt_act_gone"))).await;
    act(books, dismissed, &unasked).await;
    let accepted = booking(delivery(45, 4), "evt_act_gone", &[("ch_act_gone", 1)]);
    assert_eq!(one(books, accepted).await, kept(Settlement::Hit, Reason::EventTooOld));
}

async fn what_is_final_is_only_told(books: &dyn Books, desk: &dyn Desk) {
    one(books, booking(delivery(46, 1), "evt_act_booked", &[("ch_act_booked", 1)])).await;
    one(books, keeping(delivery(46, 2), "evt_act_ignored", Reason::MovesNoMoney)).await;
    for kind in ActionKind::ALL {
        let action = desk.ask(kind, Target::Event(event_key("evt_act_booked"))).await;
        let stands =
            acted(event("evt_act_booked", "charge.succeeded", 1), Status::Booked, &["ch_act_booked"]);
        assert_eq!(act(books, action, &unasked).await, stands);
        let action = desk.ask(kind, Target::Event(event_key("evt_act_ignored"))).await;
        let stands = still(event("evt_act_ignored", "price.created", 1), Reason::MovesNoMoney);
        assert_eq!(act(books, action, &unasked).await, stands);
    }
}

async fn of_many_who_act_at_once_one_does(books: &dyn Books, desk: &dyn Desk) {
    let id = "evt_act_many";
    one(books, refusing(delivery(47, 1), id, Reason::EventTooOld, None)).await;
    let mut actions = Vec::new();
    for kind in [ActionKind::Release, ActionKind::Release, ActionKind::Release] {
        actions.push(desk.ask(kind, Target::Event(event_key(id))).await);
    }
    let assess = as_captures(&[("ch_act_many", 100)]);
    let taking_over = [booking(delivery(47, 2), id, &[("ch_act_many", 100)])];
    let acting = join_all(actions.iter().cycle().take(9).map(|action| act(books, *action, &assess)));
    let (answers, recorded) = futures_util::future::join(acting, books.record(&taking_over)).await;
    let done = acted(event(id, "charge.succeeded", 1), Status::Booked, &["ch_act_many"]);
    assert!(answers.iter().all(|answer| *answer == done), "{answers:?}");
    let recorded = recorded.unwrap().remove(0);
    assert!(
        [Settlement::TookOver, Settlement::Hit].map(|by| booked(by, &["ch_act_many"])).contains(&recorded),
        "{recorded:?}"
    );
}

async fn of_a_release_and_a_dismissal_that_wait_the_later_one_counts(books: &dyn Books, desk: &dyn Desk) {
    let (release, dismiss) = (ActionKind::Release, ActionKind::Dismiss);
    for (sequence, kinds) in
        (1..).zip([&[release, dismiss][..], &[dismiss, release], &[release, dismiss, release]])
    {
        // Whichever request comes first.
        for turned in [false, true] {
            let id = format!("evt_act_later_{sequence}_{turned}");
            let delivery = delivery(if turned { 49 } else { 48 }, sequence);
            one(books, keeping(delivery, &id, Reason::UnknownMoney)).await;
            let mut actions = Vec::new();
            for kind in kinds {
                actions.push(desk.ask(*kind, Target::Event(event_key(&id))).await);
            }
            if turned {
                actions.reverse();
            }
            let event = event(&id, "price.created", 1);
            // A release that leaves it parked stands for the dismissal before it all the same.
            let (assess, done) = match kinds {
                [.., ActionKind::Dismiss] => (None, acted(event, Status::Dismissed, &[])),
                _ => (Some(as_kept(Reason::ThinEvent)), still(event, Reason::ThinEvent)),
            };
            for action in actions {
                let answer = match &assess {
                    Some(assess) => act(books, action, assess).await,
                    None => act(books, action, &unasked).await,
                };
                assert_eq!(answer, done, "{id}");
            }
        }
    }
}
