use ledger::{Movement, PostingTable, ProviderAccount, Reason, UnixMillis};
use serde_json::{Value, json};
use signature::{Freshness, Request, Scheme, Secret, sign_stripe, verify};

use super::*;

mod captures;
mod families;
mod fixtures;
mod histories;
mod keeping;
mod parked;
mod reading;
mod settlements;

/// When the events of these tests were made; their objects a minute or more before.
const CREATED: i64 = 1_795_000_000;

fn own_account() -> ProviderAccount {
    ProviderAccount::parse("acct_dev").unwrap()
}

/// Signs `body` and reads it as the ingress does.
fn read(body: &str) -> Result<Event, Unreadable> {
    let secret = Secret::parse(b"whsec_of_this_test", Scheme::Stripe).unwrap();
    let header = sign_stripe(&secret, CREATED, body.as_bytes());
    let headers = [("stripe-signature", header.as_bytes())];
    let request = Request { headers: &headers, body: body.as_bytes() };
    let verified =
        verify(Scheme::Stripe, &request, &[secret], Freshness::of(Scheme::Stripe), CREATED).unwrap();
    let received_at = UnixMillis(CREATED * 1000);
    let arrival = Arrival { own_account: &own_account(), livemode: Livemode::Live, received_at };
    Stripe.events(&verified, &arrival).map(|mut events| events.remove(0))
}

fn assess(event: &Event) -> Assessment {
    Stripe.assess(&EventView {
        event_type: &event.event_type,
        account: &event.account,
        livemode: event.livemode,
        created: event.created,
        payload: &event.payload,
        settles_with: None,
    })
}

fn event(event_type: &str, object: &Value) -> Value {
    json!({
        "id": "evt_1", "object": "event", "api_version": "2026-10-28.endive", "created": CREATED,
        "data": { "object": object, "previous_attributes": { "description": "before" } },
        "livemode": false, "pending_webhooks": 2,
        "request": { "id": "req_1", "idempotency_key": "k" }, "type": event_type,
    })
}

fn with(mut object: Value, key: &str, value: Value) -> Value {
    object[key] = value;
    object
}

fn assessed(event_type: &str, object: &Value) -> Assessment {
    assess(&read(&event(event_type, object).to_string()).unwrap())
}

fn movements(event_type: &str, object: &Value) -> Vec<Movement> {
    match assessed(event_type, object) {
        Assessment::Movements(movements) => movements,
        Assessment::Keep(reason) => panic!("{event_type}: {reason}"),
    }
}

fn kept(event_type: &str, object: &Value) -> Option<Reason> {
    match assessed(event_type, object) {
        Assessment::Keep(reason) => Some(reason),
        Assessment::Movements(_) => None,
    }
}

/// What an event comes to: `ch_1/capture +0s: assets:stripe:clearing 10.00 USD, income:sales -10.00 USD` for each of its
/// movements, with the seconds between the event and the movement; or why it comes to nothing.
fn posted(event_type: &str, object: &Value) -> Vec<String> {
    let movements = match assessed(event_type, object) {
        Assessment::Movements(movements) => movements,
        Assessment::Keep(reason) => return vec![reason.to_string()],
    };
    let lines = movements.iter().map(|movement| {
        let transaction = PostingTable::built_in().post(movement).unwrap();
        let legs = transaction.entries().iter().map(|entry| format!("{} {}", entry.account, entry.amount));
        let legs = legs.collect::<Vec<_>>().join(", ");
        let key = movement.key.to_string();
        let key = key.strip_prefix("stripe/acct_dev/test/").unwrap();
        format!("{key} {:+}s: {legs}", movement.occurred_at.seconds() - CREATED)
    });
    lines.collect()
}
