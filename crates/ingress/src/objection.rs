//! Why an authentic delivery is refused all the same. Each is told to the books before it is answered.

use ledger::Reason;

use crate::Problem;

/// What speaks against a delivery whose sender is genuine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Objection {
    /// The event is older than its source allows.
    TooOld,
    /// It is of a mode or an account that its source is not for.
    WrongMode,
    /// Its id belongs to another content.
    IdReused,
    /// The body is no event.
    NoEvent,
}

impl Objection {
    /// As the answer says it.
    pub(crate) const fn problem(self) -> Problem {
        match self {
            Self::TooOld => Problem::EventTooOld,
            Self::WrongMode => Problem::EventWrongMode,
            Self::IdReused => Problem::EventIdReused,
            Self::NoEvent => Problem::PayloadInvalid,
        }
    }

    /// As the books say it.
    pub(crate) const fn reason(self) -> Reason {
        match self {
            Self::TooOld => Reason::EventTooOld,
            Self::WrongMode => Reason::EventWrongMode,
            Self::IdReused => Reason::EventIdReused,
            Self::NoEvent => Reason::PayloadInvalid,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_answered_and_what_the_books_are_told_is_one_word() {
        let all = [Objection::TooOld, Objection::WrongMode, Objection::IdReused, Objection::NoEvent];
        for objection in all {
            assert_eq!(objection.problem().slug(), objection.reason().as_str());
        }
        let evidenced: Vec<_> = Problem::ALL.into_iter().filter(|problem| problem.is_evidenced()).collect();
        assert!(evidenced.iter().all(|problem| all.iter().any(|objection| objection.problem() == *problem)));
        assert_eq!(evidenced.len(), all.len());
    }
}
