//! Properties of the whole: whatever arrives, whatever is changed, whenever it arrives.

use proptest::prelude::*;

use crate::{Freshness, Refused, Request, Scheme, Secret, sign_stripe, verify};

const NOW: i64 = 1_700_000_000;

fn secret(name: &str) -> Secret {
    Secret::parse(name.as_bytes(), Scheme::Stripe).unwrap()
}

/// Which secret matched.
fn verify_stripe(header: &[u8], body: &[u8], secrets: &[Secret], now: i64) -> Result<usize, Refused> {
    let request = Request { headers: &[("Stripe-Signature", header)], body };
    let verified = verify(Scheme::Stripe, &request, secrets, Freshness::of(Scheme::Stripe), now)?;
    assert_eq!(verified.body(), body);
    Ok(verified.secret_index())
}

/// The answer when the request was signed so many seconds ago (ahead, if negative).
fn answer_at_age(age_s: i64, freshness: Freshness) -> Result<Option<i64>, Refused> {
    let header = sign_stripe(&secret("s"), NOW - age_s, b"{}");
    let request = Request { headers: &[("stripe-signature", header.as_bytes())], body: b"{}" };
    verify(Scheme::Stripe, &request, &[secret("s")], freshness, NOW).map(|verified| verified.signed_at())
}

#[test]
fn the_limits_of_freshness_are_exact_to_the_second() {
    let stripe = Freshness::of(Scheme::Stripe);
    assert_eq!(answer_at_age(0, stripe), Ok(Some(NOW)));
    assert_eq!(answer_at_age(600, stripe), Ok(Some(NOW - 600)));
    assert_eq!(answer_at_age(601, stripe), Err(Refused::SignatureExpired { age_s: 601 }));
    assert_eq!(answer_at_age(-300, stripe), Ok(Some(NOW + 300)));
    assert_eq!(answer_at_age(-301, stripe), Err(Refused::SignatureFromFuture { ahead_s: 301 }));
}

#[test]
fn zero_means_zero_and_not_off() {
    let zero = Freshness { past_s: 0, future_s: 0 };
    assert_eq!(answer_at_age(0, zero), Ok(Some(NOW)));
    assert_eq!(answer_at_age(1, zero), Err(Refused::SignatureExpired { age_s: 1 }));
    assert_eq!(answer_at_age(-1, zero), Err(Refused::SignatureFromFuture { ahead_s: 1 }));
}

#[test]
fn a_tolerance_reaches_at_most_300_s_into_the_future() {
    for (tolerance_s, future_s) in [(0, 300), (1, 1), (299, 299), (300, 300), (600, 300), (u64::MAX, 300)] {
        assert_eq!(Freshness::within(tolerance_s), Freshness { past_s: tolerance_s, future_s });
    }
}

#[test]
fn a_forgery_is_a_mismatch_however_old_it_is() {
    let header = sign_stripe(&secret("other"), 1, b"{}");
    assert_eq!(verify_stripe(header.as_bytes(), b"{}", &[secret("s")], NOW), Err(Refused::SignatureMismatch));
}

#[test]
fn an_empty_body_is_payload_invalid_to_those_alone_who_signed_it() {
    let header = sign_stripe(&secret("s"), NOW, b"");
    assert_eq!(verify_stripe(header.as_bytes(), b"", &[secret("s")], NOW), Err(Refused::PayloadInvalid));
    assert_eq!(verify_stripe(header.as_bytes(), b"", &[secret("x")], NOW), Err(Refused::SignatureMismatch));
    assert_eq!(
        verify_stripe(header.as_bytes(), b"", &[secret("s")], NOW + 601),
        Err(Refused::SignatureExpired { age_s: 601 })
    );

    for (token, answer) in [("s", Refused::PayloadInvalid), ("x", Refused::SignatureMismatch)] {
        let headers = [("X-Telegram-Bot-Api-Secret-Token", token.as_bytes())];
        let request = Request { headers: &headers, body: b"" };
        let verified =
            verify(Scheme::Telegram, &request, &[secret("s")], Freshness::of(Scheme::Telegram), NOW);
        assert_eq!(verified.err(), Some(answer));
    }
}

#[test]
fn a_rotation_reports_which_secret_matched() {
    let (old, new) = (sign_stripe(&secret("old"), NOW, b"{}"), sign_stripe(&secret("new"), NOW, b"{}"));
    let new_signature = new.split_once(',').unwrap().1;
    let held = [secret("unused"), secret("old"), secret("new")];

    assert_eq!(verify_stripe(old.as_bytes(), b"{}", &held, NOW), Ok(1));
    assert_eq!(verify_stripe(new.as_bytes(), b"{}", &held, NOW), Ok(2));
    // While a secret is rolled, Stripe signs with both; any one of them is enough, and the first in our list is named.
    let both = format!("{old},{new_signature}");
    assert_eq!(verify_stripe(both.as_bytes(), b"{}", &held, NOW), Ok(1));
    assert_eq!(verify_stripe(both.as_bytes(), b"{}", &[secret("new")], NOW), Ok(0));
    assert_eq!(
        verify_stripe(both.as_bytes(), b"{}", &[secret("next")], NOW),
        Err(Refused::SignatureMismatch)
    );
    assert_eq!(verify_stripe(both.as_bytes(), b"{}", &[], NOW), Err(Refused::SignatureMismatch));
}

#[test]
fn the_right_signature_counts_wherever_it_stands_among_the_16() {
    let right = sign_stripe(&secret("s"), NOW, b"{}");
    let right = right.split_once(',').unwrap().1;
    for place in 0..16 {
        let mut signatures = vec![format!("v1={}", "0".repeat(64)); 16];
        right.clone_into(&mut signatures[place]);
        let header = format!("t={NOW},{}", signatures.join(","));
        assert_eq!(verify_stripe(header.as_bytes(), b"{}", &[secret("s")], NOW), Ok(0));
    }
}

#[test]
fn every_refusal_has_its_slug_and_says_whether_the_sender_holds_the_secret() {
    for (refused, slug, authentic) in [
        (Refused::SignatureMissing, "signature-missing", false),
        (Refused::SignatureMalformed, "signature-malformed", false),
        (Refused::SignatureMismatch, "signature-mismatch", false),
        (Refused::SignatureExpired { age_s: 1 }, "signature-expired", true),
        (Refused::SignatureFromFuture { ahead_s: 1 }, "signature-from-future", true),
        (Refused::PayloadInvalid, "payload-invalid", true),
    ] {
        assert_eq!((refused.slug(), refused.authentic()), (slug, authentic));
    }
}

#[test]
fn nothing_that_arrived_is_printed() {
    let header = sign_stripe(&secret("s"), NOW, b"4242424242424242");
    let request = Request { headers: &[("Stripe-Signature", header.as_bytes())], body: b"4242424242424242" };
    let verified =
        verify(Scheme::Stripe, &request, &[secret("s")], Freshness::of(Scheme::Stripe), NOW).unwrap();
    assert_eq!(format!("{request:?}"), "Request(1 headers, body of 16 bytes)");
    assert_eq!(
        format!("{verified:?}"),
        "Verified { scheme: Stripe, body_bytes: 16, secret_index: 0, signed_at: Some(1700000000) }"
    );
}

/// Headers that look like Stripe's more often than chance would have it.
fn stripe_like_header() -> impl Strategy<Value = String> {
    let item = prop_oneof![
        "t=-?[0-9]{0,20}",
        "v1=[0-9a-f]{64}",
        "v[0-9]=[0-9A-Fa-f]{0,70}",
        "[a-z ]{0,3}=?[ -~]{0,9}",
        any::<String>()
    ];
    prop::collection::vec(item, 0..20).prop_map(|items| items.join(","))
}

proptest! {
    #[test]
    fn nothing_that_arrives_makes_it_panic_or_verifies(
        name in prop_oneof![Just("Stripe-Signature".to_owned()), Just("X-Telegram-Bot-Api-Secret-Token".to_owned()), any::<String>()],
        values in prop::collection::vec(prop_oneof![
            stripe_like_header().prop_map(String::into_bytes),
            prop::collection::vec(any::<u8>(), 0..200),
        ], 0..3),
        body in prop::collection::vec(any::<u8>(), 0..200),
        now in any::<i64>(),
        past_s in any::<u64>(),
        future_s in any::<u64>(),
    ) {
        let headers: Vec<(&str, &[u8])> = values.iter().map(|value| (name.as_str(), value.as_slice())).collect();
        let request = Request { headers: &headers, body: &body };
        for scheme in Scheme::ALL {
            let verified = verify(scheme, &request, &[secret("no-one-guesses-this")], Freshness { past_s, future_s }, now);
            prop_assert!(verified.is_err_and(|refused| !refused.authentic()));
        }
    }

    #[test]
    fn no_time_overflows(signed_at in -9_999_999_999_999_999..=9_999_999_999_999_999_i64, now in any::<i64>()) {
        let header = sign_stripe(&secret("s"), signed_at, b"{}");
        let apart_s = u64::try_from((i128::from(now) - i128::from(signed_at)).abs()).unwrap();
        let answer = match (signed_at <= now, apart_s) {
            (true, 601..) => Err(Refused::SignatureExpired { age_s: apart_s }),
            (false, 301..) => Err(Refused::SignatureFromFuture { ahead_s: apart_s }),
            _ => Ok(0),
        };
        prop_assert_eq!(verify_stripe(header.as_bytes(), b"{}", &[secret("s")], now), answer);
    }

    #[test]
    fn what_is_signed_verifies_within_the_window_and_only_there(
        key in "[!-~]{1,64}",
        body in prop::collection::vec(any::<u8>(), 1..500),
        age_s in -400_i64..=700,
    ) {
        let header = sign_stripe(&secret(&key), NOW - age_s, &body);
        let answer = verify_stripe(header.as_bytes(), &body, &[secret(&key)], NOW);
        prop_assert_eq!(answer.is_ok(), (-300..=600).contains(&age_s));
    }

    #[test]
    fn changing_any_byte_of_the_body_refuses(
        body in prop::collection::vec(any::<u8>(), 1..200), place in any::<prop::sample::Index>(), change in 1..=u8::MAX,
    ) {
        let header = sign_stripe(&secret("s"), NOW, &body);
        let mut changed = body.clone();
        changed[place.index(body.len())] ^= change;
        prop_assert_eq!(
            verify_stripe(header.as_bytes(), &changed, &[secret("s")], NOW), Err(Refused::SignatureMismatch)
        );
    }

    #[test]
    fn changing_any_byte_of_the_header_refuses(place in any::<prop::sample::Index>(), change in 1..=u8::MAX) {
        // Every byte of `t=…,v1=…` is needed: both names, both values and what parts them.
        let mut header = sign_stripe(&secret("s"), NOW, b"{}").into_bytes();
        let place = place.index(header.len());
        header[place] ^= change;
        let refused = verify_stripe(&header, b"{}", &[secret("s")], NOW).unwrap_err();
        prop_assert!(matches!(refused, Refused::SignatureMismatch | Refused::SignatureMalformed), "{refused}");
    }

    #[test]
    fn another_secret_never_verifies(signer in "[!-~]{1,40}", holder in "[!-~]{1,40}") {
        prop_assume!(signer != holder);
        let header = sign_stripe(&secret(&signer), NOW, b"{}");
        prop_assert_eq!(
            verify_stripe(header.as_bytes(), b"{}", &[secret(&holder)], NOW), Err(Refused::SignatureMismatch)
        );
    }

    #[test]
    fn a_telegram_token_verifies_when_it_is_the_secret_and_never_otherwise(
        held in "[A-Za-z0-9_-]{1,256}", place in any::<prop::sample::Index>(), other in "[!-~]", now in any::<i64>(),
    ) {
        let secrets = [Secret::parse(held.as_bytes(), Scheme::Telegram).unwrap()];
        let answer = |token: &str| {
            let headers = [("x-telegram-bot-api-secret-token", token.as_bytes())];
            let request = Request { headers: &headers, body: b"{}" };
            verify(Scheme::Telegram, &request, &secrets, Freshness::of(Scheme::Telegram), now)
                .map(|verified| verified.signed_at())
        };
        prop_assert_eq!(answer(&held), Ok(None));

        let place = place.index(held.len());
        let mut changed = held.clone();
        changed.replace_range(place..=place, &other);
        prop_assume!(changed != held);
        prop_assert_eq!(answer(&changed), Err(Refused::SignatureMismatch));
    }
}
