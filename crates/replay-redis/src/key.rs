//! Names of keys: a keyed digest of the event's identity, so that Redis knows nobody's ids.

use data_encoding::BASE64URL_NOPAD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use ledger::EventKey;
use secrecy::zeroize::Zeroizing;
use sha2::Sha256;

/// The version of what goes into a name.
const VERSION: u8 = 1;

/// Names keys in one epoch.
pub(crate) struct KeyNames {
    keyed: Hmac<Sha256>,
    prefix: String,
    epoch: u32,
}

impl KeyNames {
    pub(crate) fn new(key: &[u8; 32], prefix: &str, epoch: u32) -> Self {
        Self { keyed: keyed(key), prefix: prefix.to_owned(), epoch }
    }

    /// The whole Redis key of an event: the prefix and 43 characters of base64url.
    pub(crate) fn name(&self, event: &EventKey) -> String {
        let mut mac = self.keyed.clone();
        for part in [
            &[VERSION][..],
            &self.epoch.to_be_bytes(),
            event.source.as_str().as_bytes(),
            event.account.as_str().as_bytes(),
            &[u8::from(event.livemode.is_live())],
            event.event_id.as_str().as_bytes(),
        ] {
            mac.update(&u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
            mac.update(part);
        }
        format!("{}{}", self.prefix, BASE64URL_NOPAD.encode(&mac.finalize().into_bytes()))
    }
}

/// A key for one purpose, from the master secret.
pub(crate) fn derived(secret: &[u8], purpose: &'static str) -> Zeroizing<[u8; 32]> {
    Zeroizing::new(keyed(secret).chain_update(purpose).finalize().into_bytes().into())
}

#[expect(clippy::expect_used, reason = "HMAC takes a key of any length")]
fn keyed(key: &[u8]) -> Hmac<Sha256> {
    Hmac::new_from_slice(key).expect("HMAC takes a key of any length")
}

#[cfg(test)]
mod tests {
    use ledger::{EventId, Livemode, ProviderAccount, Source};

    use super::*;

    fn event(source: &str, account: &str, livemode: Livemode, event_id: &str) -> EventKey {
        EventKey {
            source: Source::parse(source).unwrap(),
            account: ProviderAccount::parse(account).unwrap(),
            livemode,
            event_id: EventId::parse(event_id).unwrap(),
        }
    }

    #[test]
    fn a_name_is_what_another_implementation_of_hmac_computes() {
        // Python's hmac module, from the format in README.md.
        let key = derived(b"a replay secret of 40 bytes, for tests!!", "countersign replay key names v1");
        let name =
            KeyNames::new(&key, "countersign:", 7).name(&event("stripe", "acct_1", Livemode::Live, "evt_1"));
        assert_eq!(name, "countersign:pCKbe52sgUV6AGPiT81awiyTVDgajejMGumtMgJI03Y");
    }

    #[test]
    fn every_part_of_the_identity_the_epoch_and_the_secret_make_another_name() {
        let names = KeyNames::new(&[1; 32], "p:", 1);
        let one = event("a", "b", Livemode::Live, "bc");
        let mut found = vec![
            names.name(&one),
            names.name(&event("b", "b", Livemode::Live, "bc")),
            names.name(&event("a", "bb", Livemode::Live, "c")),
            names.name(&event("a", "b", Livemode::Test, "bc")),
            names.name(&event("a", "b", Livemode::Live, "c")),
            KeyNames::new(&[1; 32], "p:", 2).name(&one),
            KeyNames::new(&[2; 32], "p:", 1).name(&one),
        ];
        found.sort();
        found.dedup();
        assert_eq!(found.len(), 7);
    }
}
