//! Names under which a receiver knows an alert again.

use data_encoding::HEXLOWER;
use sha2::{Digest as _, Sha256};

/// What PagerDuty takes.
const DEDUP_KEY_BYTES_MAX: usize = 255;

/// What a row of the outbox takes.
const FINDING_KEY_BYTES_MAX: usize = 1024;

/// The key of a finding as the outbox has it: as it is, unless the database would refuse it.
pub(super) fn finding_key(key: &str) -> String {
    if (1..=FINDING_KEY_BYTES_MAX).contains(&key.len()) && !key.contains('\0') {
        key.to_owned()
    } else {
        format!("sha256:{}", HEXLOWER.encode(&Sha256::digest(key)))
    }
}

/// What receivers know a finding of this installation by: the same whoever sends it, and whichever way.
pub(super) fn dedup_key(source: &str, finding_key: &str) -> String {
    let plain = format!("{source}/{finding_key}");
    let printable = plain.bytes().all(|byte| byte.is_ascii_graphic());
    if printable && plain.len() <= DEDUP_KEY_BYTES_MAX {
        return plain;
    }
    let digest = HEXLOWER.encode(&Sha256::digest(&plain));
    let shown: String = source.chars().filter(char::is_ascii_graphic).take(64).collect();
    format!("{shown}/sha256:{digest}")
}

/// The `webhook-id` of one notification: the same for every attempt at it, and for no other.
pub(super) fn message_id(dedup_key: &str, action: &str, opened_at_us: i64, notifications: u32) -> String {
    let mut digest = Sha256::new();
    for part in [dedup_key, action, &opened_at_us.to_string(), &notifications.to_string()] {
        digest.update(part);
        digest.update([0]);
    }
    let hex = HEXLOWER.encode(&digest.finalize());
    format!("msg_{}", hex.get(..32).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_key_is_shown_and_a_long_or_strange_one_is_told_by_its_digest() {
        assert_eq!(dedup_key("countersign", "balance/live/USD"), "countersign/balance/live/USD");
        let keys = ["a".repeat(243), "a".repeat(244), "ä".to_owned(), "a b".to_owned()];
        let keys = keys.map(|key| dedup_key("countersign", &key));
        assert_eq!(keys.each_ref().map(String::len), [255, 83, 83, 83]);
        assert!(keys.iter().skip(1).all(|key| key.starts_with("countersign/sha256:")));
        assert_ne!(keys[2], keys[3]);
        assert!(dedup_key(&"s".repeat(300), "k").len() <= DEDUP_KEY_BYTES_MAX);
    }

    #[test]
    fn no_key_of_a_finding_can_make_the_outbox_refuse_the_others() {
        assert_eq!(finding_key("balance/live/USD"), "balance/live/USD");
        for key in ["", "a\0b", &"k".repeat(1_025)] {
            assert!(finding_key(key).starts_with("sha256:"), "{key:?}");
        }
    }

    #[test]
    fn a_message_id_is_of_one_notification() {
        let id = message_id("c/k", "trigger", 1, 0);
        assert_eq!(id, message_id("c/k", "trigger", 1, 0));
        assert!(id.len() == 36 && !id.contains('.'));
        for other in [
            message_id("c/l", "trigger", 1, 0),
            message_id("c/k", "resolve", 1, 0),
            message_id("c/k", "trigger", 2, 0),
            message_id("c/k", "trigger", 1, 1),
        ] {
            assert_ne!(id, other);
        }
    }
}
