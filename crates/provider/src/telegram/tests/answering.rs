//! What a pre-checkout query is answered.

use proptest::prelude::*;

use super::*;

fn answer(body: impl AsRef<[u8]>, verdict: CheckoutVerdict) -> Option<String> {
    pre_checkout_answer(&verified(body.as_ref())?, verdict)
}

#[test]
fn a_query_is_approved_by_its_id_as_often_as_it_is_asked() {
    let body = update(41, "pre_checkout_query", &checkout_query());
    let approval =
        r#"{"method":"answerPreCheckoutQuery","pre_checkout_query_id":"23836671000000001","ok":true}"#;
    for _ in 0..2 {
        assert_eq!(answer(&body, CheckoutVerdict::Approve).as_deref(), Some(approval));
    }
}

#[test]
fn an_id_that_passes_for_a_card_number_is_answered_in_full_and_masked_in_what_is_kept() {
    let query = with(checkout_query(), "id", json!("4242424242424242"));
    let body = update(41, "pre_checkout_query", &query);
    let answer = answer(&body, CheckoutVerdict::Approve).unwrap();
    assert!(answer.contains("\"4242424242424242\""), "{answer}");
    let event = read(&body).unwrap();
    assert_eq!(event.object_id, None);
    assert!(!String::from_utf8_lossy(&event.payload).contains("4242424242424242"));
}

#[test]
fn an_invoice_payload_that_is_no_utf_8_does_not_keep_a_query_from_being_answered() {
    let body = update(41, "pre_checkout_query", &checkout_query());
    let (before, after) = body.split_once("Jenny's order").unwrap();
    let odd = [before.as_bytes(), b"\xff\xfe\x80", after.as_bytes()].concat();
    assert!(answer(odd, CheckoutVerdict::Approve).is_some());
}

#[test]
fn the_bot_answers_by_itself_if_the_configuration_says_so() {
    let body = update(41, "pre_checkout_query", &checkout_query());
    assert_eq!(answer(body, CheckoutVerdict::default()), None);
}

#[test]
fn nothing_else_is_answered() {
    for (kind, _, content) in every_kind().into_iter().filter(|(kind, ..)| *kind != "pre_checkout_query") {
        assert_eq!(answer(update(41, kind, &content), CheckoutVerdict::Approve), None, "{kind}");
    }
    for id in [json!(null), json!(7), json!(""), json!("a b"), json!("a\n"), json!("x".repeat(129))] {
        let query = with(checkout_query(), "id", id);
        assert_eq!(
            answer(update(41, "pre_checkout_query", &query), CheckoutVerdict::Approve),
            None,
            "{query}"
        );
    }
    assert_eq!(answer("not json", CheckoutVerdict::Approve), None);
}

proptest! {
    #[test]
    fn an_answer_is_json_with_the_id_that_was_asked(id in "[ -~]{0,40}") {
        let query = with(checkout_query(), "id", json!(id));
        if let Some(answer) = answer(update(41, "pre_checkout_query", &query), CheckoutVerdict::Approve) {
            let answer: Value = serde_json::from_str(&answer).unwrap();
            prop_assert_eq!(&answer["pre_checkout_query_id"], &json!(id));
        }
    }
}
