//! The providers' log against the books: pure. The words are those of Jepsen's tests of RabbitMQ.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use crate::books::{Books, EventRow, TransactionRow};
use crate::told::{Kind, Money, Told};

/// When the books are looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// When everything has come to rest.
    AtRest,
    /// When an operator has released whatever was put aside.
    Released,
}

/// What the comparison says.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Verdict {
    /// Events that somebody tried to tell.
    pub(crate) attempted: usize,
    /// Those that were answered with a success.
    pub(crate) acknowledged: usize,
    /// Those of them that the books have although an attempt ended without a word of ours, or with an error.
    pub(crate) recovered: usize,
    /// Acknowledged, and parked with a reason.
    pub(crate) set_aside: usize,
    /// Acknowledged, and not in the books as promised.
    pub(crate) lost: BTreeSet<String>,
    /// Money that is there more than once.
    pub(crate) duplicated: BTreeSet<String>,
    /// What nobody told, nobody could prove, or what says something else than was told.
    pub(crate) unexpected: BTreeSet<String>,
}

impl Verdict {
    pub(crate) fn is_clean(&self) -> bool {
        self.lost.is_empty() && self.duplicated.is_empty() && self.unexpected.is_empty()
    }
}

/// Holds what was told against what stands there.
pub(crate) fn check(told: &[Told], books: &Books, phase: Phase) -> Verdict {
    let mut verdict = Verdict { attempted: told.len(), ..Verdict::default() };
    let mut transactions: BTreeMap<&str, Vec<&TransactionRow>> = BTreeMap::new();
    for transaction in &books.transactions {
        transactions.entry(&transaction.object_id).or_default().push(transaction);
    }
    // Where the cache let another content of an id pass, the one that reached the books first has the id, and the other one is
    // evidence: a row that is there, as of everything that was confirmed.
    let taken: BTreeSet<(&str, &str)> = told
        .iter()
        .filter(|one| one.kind == Kind::Reused && one.was_answered("accepted"))
        .filter(|one| {
            one.money.as_ref().is_some_and(|money| transactions.contains_key(money.object_id.as_str()))
        })
        .map(|one| (one.source, one.event_id.as_str()))
        .collect();
    for one in told {
        verdict.acknowledged += usize::from(one.is_acknowledged());
        let row = books.events.get(&(one.source.to_owned(), one.event_id.clone()));
        if row.is_some_and(|row| row.status == "booked") && one.has_open_attempt() {
            verdict.recovered += 1;
        }
        verdict.event(one, row, phase);
        if let (Some(row), Some(money)) = (row, &one.money)
            && row.status == "booked"
            && one.kind != Kind::Reused
            && !transactions.contains_key(money.object_id.as_str())
            && !taken.contains(&(one.source, one.event_id.as_str()))
        {
            verdict.lost.insert(format!("{}: booked, and no transaction is there", one.event_id));
        }
    }
    // What was confirmed has a row, whatever kind of message it was; the control totals say what was.
    verdict
        .lost
        .extend(books.missing.iter().map(|message| format!("message {message}: confirmed, and in no row")));
    verdict.events(told, books);
    verdict.money(told, &transactions, phase);
    verdict
}

impl Verdict {
    fn event(&mut self, one: &Told, row: Option<&EventRow>, phase: Phase) {
        let id = &one.event_id;
        let status = row.map(|row| row.status.as_str());
        match one.kind {
            Kind::Genuine if one.is_acknowledged() => match (status, phase) {
                (Some("booked"), _) => {}
                (Some("parked"), Phase::AtRest) => self.set_aside += 1,
                (other, _) => {
                    let why = row.and_then(|row| row.reason.as_deref()).unwrap_or("no reason");
                    let status = other.unwrap_or("in no book");
                    self.lost.insert(format!("{id}: acknowledged, {status} ({why})"));
                }
            },
            Kind::Unreadable => match status {
                Some("booked") => drop(self.unexpected.insert(format!("{id}: unreadable money is booked"))),
                Some("parked") => self.set_aside += usize::from(one.is_acknowledged()),
                _ if one.is_acknowledged() => {
                    self.lost.insert(format!("{id}: acknowledged, not parked"));
                }
                _ => {}
            },
            Kind::Stale => {
                let ours = one.was_answered("event-too-old") || one.is_acknowledged();
                if ours && status.is_none() {
                    self.lost.insert(format!("{id}: refused with evidence, and there is none"));
                }
                if ours && phase == Phase::Released && status == Some("parked") {
                    self.lost.insert(format!("{id}: released, and parked still"));
                }
                let let_in = one.was_answered("accepted") || phase == Phase::Released;
                if status == Some("booked") && !let_in {
                    self.unexpected.insert(format!("{id}: too old, booked, and nobody released it"));
                }
            }
            Kind::Malformed | Kind::Forged if status.is_some() => {
                self.unexpected.insert(format!("{id}: {:?}, and an event", one.kind));
            }
            Kind::Genuine | Kind::Malformed | Kind::Forged | Kind::Reused => {}
        }
    }

    /// Every event of the books was told.
    fn events(&mut self, told: &[Told], books: &Books) {
        let known: BTreeSet<(&str, &str)> =
            told.iter().map(|one| (one.source, one.event_id.as_str())).collect();
        for (source, event_id) in books.events.keys() {
            // Another content under a used id is an event under the id of its content, once somebody has released it.
            let named = event_id.split_once('#').map_or(event_id.as_str(), |(id, _content)| id);
            if !known.contains(&(source.as_str(), named)) {
                self.unexpected.insert(format!("{source} {event_id}: told by nobody"));
            }
        }
    }

    /// Every transaction is about money that was told by somebody who could prove it, once, and says what was told.
    fn money(&mut self, told: &[Told], transactions: &BTreeMap<&str, Vec<&TransactionRow>>, phase: Phase) {
        // Another content under a used id is refused, unless the cache has forgotten the first: then whichever reaches the
        // books first has the id.
        let provable = |one: &&Told| match one.kind {
            Kind::Genuine => true,
            Kind::Reused => one.was_answered("accepted"),
            Kind::Stale => one.was_answered("accepted") || phase == Phase::Released,
            Kind::Unreadable | Kind::Malformed | Kind::Forged => false,
        };
        let mut known: BTreeMap<&str, Vec<i64>> = BTreeMap::new();
        for Money { object_id, amount_minor } in
            told.iter().filter(provable).filter_map(|one| one.money.as_ref())
        {
            known.entry(object_id).or_default().push(*amount_minor);
        }
        for (object_id, rows) in transactions {
            if rows.len() > 1 {
                self.duplicated.insert(format!("{object_id}: booked {} times", rows.len()));
            }
            for row in rows {
                match known.get(object_id) {
                    None => drop(
                        self.unexpected.insert(format!("{object_id}: told by nobody who could prove it")),
                    ),
                    Some(told) if !told.contains(&row.amount_minor) => {
                        let booked = row.amount_minor;
                        self.unexpected.insert(format!("{object_id}: {told:?} was told, {booked} is booked"));
                    }
                    Some(_) if !row.traced => {
                        self.unexpected.insert(format!("{object_id}: without a trace"));
                    }
                    Some(_) => {}
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::told::{Answer, Attempt};

    fn told(kind: Kind, words: &[(u16, &str)]) -> Told {
        let attempts = words.iter().map(|(status, word)| Attempt {
            at_ms: 0,
            took_ms: 1,
            ingress: 0,
            answer: match status {
                0 => Answer::Unknown,
                status => Answer::Said { status: *status, word: (*word).to_owned() },
            },
        });
        Told {
            source: "stripe",
            event_id: "evt_1".to_owned(),
            kind,
            money: Some(Money { object_id: "ch_1".to_owned(), amount_minor: 100 }),
            attempts: attempts.collect(),
        }
    }

    fn books(status: Option<&str>, amounts: &[i64]) -> Books {
        let row = |status: &str| EventRow { status: status.to_owned(), reason: None };
        let key = ("stripe".to_owned(), "evt_1".to_owned());
        let transaction = |amount: &i64| TransactionRow {
            object_id: "ch_1".to_owned(),
            amount_minor: *amount,
            traced: true,
        };
        Books {
            events: status.map(|status| (key, row(status))).into_iter().collect(),
            transactions: amounts.iter().map(transaction).collect(),
            ..Books::default()
        }
    }

    /// How many are lost, duplicated and unexpected.
    fn verdict(one: Told, books: &Books) -> (usize, usize, usize) {
        let found = check(&[one], books, Phase::AtRest);
        (found.lost.len(), found.duplicated.len(), found.unexpected.len())
    }

    const ACCEPTED: &[(u16, &str)] = &[(200, "accepted")];

    #[test]
    fn what_was_acknowledged_and_stands_booked_once_is_clean() {
        assert_eq!(verdict(told(Kind::Genuine, ACCEPTED), &books(Some("booked"), &[100])), (0, 0, 0));
    }

    #[test]
    fn an_acknowledged_event_in_no_book_is_lost() {
        assert_eq!(verdict(told(Kind::Genuine, ACCEPTED), &books(None, &[])), (1, 0, 0));
    }

    #[test]
    fn an_event_that_says_booked_without_a_transaction_is_lost() {
        assert_eq!(verdict(told(Kind::Genuine, ACCEPTED), &books(Some("booked"), &[])), (1, 0, 0));
    }

    #[test]
    fn an_acknowledged_event_may_be_parked_until_somebody_releases_it() {
        let one = told(Kind::Genuine, ACCEPTED);
        assert_eq!(verdict(one.clone(), &books(Some("parked"), &[])), (0, 0, 0));
        assert_eq!(check(&[one], &books(Some("parked"), &[]), Phase::Released).lost.len(), 1);
    }

    #[test]
    fn a_confirmed_message_without_a_row_is_lost() {
        let missing = vec!["0a:7".to_owned()];
        let found = check(&[], &Books { missing, ..Books::default() }, Phase::AtRest);
        assert_eq!(found.lost.len(), 1);
    }

    #[test]
    fn money_that_is_booked_twice_is_duplicated() {
        assert_eq!(verdict(told(Kind::Genuine, ACCEPTED), &books(Some("booked"), &[100, 100])), (0, 1, 0));
    }

    #[test]
    fn another_amount_than_was_told_is_unexpected() {
        assert_eq!(verdict(told(Kind::Genuine, ACCEPTED), &books(Some("booked"), &[101])), (0, 0, 1));
    }

    #[test]
    fn a_forgery_in_the_books_is_unexpected() {
        let forged = || told(Kind::Forged, &[(401, "signature-mismatch")]);
        assert_eq!(verdict(forged(), &books(None, &[])), (0, 0, 0));
        assert_eq!(verdict(forged(), &books(Some("parked"), &[])), (0, 0, 1));
        assert_eq!(verdict(forged(), &books(Some("booked"), &[100])), (0, 0, 2));
    }

    #[test]
    fn what_nobody_told_is_unexpected() {
        let found = check(&[], &books(Some("booked"), &[100]), Phase::AtRest);
        assert_eq!(found.unexpected.len(), 2, "{found:?}");
    }

    #[test]
    fn evidence_that_was_confirmed_and_is_not_there_is_lost() {
        let refused = || told(Kind::Stale, &[(400, "event-too-old")]);
        assert_eq!(verdict(refused(), &books(Some("parked"), &[])), (0, 0, 0));
        assert_eq!(verdict(refused(), &books(None, &[])), (1, 0, 0));
        assert_eq!(verdict(refused(), &books(Some("booked"), &[100])), (0, 0, 2));
    }

    #[test]
    fn an_event_with_an_attempt_of_unknown_outcome_is_recovered_when_it_is_booked() {
        let found = check(
            &[told(Kind::Genuine, &[(0, ""), (200, "replayed")])],
            &books(Some("booked"), &[100]),
            Phase::AtRest,
        );
        assert_eq!((found.recovered, found.is_clean()), (1, true));
    }
}
