//! The bytes of a claim record, before they are sealed: one encoding for each record, 59 bytes, the trace and the
//! result.

use core::num::NonZeroU128;
use ledger::UnixMillis;

use ports::{ClaimRecord, ClaimState, ClaimTrace, OwnerToken, StoredResult};
use wire::Fingerprint;

const SEEN_FRESH: u8 = 1;
const HAS_RESULT: u8 = 2;
const HAS_TRACE: u8 = 4;

/// state, flags, until (big endian), fingerprint version, fingerprint, owner, trace if there is one, result.
pub(crate) fn encode(record: &ClaimRecord) -> Vec<u8> {
    let result = record.result.as_ref().map_or("", |result| &result.0);
    let fresh = if record.seen_fresh { SEEN_FRESH } else { 0 };
    let with_result = if record.result.is_some() { HAS_RESULT } else { 0 };
    let with_trace = if record.trace.is_some() { HAS_TRACE } else { 0 };
    let mut bytes = Vec::with_capacity(75 + result.len());
    bytes.extend([state_code(record.state), fresh | with_result | with_trace]);
    bytes.extend(record.until.0.to_be_bytes());
    bytes.push(record.fingerprint.version);
    bytes.extend(record.fingerprint.digest);
    bytes.extend(record.owner.0);
    bytes.extend(record.trace.iter().flat_map(|trace| trace.0.get().to_be_bytes()));
    bytes.extend(result.as_bytes());
    bytes
}

/// The record of these bytes, if they are the encoding of one.
pub(crate) fn decode(bytes: &[u8]) -> Option<ClaimRecord> {
    let (&[state, flags], bytes) = bytes.split_first_chunk()?;
    let (&until, bytes) = bytes.split_first_chunk()?;
    let (&version, bytes) = bytes.split_first()?;
    let (&digest, bytes) = bytes.split_first_chunk()?;
    let (&owner, bytes) = bytes.split_first_chunk()?;
    let (trace, result) = if flags & HAS_TRACE == 0 {
        (None, bytes)
    } else {
        let (&trace, rest) = bytes.split_first_chunk()?;
        (Some(ClaimTrace(NonZeroU128::new(u128::from_be_bytes(trace))?)), rest)
    };
    let has_result = flags & HAS_RESULT != 0;
    if flags & !(SEEN_FRESH | HAS_RESULT | HAS_TRACE) != 0 || (!has_result && !result.is_empty()) {
        return None;
    }
    let result = core::str::from_utf8(result).ok()?;
    Some(ClaimRecord {
        state: state_of(state)?,
        until: UnixMillis(i64::from_be_bytes(until)),
        seen_fresh: flags & SEEN_FRESH != 0,
        fingerprint: Fingerprint { version, digest },
        owner: OwnerToken(owner),
        trace,
        result: has_result.then(|| StoredResult(result.to_owned())),
    })
}

const fn state_code(state: ClaimState) -> u8 {
    match state {
        ClaimState::Claimed => 1,
        ClaimState::Accepted => 2,
        ClaimState::Parked => 3,
        ClaimState::Booked => 4,
        ClaimState::Released => 5,
    }
}

const fn state_of(code: u8) -> Option<ClaimState> {
    Some(match code {
        1 => ClaimState::Claimed,
        2 => ClaimState::Accepted,
        3 => ClaimState::Parked,
        4 => ClaimState::Booked,
        5 => ClaimState::Released,
        _ => return None,
    })
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;

    use super::*;

    pub(crate) fn any_record() -> impl Strategy<Value = ClaimRecord> {
        let state = (1_u8..=5).prop_map(|code| state_of(code).unwrap());
        let result = proptest::option::of(".{0,64}".prop_map(StoredResult));
        let trace = any::<u128>().prop_map(|number| NonZeroU128::new(number).map(ClaimTrace));
        let names = (any::<u8>(), any::<[u8; 32]>(), any::<[u8; 16]>(), trace);
        (state, any::<i64>(), any::<bool>(), names, result).prop_map(
            |(state, until, seen_fresh, (version, digest, owner, trace), result)| ClaimRecord {
                state,
                until: UnixMillis(until),
                seen_fresh,
                fingerprint: Fingerprint { version, digest },
                owner: OwnerToken(owner),
                trace,
                result,
            },
        )
    }

    proptest! {
        #[test]
        fn a_record_comes_back_as_it_was(record in any_record()) {
            prop_assert_eq!(decode(&encode(&record)), Some(record));
        }

        #[test]
        fn bytes_that_decode_are_the_one_encoding_of_their_record(bytes: Vec<u8>, state in 0_u8..7, flags in 0_u8..9) {
            let mut bytes = bytes;
            bytes.splice(0..0, [state, flags]);
            bytes.resize(bytes.len().max(75), b'x');
            if let Some(record) = decode(&bytes) {
                prop_assert_eq!(encode(&record), bytes);
            }
        }
    }
}
