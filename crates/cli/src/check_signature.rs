//! `countersign check-signature`: why a delivery is or is not authentic.

use std::ffi::OsString;
use std::io::{IsTerminal as _, Read as _};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::Args;
use handle::Handle;
use secrecy::{ExposeSecret as _, SecretSlice};
use signature::{Freshness, Request, Scheme, Secret, verify};

use crate::ending::{Answer, Failure, complain};
use crate::output::print;

/// No receiver takes a longer body: the most that an ingress can be configured to take.
const BODY_BYTES_MAX: u64 = 16 << 20;

#[derive(Debug, Args)]
#[command(
    after_help = "The body is read from standard input, byte for byte. A newline ends a line of the secret file; \
    further newlines at its end belong to the last secret."
)]
pub(crate) struct Arguments {
    /// How the request is signed: stripe or telegram
    #[arg(long)]
    scheme: Scheme,
    /// One secret a line, its bytes as they stand
    #[arg(long)]
    secret_file: PathBuf,
    /// The receiver's clock, unix seconds; now if absent
    #[arg(long, allow_negative_numbers = true)]
    at: Option<i64>,
    /// Seconds that the signed time may be apart; the scheme's own if absent
    #[arg(long)]
    tolerance: Option<u64>,
    /// The URL that it was posted to, for schemes that sign it
    #[arg(long)]
    url: Option<String>,
    /// A header of the request, 'Name: value'; repeatable
    #[arg(long = "header", allow_hyphen_values = true)]
    headers: Vec<OsString>,
}

pub(crate) fn run(arguments: &Arguments, handle: &Handle) -> Result<Answer, Failure> {
    let scheme = arguments.scheme;
    let secrets = secrets(&arguments.secret_file, scheme)?;
    let headers: Vec<_> = arguments.headers.iter().map(header).collect::<Option<_>>().ok_or_else(|| {
        // And not what was given: a signature, or the secret itself.
        Failure::Usage("--header: 'Name: value' is expected".to_owned())
    })?;
    let headers: Vec<_> = headers.iter().map(|(name, value)| (name.as_str(), value.as_slice())).collect();
    let body = body()?;
    let freshness = arguments.tolerance.map_or(Freshness::of(scheme), Freshness::within);
    let now_unix_s = arguments.at.unwrap_or_else(|| handle.now().seconds());
    match verify(scheme, &Request { headers: &headers, body: &body }, &secrets, freshness, now_unix_s) {
        Ok(_) => {
            print("ok\n")?;
            Ok(Answer::Yes)
        }
        Err(refused) => {
            print(&format!("{}\n", refused.slug()))?;
            Ok(Answer::No)
        }
    }
}

fn secrets(path: &Path, scheme: Scheme) -> Result<Vec<Secret>, Failure> {
    let usage = |problem: String| Failure::Usage(format!("{}: {problem}", path.display()));
    let bytes = std::fs::read(path).map_err(|error| usage(error.to_string()))?;
    let bytes = SecretSlice::from(bytes);
    let mut secrets = Vec::new();
    for (number, line) in (1..).zip(lines(bytes.expose_secret())) {
        let secret = Secret::verbatim(line.expose_secret(), scheme);
        secrets.push(secret.map_err(|invalid| usage(format!("line {number}: {invalid}")))?);
        // A configuration would refuse it; here it stands as it is, and is the likeliest reason of a mismatch.
        if let Err(suspect) = Secret::parse(line.expose_secret(), scheme) {
            complain(&format!("line {number} of the secrets is used as it stands, but {suspect}"));
        }
    }
    Ok(secrets)
}

/// The lines of a file of secrets, without their ends. One newline ends a line; those that follow the last line's are
/// its own, as nothing else could put a newline into a secret. A file of nothing has one line of nothing.
fn lines(file: &[u8]) -> Vec<SecretSlice<u8>> {
    let text = file.strip_suffix(b"\n").unwrap_or(file);
    let own = text.iter().rev().take_while(|byte| **byte == b'\n').count();
    let (text, own) = text.split_at(text.len().saturating_sub(own));
    let mut lines: Vec<Vec<u8>> = text.split(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect();
    if let Some(last) = lines.last_mut().filter(|last| !last.is_empty()) {
        last.extend_from_slice(own);
    }
    lines.into_iter().map(SecretSlice::from).collect()
}

/// The name, and the value without the white space around it, which HTTP does not count.
fn header(text: &OsString) -> Option<(String, Vec<u8>)> {
    let bytes = text.as_bytes();
    let colon = bytes.iter().position(|byte| *byte == b':')?;
    let (name, value) = bytes.split_at(colon);
    let name = str::from_utf8(name).ok().filter(|name| !name.is_empty() && !name.contains([' ', '\t']));
    let value = value.strip_prefix(b":").unwrap_or(value).trim_ascii();
    Some((name?.to_owned(), value.to_vec()))
}

fn body() -> Result<Vec<u8>, Failure> {
    let stdin = std::io::stdin();
    if stdin.is_terminal() {
        complain("reading the body from the terminal, up to Ctrl-D; a file is given with < FILE");
    }
    let mut body = Vec::new();
    stdin.lock().take(BODY_BYTES_MAX + 1).read_to_end(&mut body).context("read the body")?;
    if u64::try_from(body.len()).is_ok_and(|bytes| bytes <= BODY_BYTES_MAX) {
        Ok(body)
    } else {
        Err(Failure::Usage(format!("the body has more than {BODY_BYTES_MAX} bytes")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines_of(file: &[u8]) -> Vec<Vec<u8>> {
        lines(file).iter().map(|line| line.expose_secret().to_vec()).collect()
    }

    #[test]
    fn a_line_is_a_secret_with_or_without_its_end() {
        for file in [&b"old\nnew"[..], b"old\nnew\n"] {
            assert_eq!(lines_of(file), [b"old".to_vec(), b"new".to_vec()]);
        }
        assert_eq!(lines_of(b" a \r\n"), [b" a \r".to_vec()]);
    }

    #[test]
    fn further_newlines_at_the_end_belong_to_the_last_secret() {
        assert_eq!(lines_of(b"old\nnew\n\n"), [b"old".to_vec(), b"new\n".to_vec()]);
        assert_eq!(lines_of(b"old\n\n\n"), [b"old\n\n".to_vec()]);
    }

    #[test]
    fn a_line_of_nothing_is_a_secret_of_nothing() {
        for file in [&b""[..], b"\n", b"\n\n"] {
            assert_eq!(lines_of(file), [b"".to_vec()]);
        }
        assert_eq!(lines_of(b"\na\n"), [b"".to_vec(), b"a".to_vec()]);
        assert_eq!(lines_of(b"a\n\nb\n"), [b"a".to_vec(), b"".to_vec(), b"b".to_vec()]);
    }

    #[test]
    fn a_header_is_a_name_a_colon_and_a_value() {
        let parsed = |text: &str| header(&OsString::from(text));
        let named = |value: &str| Some(("X-Proof".to_owned(), value.as_bytes().to_vec()));
        assert_eq!(parsed("X-Proof: t=1,v1=a:b"), named("t=1,v1=a:b"));
        assert_eq!(parsed("X-Proof:p \t"), named("p"));
        assert_eq!(parsed("X-Proof:"), named(""));
        for text in ["X-Proof", "", ": p", "X Proof: p"] {
            assert_eq!(parsed(text), None, "{text}");
        }
    }
}
