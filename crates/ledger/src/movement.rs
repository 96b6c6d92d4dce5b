//! Movements: money that an event asserts, before anything is posted.

use core::fmt;

use money::Amount;
use sha2::{Digest, Sha256};

use crate::{Livemode, ObjectId, Provider, ProviderAccount, UnixMillis};

/// What kind of movement; with the money object it makes the key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum MovementKind {
    /// A payment was captured.
    Capture,
}

impl MovementKind {
    /// All of them.
    pub const ALL: [Self; 1] = [Self::Capture];

    /// The word in keys, in the posting table and in the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Capture => "capture",
        }
    }

    /// The kind of that word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == word)
    }
}

/// A named amount of a movement; the posting table says where each goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Part {
    /// The whole amount, before fees.
    Gross,
}

impl Part {
    /// All of them.
    pub const ALL: [Self; 1] = [Self::Gross];

    /// The word in the posting table and in digests.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Gross => "gross",
        }
    }

    /// The part of that word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|part| part.as_str() == word)
    }
}

/// What makes a movement one movement, for ever, whoever describes it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MovementKey {
    /// Whose money object it is.
    pub provider: Provider,
    /// In whose book.
    pub account: ProviderAccount,
    /// Real money or not.
    pub livemode: Livemode,
    /// The money object: `ch_…`.
    pub object_id: ObjectId,
    /// What happened to it.
    pub kind: MovementKind,
}

/// `stripe/acct_dev/test/ch_1/capture`: only the object id may hold a slash, so no two keys print alike.
impl fmt::Display for MovementKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { provider, account, livemode, object_id, kind } = self;
        write!(f, "{provider}/{account}/{livemode}/{object_id}/{}", kind.as_str())
    }
}

/// A movement of money that one event asserts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Movement {
    /// Its identity.
    pub key: MovementKey,
    /// When the money moved, by the provider's clock; no part of the identity.
    pub occurred_at: UnixMillis,
    /// Its amounts, each part at most once, none negative.
    pub parts: Vec<(Part, Amount)>,
}

/// SHA-256 over a movement's key and amounts in a canonical, versioned form: equal digests, equal money.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct MovementDigest(pub [u8; 32]);

impl MovementDigest {
    /// The version of the canonical form; digests of different versions are never compared.
    pub const VERSION: u8 = 1;
}

/// SHA-256 of some bytes, to know them by.
pub fn content_digest(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

impl fmt::Debug for MovementDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&data_encoding::HEXLOWER.encode(&self.0))
    }
}

impl Movement {
    /// The amount of `part`, if the movement has it.
    pub fn part(&self, part: Part) -> Option<Amount> {
        self.parts.iter().find(|(name, _)| *name == part).map(|(_, amount)| *amount)
    }

    /// The digest of key and amounts. Every field is preceded by its length, so nothing can run into its neighbour.
    pub fn digest(&self) -> MovementDigest {
        let mut hash = Sha256::new();
        let mut field = |bytes: &[u8]| {
            hash.update(u64::try_from(bytes.len()).unwrap_or(u64::MAX).to_be_bytes());
            hash.update(bytes);
        };
        field(&[MovementDigest::VERSION]);
        field(self.key.to_string().as_bytes());
        let mut parts = self.parts.clone();
        parts.sort_by_key(|(part, _)| *part);
        for (part, amount) in parts {
            field(part.as_str().as_bytes());
            field(amount.currency().code().as_bytes());
            field(&amount.minor().to_be_bytes());
        }
        MovementDigest(hash.finalize().into())
    }
}
