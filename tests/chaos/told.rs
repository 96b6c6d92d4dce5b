//! What the providers' side knows: each event that it told, and how it was answered each time.

use core::time::Duration;
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::Serialize;

/// What a told event is to become.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Kind {
    /// Money, and no reason not to book it.
    Genuine,
    /// Money that a person has to look at: its amount cannot be read.
    Unreadable,
    /// Made longer ago than its source allows.
    Stale,
    /// Another content under the id of a genuine one.
    Reused,
    /// Authentic, and no event.
    Malformed,
    /// Signed by somebody else, or by nobody.
    Forged,
}

/// How one attempt ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Answer {
    /// Our status and our word: `accepted`, `replayed`, `parked` or a problem's slug.
    Said { status: u16, word: String },
    /// None came: a timeout, a reset, a refused connection.
    Unknown,
}

impl Answer {
    pub(crate) fn is_success(&self) -> bool {
        matches!(self, Self::Said { status: 200..=299, .. })
    }

    /// Whether it says that nothing was decided: to be tried again.
    pub(crate) fn is_open(&self) -> bool {
        matches!(self, Self::Unknown | Self::Said { status: 500.., .. })
    }

    pub(crate) fn word(&self) -> &str {
        match self {
            Self::Said { word, .. } => word,
            Self::Unknown => "unknown",
        }
    }
}

/// One request.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Attempt {
    /// Since the run began.
    pub(crate) at_ms: u64,
    pub(crate) took_ms: u64,
    /// Whom it was sent to.
    pub(crate) ingress: usize,
    pub(crate) answer: Answer,
}

/// The money that an event tells of.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub(crate) struct Money {
    /// The provider's object: several events may tell of the same one.
    pub(crate) object_id: String,
    pub(crate) amount_minor: i64,
}

/// One event.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Told {
    pub(crate) source: &'static str,
    pub(crate) event_id: String,
    pub(crate) kind: Kind,
    pub(crate) money: Option<Money>,
    pub(crate) attempts: Vec<Attempt>,
}

impl Told {
    /// Whether anybody was answered a success: from then on it is ours.
    pub(crate) fn is_acknowledged(&self) -> bool {
        self.attempts.iter().any(|attempt| attempt.answer.is_success())
    }

    pub(crate) fn was_answered(&self, word: &str) -> bool {
        self.attempts.iter().any(|attempt| attempt.answer.word() == word)
    }

    /// Whether some attempt may have had an effect that its sender does not know of.
    pub(crate) fn has_open_attempt(&self) -> bool {
        self.attempts.iter().any(|attempt| attempt.answer.is_open())
    }
}

/// All of it, written down before anything is sent.
#[derive(Debug, Default)]
pub(crate) struct Log(Mutex<Vec<Told>>);

impl Log {
    fn all(&self) -> MutexGuard<'_, Vec<Told>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes an event that is about to be told; gives its place.
    pub(crate) fn note(&self, told: Told) -> usize {
        let mut all = self.all();
        all.push(told);
        all.len() - 1
    }

    /// Notes an attempt.
    pub(crate) fn attempted(&self, place: usize, attempt: Attempt) {
        if let Some(told) = self.all().get_mut(place) {
            told.attempts.push(attempt);
        }
    }

    pub(crate) fn copy(&self) -> Vec<Told> {
        self.all().clone()
    }

    /// The attempts that began in a span of time, by their answers, and the longest of them.
    pub(crate) fn between(&self, from_ms: u64, to_ms: u64) -> Spell {
        let mut spell = Spell::default();
        for told in self.all().iter() {
            for attempt in &told.attempts {
                if (from_ms..to_ms).contains(&attempt.at_ms) {
                    *spell.answers.entry(attempt.answer.word().to_owned()).or_default() += 1;
                    spell.slowest_ms = spell.slowest_ms.max(attempt.took_ms);
                    spell.took_ms.push(attempt.took_ms);
                }
            }
        }
        spell.took_ms.sort_unstable();
        spell
    }
}

/// How requests fared in a span of time.
#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct Spell {
    pub(crate) answers: BTreeMap<String, usize>,
    pub(crate) slowest_ms: u64,
    #[serde(skip)]
    took_ms: Vec<u64>,
}

impl Spell {
    pub(crate) fn of(&self, words: &[&str]) -> usize {
        words.iter().filter_map(|word| self.answers.get(*word)).sum()
    }

    /// The latency that 99 % stay below.
    pub(crate) fn p99(&self) -> Duration {
        let place = self.took_ms.len().saturating_sub(1) * 99 / 100;
        Duration::from_millis(self.took_ms.get(place).copied().unwrap_or_default())
    }
}
