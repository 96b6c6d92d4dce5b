//! What became of an event, and why.

use core::fmt;

/// What the first processing of an event found. In Postgres a CHECK lists the same words; a test compares them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Outcome {
    /// Every movement it asserts stands in the books.
    Booked,
    /// It moves no money that is ours to book; kept with its reason.
    Ignored,
    /// A person or a later event has to decide; kept with its reason.
    Parked,
}

impl Outcome {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Booked, Self::Ignored, Self::Parked];

    /// The word in the database, in results and on the screen.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Booked => "booked",
            Self::Ignored => "ignored",
            Self::Parked => "parked",
        }
    }

    /// The outcome of that word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|outcome| outcome.as_str() == word)
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

macro_rules! reasons {
    ($($(#[$doc:meta])* $name:ident = $slug:literal => $outcome:ident,)*) => {
        /// Why an event was not booked. The slug stands in the database, in results and in runbooks.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Reason {
            $($(#[$doc])* $name,)*
        }

        impl Reason {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The word in the database.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $slug,)* }
            }

            /// Whether it makes an event ignored or parked.
            pub const fn outcome(self) -> Outcome {
                match self { $(Self::$name => Outcome::$outcome,)* }
            }
        }
    };
}

reasons! {
    /// The type is known to move no money.
    MovesNoMoney = "moves-no-money" => Ignored,
    /// The same money is described by another object's events; this one is a witness.
    DescribedElsewhere = "described-elsewhere" => Ignored,
    /// The object has not (yet) moved money: not captured, not succeeded, an amount of nothing.
    NothingMovedYet = "nothing-moved-yet" => Ignored,
    /// A type that we do not know, without an amount and a currency.
    UnknownType = "unknown-type" => Ignored,
    /// A type that we do not know, with an amount and a currency.
    UnknownMoney = "unknown-money" => Parked,
    /// It is about an account connected to the source's own, and the configuration says to leave those out.
    ConnectedAccount = "connected-account" => Ignored,
    /// Older on arrival than its source allows: refused at the gate, possibly a replay.
    EventTooOld = "event-too-old" => Parked,
    /// Of a mode or an account that its source is not for: refused at the gate.
    EventWrongMode = "event-wrong-mode" => Parked,
    /// An amount that is negative, overflows, is no whole number or does not convert exactly.
    AmountUnreadable = "amount-unreadable" => Parked,
    /// A currency that the books do not know.
    CurrencyUnknown = "currency-unknown" => Parked,
    /// The object lacks its id or another field that the movement needs.
    ObjectUnreadable = "object-unreadable" => Parked,
    /// A list in the object is cut short, or has an item that cannot be read: what it sums up is not proven.
    ListTruncated = "list-truncated" => Parked,
    /// The payment may be captured more than once, so what is captured so far is not final.
    Multicapture = "multicapture" => Parked,
    /// The event refers to an object without showing it (a thin event): the money has to be fetched.
    ThinEvent = "thin-event" => Parked,
    /// The source's own account is another one than the event's.
    Misconfigured = "misconfigured" => Parked,
    /// The same money is in the books with another amount.
    MovementConflict = "movement-conflict" => Parked,
    /// The id belongs to an event with another content.
    EventIdReused = "event-id-reused" => Parked,
    /// An authentic body that is no event. It makes a delivery row, never an event.
    PayloadInvalid = "payload-invalid" => Parked,
    /// The message does not decode.
    Undecodable = "undecodable" => Parked,
    /// The broker delivered it too often and put it aside.
    DeadLettered = "dead-lettered" => Parked,
    /// The books refused it, alone in its batch.
    RefusedByBooks = "refused-by-books" => Parked,
    /// Processing it panicked.
    ProcessingPanicked = "processing-panicked" => Parked,
}

impl Reason {
    /// Whether the gate gave it, so that a delivery of the same event that the gate does accept takes over.
    pub const fn is_of_gate(self) -> bool {
        matches!(self, Self::EventTooOld | Self::EventWrongMode)
    }

    /// The reason of that slug.
    pub fn parse(slug: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|reason| reason.as_str() == slug)
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}
