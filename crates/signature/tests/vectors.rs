//! The vectors: requests collected from the providers' official libraries, and what a strict receiver answers.
//! `tests/vectors/README.md` says where they come from and what their fields mean.

#![expect(clippy::unwrap_used, reason = "clippy's exception for tests does not reach their helpers")]

use std::collections::BTreeMap;

use data_encoding::BASE64;
use serde::Deserialize;
use signature::{Freshness, Request, Scheme, Secret, SecretInvalid, verify};

#[derive(Deserialize)]
struct Vectors {
    cases: Vec<Case>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    name: String,
    secret: String,
    headers: BTreeMap<String, String>,
    body: Option<String>,
    body_base64: Option<String>,
    now_unix: i64,
    tolerance_s: Option<u64>,
    expect: String,
}

impl Case {
    fn body(&self) -> Vec<u8> {
        match (&self.body, &self.body_base64) {
            (Some(text), None) => text.clone().into_bytes(),
            (None, Some(base64)) => BASE64.decode(base64.as_bytes()).unwrap(),
            _ => panic!("{}: needs body or body_base64", self.name),
        }
    }

    /// What it must come to: `ok`, a slug, or `None` for a secret that is refused before anything is verified.
    fn expected(&self) -> Option<&'static str> {
        match self.expect.as_str() {
            "ok" => Some("ok"),
            "header_missing" => Some("signature-missing"),
            "header_malformed" | "no_signature_for_scheme" => Some("signature-malformed"),
            "signature_mismatch" | "token_mismatch" => Some("signature-mismatch"),
            "timestamp_too_old" => Some("signature-expired"),
            "timestamp_in_future" => Some("signature-from-future"),
            "body_empty" => Some("payload-invalid"),
            "secret_missing" | "secret_invalid" => None,
            unknown => panic!("{}: no such expectation: {unknown}", self.name),
        }
    }

    /// What it comes to, with the secret's bytes as they stand.
    fn answer(&self, scheme: Scheme) -> Option<&'static str> {
        let secret = Secret::verbatim(self.secret.as_bytes(), scheme).ok()?;
        let headers: Vec<_> =
            self.headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
        let body = self.body();
        let freshness = self.tolerance_s.map_or(Freshness::of(scheme), Freshness::within);
        match verify(scheme, &Request { headers: &headers, body: &body }, &[secret], freshness, self.now_unix)
        {
            Ok(verified) => {
                assert_eq!(verified.body(), body, "{}", self.name);
                Some("ok")
            }
            Err(refused) => Some(refused.slug()),
        }
    }
}

fn stripe() -> Vec<Case> {
    serde_json::from_str::<Vectors>(include_str!("vectors/stripe.json")).unwrap().cases
}

fn telegram() -> Vec<Case> {
    serde_json::from_str::<Vectors>(include_str!("vectors/telegram.json")).unwrap().cases
}

/// All that differ, so that one look shows which rule is broken.
fn differing(cases: &[Case], scheme: Scheme) -> Vec<String> {
    cases
        .iter()
        .filter(|case| case.answer(scheme) != case.expected())
        .map(|case| format!("{}: expected {:?}, got {:?}", case.name, case.expected(), case.answer(scheme)))
        .collect()
}

#[test]
fn every_stripe_vector_is_answered_as_expected() {
    let cases = stripe();
    assert!(cases.len() >= 70, "vectors were lost: {}", cases.len());
    assert_eq!(differing(&cases, Scheme::Stripe), Vec::<String>::new());
}

#[test]
fn every_telegram_vector_is_answered_as_expected() {
    let cases = telegram();
    assert!(cases.len() >= 7, "vectors were lost: {}", cases.len());
    assert_eq!(differing(&cases, Scheme::Telegram), Vec::<String>::new());
}

#[test]
fn configuration_takes_every_secret_of_the_vectors_but_the_mistaken_ones() {
    for (scheme, cases) in [(Scheme::Stripe, stripe()), (Scheme::Telegram, telegram())] {
        for case in cases {
            let refused = Secret::parse(case.secret.as_bytes(), scheme).err();
            let expected = match case.name.as_str() {
                "secret_empty" => Some(SecretInvalid::Empty),
                "secret_trailing_newline" | "secret_trailing_space" => {
                    Some(SecretInvalid::SurroundedByWhiteSpace)
                }
                "too_long_257" => Some(SecretInvalid::TooLong { bytes_max: 256 }),
                _ => None,
            };
            assert_eq!(refused, expected, "{}", case.name);
        }
    }
}

#[test]
fn telegrams_token_does_not_protect_the_body() {
    let case = telegram().into_iter().find(|case| case.name == "body_tampered_still_ok").unwrap();
    assert_eq!(case.answer(Scheme::Telegram), Some("ok"));
}
