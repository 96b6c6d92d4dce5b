//! What a delivery is answered with.

use bytes::Bytes;
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
    /// It stands parked: a person decides. Of a body that is no event, the id is the hex of its SHA-256.
    Parked(EventId),
    /// Refused.
    Refused(Problem),
}

/// An answer, and what the provider is to read instead of our own words where it is success.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    /// What became of the delivery.
    pub answer: Answer,
    /// The JSON body of a success, if the provider asked something of its response.
    pub reply: Option<Bytes>,
}

/// What became of one event of a delivery.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) event_id: EventId,
    pub(crate) answer: Answer,
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

    /// The word with every refusal as one.
    pub(crate) const fn outcome(&self) -> &'static str {
        match self {
            Self::Accepted(_) | Self::Replayed(..) | Self::Parked(_) => self.word(),
            Self::Refused(_) => "refused",
        }
    }

    /// The HTTP status.
    pub const fn status(&self) -> u16 {
        match self {
            Self::Accepted(_) | Self::Replayed(..) | Self::Parked(_) => 200,
            Self::Refused(problem) => problem.status(),
        }
    }

    const fn is_success(&self) -> bool {
        self.status() == 200
    }
}

impl From<Answer> for Response {
    fn from(answer: Answer) -> Self {
        Self { answer, reply: None }
    }
}

/// The answer to a delivery with these events. One: its own. Several: success if each is settled (what is refused with
/// evidence is), else 503, and the provider sends all of them again, of which the settled ones are replays then.
pub(crate) fn combine(mut outcomes: Vec<Outcome>) -> Answer {
    if outcomes.len() <= 1 {
        return outcomes.pop().map_or(Answer::Refused(Problem::PayloadInvalid), |only| only.answer);
    }
    let problems = outcomes.iter().filter_map(|outcome| match &outcome.answer {
        Answer::Refused(problem) if !problem.is_evidenced() => Some(*problem),
        Answer::Accepted(_) | Answer::Replayed(..) | Answer::Parked(_) | Answer::Refused(_) => None,
    });
    let unsettled: Vec<Problem> = problems.collect();
    if !unsettled.is_empty() {
        let unavailable = unsettled.into_iter().find(|problem| problem.status() == 503);
        return Answer::Refused(unavailable.unwrap_or(Problem::NotDurable));
    }
    // What is new says more than what is not.
    let accepted = outcomes.iter().position(|outcome| matches!(outcome.answer, Answer::Accepted(_)));
    let at = accepted.or_else(|| outcomes.iter().position(|outcome| outcome.answer.is_success()));
    let Outcome { event_id, answer } = outcomes.swap_remove(at.unwrap_or(0));
    if answer.is_success() { answer } else { Answer::Parked(event_id) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(n: usize) -> EventId {
        EventId::parse(&format!("evt_{n}")).unwrap()
    }

    fn combined(answers: &[Answer]) -> Answer {
        let outcomes = answers.iter().cloned().enumerate();
        combine(outcomes.map(|(n, answer)| Outcome { event_id: id(n), answer }).collect())
    }

    #[test]
    fn one_event_gets_its_own_answer() {
        for answer in [
            Answer::Accepted(id(0)),
            Answer::Replayed(id(0), None),
            Answer::Parked(id(0)),
            Answer::Refused(Problem::EventTooOld),
            Answer::Refused(Problem::in_flight(1)),
            Answer::Refused(Problem::ReplayStateUnavailable),
        ] {
            assert_eq!(combined(core::slice::from_ref(&answer)), answer);
        }
    }

    #[test]
    fn several_events_are_a_success_if_each_is_settled() {
        let [accepted, replayed, parked] =
            [Answer::Accepted(id(0)), Answer::Replayed(id(1), None), Answer::Parked(id(2))];
        let [old, reused] = [Problem::EventTooOld, Problem::EventIdReused].map(Answer::Refused);
        assert_eq!(combined(&[replayed.clone(), accepted.clone(), parked.clone()]), accepted);
        assert_eq!(combined(&[parked.clone(), replayed.clone()]), parked);
        assert_eq!(combined(&[old.clone(), replayed.clone()]), replayed);
        assert_eq!(combined(&[old, reused]), Answer::Parked(id(0)));
    }

    #[test]
    fn several_events_of_which_one_is_not_settled_are_to_come_again() {
        for (unsettled, said) in [
            (Problem::NotDurable, Problem::NotDurable),
            (Problem::ReplayStateUnavailable, Problem::ReplayStateUnavailable),
            (Problem::in_flight(9_000), Problem::NotDurable),
        ] {
            let answers = [Answer::Accepted(id(0)), Answer::Refused(unsettled), Answer::Parked(id(2))];
            assert_eq!(combined(&answers), Answer::Refused(said));
        }
    }
}
