//! The events that tell a story, as Stripe would send them: snapshots of the object at each step.

use serde_json::{Value, json};

use super::story::{Charge, Dispute, Life, PayoutEnd, Story, TopupEnd};
use super::{CREATED, Told};

/// The types and bodies of a story's events. `place` makes its ids its own.
pub(super) fn events(story: &Story, place: usize) -> Vec<Told> {
    let mut teller = Teller { story, place, events: Vec::new() };
    match &story.life {
        Life::Charge(charge) => teller.charge(charge),
        Life::Payout { amount, end } => teller.payout(*amount, *end),
        Life::Transfer { amount, reversals } => teller.transfer(*amount, reversals),
        Life::Fee { amount, refunds } => teller.fee(*amount, refunds),
        Life::Topup { amount, end } => teller.topup(*amount, *end),
    }
    teller.events
}

struct Teller<'s> {
    story: &'s Story,
    place: usize,
    events: Vec<Told>,
}

impl Teller<'_> {
    fn id(&self, prefix: &str) -> String {
        format!("{prefix}_{}", self.place)
    }

    fn tell(&mut self, event_type: &'static str, object: &Value) {
        self.events.push((event_type, format!("{{\"object\":\"event\",\"data\":{{\"object\":{object}}}}}")));
    }

    /// A line of the balance.
    fn line(&self, id: &str, kind: &str, category: &str, amount: i64, fee: i64) -> Value {
        let currency = self.story.currency;
        json!({
            "id": format!("txn_{id}"), "object": "balance_transaction", "type": kind, "reporting_category": category,
            "amount": amount, "fee": fee, "net": amount - fee, "currency": currency, "created": CREATED,
            "fee_details": [{ "type": "stripe_fee", "amount": fee, "currency": currency }],
        })
    }

    /// The line of the balance that settles an object, if those were imported.
    fn settle(&mut self, id: &str, kind: &str, category: &str, amount: i64, fee: i64) {
        if self.story.settled {
            let line = self.line(id, kind, category, amount, fee);
            self.tell("balance_transaction", &line);
        }
    }

    fn charge(&mut self, charge: &Charge) {
        let id = self.id("ch");
        let shown = |captured: i64| {
            json!({
                "id": id, "object": "charge", "amount": charge.authorised, "amount_captured": captured,
                "amount_refunded": 0, "captured": captured > 0, "status": "succeeded", "created": CREATED - 10,
                "currency": self.story.currency, "payment_intent": "pi_1", "balance_transaction": null,
            })
        };
        let authorised = shown(0);
        let Some(captured) = charge.captured else {
            self.tell("charge.succeeded", &authorised);
            return self.tell("charge.expired", &authorised);
        };
        let released = charge.authorised - captured;
        let mut shown = shown(captured);
        if charge.old_version {
            let release = (released > 0).then(|| self.refund("release", released, false, CREATED - 9));
            shown["refunds"] = json!({ "data": Vec::from_iter(release), "has_more": false });
            shown["amount_refunded"] = json!(released);
        }
        if released > 0 {
            self.tell("charge.succeeded", &authorised);
            self.tell("charge.captured", &shown);
            self.settle(&self.id("release"), "refund", "partial_capture_reversal", -released, 0);
        } else {
            self.tell("charge.succeeded", &shown);
        }
        self.settle(&id, "charge", "charge", charge.authorised, 100);
        let intent = json!({
            "id": "pi_1", "object": "payment_intent", "amount": charge.authorised, "amount_received": captured,
            "currency": self.story.currency, "status": "succeeded", "latest_charge": id, "created": CREATED - 20,
        });
        self.tell("payment_intent.succeeded", &intent);
        self.refunds(charge, released, shown);
        if let Some(dispute) = &charge.dispute {
            self.dispute(dispute);
        }
    }

    fn refund(&self, id: &str, amount: i64, failed: bool, created: i64) -> Value {
        let back = failed.then(|| format!("txn_back_{id}_{}", self.place));
        json!({
            "id": format!("re_{id}_{}", self.place), "object": "refund", "amount": amount, "created": created,
            "currency": self.story.currency, "status": if failed { "failed" } else { "succeeded" },
            "balance_transaction": format!("txn_re_{id}"), "failure_balance_transaction": back,
        })
    }

    fn refunds(&mut self, charge: &Charge, released: i64, mut shown: Value) {
        let mut refunded = released;
        for (number, (amount, failed)) in charge.refunds.iter().enumerate() {
            let id = number.to_string();
            let made = self.refund(&id, *amount, false, CREATED - 5);
            let ended = self.refund(&id, *amount, *failed, CREATED - 5);
            self.settle(&format!("re_{id}_{}", self.place), "refund", "refund", -amount, 0);
            if *failed {
                self.settle(
                    &format!("back_{id}_{}", self.place),
                    "refund_failure",
                    "refund_failure",
                    *amount,
                    0,
                );
            }
            shown["amount_refunded"] = json!(refunded + amount);
            if charge.old_version {
                let list = shown["refunds"]["data"].as_array_mut().unwrap();
                list.insert(0, made);
                let before = shown.clone();
                shown["refunds"]["data"][0] = ended;
                self.tell("charge.refunded", &before);
                if *failed {
                    shown["amount_refunded"] = json!(refunded);
                    self.tell("charge.updated", &shown);
                }
            } else {
                self.tell("charge.refunded", &shown);
                let mut pending = made.clone();
                pending["balance_transaction"] = Value::Null;
                self.tell("refund.created", &pending);
                self.tell("refund.updated", &made);
                if *failed {
                    self.tell("refund.failed", &ended);
                }
            }
            if !failed {
                refunded += amount;
            }
        }
    }

    fn dispute(&mut self, dispute: &Dispute) {
        let withdrawn = self.line(&self.id("out"), "adjustment", "dispute", -dispute.amount, dispute.fee);
        let mut list = Vec::new();
        let shown = |status: &str, list: &[Value]| {
            json!({
                "id": "du_1", "object": "dispute", "amount": dispute.amount, "currency": "usd", "status": status,
                "created": CREATED - 3, "balance_transactions": list,
            })
        };
        self.tell("charge.dispute.created", &shown("needs_response", &list));
        list.push(withdrawn);
        self.tell("charge.dispute.funds_withdrawn", &shown("needs_response", &list));
        if let Some(with_fee) = dispute.reinstated {
            let fee = if with_fee { -dispute.fee } else { 0 };
            list.push(self.line(&self.id("in"), "adjustment", "dispute_reversal", dispute.amount, fee));
            self.tell("charge.dispute.funds_reinstated", &shown("won", &list));
        }
        self.tell("charge.dispute.closed", &shown(if list.len() == 2 { "won" } else { "lost" }, &list));
    }

    fn payout(&mut self, amount: i64, end: PayoutEnd) {
        let id = self.id("po");
        let shown = |status: &str| {
            json!({
                "id": id, "object": "payout", "amount": amount, "currency": self.story.currency, "status": status,
                "created": CREATED - 3, "balance_transaction": "txn_po",
            })
        };
        let (pending, paid) = (shown("pending"), shown("paid"));
        let (failed, canceled) = (shown("failed"), shown("canceled"));
        self.tell("payout.created", &pending);
        self.settle(&id, "payout", "payout", -amount, 0);
        if end == PayoutEnd::Canceled {
            self.tell("payout.canceled", &canceled);
        } else {
            self.tell("payout.paid", &paid);
        }
        if end == PayoutEnd::PaidThenFailed {
            self.tell("payout.failed", &failed);
        }
        if end != PayoutEnd::Paid {
            self.settle(&self.id("po_back"), "payout_failure", "payout_reversal", amount, 0);
        }
    }

    /// An object that lists what was taken back of it, and its snapshots from none of it to all.
    fn taken_back(
        &mut self,
        object: &Value,
        list: &str,
        sum: &str,
        parts: &[Value],
        types: [&'static str; 2],
    ) {
        for shown in 0..=parts.len() {
            let mut object = object.clone();
            let taken: i64 = parts[..shown].iter().filter_map(|part| part["amount"].as_i64()).sum();
            object[sum] = json!(taken);
            object[list] = json!({ "object": "list", "data": parts[..shown], "has_more": false });
            self.tell(types[usize::from(shown > 0)], &object);
        }
    }

    fn transfer(&mut self, amount: i64, reversals: &[i64]) {
        let id = self.id("tr");
        let parts = self.parts("trr", "transfer_reversal", reversals);
        self.settle(&id, "transfer", "transfer", -amount, 0);
        for (part, amount) in parts.iter().zip(reversals) {
            self.settle(part["id"].as_str().unwrap(), "transfer_refund", "transfer_reversal", *amount, 0);
        }
        let object = json!({
            "id": id, "object": "transfer", "amount": amount, "currency": self.story.currency, "created": CREATED - 3,
        });
        self.taken_back(
            &object,
            "reversals",
            "amount_reversed",
            &parts,
            ["transfer.created", "transfer.reversed"],
        );
    }

    fn fee(&mut self, amount: i64, refunds: &[i64]) {
        let id = self.id("fee");
        let parts = self.parts("fr", "fee_refund", refunds);
        self.settle(&id, "application_fee", "platform_earning", amount, 0);
        for (part, amount) in parts.iter().zip(refunds) {
            self.tell("application_fee.refund.updated", part);
            let id = part["id"].as_str().unwrap();
            self.settle(id, "application_fee_refund", "platform_earning_refund", -amount, 0);
        }
        let object = json!({
            "id": id, "object": "application_fee", "amount": amount, "currency": self.story.currency,
            "created": CREATED - 3,
        });
        let types = ["application_fee.created", "application_fee.refunded"];
        self.taken_back(&object, "refunds", "amount_refunded", &parts, types);
    }

    fn parts(&self, prefix: &str, object: &str, amounts: &[i64]) -> Vec<Value> {
        let part = |(number, amount): (usize, &i64)| {
            json!({
                "id": format!("{prefix}_{number}_{}", self.place), "object": object, "amount": amount,
                "currency": self.story.currency, "created": CREATED - 1,
            })
        };
        amounts.iter().enumerate().map(part).collect()
    }

    fn topup(&mut self, amount: i64, end: TopupEnd) {
        let id = self.id("tu");
        let shown = |status: &str| {
            json!({
                "id": id, "object": "topup", "amount": amount, "currency": self.story.currency, "status": status,
                "created": CREATED - 3,
            })
        };
        let (pending, succeeded) = (shown("pending"), shown("succeeded"));
        let (reversed, failed) = (shown("reversed"), shown("failed"));
        self.tell("topup.created", &pending);
        if end == TopupEnd::Failed {
            return self.tell("topup.failed", &failed);
        }
        self.tell("topup.succeeded", &succeeded);
        self.settle(&id, "topup", "topup", amount, 0);
        if end == TopupEnd::Reversed {
            self.tell("topup.reversed", &reversed);
            self.settle(&self.id("tu_back"), "topup_reversal", "topup_reversal", -amount, 0);
        }
    }
}
