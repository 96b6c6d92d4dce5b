//! Movements: money that an event asserts, before anything is posted.

use core::fmt;

use money::Amount;
use sha2::{Digest, Sha256};

use crate::{Livemode, MovementKind, ObjectId, Part, Provider, ProviderAccount, UnixMillis};

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
    /// Of a settlement, the money object whose announcement it takes out of clearing; no part of the identity.
    pub settles: Option<ObjectId>,
    /// Its amounts, each part at most once. A negative one is posted to the other side: a settlement has the signs of the
    /// provider's balance transaction, a payout that comes from the bank is negative.
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
        parts.sort_by_key(|(part, _)| part.as_str());
        for (part, amount) in parts {
            field(part.as_str().as_bytes());
            field(amount.currency().code().as_bytes());
            field(&amount.minor().to_be_bytes());
        }
        MovementDigest(hash.finalize().into())
    }
}
