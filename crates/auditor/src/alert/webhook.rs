//! Any other receiver: JSON over HTTPS, signed as Standard Webhooks v1 says.
//!
//! <https://www.standardwebhooks.com>: the signature is HMAC-SHA256 over `id.timestamp.body`, base64, one for each secret
//! that is active, so that a secret can be replaced. The id is the same for every attempt, the timestamp is the attempt's.

use core::fmt;

use data_encoding::BASE64;
use hmac::{Hmac, KeyInit as _, Mac as _};
use secrecy::{ExposeSecret as _, SecretSlice};
use serde_json::{Value, json};
use sha2::Sha256;

use super::notice::{News, Notice};

/// How many random bytes a secret has.
const KEY_BYTES: core::ops::RangeInclusive<usize> = 24..=64;

/// A secret as receivers write it down: `whsec_` and base64, decoded.
#[derive(Clone)]
pub(super) struct SigningKey(SecretSlice<u8>);

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningKey")
    }
}

/// Not a secret of Standard Webhooks; says nothing about what it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SigningKeyInvalid;

impl fmt::Display for SigningKeyInvalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a secret is whsec_ and the base64 of 24 to 64 random bytes")
    }
}

impl SigningKey {
    /// Reads `whsec_…`.
    pub(super) fn parse(line: &[u8]) -> Result<Self, SigningKeyInvalid> {
        let encoded = line.strip_prefix(b"whsec_").ok_or(SigningKeyInvalid)?;
        let key = SecretSlice::from(BASE64.decode(encoded).map_err(|_| SigningKeyInvalid)?);
        if KEY_BYTES.contains(&key.expose_secret().len()) { Ok(Self(key)) } else { Err(SigningKeyInvalid) }
    }

    #[expect(clippy::expect_used, reason = "HMAC takes a key of any length")]
    fn sign(&self, id: &str, unix_seconds: i64, body: &[u8]) -> String {
        let mut mac: Hmac<Sha256> =
            Hmac::new_from_slice(self.0.expose_secret()).expect("HMAC takes a key of any length");
        mac.update(format!("{id}.{unix_seconds}.").as_bytes());
        mac.update(body);
        format!("v1,{}", BASE64.encode(&mac.finalize().into_bytes()))
    }
}

/// The three headers of an attempt.
pub(super) fn headers(
    keys: &[SigningKey],
    id: &str,
    unix_seconds: i64,
    body: &str,
) -> Vec<(&'static str, String)> {
    let signature = signature(keys, id, unix_seconds, body.as_bytes());
    vec![
        ("webhook-id", id.to_owned()),
        ("webhook-timestamp", unix_seconds.to_string()),
        ("webhook-signature", signature),
    ]
}

/// One signature for each key, with spaces between.
fn signature(keys: &[SigningKey], id: &str, unix_seconds: i64, body: &[u8]) -> String {
    let signatures: Vec<String> = keys.iter().map(|key| key.sign(id, unix_seconds, body)).collect();
    signatures.join(" ")
}

/// The body.
pub(super) fn body(notice: &Notice) -> Value {
    let word = match notice.news {
        News::Opened => "finding.opened",
        News::Reminder => "finding.reminded",
        News::Healed => "finding.healed",
    };
    let mut data = notice.facts();
    data.insert("source".to_owned(), json!(notice.source));
    data.insert("dedup_key".to_owned(), json!(notice.dedup_key));
    data.insert("severity".to_owned(), json!(notice.finding.severity));
    data.insert("summary".to_owned(), json!(notice.finding.summary));
    json!({ "type": word, "timestamp": notice.at, "data": data })
}

#[cfg(test)]
mod tests {
    use super::super::notice::sample;
    use super::*;

    fn key(line: &str) -> SigningKey {
        SigningKey::parse(line.as_bytes()).unwrap()
    }

    /// The vectors of the official libraries (standard-webhooks/standard-webhooks).
    #[test]
    fn signatures_are_those_of_the_official_vectors() {
        for (secret, id, at, body, expected) in [
            (
                "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
                "msg_p5jXN8AQM9LWM0D4loKWxJek",
                1_614_265_330,
                "{\"test\": 2432232314}",
                "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
            ),
            (
                "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD",
                "msg_27UH4WbU6Z5A5EzD8u03UvzRbpk",
                1_649_367_553,
                "{\"email\":\"test@example.com\",\"username\":\"test_user\"}",
                "v1,tZ1I4/hDygAJgO5TYxiSd6Sd0kDW6hPenDe+bTa3Kkw=",
            ),
        ] {
            assert_eq!(signature(&[key(secret)], id, at, body.as_bytes()), expected);
        }
    }

    /// What `Webhook(secret).sign(…)` of PyPI's standardwebhooks 1.1.0 makes of a body of ours.
    #[test]
    fn the_official_library_signs_our_body_as_we_do() {
        let body = r#"{"data":{"alert":"LedgerImbalance","check":"balance","currency":"USD","dedup_key":"countersign-test/balance/live/USD","details":{"transaction":"17"},"difference_minor":500,"finding":"balance/live/USD","head":{"digest":"ab12","height":41},"livemode":true,"opened_at":"2026-11-22T10:00:00Z","probable_cause":"an amount was edited","runbook":"https://runbooks.example/LedgerImbalance.md","severity":"critical","source":"countersign-test","summary":"Debits and credits of live USD differ by 5.00 <card [masked]>","trace_ids":["4bf92f3577b34da6a3ce929d0e0e4736","no?trace"],"trace_urls":{"4bf92f3577b34da6a3ce929d0e0e4736":"https://traces.example/4bf92f3577b34da6a3ce929d0e0e4736?a&b"}},"timestamp":"2026-11-22T10:15:00Z","type":"finding.healed"}"#;
        assert_eq!(super::body(&sample(News::Healed)), serde_json::from_str::<Value>(body).unwrap());
        let headers =
            headers(&[key("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")], "msg_2f6c1a1b6e", 1_795_342_500, body);
        let expected = [
            ("webhook-id", "msg_2f6c1a1b6e"),
            ("webhook-timestamp", "1795342500"),
            ("webhook-signature", "v1,3L6jLgRq7mr7Nq0rFx+7FBhWtQcd/KMB0jNJhoRXuW0="),
        ];
        assert_eq!(headers, expected.map(|(name, value)| (name, value.to_owned())));
    }

    #[test]
    fn each_active_secret_signs() {
        let keys = ["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"];
        let both = signature(&keys.map(key), "msg_1", 1, b"{}");
        let each: Vec<_> = keys.iter().map(|each| signature(&[key(each)], "msg_1", 1, b"{}")).collect();
        assert_eq!(both, each.join(" "));
    }

    #[test]
    fn what_is_no_secret_is_refused_and_not_shown() {
        for line in
            ["", "whsec_", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_c2hvcnQ=", "whsec_MfKQ9r8GKYqrTwjUPD8"]
        {
            assert_eq!(SigningKey::parse(line.as_bytes()).unwrap_err(), SigningKeyInvalid);
        }
        assert_eq!(format!("{:?}", key("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")), "SigningKey");
    }
}
