//! Secrets shared with a provider.

use std::fmt;

use secrecy::{ExposeSecret, SecretSlice};
use thiserror::Error;

use crate::Scheme;

/// The most bytes that a secret may have; Telegram has its own limit. Real ones have less than 100.
const BYTES_MAX: usize = 1024;
/// <https://core.telegram.org/bots/api#setwebhook>, `secret_token`: 1-256 characters.
const TELEGRAM_BYTES_MAX: usize = 256;

const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

/// A secret shared with a provider, as its bytes stand: Stripe's key is the whole string, `whsec_` included, never decoded.
///
/// It does not print and cannot be compared, and its memory is wiped when it is dropped. The caller's own copy is the caller's
/// to wipe.
pub struct Secret(SecretSlice<u8>);

impl Secret {
    /// Takes a secret from configuration. Refuses what is a mistake rather than a secret: white space around it, a line
    /// break or another control character in it, a byte order mark; and whatever [`Secret::verbatim`] refuses.
    pub fn parse(bytes: &[u8], scheme: Scheme) -> Result<Self, SecretInvalid> {
        if bytes.is_empty() {
            return Err(SecretInvalid::Empty);
        }
        if bytes.starts_with(BYTE_ORDER_MARK) {
            return Err(SecretInvalid::ByteOrderMark);
        }
        if bytes.trim_ascii().len() != bytes.len() {
            return Err(SecretInvalid::SurroundedByWhiteSpace);
        }
        if bytes.iter().any(u8::is_ascii_control) {
            return Err(SecretInvalid::ControlCharacter);
        }
        Self::verbatim(bytes, scheme)
    }

    /// Takes the bytes as they stand, stray white space included, for tools that show what a receiver would make of them.
    /// Refuses what can be no secret of this scheme: nothing at all, too many bytes, characters outside its alphabet.
    pub fn verbatim(bytes: &[u8], scheme: Scheme) -> Result<Self, SecretInvalid> {
        let bytes_max = match scheme {
            Scheme::Stripe => BYTES_MAX,
            Scheme::Telegram => TELEGRAM_BYTES_MAX,
        };
        let in_alphabet = match scheme {
            Scheme::Stripe => true,
            Scheme::Telegram => bytes.iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-')),
        };
        if bytes.is_empty() {
            Err(SecretInvalid::Empty)
        } else if bytes.len() > bytes_max {
            Err(SecretInvalid::TooLong { bytes_max })
        } else if !in_alphabet {
            Err(SecretInvalid::OutsideAlphabet)
        } else {
            Ok(Self(Box::<[u8]>::from(bytes).into()))
        }
    }

    pub(crate) fn expose(&self) -> &[u8] {
        self.0.expose_secret()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// Why bytes are refused as a secret. A configuration error; says nothing of the bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum SecretInvalid {
    /// No bytes. A key of no bytes would verify what anybody can sign.
    #[error("the secret is empty")]
    Empty,
    /// Spaces, tabs or line breaks at the beginning or the end.
    #[error(
        "the secret begins or ends with white space or a line break; write it without (printf '%s', not echo)"
    )]
    SurroundedByWhiteSpace,
    /// A line break or another control character within.
    #[error(
        "the secret has a line break or control character in it; is it more than one secret, or a binary file?"
    )]
    ControlCharacter,
    /// The first bytes are those that some editors put in front of UTF-8.
    #[error("the secret begins with a byte order mark; save it as UTF-8 without one")]
    ByteOrderMark,
    /// More bytes than any secret of this scheme has.
    #[error("the secret has more than {bytes_max} bytes; is it another file?")]
    TooLong {
        /// The most bytes that the scheme allows.
        bytes_max: usize,
    },
    /// Telegram admits only these characters, so no request could ever carry this secret.
    #[error("the secret has characters other than A-Z a-z 0-9 _ -; Telegram's setWebhook admits no others")]
    OutsideAlphabet,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(bytes: &[u8], scheme: Scheme) -> Option<SecretInvalid> {
        Secret::parse(bytes, scheme).err()
    }

    #[test]
    fn a_secret_that_is_really_a_mistake_is_refused() {
        for scheme in Scheme::ALL {
            assert_eq!(refused(b"", scheme), Some(SecretInvalid::Empty));
            for stray in [" x", "x ", "x\n", "x\r\n", "\tx", "\nx", " ", "\n"] {
                assert_eq!(refused(stray.as_bytes(), scheme), Some(SecretInvalid::SurroundedByWhiteSpace));
            }
            for inside in [&b"x\ny"[..], b"x\0y", b"x\0", b"\x7fx"] {
                assert_eq!(refused(inside, scheme), Some(SecretInvalid::ControlCharacter));
            }
            assert_eq!(refused(b"\xEF\xBB\xBFx", scheme), Some(SecretInvalid::ByteOrderMark));
        }
    }

    #[test]
    fn a_telegram_secret_has_1_to_256_characters_of_its_alphabet() {
        assert_eq!(refused(&[b'-'; 256], Scheme::Telegram), None);
        assert_eq!(refused(b"aZ09_-", Scheme::Telegram), None);
        assert_eq!(refused(&[b'a'; 257], Scheme::Telegram), Some(SecretInvalid::TooLong { bytes_max: 256 }));
        for foreign in ["a b", "a+b", "a=", "a.b", "\u{e9}"] {
            assert_eq!(refused(foreign.as_bytes(), Scheme::Telegram), Some(SecretInvalid::OutsideAlphabet));
        }
    }

    #[test]
    fn a_stripe_secret_may_have_any_printable_bytes() {
        for fine in ["whsec_test_secret", "a b", "\u{e9}+/="] {
            assert_eq!(refused(fine.as_bytes(), Scheme::Stripe), None);
        }
        assert_eq!(refused(&[b'a'; 1024], Scheme::Stripe), None);
        assert_eq!(refused(&[b'a'; 1025], Scheme::Stripe), Some(SecretInvalid::TooLong { bytes_max: 1024 }));
    }

    #[test]
    fn verbatim_bytes_keep_their_white_space_but_are_never_none() {
        assert_eq!(Secret::verbatim(b"x \n", Scheme::Stripe).unwrap().expose(), b"x \n");
        assert_eq!(Secret::verbatim(b"", Scheme::Stripe).err(), Some(SecretInvalid::Empty));
        assert_eq!(Secret::verbatim(b"x ", Scheme::Telegram).err(), Some(SecretInvalid::OutsideAlphabet));
    }

    #[test]
    fn a_secret_does_not_print() {
        let secret = Secret::parse(b"whsec_test_secret", Scheme::Stripe).unwrap();
        assert_eq!(format!("{secret:?} {secret:#?}"), "Secret(..) Secret(..)");
    }
}
