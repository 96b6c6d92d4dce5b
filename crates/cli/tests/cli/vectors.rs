//! `check-signature` over the vectors of `signature`, whose README says what their fields mean.

use std::collections::BTreeMap;
use std::ffi::OsString;

use data_encoding::BASE64;
use serde::Deserialize;
use tempfile::NamedTempFile;

use crate::command::{Ended, countersign};

#[derive(Deserialize)]
struct Vectors {
    cases: Vec<Case>,
}

#[derive(Deserialize)]
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

    /// Exit code and standard output.
    fn expected(&self) -> (i32, &'static str) {
        match self.expect.as_str() {
            "ok" => (0, "ok\n"),
            "header_missing" => (1, "signature-missing\n"),
            "header_malformed" | "no_signature_for_scheme" => (1, "signature-malformed\n"),
            "signature_mismatch" | "token_mismatch" => (1, "signature-mismatch\n"),
            "timestamp_too_old" => (1, "signature-expired\n"),
            "timestamp_in_future" => (1, "signature-from-future\n"),
            "body_empty" => (1, "payload-invalid\n"),
            "secret_missing" | "secret_invalid" => (64, ""),
            unknown => panic!("{}: no such expectation: {unknown}", self.name),
        }
    }

    fn answer(&self, scheme: &str) -> Ended {
        let secrets = NamedTempFile::new().unwrap();
        std::fs::write(secrets.path(), format!("{}\n", self.secret)).unwrap();
        let mut arguments: Vec<OsString> =
            ["check-signature", "--scheme", scheme, "--secret-file"].map(OsString::from).into();
        arguments.push(secrets.path().into());
        arguments.push(format!("--at={}", self.now_unix).into());
        if let Some(tolerance_s) = self.tolerance_s {
            arguments.extend(["--tolerance".into(), tolerance_s.to_string().into()]);
        }
        for (name, value) in &self.headers {
            arguments.extend(["--header".into(), format!("{name}: {value}").into()]);
        }
        countersign(None, &arguments, &self.body())
    }
}

/// All that differ.
fn differing(text: &str, scheme: &str, cases_min: usize) -> Vec<String> {
    let Vectors { cases } = serde_json::from_str(text).unwrap();
    assert!(cases.len() >= cases_min, "vectors were lost: {}", cases.len());
    let mut differing = Vec::new();
    for case in cases {
        let ended = case.answer(scheme);
        let (code, stdout) = case.expected();
        if (ended.code, ended.stdout.as_str()) != (Some(code), stdout) {
            differing.push(format!("{}: expected {code} {stdout:?}, got {ended:?}", case.name));
        }
    }
    differing
}

#[test]
fn check_signature_agrees_with_every_stripe_vector() {
    let text = include_str!("../../../signature/tests/vectors/stripe.json");
    assert_eq!(differing(text, "stripe", 70), Vec::<String>::new());
}

#[test]
fn check_signature_agrees_with_every_telegram_vector() {
    let text = include_str!("../../../signature/tests/vectors/telegram.json");
    assert_eq!(differing(text, "telegram", 7), Vec::<String>::new());
}

/// `check-signature` for Telegram with these secrets and the token `new`.
fn telegram(secrets: &[u8], more: &[&str]) -> Ended {
    let file = NamedTempFile::new().unwrap();
    std::fs::write(file.path(), secrets).unwrap();
    let path = file.path().to_str().unwrap();
    let header = "X-Telegram-Bot-Api-Secret-Token: new";
    let arguments = ["check-signature", "--scheme=telegram", "--secret-file", path, "--header", header];
    countersign(None, &[&arguments, more].concat(), b"{}")
}

#[test]
fn every_line_of_the_secret_file_is_a_secret() {
    for secrets in ["old\nnew\n", "new\nold", "new"] {
        assert_eq!(telegram(secrets.as_bytes(), &[]).code, Some(0), "{secrets:?}");
    }
    let ended = telegram(b"old\nolder\n", &["--url", "https://example.com/"]);
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(1), "signature-mismatch\n"));
}

#[test]
fn a_bad_secret_or_flag_is_no_refusal() {
    for secrets in ["", "\n", "new\n\nold\n", "n w\n", "new\r\n"] {
        let ended = telegram(secrets.as_bytes(), &[]);
        assert_eq!((ended.code, ended.stdout.as_str()), (Some(64), ""), "{secrets:?}");
        assert!(ended.stderr.contains("line "), "{ended:?}");
    }
    for flags in [&["--scheme", "nobody"][..], &["--at", "noon"], &["--tolerance", "-1"], &["--header", "x"]]
    {
        let ended = telegram(b"new\n", flags);
        assert_eq!((ended.code, ended.stdout.as_str()), (Some(64), ""), "{flags:?}");
    }
    let ended =
        countersign(None, &["check-signature", "--scheme=stripe", "--secret-file=/nowhere/secret"], b"{}");
    assert_eq!(ended.code, Some(64));
    assert!(ended.stderr.contains("/nowhere/secret"), "{ended:?}");
}

#[test]
fn a_secret_with_stray_white_space_is_used_and_pointed_out() {
    let file = NamedTempFile::new().unwrap();
    std::fs::write(file.path(), b"whsec_test \n").unwrap();
    let path = file.path().to_str().unwrap();
    let ended = countersign(None, &["check-signature", "--scheme=stripe", "--secret-file", path], b"{}");
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(1), "signature-missing\n"));
    assert!(ended.stderr.contains("white space"), "{ended:?}");
    assert!(!ended.stderr.contains("whsec_test"), "a secret is never printed");
}
