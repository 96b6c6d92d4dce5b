//! Telegram as a source: a provider that retries in order and asks before a payment.

use std::sync::Arc;

use ingress::{Answer, Pins, Problem, Response, Secrets, SourceGate, TooOld};
use ledger::{Livemode, ProviderAccount, Source};
use provider::telegram::CheckoutVerdict;
use signature::{Freshness, Scheme, Secret};
use testkit::memory::bus::BusFault;
use testkit::telegram;

use crate::{World, in_worlds_of};

pub(crate) fn gate(checkout: CheckoutVerdict) -> SourceGate {
    let token = Secret::parse(telegram::TOKEN.as_bytes(), Scheme::Telegram).unwrap();
    SourceGate {
        source: Source::parse("telegram").unwrap(),
        provider: provider::by_name("telegram").unwrap(),
        secrets: Arc::new(Secrets::fixed(Scheme::Telegram, vec![token])),
        freshness: Freshness::of(Scheme::Telegram),
        own_account: ProviderAccount::parse(telegram::BOT).unwrap(),
        pins: Pins { livemode: Some(Livemode::Live), accounts: None },
        event_age_max_s: 300,
        too_old: TooOld::Accept,
        checkout,
    }
}

fn left() -> SourceGate {
    gate(CheckoutVerdict::LeaveToBot)
}

async fn post(world: &World, body: &str) -> Response {
    world.post_to("telegram", (telegram::HEADER, telegram::TOKEN), body).await
}

#[test]
fn a_payment_is_accepted_in_the_mode_of_its_source_however_old_it_is() {
    in_worlds_of(left, async |world| {
        let written_at_s = world.handle.now().seconds() - 3_600;
        let body = telegram::payment(7, written_at_s, 75);
        let response = post(&world, &body).await;
        assert!(matches!(response.answer, Answer::Accepted(id) if id.as_str() == "7000000001:7"));
        assert_eq!(response.reply, None);
        let event = &world.accepted()[0].event;
        assert_eq!((event.key.livemode, event.own_account.as_str()), (Livemode::Live, telegram::BOT));
        assert!(matches!(post(&world, &body).await.answer, Answer::Replayed(..)));
    });
}

#[test]
fn a_provider_that_retries_in_order_is_never_refused_what_the_books_were_told_of() {
    let parking = || SourceGate { too_old: TooOld::Park, ..left() };
    in_worlds_of(parking, async |world| {
        let now = world.handle.now().seconds();
        let parked = async |body: &str, id: &str| {
            for _ in 0..2 {
                let answer = post(&world, body).await.answer;
                assert!(matches!(&answer, Answer::Parked(parked) if parked.as_str() == id), "{answer:?}");
            }
        };
        parked(&telegram::payment(1, now - 301, 75), "7000000001:1").await;
        post(&world, &telegram::payment(2, now, 75)).await;
        parked(&telegram::payment(2, now, 76), "7000000001:2").await;
        // SHA-256 of the two bytes.
        parked("{}", "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a").await;
        assert_eq!((world.refused().len(), world.accepted().len()), (3, 1));
        world.bus.inject([BusFault::Refused]);
        assert_eq!(post(&world, "[]").await.answer, Answer::Refused(Problem::NotDurable));
    });
}

#[test]
fn a_question_before_a_payment_is_answered_in_every_success_where_that_is_configured() {
    let approving = || gate(CheckoutVerdict::Approve);
    in_worlds_of(approving, async |world| {
        let body = telegram::pre_checkout_query(7, "4242424242424242", 75);
        world.bus.inject([BusFault::Refused]);
        // Without success there is nothing to read: the response says so itself.
        assert_eq!(post(&world, &body).await.answer, Answer::Refused(Problem::NotDurable));
        let expected =
            r#"{"method":"answerPreCheckoutQuery","pre_checkout_query_id":"4242424242424242","ok":true}"#;
        for word in ["accepted", "replayed", "replayed"] {
            let response = post(&world, &body).await;
            assert_eq!(response.answer.word(), word);
            assert_eq!(response.reply.as_deref(), Some(expected.as_bytes()));
        }
        let payment = telegram::payment(8, world.handle.now().seconds(), 75);
        assert_eq!(post(&world, &payment).await.reply, None);
    });
    in_worlds_of(left, async |world| {
        let body = telegram::pre_checkout_query(7, "4242424242424242", 75);
        let Response { answer, reply } = post(&world, &body).await;
        assert_eq!((answer.word(), reply), ("accepted", None));
    });
}
