//! What a delivery is answered with.

use ledger::EventId;
use ports::StoredResult;

use crate::Problem;

/// The answer to one delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// Confirmed by the broker: durable.
    Accepted(EventId),
    /// It was accepted before; with the result if it has been booked since.
    Replayed(EventId, Option<StoredResult>),
    /// It stands parked: a person decides.
    Parked(EventId),
    /// Refused.
    Refused(Problem),
}

impl Answer {
    /// The word in logs, metrics and bodies; a refusal's slug.
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Accepted(_) => "accepted",
            Self::Replayed(..) => "replayed",
            Self::Parked(_) => "parked",
            Self::Refused(problem) => problem.slug(),
        }
    }

    /// The HTTP status.
    pub const fn status(&self) -> u16 {
        match self {
            Self::Accepted(_) | Self::Replayed(..) | Self::Parked(_) => 200,
            Self::Refused(problem) => problem.status(),
        }
    }
}
