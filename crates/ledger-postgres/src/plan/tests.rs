use testkit::contract::books::samples::{booking, capture_key, delivery, event_key};

use super::*;

#[test]
fn every_writer_takes_its_keys_in_the_same_order_whatever_the_order_of_its_batch() {
    let one = booking(delivery(1, 1), "evt_b", &[("ch_z", 1), ("ch_a", 1)]);
    let other = booking(delivery(1, 2), "evt_a", &[("ch_m", 1)]);
    for batch in [[one.clone(), other.clone()], [other, one]] {
        let (plan, _) = Plan::of(&batch, &Standing::default()).unwrap();
        let events: Vec<String> = plan.events.keys().map(|key| key.event_id.to_string()).collect();
        let objects: Vec<String> = plan.transactions.keys().map(|key| key.object_id.to_string()).collect();
        let deliveries: Vec<u64> = plan.deliveries.keys().map(|(_, sequence)| sequence.0).collect();
        assert_eq!(
            (events, objects, deliveries),
            (
                vec!["evt_a".to_owned(), "evt_b".to_owned()],
                vec!["ch_a".to_owned(), "ch_m".to_owned(), "ch_z".to_owned()],
                vec![1, 2],
            )
        );
    }
}

#[test]
fn a_digest_of_another_version_contradicts_nobody() {
    let batch = [booking(delivery(1, 1), "evt_1", &[("ch_1", 100)])];
    let held = StandingTransaction { row: 7, digest: None };
    let standing =
        Standing { transactions: HashMap::from([(capture_key("ch_1"), held)]), ..Standing::default() };
    let (plan, answers) = Plan::of(&batch, &standing).unwrap();
    let key = event_key("evt_1");
    let described =
        Link { event: EventRow::New(&key), transaction: TransactionRow::Standing(7), role: Role::Describer };
    assert_eq!(plan.links, [described]);
    assert!(plan.transactions.is_empty());
    assert_eq!(answers.first().map(|answer| answer.outcome), Some(Outcome::Booked));
}

#[test]
fn a_batch_of_what_was_recorded_before_writes_nothing() {
    let batch = [booking(delivery(1, 1), "evt_1", &[("ch_1", 100)])];
    let before = StandingDelivery::OfEvent(event_key("evt_1"));
    let event = StandingEvent {
        row: 1,
        fingerprint: Fingerprint { version: 1, digest: [1; 32] },
        status: Status::Booked,
        reason: None,
        rank: 0,
        movements: vec![capture_key("ch_1")],
    };
    let standing = Standing {
        deliveries: HashMap::from([(delivery_key(&batch[0]), before)]),
        events: HashMap::from([(event_key("evt_1"), event)]),
        ..Standing::default()
    };
    let (plan, answers) = Plan::of(&batch, &standing).unwrap();
    assert!(plan.is_empty() && plan.events.is_empty() && plan.links.is_empty());
    assert_eq!(answers[0].settlement, Settlement::Again);
}
