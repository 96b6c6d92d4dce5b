use ledger::{EventKey, Outcome, ProviderAccount, Reason, Status};
use processor::Connected;
use wire::Event;

use crate::world::{charge, in_worlds, key, paid_in_telegram, source, terms};

#[test]
fn an_event_whose_source_is_another_one_than_configured_is_parked_as_misconfigured() {
    in_worlds(async |world| {
        let another = ProviderAccount::parse("acct_before").unwrap();
        world.send(1, Event { own_account: another, ..charge("evt_1", "ch_1", 100) });
        world.consume().await;
        assert_eq!(world.standing("evt_1"), (Status::Parked, Some(Reason::Misconfigured)));
        assert_eq!(world.metric("messages_parked_total{reason=\"misconfigured\"}"), 1);
    });
}

#[test]
fn all_events_of_a_source_that_the_books_know_as_another_one_are_parked() {
    in_worlds(async |mut world| {
        let before = terms("stripe", "acct_before");
        world.known.insert(source("stripe"), (before.provider, before.own_account));
        world.send(1, charge("evt_1", "ch_1", 100));
        world.consume().await;
        assert_eq!(world.standing("evt_1"), (Status::Parked, Some(Reason::Misconfigured)));
    });
}

#[test]
fn events_of_connected_accounts_are_left_out_where_the_configuration_says_so() {
    in_worlds(async |mut world| {
        let account = ProviderAccount::parse("acct_connected").unwrap();
        let connected =
            |event: Event| Event { key: EventKey { account: account.clone(), ..event.key }, ..event };
        world.send(1, connected(charge("evt_1", "ch_1", 100)));
        world.consume().await;
        world.terms.get_mut(&source("stripe")).unwrap().connected = Connected::Ignore;
        world.send(2, connected(charge("evt_2", "ch_2", 100)));
        world.send(3, charge("evt_3", "ch_3", 100));
        world.consume().await;
        let outcome = |id: &str, outcome, reason| (id.to_owned(), outcome, reason);
        assert_eq!(
            world.outcomes(),
            [
                outcome("evt_1", Outcome::Booked, None),
                outcome("evt_2", Outcome::Ignored, Some(Reason::ConnectedAccount)),
                outcome("evt_3", Outcome::Booked, None),
            ]
        );
    });
}

#[test]
fn money_that_two_providers_announce_is_booked_once_under_the_key_of_who_settles_it() {
    for telegram_first in [true, false] {
        in_worlds(async |mut world| {
            world.terms.get_mut(&source("telegram")).unwrap().settles_with = Some(source("stripe"));
            let mut both = [paid_in_telegram("upd_1", "ch_1", 500), charge("evt_1", "ch_1", 500)];
            if !telegram_first {
                both.reverse();
            }
            for (sequence, event) in (1..).zip(both) {
                world.send(sequence, event);
            }
            world.consume().await;
            assert_eq!(world.outcomes().len(), 2);
            assert!(world.outcomes().iter().all(|(_, outcome, _)| *outcome == Outcome::Booked));
            let transactions: Vec<String> =
                world.books.transactions().keys().map(ToString::to_string).collect();
            assert_eq!(transactions, ["stripe/acct_dev/test/ch_1/capture"]);
            let announced = world.announced();
            assert!(announced.iter().all(|one| one["movements"][0] == "stripe/acct_dev/test/ch_1/capture"));
            assert_eq!(announced.len(), 2);
        });
    }
}

#[test]
fn without_a_settling_source_telegram_money_is_telegrams() {
    in_worlds(async |world| {
        world.send(1, paid_in_telegram("upd_1", "ch_1", 500));
        world.send(2, charge("evt_1", "ch_1", 500));
        world.consume().await;
        assert_eq!(world.books.transactions().len(), 2);
        assert_eq!(world.standing("evt_1").0, Status::Booked);
        assert!(world.replay.record(&key("evt_1")).is_some());
    });
}
