//! Telegram's updates, made up in the shapes of its Bot API, with the kind of personal data that real ones carry.
//! <https://core.telegram.org/bots/api#update>

use serde_json::{Value, json};

use super::Content;

/// The types that there are fixtures for. The first two move money, if the amount is positive.
pub(super) const TYPES: [&str; 3] = ["successful_payment", "refunded_payment", "pre_checkout_query"];

/// Telegram's own money.
const STARS: &str = "XTR";

/// What the bot wrote into its invoice; it may be anything.
const PAYLOAD: &str = "order of ada@example.com";

/// An update as Telegram's server writes it; `None` for a type without a fixture.
///
/// Ids of one story have the same ending: the payment `tpc_1`, in fiat money, was settled as `ch_1`, so that
/// Stripe's `charge.succeeded` of `ch_1` describes the same money.
pub(super) fn update(number: u32, content: &Content<'_>) -> Option<String> {
    let (kind, shown) = match content.event_type {
        "successful_payment" => {
            ("message", message(number, content, "successful_payment", &payment(number, content)))
        }
        "refunded_payment" => {
            ("message", message(number, content, "refunded_payment", &refund(number, content)))
        }
        "pre_checkout_query" => ("pre_checkout_query", pre_checkout_query(number, content)),
        _ => return None,
    };
    Some(format!("{{\"update_id\":{number},\n\"{kind}\":{shown}}}"))
}

/// Whether updates of that type say when they were made.
pub(super) fn is_dated(event_type: &str) -> bool {
    event_type != "pre_checkout_query"
}

fn message(number: u32, content: &Content<'_>, field: &str, shown: &Value) -> Value {
    json!({
        "message_id": number, "from": customer(),
        "chat": { "id": 5_550_100, "first_name": "Ada", "type": "private" }, "date": content.created_s, field: shown,
    })
}

/// A payment in fiat money has an order, and an id at whoever settles it.
fn payment(number: u32, content: &Content<'_>) -> Value {
    let (currency, amount) = (content.currency.code(), content.amount);
    let charge_id = charge_id(number, content);
    if currency == STARS {
        return json!({
            "currency": currency, "total_amount": amount, "invoice_payload": PAYLOAD,
            "telegram_payment_charge_id": charge_id, "provider_payment_charge_id": "5550100_0",
        });
    }
    json!({
        "currency": currency, "total_amount": amount, "invoice_payload": PAYLOAD, "order_info": order_info(),
        "telegram_payment_charge_id": charge_id,
        "provider_payment_charge_id": format!("ch_{}", ending(number, content)),
    })
}

fn refund(number: u32, content: &Content<'_>) -> Value {
    json!({
        "currency": content.currency.code(), "total_amount": content.amount, "invoice_payload": PAYLOAD,
        "telegram_payment_charge_id": charge_id(number, content),
    })
}

fn pre_checkout_query(number: u32, content: &Content<'_>) -> Value {
    let id = content.object_id.map_or_else(|| number.to_string(), str::to_owned);
    json!({
        "id": id, "from": customer(), "currency": content.currency.code(), "total_amount": content.amount,
        "invoice_payload": PAYLOAD, "order_info": order_info(),
    })
}

fn customer() -> Value {
    json!({
        "id": 5_550_100, "is_bot": false, "first_name": "Ada", "last_name": "Example", "username": "ada_example",
        "language_code": "nl",
    })
}

fn order_info() -> Value {
    json!({ "name": "Ada Example", "phone_number": "15555550100", "email": "ada@example.com" })
}

/// The id of the payment, which a refund of it has too.
fn charge_id(number: u32, content: &Content<'_>) -> String {
    content.object_id.map_or_else(|| format!("tpc_{number}"), str::to_owned)
}

fn ending(number: u32, content: &Content<'_>) -> String {
    let given = content.object_id.map(|id| id.split_once('_').map_or(id, |(_, ending)| ending));
    given.map_or_else(|| number.to_string(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use ledger::{Livemode, Movement, ProviderAccount, Reason, UnixMillis};
    use money::Currency;
    use provider::{Arrival, Assessment, EventView, Provider as _, SettlesWith, Stripe, Telegram};
    use signature::{Freshness, Request, Scheme, Secret, verify};

    use super::*;

    const NOW_S: i64 = 1_790_000_000;
    const TOKEN: &[u8] = b"token-of-this-test";

    fn content(event_type: &'static str, currency: &str) -> Content<'static> {
        let currency = Currency::parse(currency).unwrap();
        Content { event_type, object_id: Some("tpc_story"), amount: 75, currency, created_s: NOW_S }
    }

    /// What the ingress reads of it, and what the processor makes of that.
    fn assessed(content: &Content<'_>) -> (provider::Event, Assessment) {
        let body = update(41, content).unwrap();
        let headers = [("X-Telegram-Bot-Api-Secret-Token", TOKEN)];
        let request = Request { headers: &headers, body: body.as_bytes() };
        let secret = Secret::parse(TOKEN, Scheme::Telegram).unwrap();
        let freshness = Freshness::of(Scheme::Telegram);
        let verified = verify(Scheme::Telegram, &request, &[secret], freshness, NOW_S).unwrap();
        let own_account = ProviderAccount::parse("7000000001").unwrap();
        let arrival = Arrival {
            own_account: &own_account,
            livemode: Livemode::Test,
            received_at: UnixMillis::from_seconds(NOW_S),
        };
        let event = Telegram.events(&verified, &arrival).unwrap().remove(0);
        let settling =
            SettlesWith { provider: Stripe.name(), account: ProviderAccount::parse("acct_dev").unwrap() };
        let assessment = Telegram.assess(&EventView {
            event_type: &event.event_type,
            account: &event.account,
            livemode: event.livemode,
            created: event.created,
            payload: &event.payload,
            settles_with: Some(&settling),
        });
        (event, assessment)
    }

    fn movement(content: &Content<'_>) -> Movement {
        let (_, assessment) = assessed(content);
        let Assessment::Movements(mut movements) = assessment else { panic!("{assessment:?}") };
        movements.remove(0)
    }

    #[test]
    fn a_payment_and_its_refund_in_stars_are_of_one_charge() {
        for (event_type, key) in [
            ("successful_payment", "telegram/7000000001/test/tpc_story/capture"),
            ("refunded_payment", "telegram/7000000001/test/tpc_story/refund"),
        ] {
            let moved = movement(&content(event_type, "XTR"));
            assert_eq!((moved.key.to_string().as_str(), moved.parts[0].1.minor()), (key, 75));
        }
    }

    #[test]
    fn a_payment_in_euro_is_the_charge_that_stripe_settles() {
        let moved = movement(&content("successful_payment", "EUR"));
        assert_eq!(moved.key.to_string(), "stripe/acct_dev/test/ch_story/capture");
    }

    #[test]
    fn a_query_moves_no_money_and_is_no_stranger() {
        let (event, assessment) = assessed(&content("pre_checkout_query", "EUR"));
        assert_eq!(event.event_id.as_str(), "7000000001:41");
        assert_eq!(assessment, Assessment::Keep(Reason::MovesNoMoney));
        assert_eq!(update(41, &content("callback_query", "EUR")), None);
    }

    #[test]
    fn only_a_dated_update_is_as_old_as_it_says() {
        for event_type in TYPES {
            let made = Content { created_s: NOW_S - 500, ..content(event_type, "XTR") };
            let created = if is_dated(event_type) { NOW_S - 500 } else { NOW_S };
            assert_eq!(assessed(&made).0.created, UnixMillis::from_seconds(created), "{event_type}");
        }
    }

    #[test]
    fn nothing_personal_survives_the_keep_list() {
        for (event_type, currency) in TYPES.into_iter().flat_map(|each| [(each, "XTR"), (each, "EUR")]) {
            let kept =
                String::from_utf8(assessed(&content(event_type, currency)).0.payload.to_vec()).unwrap();
            for personal in ["Ada", "ada", "example.com", "5555550100"] {
                assert!(!kept.contains(personal), "{event_type}: {kept}");
            }
        }
    }
}
