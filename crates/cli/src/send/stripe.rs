//! Stripe's events, made up in the shapes of its API reference, with the kind of personal data that real ones carry.
//! <https://docs.stripe.com/api/events/object>

use serde_json::{Value, json};

use super::Content;

/// The types that there are fixtures for. The first three move money, if the amount is positive.
pub(super) const TYPES: [&str; 8] = [
    "charge.succeeded",
    "charge.captured",
    "payment_intent.succeeded",
    "charge.failed",
    "payment_intent.created",
    "customer.created",
    "price.created",
    "invoice.paid",
];

const API_VERSION: &str = "2026-10-28.endive";

/// An event as Stripe would post it; `None` for a type without a fixture.
///
/// Ids of one story have the same ending: `evt_1` shows `ch_1` of `pi_1`, so that `charge.succeeded` of `ch_1` and
/// `payment_intent.succeeded` of `pi_1` describe the same money.
pub(super) fn event(event_id: &str, content: &Content<'_>) -> Option<String> {
    let ids = Ids::of(event_id, content);
    let object = match content.event_type {
        "charge.succeeded" | "charge.captured" => charge(content, &ids, "succeeded"),
        "charge.failed" => charge(content, &ids, "failed"),
        "payment_intent.succeeded" => payment_intent(content, &ids, "succeeded"),
        "payment_intent.created" => payment_intent(content, &ids, "requires_payment_method"),
        "customer.created" => customer(content, &ids),
        "price.created" => price(content, &ids),
        "invoice.paid" => invoice(content, &ids),
        _ => return None,
    };
    let event = json!({
        "id": event_id, "object": "event", "api_version": API_VERSION, "created": content.created_s,
        "data": { "object": object }, "livemode": false, "pending_webhooks": 1,
        "request": { "id": format!("req_{}", ids.ending), "idempotency_key": null },
        "type": content.event_type,
    });
    Some(event.to_string())
}

/// Ids with the ending of the object, or else of the event.
struct Ids<'a> {
    ending: &'a str,
    given: Option<&'a str>,
}

impl<'a> Ids<'a> {
    fn of(event_id: &'a str, content: &Content<'a>) -> Self {
        let named = content.object_id.unwrap_or(event_id);
        let ending = named.split_once('_').map_or(named, |(_, ending)| ending);
        Self { ending, given: content.object_id }
    }

    /// The id of the object that the event shows.
    fn shown(&self, prefix: &str) -> String {
        self.given.map_or_else(|| self.other(prefix), str::to_owned)
    }

    /// The id of an object that it refers to.
    fn other(&self, prefix: &str) -> String {
        format!("{prefix}_{}", self.ending)
    }
}

fn charge(content: &Content<'_>, ids: &Ids<'_>, status: &str) -> Value {
    let succeeded = status == "succeeded";
    json!({
        "id": ids.shown("ch"), "object": "charge", "amount": content.amount,
        "amount_captured": if succeeded { content.amount } else { 0 }, "amount_refunded": 0,
        "application": null, "application_fee_amount": null, "balance_transaction": null,
        "billing_details": {
            "address": {
                "city": "Utrecht", "country": "NL", "line1": "Voorbeeldstraat 1", "line2": null,
                "postal_code": "3511 AA", "state": null,
            },
            "email": "ada@example.com", "name": "Ada Example", "phone": "+15555550100",
        },
        "calculated_statement_descriptor": "COUNTERSIGN DEV", "captured": succeeded,
        "created": content.created_s, "currency": currency(content), "customer": ids.other("cus"),
        "description": "Order for Ada Example", "disputed": false,
        "failure_balance_transaction": null, "failure_code": if succeeded { None } else { Some("card_declined") },
        "fraud_details": {}, "livemode": false, "metadata": { "order": ids.ending },
        "outcome": { "network_status": if succeeded { "approved_by_network" } else { "declined_by_network" } },
        "paid": succeeded, "payment_intent": ids.other("pi"), "payment_method": ids.other("pm"),
        "payment_method_details": {
            "card": { "brand": "visa", "country": "NL", "exp_month": 12, "exp_year": 2034, "last4": "4242" },
            "type": "card",
        },
        "receipt_email": "ada@example.com", "receipt_url": "https://pay.stripe.com/receipts/made-up",
        "refunded": false, "status": status,
    })
}

fn payment_intent(content: &Content<'_>, ids: &Ids<'_>, status: &str) -> Value {
    let succeeded = status == "succeeded";
    json!({
        "id": ids.shown("pi"), "object": "payment_intent", "amount": content.amount, "amount_capturable": 0,
        "amount_received": if succeeded { content.amount } else { 0 }, "application": null, "canceled_at": null,
        "capture_method": "automatic", "client_secret": format!("{}_secret_made_up", ids.shown("pi")),
        "created": content.created_s, "currency": currency(content), "customer": ids.other("cus"),
        "latest_charge": if succeeded { Some(ids.other("ch")) } else { None }, "livemode": false,
        "metadata": { "order": ids.ending }, "payment_method": ids.other("pm"), "payment_method_types": ["card"],
        "receipt_email": "ada@example.com", "status": status,
    })
}

fn customer(content: &Content<'_>, ids: &Ids<'_>) -> Value {
    json!({
        "id": ids.shown("cus"), "object": "customer", "balance": 0, "created": content.created_s,
        "delinquent": false, "email": "ada@example.com", "livemode": false, "metadata": {},
        "name": "Ada Example", "phone": "+15555550100",
    })
}

fn price(content: &Content<'_>, ids: &Ids<'_>) -> Value {
    json!({
        "id": ids.shown("price"), "object": "price", "active": true, "billing_scheme": "per_unit",
        "created": content.created_s, "currency": currency(content), "livemode": false, "metadata": {},
        "product": ids.other("prod"), "type": "one_time", "unit_amount": content.amount,
    })
}

fn invoice(content: &Content<'_>, ids: &Ids<'_>) -> Value {
    json!({
        "id": ids.shown("in"), "object": "invoice", "amount_due": content.amount, "amount_paid": content.amount,
        "amount_remaining": 0, "created": content.created_s, "currency": currency(content),
        "customer": ids.other("cus"), "customer_email": "ada@example.com", "livemode": false, "metadata": {},
        "status": "paid", "total": content.amount,
    })
}

/// Stripe writes them in lower case.
fn currency(content: &Content<'_>) -> String {
    content.currency.code().to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use ledger::{Livemode, MovementKey, ProviderAccount, Reason, UnixMillis};
    use money::Currency;
    use provider::{Arrival, Assessment, EventView, Provider as _, Stripe};
    use signature::{Freshness, Request, Scheme, Secret, sign_stripe, verify};

    use super::*;

    const NOW_S: i64 = 1_790_000_000;

    fn content(event_type: &'static str) -> Content<'static> {
        let currency = Currency::parse("USD").unwrap();
        Content { event_type, object_id: None, amount: 1099, currency, created_s: NOW_S }
    }

    /// What the ingress reads of it, and what the processor makes of that.
    fn assessed(content: &Content<'_>) -> (provider::Event, Assessment) {
        let body = event("evt_story", content).unwrap();
        let secret = Secret::parse(b"whsec_of_this_test", Scheme::Stripe).unwrap();
        let header = sign_stripe(&secret, NOW_S, body.as_bytes());
        let headers = [("Stripe-Signature", header.as_bytes())];
        let request = Request { headers: &headers, body: body.as_bytes() };
        let verified =
            verify(Scheme::Stripe, &request, &[secret], Freshness::of(Scheme::Stripe), NOW_S).unwrap();
        let own_account = ProviderAccount::parse("acct_dev").unwrap();
        let received_at = UnixMillis::from_seconds(NOW_S);
        let livemode = Livemode::Test;
        let arrival = Arrival { own_account: &own_account, livemode, received_at };
        let event = Stripe.events(&verified, &arrival).unwrap().remove(0);
        let assessment = Stripe.assess(&EventView {
            event_type: &event.event_type,
            account: &event.account,
            livemode: event.livemode,
            created: event.created,
            payload: &event.payload,
            settles_with: None,
        });
        (event, assessment)
    }

    fn movement(content: &Content<'_>) -> (MovementKey, i64) {
        let (_, assessment) = assessed(content);
        let Assessment::Movements(movements) = assessment else { panic!("{assessment:?}") };
        (movements[0].key.clone(), movements[0].parts[0].1.minor())
    }

    #[test]
    fn every_type_is_read_as_itself() {
        for event_type in TYPES {
            let (event, _) = assessed(&content(event_type));
            assert_eq!(event.event_type.as_str(), event_type);
            assert_eq!(event.event_id.as_str(), "evt_story");
            assert!(event.object_id.unwrap().as_str().ends_with("_story"), "{event_type}");
        }
        assert_eq!(event("evt_story", &content("charge.dispute.created")), None);
    }

    #[test]
    fn charge_and_payment_intent_of_one_story_describe_the_same_money() {
        let charge = movement(&content("charge.succeeded"));
        assert_eq!(
            (charge.0.to_string().as_str(), charge.1),
            ("stripe/acct_dev/test/ch_story/capture", 1099)
        );
        assert_eq!(movement(&content("charge.captured")), charge);
        let intent = Content { object_id: Some("pi_story"), ..content("payment_intent.succeeded") };
        assert_eq!(movement(&intent), charge);
    }

    #[test]
    fn the_other_types_move_no_money() {
        for (event_type, reason) in [
            ("charge.failed", Reason::NothingMovedYet),
            ("payment_intent.created", Reason::MovesNoMoney),
            ("customer.created", Reason::MovesNoMoney),
            ("price.created", Reason::MovesNoMoney),
            ("invoice.paid", Reason::DescribedElsewhere),
        ] {
            assert_eq!(assessed(&content(event_type)).1, Assessment::Keep(reason), "{event_type}");
        }
    }

    #[test]
    fn nothing_personal_survives_the_keep_list() {
        for event_type in TYPES {
            let kept = String::from_utf8(assessed(&content(event_type)).0.payload.to_vec()).unwrap();
            for personal in ["Ada", "example.com", "5555550100", "Voorbeeldstraat", "4242"] {
                assert!(!kept.contains(personal), "{event_type}: {kept}");
            }
        }
    }
}
