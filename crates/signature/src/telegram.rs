//! `X-Telegram-Bot-Api-Secret-Token: <the secret_token given to setWebhook>`.
//!
//! <https://core.telegram.org/bots/api#setwebhook>. A bearer token: it proves who sent the request, and nothing about the
//! body or the time.

use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq;

use crate::constant_time::{Digest, first_match};
use crate::verify::Matched;
use crate::{Refused, Request, Secret, header};

pub(crate) const HEADER: &str = "x-telegram-bot-api-secret-token";

/// Finds the secret that the header holds. Digests are compared instead of the texts, so that a token of another length takes
/// as long as one of the right length.
pub(crate) fn authenticate(request: &Request<'_>, secrets: &[Secret]) -> Result<Matched, Refused> {
    let token = digest(header::single(request, HEADER)?.as_bytes());
    let secret_index = first_match(secrets, |secret| digest(secret).as_slice().ct_eq(token.as_slice()))
        .ok_or(Refused::SignatureMismatch)?;
    Ok(Matched { secret_index, signed_at: None })
}

fn digest(text: &[u8]) -> Digest {
    Sha256::digest(text).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Scheme;

    fn matched(token: &str) -> Result<usize, Refused> {
        let secrets =
            ["old-token", "new-token"].map(|s| Secret::parse(s.as_bytes(), Scheme::Telegram).unwrap());
        let request = Request { headers: &[(HEADER, token.as_bytes())], body: b"{}" };
        authenticate(&request, &secrets).map(|matched| matched.secret_index)
    }

    #[test]
    fn the_whole_token_must_be_equal() {
        assert_eq!(matched("old-token"), Ok(0));
        assert_eq!(matched("new-token"), Ok(1));
        for other in [
            "old-toke",
            "old-token ",
            "old-tokenn",
            "Old-token",
            "old-token, old-token",
            "x",
            &"o".repeat(300),
        ] {
            assert_eq!(matched(other), Err(Refused::SignatureMismatch), "{other}");
        }
    }
}
