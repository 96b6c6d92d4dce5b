//! `Stripe-Signature: t=<unix seconds>,v1=<HMAC-SHA256 of "t.body" in lower-case hex>[,v1=…][,v0=…]`.
//!
//! <https://docs.stripe.com/webhooks#verify-manually>. The header is read more strictly than Stripe's libraries do, which
//! disagree with each other; Stripe itself sends nothing that this refuses.

use data_encoding::HEXLOWER;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::constant_time::{Digest, any_equal, first_match};
use crate::verify::Matched;
use crate::{Refused, Request, Secret, header};

pub(crate) const HEADER: &str = "stripe-signature";

/// Stripe sends one signature per active secret of the endpoint: one, or two while a secret is rolled.
const SIGNATURES_MAX: usize = 16;
/// 300 million years; whatever is longer is no time, and all of it fits an `i64`.
const DIGITS_MAX: usize = 16;

/// Finds the secret that signed the request. Does not look at the time.
pub(crate) fn authenticate(request: &Request<'_>, secrets: &[Secret]) -> Result<Matched, Refused> {
    let proof = Proof::parse(header::single(request, HEADER)?).ok_or(Refused::SignatureMalformed)?;
    let secret_index = first_match(secrets, |key| {
        any_equal(&proof.candidates, &mac(key, proof.signed_at_text, request.body))
    })
    .ok_or(Refused::SignatureMismatch)?;
    Ok(Matched { secret_index, signed_at: Some(proof.signed_at) })
}

/// The value of the `Stripe-Signature` header for a body signed at `signed_at` (unix seconds), as Stripe would send it.
/// For test clients. A time of more than 16 digits is written, but no verifier takes it.
pub fn sign_stripe(secret: &Secret, signed_at: i64, body: &[u8]) -> String {
    let signed_at_text = signed_at.to_string();
    let signature = HEXLOWER.encode(&mac(secret.expose(), &signed_at_text, body));
    format!("t={signed_at_text},v1={signature}")
}

/// What the header says.
struct Proof<'a> {
    /// The text that was signed; a number printed anew might differ from it.
    signed_at_text: &'a str,
    signed_at: i64,
    /// The `v1` values that can be an HMAC-SHA256 at all. The others match nothing, so they need no comparison.
    candidates: Vec<Digest>,
}

impl<'a> Proof<'a> {
    /// `None` unless there is exactly one `t` and from 1 to 16 `v1`. Whatever else it holds is ignored, `v0` above all: it is
    /// the fake signature of test events. Empty items are passed over; a comma at the end does no harm.
    fn parse(header: &'a str) -> Option<Self> {
        let (mut time, mut signatures, mut candidates) = (None, 0_usize, Vec::new());
        for item in header.split(',').filter(|item| !item.is_empty()) {
            let (name, value) = item.split_once('=')?;
            match name {
                "t" if time.is_some() => return None,
                "t" => time = Some((value, unix_seconds(value)?)),
                "v1" => {
                    signatures = signatures.saturating_add(1);
                    candidates.extend(digest(value));
                }
                // Two headers that a proxy joined with ", " would otherwise hide their second `t` as a name of its own.
                padded if padded.contains(' ') => return None,
                _ => {}
            }
        }
        let (signed_at_text, signed_at) = time?;
        (1..=SIGNATURES_MAX).contains(&signatures).then_some(Self { signed_at_text, signed_at, candidates })
    }
}

/// `^-?(0|[1-9][0-9]{0,15})$`: no `+1`, `01` or `1_0`. A negative time is well-formed, and fails on its age.
fn unix_seconds(text: &str) -> Option<i64> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let canonical = digits == "0"
        || (digits.len() <= DIGITS_MAX
            && !digits.starts_with('0')
            && !digits.is_empty()
            && digits.bytes().all(|byte| byte.is_ascii_digit()));
    if canonical { text.parse().ok() } else { None }
}

fn digest(lower_hex: &str) -> Option<Digest> {
    HEXLOWER.decode(lower_hex.as_bytes()).ok()?.try_into().ok()
}

#[expect(clippy::expect_used, reason = "HMAC is defined for keys of every length (RFC 2104, section 2)")]
fn mac(key: &[u8], signed_at_text: &str, body: &[u8]) -> Digest {
    Hmac::<Sha256>::new_from_slice(key)
        .expect("HMAC takes a key of any length")
        .chain_update(signed_at_text)
        .chain_update(b".")
        .chain_update(body)
        .finalize()
        .into_bytes()
        .into()
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEX: &str = "4f1cd7feda9826e746b7d482c4badebb657398df1099e1046364f6196a230150";

    fn parsed(header: &str) -> Option<(&str, i64, usize)> {
        Proof::parse(header).map(|proof| (proof.signed_at_text, proof.signed_at, proof.candidates.len()))
    }

    #[test]
    fn a_time_is_read_in_its_plain_spelling_only() {
        for (text, seconds) in [
            ("0", 0),
            ("-0", 0),
            ("-1", -1),
            ("1700000000", 1_700_000_000),
            ("9999999999999999", 9_999_999_999_999_999),
        ] {
            assert_eq!(unix_seconds(text), Some(seconds), "{text}");
        }
        for text in [
            "",
            "-",
            "+1",
            "01",
            "-01",
            "00",
            "1_0",
            "1.0",
            "1e3",
            " 1",
            "1 ",
            "0x1",
            "--1",
            "10000000000000000",
            "\u{661}",
        ] {
            assert_eq!(unix_seconds(text), None, "{text}");
        }
    }

    #[test]
    fn only_64_lower_case_hex_digits_are_a_digest() {
        assert!(digest(HEX).is_some());
        for text in [
            "",
            "potato",
            &HEX.to_uppercase(),
            &HEX[..62],
            &HEX[..63],
            &format!("{HEX}00"),
            &format!(" {HEX}"),
        ] {
            assert_eq!(digest(text), None, "{text}");
        }
    }

    #[test]
    fn one_time_and_1_to_16_signatures_are_read() {
        let signatures = |count| format!("t=1{}", format!(",v1={HEX}").repeat(count));
        assert_eq!(parsed(&signatures(1)), Some(("1", 1, 1)));
        assert_eq!(parsed(&signatures(16)), Some(("1", 1, 16)));
        assert_eq!(parsed(&signatures(0)), None);
        assert_eq!(parsed(&signatures(17)), None);
        assert_eq!(parsed(&format!("t=1{}", ",v1=potato".repeat(17))), None);
        assert_eq!(parsed(&format!("t=1,t=1,v1={HEX}")), None);
        assert_eq!(parsed(&format!("t=1,v1={HEX},t=2")), None);
        assert_eq!(parsed(&format!("v1={HEX}")), None);
    }

    #[test]
    fn other_schemes_are_ignored_and_cannot_replace_v1() {
        assert_eq!(parsed(&format!("t=1,v0={HEX},v1=potato,v2={HEX},=,a=b=c,,")), Some(("1", 1, 0)));
        for name in ["v0", "V1", "v1 ", " v1", "v10", "v2"] {
            assert_eq!(parsed(&format!("t=1,{name}={HEX}")), None, "{name}");
        }
    }

    #[test]
    fn two_headers_joined_by_a_proxy_are_refused() {
        for between in [",", ", "] {
            assert_eq!(parsed(&format!("t=1,v1={HEX}{between}t=2,v1={HEX}")), None);
        }
    }
}
