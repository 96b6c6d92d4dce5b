//! Why a request was refused.

use thiserror::Error;

/// Why a request is not taken for the provider's. Carries no byte of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Refused {
    /// The signature header is absent or empty.
    #[error("the signature header is missing")]
    SignatureMissing,
    /// The signature header is repeated, too long, not printable ASCII, or not of the form that the provider sends.
    #[error("the signature header is not in the provider's form")]
    SignatureMalformed,
    /// No signature in the header belongs to any of the secrets.
    #[error("no signature matches any secret")]
    SignatureMismatch,
    /// Signed with the right secret, but too long ago.
    #[error("the signature is {age_s} s old")]
    SignatureExpired {
        /// Seconds from the signed time to now.
        age_s: u64,
    },
    /// Signed with the right secret, for a time that is too far ahead.
    #[error("the signature is {ahead_s} s ahead of our clock")]
    SignatureFromFuture {
        /// Seconds from now to the signed time.
        ahead_s: u64,
    },
    /// Authentic and fresh, but the body is empty: there is nothing to verify further in.
    #[error("the body is empty")]
    PayloadInvalid,
}

impl Refused {
    /// The name of the reason in answers, metrics, logs and runbooks.
    pub const fn slug(&self) -> &'static str {
        match self {
            Self::SignatureMissing => "signature-missing",
            Self::SignatureMalformed => "signature-malformed",
            Self::SignatureMismatch => "signature-mismatch",
            Self::SignatureExpired { .. } => "signature-expired",
            Self::SignatureFromFuture { .. } => "signature-from-future",
            Self::PayloadInvalid => "payload-invalid",
        }
    }

    /// Whether the sender holds the secret: a signature had matched before the request was refused.
    pub const fn authentic(&self) -> bool {
        match self {
            Self::SignatureMissing | Self::SignatureMalformed | Self::SignatureMismatch => false,
            Self::SignatureExpired { .. } | Self::SignatureFromFuture { .. } | Self::PayloadInvalid => true,
        }
    }
}
