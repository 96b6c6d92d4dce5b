use ledger::{EventId, ProblemSlug, Reason, UnixMillis};
use ports::{Headers, Queue};
use wire::{BusMessage, ControlTotal, Listed, RefusalCount, Sequence};

use crate::world::{INSTANCE, World, charge, in_worlds, source};

/// The total of a window in which these were confirmed, with no window before it.
pub(crate) fn total(window: u64, sequences: &[u64]) -> ControlTotal {
    let listed = |sequence: &u64| Listed {
        sequence: Sequence(*sequence),
        source: source("stripe"),
        event_id: EventId::parse(&format!("evt_{sequence}")).unwrap(),
    };
    ControlTotal {
        instance: INSTANCE,
        window,
        closed_at: UnixMillis(1_795_000_010_000),
        confirmed: u64::try_from(sequences.len()).unwrap(),
        listed: sequences.iter().map(listed).collect(),
        previous: Vec::new(),
        last: false,
        refusals: Vec::new(),
    }
}

impl World {
    pub(crate) fn send_total(&self, total: &ControlTotal) {
        let message = self.outgoing(Headers::default(), &BusMessage::Control(total.clone()));
        self.bus.put(Queue::Ledger, message);
    }
}

#[test]
fn a_control_total_is_recorded_once_however_often_it_comes() {
    in_worlds(async |world| {
        let refusals = vec![RefusalCount {
            source: source("stripe"),
            reason: ProblemSlug::parse("event-too-old").unwrap(),
            minute: UnixMillis(1_794_999_960_000),
            count: 7,
        }];
        let total = ControlTotal { refusals, ..total(1, &[1, 2]) };
        for sequence in [1, 2] {
            world.send(sequence, charge(&format!("evt_{sequence}"), &format!("ch_{sequence}"), 100));
            world.send_total(&total);
        }
        world.send_total(&total);
        world.consume().await;
        let kept = world.books.totals();
        assert_eq!((kept.len(), &kept[&(INSTANCE, 1)].listed), (1, &total.listed));
        assert_eq!(world.books.refusals().into_values().collect::<Vec<_>>(), [7]);
        assert_eq!((world.books.transactions().len(), world.books.deliveries().len()), (2, 2));
        assert_eq!(world.metric("control_totals_recorded_total"), 3);
    });
}

#[test]
fn a_total_that_was_lost_is_restated_by_the_next() {
    in_worlds(async |world| {
        let second = ControlTotal { previous: total(1, &[1]).listed, confirmed: 2, ..total(2, &[2]) };
        world.send_total(&second);
        world.consume().await;
        let kept = world.books.totals();
        assert!(kept[&(INSTANCE, 1)].restated && !kept[&(INSTANCE, 2)].restated);
    });
}

#[test]
fn a_total_that_the_books_refuse_is_parked_and_holds_nobody_up() {
    in_worlds(async |world| {
        let impossible = total(0, &[]);
        world.send_total(&impossible);
        world.send_total(&total(1, &[1]));
        world.send(1, charge("evt_1", "ch_1", 100));
        world.consume().await;
        assert_eq!((world.books.totals().len(), world.books.transactions().len()), (1, 1));
        let parked = world.books.deliveries();
        let parked: Vec<_> = parked.values().filter(|kept| kept.outcome == "parked").collect();
        assert_eq!(parked.len(), 1);
        assert_eq!(parked[0].reason, Some(Reason::RefusedByBooks));
        assert_eq!(parked[0].delivery.message, BusMessage::Control(impossible).encode());
        assert_eq!(world.metric("messages_parked_total{reason=\"refused-by-books\"}"), 1);
    });
}

#[test]
fn another_total_under_a_taken_window_is_kept_as_evidence() {
    in_worlds(async |world| {
        let other = total(1, &[2]);
        world.send_total(&total(1, &[1]));
        world.send_total(&other);
        world.consume().await;
        assert_eq!(world.books.totals()[&(INSTANCE, 1)].listed, total(1, &[1]).listed);
        let parked: Vec<_> = world.books.deliveries().into_values().collect();
        assert_eq!((parked.len(), parked[0].reason), (1, Some(Reason::RefusedByBooks)));
        assert_eq!(parked[0].delivery.message, BusMessage::Control(other).encode());
    });
}
