//! What a pre-checkout query is answered.
//!
//! Telegram cancels a payment that the bot has not confirmed within ten seconds of asking. The confirmation may stand
//! in the response to the webhook itself: <https://core.telegram.org/bots/api#making-requests-when-getting-updates>,
//! <https://core.telegram.org/bots/api#answerprecheckoutquery>.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use signature::Verified;

use super::update::Update;

/// The longest id that is answered, in bytes.
const QUERY_ID_MAX: usize = 128;

/// What the source's configuration says of pre-checkout queries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum CheckoutVerdict {
    /// Every payment may go on.
    Approve,
    /// The bot answers by itself; the webhook's response says nothing.
    #[default]
    LeaveToBot,
}

#[derive(Debug, Deserialize)]
struct Query<'a> {
    #[serde(borrow)]
    id: Cow<'a, str>,
}

#[derive(Debug, Serialize)]
struct Answer<'a> {
    method: &'static str,
    pre_checkout_query_id: &'a str,
    ok: bool,
}

/// The JSON body that answers a pre-checkout query; `None` if the delivery is none, or if the bot is to answer. A function
/// of the delivery and the verdict alone, so that a repeat is answered alike.
///
/// It reads the delivery, not the payload kept of it: the id is a long number, which the minimiser must take for a card's
/// whenever its check digit happens to fit. It goes back to its sender and nowhere else.
pub fn pre_checkout_answer(delivery: &Verified<'_>, verdict: CheckoutVerdict) -> Option<String> {
    let ok = match verdict {
        CheckoutVerdict::LeaveToBot => return None,
        CheckoutVerdict::Approve => true,
    };
    let body = String::from_utf8_lossy(delivery.body());
    let update = Update::read(&body).ok().filter(|update| update.kind == "pre_checkout_query")?;
    let Query { id } = serde_json::from_str(update.content.get()).ok()?;
    if id.is_empty() || id.len() > QUERY_ID_MAX || !id.bytes().all(|b| b.is_ascii_graphic()) {
        return None;
    }
    serde_json::to_string(&Answer { method: "answerPreCheckoutQuery", pre_checkout_query_id: &id, ok }).ok()
}
