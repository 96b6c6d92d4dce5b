//! Identities, each a type of its own, and instants.

use core::fmt;

/// The text cannot be this identity: empty, too long, or with a character that it must not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a {what}: 1 to {length_max} characters of {alphabet}")]
pub struct IdInvalid {
    what: &'static str,
    length_max: usize,
    alphabet: &'static str,
}

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident, $what:literal, $max:literal, $alphabet:literal, $allowed:expr) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(Box<str>);

        impl $name {
            #[doc = concat!("Reads a ", $what, ": 1 to ", stringify!($max), " characters of ", $alphabet, ".")]
            pub fn parse(text: &str) -> Result<Self, IdInvalid> {
                let allowed: fn(u8) -> bool = $allowed;
                if text.is_empty() || text.len() > $max || !text.bytes().all(allowed) {
                    return Err(IdInvalid { what: $what, length_max: $max, alphabet: $alphabet });
                }
                Ok(Self(text.into()))
            }

            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

text_id!(
    /// A configured sender of webhooks: the last but one segment of its URL.
    Source, "source name", 32, "a-z, 0-9, -", |b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-'
);
text_id!(
    /// Whose scheme a source speaks and in whose name money is owned: `stripe`, `telegram`.
    Provider, "provider name", 32, "a-z, 0-9, -", |b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-'
);
text_id!(
    /// An account at the provider, a book of its own: `acct_1A…`, a bot id.
    ProviderAccount, "provider account", 64, "A-Z, a-z, 0-9, . _ -",
    |b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-')
);
text_id!(
    /// The provider's id of an event, unique with source, account and livemode.
    EventId, "event id", 255, "printable ASCII", |b| b.is_ascii_graphic()
);
text_id!(
    /// The provider's name for what happened: `charge.succeeded`. Also part of a routing key.
    EventType, "event type", 128, "A-Z, a-z, 0-9, . _ -",
    |b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-')
);
text_id!(
    /// The provider's id of the object that an event shows or that money belongs to: `ch_…`.
    ObjectId, "object id", 255, "printable ASCII", |b| b.is_ascii_graphic()
);
text_id!(
    /// The slug of a problem that a delivery was refused for: `signature-mismatch`.
    ProblemSlug, "problem slug", 64, "a-z, 0-9, -", |b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-'
);
text_id!(
    /// A W3C trace id.
    TraceId, "trace id", 32, "0-9, a-f", |b| b.is_ascii_digit() || matches!(b, b'a'..=b'f')
);

/// Whether real money moves. Live and test never mix.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Livemode {
    /// Money of nobody.
    Test,
    /// Real money.
    Live,
}

impl Livemode {
    /// From the boolean of providers and columns.
    pub const fn from_bool(live: bool) -> Self {
        if live { Self::Live } else { Self::Test }
    }

    /// As the boolean of providers and columns.
    pub const fn is_live(self) -> bool {
        matches!(self, Self::Live)
    }

    /// `live` or `test`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Test => "test",
        }
    }
}

impl fmt::Display for Livemode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// What makes an event one event, for ever.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EventKey {
    /// Who sent it.
    pub source: Source,
    /// Whose book it is about.
    pub account: ProviderAccount,
    /// Real money or not.
    pub livemode: Livemode,
    /// The provider's id.
    pub event_id: EventId,
}

impl fmt::Display for EventKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}/{}", self.source, self.account, self.livemode, self.event_id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_with_a_blank_a_control_or_too_many_characters_is_refused() {
        let long = "e".repeat(256);
        for text in ["", " evt", "evt 1", "evt\n", "évt", "evt\u{0}", long.as_str()] {
            assert!(EventId::parse(text).is_err(), "{text:?}");
        }
        assert_eq!(EventId::parse("evt_1").map(|id| id.to_string()), Ok("evt_1".to_owned()));
    }

    #[test]
    fn a_type_that_would_break_a_routing_key_is_refused() {
        for text in ["charge/succeeded", "charge succeeded", "#", "*"] {
            assert!(EventType::parse(text).is_err(), "{text:?}");
        }
        assert!(EventType::parse("charge.dispute.funds_withdrawn").is_ok());
    }
}
