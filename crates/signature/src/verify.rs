//! The question and its answer.

use std::fmt;

use crate::{Refused, Scheme, Secret, stripe, telegram};

/// What is to be verified: a request as it came off the wire. Its `Debug` says sizes only, since nothing in it is verified.
#[derive(Clone, Copy)]
pub struct Request<'a> {
    /// Names, matched in any case, and raw values. [`Scheme::headers`] says which are read; a header that came twice stands
    /// here twice.
    pub headers: &'a [(&'a str, &'a [u8])],
    /// The body, byte for byte.
    pub body: &'a [u8],
}

impl fmt::Debug for Request<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Request({} headers, body of {} bytes)", self.headers.len(), self.body.len())
    }
}

/// How far a signed time may be from the receiver's clock, in whole seconds, limits included. 0 means 0, not off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Freshness {
    /// The greatest age.
    pub past_s: u64,
    /// How far the signed time may be ahead.
    pub future_s: u64,
}

/// No provider's clock is further ahead than this.
const FUTURE_S: u64 = 300;

impl Freshness {
    /// The scheme's own limits. Telegram signs no time, so that its limits are never consulted; they are 0.
    pub const fn of(scheme: Scheme) -> Self {
        match scheme {
            Scheme::Stripe => Self { past_s: 600, future_s: FUTURE_S },
            Scheme::Telegram => Self { past_s: 0, future_s: 0 },
        }
    }

    /// One tolerance for both directions, as providers' libraries have it: the future gets at most 300 s of it, and, as it is
    /// about clocks rather than about age, all 300 s when the tolerance is 0.
    pub const fn within(tolerance_s: u64) -> Self {
        let future_s = if 0 < tolerance_s && tolerance_s < FUTURE_S { tolerance_s } else { FUTURE_S };
        Self { past_s: tolerance_s, future_s }
    }

    fn admit(self, signed_at: i64, now_unix_s: i64) -> Result<(), Refused> {
        let apart_s = now_unix_s.abs_diff(signed_at);
        if signed_at <= now_unix_s && apart_s > self.past_s {
            Err(Refused::SignatureExpired { age_s: apart_s })
        } else if signed_at > now_unix_s && apart_s > self.future_s {
            Err(Refused::SignatureFromFuture { ahead_s: apart_s })
        } else {
            Ok(())
        }
    }
}

/// A request that is the provider's and fresh. Only [`verify`] makes one; its `Debug` does not show the body.
///
/// ```compile_fail
/// let forged = signature::Verified { scheme: signature::Scheme::Stripe, body: b"{}", secret_index: 0, signed_at: None };
/// ```
#[derive(Clone, Copy)]
pub struct Verified<'a> {
    scheme: Scheme,
    body: &'a [u8],
    secret_index: usize,
    signed_at: Option<i64>,
}

impl<'a> Verified<'a> {
    /// The body, never empty. Under Telegram's scheme the sender is proven, but the body itself is not signed.
    pub const fn body(&self) -> &'a [u8] {
        self.body
    }

    /// Which of the secrets matched: its position in the list given to [`verify`], the first if several do.
    pub const fn secret_index(&self) -> usize {
        self.secret_index
    }

    /// When it was signed, in unix seconds, by the provider's clock; `None` if the scheme signs no time.
    pub const fn signed_at(&self) -> Option<i64> {
        self.signed_at
    }

    /// The scheme it was verified by.
    pub const fn scheme(&self) -> Scheme {
        self.scheme
    }
}

impl fmt::Debug for Verified<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verified")
            .field("scheme", &self.scheme)
            .field("body_bytes", &self.body.len())
            .field("secret_index", &self.secret_index)
            .field("signed_at", &self.signed_at)
            .finish()
    }
}

/// A proof that belongs to a secret; whether it is fresh is not yet known.
pub(crate) struct Matched {
    pub(crate) secret_index: usize,
    pub(crate) signed_at: Option<i64>,
}

/// Is this request authentic and fresh?
///
/// Judged in this order: the header is there, it is well-formed, a secret matches, the signed time is within `freshness` of
/// `now_unix_s`, the body is not empty. The first that fails is the reason. Without secrets nothing ever matches.
pub fn verify<'a>(
    scheme: Scheme,
    request: &Request<'a>,
    secrets: &[Secret],
    freshness: Freshness,
    now_unix_s: i64,
) -> Result<Verified<'a>, Refused> {
    let Matched { secret_index, signed_at } = match scheme {
        Scheme::Stripe => stripe::authenticate(request, secrets)?,
        Scheme::Telegram => telegram::authenticate(request, secrets)?,
    };
    if let Some(signed_at) = signed_at {
        freshness.admit(signed_at, now_unix_s)?;
    }
    if request.body.is_empty() {
        return Err(Refused::PayloadInvalid);
    }
    Ok(Verified { scheme, body: request.body, secret_index, signed_at })
}
