//! The ways in which providers prove that a request is theirs.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

/// How a provider signs its requests. Sources name it in their configuration by the name that `Display` prints.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// `Stripe-Signature`: HMAC-SHA256 over `t.body`. <https://docs.stripe.com/webhooks#verify-manually>
    Stripe,
    /// `X-Telegram-Bot-Api-Secret-Token`: a bearer token. <https://core.telegram.org/bots/api#setwebhook>
    Telegram,
}

impl Scheme {
    /// Every scheme there is.
    pub const ALL: [Self; 2] = [Self::Stripe, Self::Telegram];

    /// The name that sources use.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Stripe => "stripe",
            Self::Telegram => "telegram",
        }
    }

    /// The headers that [`verify`](crate::verify) reads, in lower case. A caller need hand over no others, but must hand
    /// over every occurrence of these: a repeated one is refused.
    pub const fn headers(self) -> &'static [&'static str] {
        match self {
            Self::Stripe => &[crate::stripe::HEADER],
            Self::Telegram => &[crate::telegram::HEADER],
        }
    }
}

impl fmt::Display for Scheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Scheme {
    type Err = SchemeUnknown;

    fn from_str(name: &str) -> Result<Self, SchemeUnknown> {
        Self::ALL.into_iter().find(|scheme| scheme.name() == name).ok_or(SchemeUnknown)
    }
}

/// A name that is no scheme's. Names are lower case and exact.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("no such signature scheme; known are: {}", Scheme::ALL.map(Scheme::name).join(", "))]
pub struct SchemeUnknown;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_scheme_is_parsed_from_the_name_it_prints() {
        for scheme in Scheme::ALL {
            assert_eq!(scheme.to_string().parse(), Ok(scheme));
        }
    }

    #[test]
    fn an_unknown_name_is_refused_with_the_known_ones() {
        for name in ["", "Stripe", "stripe ", "svix"] {
            assert_eq!(name.parse::<Scheme>(), Err(SchemeUnknown));
        }
        assert_eq!(SchemeUnknown.to_string(), "no such signature scheme; known are: stripe, telegram");
    }

    #[test]
    fn headers_are_named_in_lower_case() {
        for name in Scheme::ALL.iter().flat_map(|scheme| scheme.headers()) {
            assert_eq!(*name, name.to_ascii_lowercase());
        }
    }
}
