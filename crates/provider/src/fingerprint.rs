//! What every delivery of one event has in common, whatever a retry changes.

use sha2::{Digest as _, Sha256};
use wire::Fingerprint;

/// The version of what goes into a fingerprint and how.
const VERSION: u8 = 1;

/// SHA-256 over the event's type, its object's id and the object's own amount and currency, each with whether it is
/// there and its length, so that nothing can run into its neighbour.
pub(crate) fn of(
    event_type: Option<&str>,
    object_id: Option<&str>,
    amount: Option<i64>,
    currency: Option<&str>,
) -> Fingerprint {
    let amount = amount.map(|amount| amount.to_string());
    let mut hash = Sha256::new();
    hash.update([VERSION]);
    for field in [event_type, object_id, amount.as_deref(), currency] {
        let text = field.unwrap_or_default();
        hash.update([u8::from(field.is_some())]);
        hash.update(u64::try_from(text.len()).unwrap_or(u64::MAX).to_be_bytes());
        hash.update(text);
    }
    Fingerprint { version: VERSION, digest: hash.finalize().into() }
}
