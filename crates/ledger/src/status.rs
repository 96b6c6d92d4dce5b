//! Where an event stands after its first processing, and what operators may ask for.

use core::fmt;

use crate::Outcome;

/// Where an event stands. Its first one is the outcome of its first processing; each later one is a row of its own. In
/// Postgres a CHECK lists the same words, in ARCHITECTURE.md a table; a test compares them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Status {
    /// Every movement it asserts stands in the books. Final.
    Booked,
    /// It moves no money that is ours to book. Final.
    Ignored,
    /// A person decides, or a later delivery.
    Parked,
    /// An operator has decided that it will never be booked. Final.
    Dismissed,
}

impl Status {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Booked, Self::Ignored, Self::Parked, Self::Dismissed];

    /// The word in the database, in results and on the screen.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Booked => "booked",
            Self::Ignored => "ignored",
            Self::Parked => "parked",
            Self::Dismissed => "dismissed",
        }
    }

    /// The status of that word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == word)
    }

    /// Whether nothing may follow. What is parked may become anything, parked for another reason too.
    pub const fn is_final(self) -> bool {
        match self {
            Self::Booked | Self::Ignored | Self::Dismissed => true,
            Self::Parked => false,
        }
    }
}

impl From<Outcome> for Status {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Booked => Self::Booked,
            Outcome::Ignored => Self::Ignored,
            Outcome::Parked => Self::Parked,
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// What an operator may ask for. In Postgres a CHECK lists the same words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ActionKind {
    /// Process what is parked again, past every gate.
    Release,
    /// Never book what is parked.
    Dismiss,
}

impl ActionKind {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Release, Self::Dismiss];

    /// The word in the database and in routing keys.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Release => "release",
            Self::Dismiss => "dismiss",
        }
    }

    /// The kind of that word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == word)
    }
}

impl fmt::Display for ActionKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// The number of an operator's action in the books.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ActionId(pub i64);

impl fmt::Display for ActionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
