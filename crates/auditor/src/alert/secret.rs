//! Secrets of routes, read where they stand. Errors name the place and what is expected, never what is there.

use core::net::IpAddr;

use hyper::Uri;
use runtime::config::SecretRef;
use secrecy::{ExposeSecret as _, SecretString};

use super::webhook::SigningKey;

/// The integration key of PagerDuty: 32 letters and digits.
pub(super) fn routing_key(reference: &SecretRef) -> Result<SecretString, String> {
    let line = line(reference)?;
    let key = line.expose_secret();
    if key.len() == 32 && key.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        Ok(line)
    } else {
        Err(format!("{reference}: an integration key of 32 letters and digits is expected"))
    }
}

/// A URL that is a secret.
pub(super) fn url(reference: &SecretRef) -> Result<Uri, String> {
    parse_url(line(reference)?.expose_secret()).map_err(|problem| format!("{reference}: {problem}"))
}

/// A URL that an alert may be sent to: encrypted, unless it stays on this machine.
pub(super) fn parse_url(text: &str) -> Result<Uri, &'static str> {
    let url: Uri = text.parse().map_err(|_| "not a URL")?;
    if url.authority().is_some_and(|authority| authority.as_str().contains('@')) {
        return Err("a URL without user and password is expected");
    }
    match (url.scheme_str(), url.host()) {
        (Some("https"), Some(_)) => Ok(url),
        (Some("http"), Some(host)) if is_loopback(host) => Ok(url),
        _ => Err("https:// is expected; http:// is for this machine only"),
    }
}

/// Whether a person can follow it.
pub(super) fn is_web_address(text: &str) -> bool {
    let url: Option<Uri> = text.parse().ok();
    url.is_some_and(|url| matches!(url.scheme_str(), Some("https" | "http")) && url.host().is_some())
}

/// The signing secrets, all of them; at least one.
pub(super) fn signing_keys(references: &[SecretRef]) -> Result<Vec<SigningKey>, String> {
    let mut keys = Vec::new();
    for reference in references {
        for line in reference.read()? {
            let key = SigningKey::parse(line.expose_secret());
            keys.push(key.map_err(|invalid| format!("{reference}: {invalid}"))?);
        }
    }
    if keys.is_empty() { Err("no secret to sign with".to_owned()) } else { Ok(keys) }
}

fn line(reference: &SecretRef) -> Result<SecretString, String> {
    match reference.read()?.as_slice() {
        [line] => String::from_utf8(line.expose_secret().to_vec())
            .map(SecretString::from)
            .map_err(|_| format!("{reference}: not a text")),
        [] | [..] => Err(format!("{reference}: one line is expected")),
    }
}

fn is_loopback(host: &str) -> bool {
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    bare == "localhost" || bare.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_leaves_the_machine_is_encrypted() {
        for url in [
            "https://events.pagerduty.com/v2/enqueue",
            "http://127.0.0.1:8080/",
            "http://[::1]/x",
            "http://localhost:1",
        ] {
            assert!(parse_url(url).is_ok(), "{url}");
        }
        for url in [
            "http://hooks.slack.com/x",
            "http://127.0.0.1.example/",
            "ftp://localhost",
            "",
            "https://",
            "https://u:p@h/",
        ] {
            assert!(parse_url(url).is_err(), "{url}");
        }
    }
}
