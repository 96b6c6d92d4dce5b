//! Which event a delivery holds, and what is kept of it.

use proptest::prelude::*;

use super::*;

#[test]
fn every_kind_of_update_is_read_as_itself() {
    for (kind, event_type, content) in every_kind() {
        let event = read(update(41, kind, &content)).unwrap();
        assert_eq!(event.event_id.as_str(), "7000000001:41", "{kind}");
        assert_eq!(event.event_type.as_str(), event_type);
        assert_eq!((event.account, event.livemode), (bot(), Livemode::Live), "{kind}");
        let created = if kind == "message" { UnixMillis(WRITTEN * 1000) } else { RECEIVED };
        assert_eq!(event.created, created, "{kind}");
        let kept: Value = serde_json::from_slice(&event.payload).unwrap();
        assert_eq!(kept["update_id"], json!(41));
        assert!(kept[kind].is_object(), "{kept}");
    }
}

#[test]
fn a_payment_keeps_what_books_and_support_need_and_nothing_else() {
    let event = read(update(41, "message", &message("successful_payment", &subscription()))).unwrap();
    let kept: Value = serde_json::from_slice(&event.payload).unwrap();
    let expected = json!({ "update_id": 41, "message": {
        "message_id": 81, "date": WRITTEN, "successful_payment": {
            "currency": "XTR", "total_amount": 75, "telegram_payment_charge_id": "stxAbC-dEf_0123",
            "provider_payment_charge_id": "5550001_9", "is_recurring": true,
            "subscription_expiration_date": WRITTEN + 2_592_000,
        },
    } });
    assert_eq!(kept, expected);
    assert_eq!(event.object_id.unwrap().as_str(), "stxAbC-dEf_0123");
}

#[test]
fn a_query_is_known_by_its_id() {
    for (kind, content, id) in [
        ("pre_checkout_query", checkout_query(), "23836671000000001"),
        ("shipping_query", shipping_query(), "23836671000000002"),
    ] {
        let event = read(update(41, kind, &content)).unwrap();
        assert_eq!(event.object_id.unwrap().as_str(), id);
    }
}

#[test]
fn a_repeat_is_the_same_event_and_another_content_under_its_number_is_not() {
    let print = |update_id, content: &Value| {
        let event = read(update(update_id, "message", content)).unwrap();
        (event.event_id, event.fingerprint)
    };
    let paid = message("successful_payment", &fiat());
    assert_eq!(print(41, &paid), print(41, &paid));
    for (key, value) in [
        ("total_amount", json!(2000)),
        ("currency", json!("USD")),
        ("telegram_payment_charge_id", json!("_5550001_Other")),
    ] {
        let other = message("successful_payment", &with(fiat(), key, value));
        assert!(print(41, &paid).1.contradicts(&print(41, &other).1), "{key}");
    }
    let refunded = message("refunded_payment", &fiat());
    assert!(print(41, &paid).1.contradicts(&print(41, &refunded).1));
}

#[test]
fn numbers_that_start_again_anywhere_are_events_like_any_other() {
    let ids: Vec<String> = [900_000_000, 900_000_001, 17, 2_147_483_647, 0]
        .into_iter()
        .map(|id| read(update(id, "message", &message("successful_payment", &stars()))).unwrap())
        .map(|event| event.event_id.to_string())
        .collect();
    let expected = [
        "7000000001:900000000",
        "7000000001:900000001",
        "7000000001:17",
        "7000000001:2147483647",
        "7000000001:0",
    ];
    assert_eq!(ids, expected);
}

#[test]
fn an_unreadable_payment_is_still_announced_as_one() {
    for value in [json!(null), json!("75"), json!([stars()]), json!(7)] {
        let event = read(update(41, "message", &message("successful_payment", &value))).unwrap();
        assert_eq!(event.event_type.as_str(), "message.successful_payment", "{value}");
        assert_eq!(event.object_id, None);
    }
}

#[test]
fn what_cannot_be_read_without_doubt_is_refused() {
    let paid = message("successful_payment", &stars()).to_string();
    let twice = paid.replacen("\"currency\":", "\"currency\":\"EUR\",\"currency\":", 1);
    for (body, refused) in [
        ("not json".to_owned(), Unreadable::Json),
        (format!("{{\"update_id\":41,\n\"message\":{twice}}}"), Unreadable::Json),
        (format!("{{\"update_id\":41,\n\"message\":{paid},\n\"poll\":{{}}}}"), Unreadable::Json),
        (format!("{{\"message\":{paid}}}"), Unreadable::Field("update_id")),
        ("{\"update_id\":41}".to_owned(), Unreadable::Field("type")),
    ] {
        assert_eq!(read(&body).err(), Some(refused), "{body}");
    }
    let mut foreign = b"{\"update_id\":41,\n\"mess\xffage\":{}}".to_vec();
    assert_eq!(read(&foreign).err(), Some(Unreadable::Field("type")));
    foreign.truncate(20);
    assert_eq!(read(&foreign).err(), Some(Unreadable::Json));
}

#[test]
fn ten_thousand_levels_of_what_is_not_kept_do_no_harm() {
    let deep = format!("{}{}", "[".repeat(10_000), "]".repeat(10_000));
    let body = update(41, "message", &message("successful_payment", &stars())).replacen(
        "\"Jenny's order\"",
        &deep,
        1,
    );
    assert_eq!(read(body).unwrap().event_type.as_str(), "message.successful_payment");
}

/// Puts `plant` in the place of each value, one at a time, and as a further key into each object.
fn planted(value: &Value, plant: &Value) -> Vec<Value> {
    let mut all = vec![plant.clone()];
    if let Value::Object(fields) = value {
        for (key, inner) in fields {
            let replaced = planted(inner, plant).into_iter().map(|inner| with(value.clone(), key, inner));
            all.extend(replaced);
        }
        let key = plant.as_str().map_or_else(|| plant.to_string(), str::to_owned);
        all.push(with(value.clone(), &key, plant.clone()));
    }
    all
}

#[test]
fn nothing_personal_survives_wherever_it_stands() {
    let (card, number) = (json!("4242424242424242"), json!(4_242_424_242_424_242_i64));
    let phone = json!("+15555550123");
    for (kind, _, content) in every_kind() {
        for plant in [&card, &number, &phone, &json!("jenny@example.com"), &json!("Jenny Rosen")] {
            for content in planted(&content, plant) {
                let body = update(41, kind, &content);
                let Ok(event) = read(&body) else { continue };
                let seen = format!("{event:?} {}", String::from_utf8_lossy(&event.payload));
                for secret in ["4242424242424242", "5555550123", "enny", "Rosen", "@", "Weimar"] {
                    assert!(!seen.contains(secret), "{secret} of {body} in {seen}");
                }
            }
        }
    }
}

#[test]
fn invalid_utf_8_in_a_field_that_is_not_kept_is_tolerated() {
    for (kind, event_type, content) in every_kind() {
        let body = update(41, kind, &content);
        let (clean, replaced) = (body.replace("Jenny", "J"), body.replace("Jenny", "\u{1}"));
        for bytes in
            [&b"\xff\xfe\x80"[..], b"\xc3", b"\xe2\x82", b"\xf0\x9f\x98", b"\xed\xa0\x80", b"\xc0\xaf"]
        {
            let body = bytes_instead(replaced.as_bytes(), bytes);
            let event = read(body).unwrap();
            assert_eq!(event.event_type.as_str(), event_type);
            assert_eq!(event, read(&clean).unwrap(), "{kind}");
        }
    }
}

/// `body` with `bytes` in the place of each byte 1.
fn bytes_instead(body: &[u8], bytes: &[u8]) -> Vec<u8> {
    body.split(|byte| *byte == 1).collect::<Vec<_>>().join(bytes)
}

#[test]
fn invalid_utf_8_in_a_kept_field_makes_it_unreadable_and_not_another() {
    let content = message("successful_payment", &with(stars(), "telegram_payment_charge_id", json!("A!B")));
    let body = update(41, "message", &content).replace('!', "\u{1}");
    let event = read(bytes_instead(body.as_bytes(), b"\xff")).unwrap();
    assert_eq!(event.object_id, None);
    assert_eq!(assess(&event, None), Assessment::Keep(ledger::Reason::ObjectUnreadable));
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(bytes: Vec<u8>) {
        if let Ok(event) = read(&bytes) {
            assess(&event, None);
        }
    }

    #[test]
    fn arbitrary_bytes_in_the_place_of_a_text_never_panic(bytes: Vec<u8>) {
        let body = update(41, "message", &message("successful_payment", &fiat()));
        for text in ["Jenny's order", "EUR", "ch_3Telegram", "message_id", "1999"] {
            let body = body.replacen(text, "\u{1}", 1);
            if let Ok(event) = read(bytes_instead(body.as_bytes(), &bytes)) {
                assess(&event, None);
            }
        }
    }

    #[test]
    fn what_a_bot_writes_into_its_invoices_changes_nothing(bytes: Vec<u8>) {
        // As Telegram's server writes it: quotes, backslashes and controls escaped, all else as it is.
        let escaped: Vec<u8> = bytes.iter().flat_map(|byte| match byte {
            b'"' | b'\\' => vec![b'\\', *byte],
            0..0x20 => format!("\\u{byte:04x}").into_bytes(),
            _ => vec![*byte],
        }).collect();
        let body = update(41, "message", &message("successful_payment", &fiat()));
        let odd = bytes_instead(body.replace("Jenny's order", "\u{1}").as_bytes(), &escaped);
        prop_assert_eq!(read(odd), read(body));
    }
}

#[test]
fn what_an_update_is_about_is_told_in_the_books_own_units() {
    for (kind, content, shown) in [
        (
            "message",
            message("successful_payment", &stars()),
            Some((stars()["total_amount"].as_i64().unwrap(), "XTR")),
        ),
        ("message", message("text", &json!("hello")), None),
    ] {
        let event = read(update(41, kind, &content)).unwrap();
        let money = Telegram.money(&event.payload).map(|amount| (amount.minor(), amount.currency().code()));
        assert_eq!(money, shown, "{kind}");
    }
    assert_eq!(Telegram.money(b"\xff"), None);
}
