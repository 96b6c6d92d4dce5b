//! Sealed values: what Redis holds can be read by nobody without the secret, and moved to no other key.

use chacha20poly1305::aead::{Aead as _, Payload};
use chacha20poly1305::{KeyInit as _, XChaCha20Poly1305};
use ports::ClaimRecord;

use crate::record;

/// The version of a sealed value, its first byte.
const VERSION: u8 = 1;

/// Seals records: version, nonce (24 bytes), XChaCha20-Poly1305 of the record with the Redis key as associated data.
pub(crate) struct Seal(XChaCha20Poly1305);

impl Seal {
    pub(crate) fn new(key: &[u8; 32]) -> Self {
        Self(XChaCha20Poly1305::new(key.into()))
    }

    /// The value to store under `name`. The nonce must be random.
    #[expect(clippy::expect_used, reason = "a record is shorter than the cipher's limit of 256 GiB")]
    pub(crate) fn seal(&self, name: &str, nonce: [u8; 24], claim: &ClaimRecord) -> Vec<u8> {
        let payload = Payload { msg: &record::encode(claim), aad: name.as_bytes() };
        let sealed = self.0.encrypt(&nonce.into(), payload).expect("a record is shorter than 256 GiB");
        let mut value = Vec::with_capacity(1 + nonce.len() + sealed.len());
        value.push(VERSION);
        value.extend(nonce);
        value.extend(sealed);
        value
    }

    /// The record of a value found under `name`, if it was sealed with this key for that name.
    pub(crate) fn open(&self, name: &str, value: &[u8]) -> Option<ClaimRecord> {
        let (&version, value) = value.split_first()?;
        let (&nonce, sealed) = value.split_first_chunk::<24>()?;
        if version != VERSION {
            return None;
        }
        let payload = Payload { msg: sealed, aad: name.as_bytes() };
        record::decode(&self.0.decrypt(&nonce.into(), payload).ok()?)
    }
}

#[cfg(test)]
mod tests {
    use data_encoding::HEXLOWER;
    use ledger::UnixMillis;
    use ports::{ClaimState, OwnerToken, StoredResult};
    use proptest::prelude::*;
    use wire::Fingerprint;

    use super::*;
    use crate::key::derived;
    use crate::record::tests::any_record;

    #[test]
    fn a_sealed_value_is_what_another_implementation_of_the_cipher_computes() {
        // Python: HChaCha20 checked against draft-irtf-cfrg-xchacha-03, ChaCha20-Poly1305 of OpenSSL.
        let seal =
            Seal::new(&derived(b"a replay secret of 40 bytes, for tests!!", "countersign replay sealing v1"));
        let record = ClaimRecord {
            state: ClaimState::Booked,
            until: UnixMillis(1_790_000_000_000),
            seen_fresh: true,
            fingerprint: Fingerprint { version: 1, digest: [0x22; 32] },
            owner: OwnerToken([0x33; 16]),
            trace: None,
            result: Some(StoredResult(r#"{"status":"booked"}"#.to_owned())),
        };
        let nonce = core::array::from_fn(|at| u8::try_from(at).unwrap());
        let value = seal.seal("countersign:pCKbe52sgUV6AGPiT81awiyTVDgajejMGumtMgJI03Y", nonce, &record);
        assert_eq!(
            HEXLOWER.encode(&value),
            "01000102030405060708090a0b0c0d0e0f10111213141516174b1754be5d5dec1264c746a2e1fdc0bfa9c8a7a1cdfede19\
             d1b1cab4a6d14db6fcfe6e9b434a6919fee7b03ca32940c65d0a6bcbecb3592ddd106f85f958586dfcb85b28585ee9ee25\
             498018c6c7e04c5fc7415f3bec573d3be688f86c28"
        );
    }

    proptest! {
        #[test]
        fn what_is_sealed_opens_to_the_same(record in any_record(), key: [u8; 32], nonce: [u8; 24], name in ".{0,80}") {
            let seal = Seal::new(&key);
            let value = seal.seal(&name, nonce, &record);
            prop_assert_eq!(seal.open(&name, &value), Some(record));
        }

        #[test]
        fn a_value_with_any_bit_flipped_does_not_open(record in any_record(), nonce: [u8; 24], at: prop::sample::Index) {
            let seal = Seal::new(&[1; 32]);
            let mut value = seal.seal("name", nonce, &record);
            let bit = at.index(value.len() * 8);
            value[bit / 8] ^= 1 << (bit % 8);
            prop_assert_eq!(seal.open("name", &value), None);
        }

        #[test]
        fn a_value_does_not_open_with_another_key_under_another_name_or_cut(
            record in any_record(), nonce: [u8; 24], other: [u8; 32], name in ".{0,80}", cut: prop::sample::Index,
        ) {
            prop_assume!(other != [1; 32] && name != "name");
            let seal = Seal::new(&[1; 32]);
            let value = seal.seal("name", nonce, &record);
            prop_assert_eq!(Seal::new(&other).open("name", &value), None);
            prop_assert_eq!(seal.open(&name, &value), None);
            prop_assert_eq!(seal.open("name", &value[..cut.index(value.len())]), None);
        }

        #[test]
        fn arbitrary_bytes_do_not_open(mut value: Vec<u8>) {
            value.insert(0, VERSION);
            prop_assert_eq!(Seal::new(&[1; 32]).open("name", &value), None);
        }
    }
}
