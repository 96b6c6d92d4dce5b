//! What became of each thing that an operator decided on.

use core::fmt;
use std::collections::BTreeMap;

use ledger::{ActionId, ActionKind, Reason, Status};
use ledger_postgres::{Asked, Effect, Target};
use serde::{Serialize, Serializer};

use crate::table::{Align, Table};

/// One thing.
#[derive(Debug)]
pub(super) struct Line {
    /// What it is called: an event's id, `INSTANCE:SEQ` of a message.
    name: String,
    /// What it stood parked for before.
    parked_for: Option<Reason>,
    /// What was asked for; `None` if it did not stand parked.
    pub(super) action: Option<ActionId>,
    /// Where it stands, as far as that is known; `None` if the books do not know it.
    status: Option<Status>,
    reason: Option<Reason>,
    /// The event that it came to.
    event_id: Option<String>,
    /// Whether the action has been carried out.
    done: bool,
    pub(super) target: Option<Target>,
}

/// As programs read it.
#[derive(Serialize)]
struct Document<'a> {
    name: &'a str,
    source: Option<&'a str>,
    event_id: Option<&'a str>,
    parked_for: Option<&'a str>,
    action: Option<i64>,
    done: bool,
    status: Option<&'a str>,
    reason: Option<&'a str>,
}

impl Serialize for Line {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let document = Document {
            name: &self.name,
            source: self.source(),
            event_id: self.event_id.as_deref(),
            parked_for: self.parked_for.map(Reason::as_str),
            action: self.action.map(|action| action.0),
            done: self.done,
            status: self.status.map(Status::as_str),
            reason: self.reason.map(Reason::as_str),
        };
        document.serialize(serializer)
    }
}

impl Line {
    /// What was found, under the name that the operator gave it.
    pub(super) fn of(target: Target, name: Option<String>) -> Self {
        let parked = target.status == Status::Parked;
        Self {
            name: name.or_else(|| target.event_id.clone()).unwrap_or_else(|| "-".to_owned()),
            parked_for: target.reason.filter(|_| parked),
            action: None,
            status: Some(target.status),
            reason: target.reason,
            event_id: target.event_id.clone(),
            done: false,
            target: Some(target),
        }
    }

    /// What the books do not know.
    pub(super) fn unknown(name: String) -> Self {
        Self {
            name,
            parked_for: None,
            action: None,
            status: None,
            reason: None,
            event_id: None,
            done: false,
            target: None,
        }
    }

    fn source(&self) -> Option<&str> {
        self.target.as_ref()?.source.as_deref()
    }

    pub(super) fn is_parked(&self) -> bool {
        self.status == Some(Status::Parked)
    }

    /// Whether nothing is left to be done about it.
    pub(super) fn is_decided(&self) -> bool {
        self.status.is_some_and(Status::is_final)
    }

    /// The action that has not been carried out yet.
    pub(super) fn open(&self) -> Option<ActionId> {
        self.action.filter(|_| !self.done)
    }

    pub(super) fn ask(&mut self, asked: &Asked) {
        self.action = asked.action;
        (self.status, self.reason) = (Some(asked.target.status), asked.target.reason);
    }

    pub(super) fn learn(&mut self, effects: &BTreeMap<ActionId, Effect>) {
        if let Some(effect) = self.open().and_then(|action| effects.get(&action)) {
            (self.status, self.reason, self.done) = (Some(effect.status), effect.reason, true);
            self.event_id = effect.event_id.clone().or_else(|| self.event_id.take());
        }
    }

    /// The event that it came to, where that is called something else.
    fn other_name(&self) -> String {
        let other = self.event_id.as_ref().filter(|id| **id != self.name);
        other.map(|id| format!(" as {id}")).unwrap_or_default()
    }

    fn told(&self, kind: ActionKind) -> String {
        let why = self.reason.map(|reason| format!(", {reason}")).unwrap_or_default();
        let parked = self.is_parked();
        match (self.status, self.action) {
            (None, _) => "unknown to the books".to_owned(),
            (Some(_), None) if parked => "not asked for yet".to_owned(),
            (Some(status), None) => format!("{status} already{why}"),
            (Some(_), Some(action)) if !self.done => format!("asked for as action {action}, not done yet"),
            (Some(status), Some(_)) if parked => format!("still {status}{why}"),
            (Some(Status::Dismissed), Some(_)) => "dismissed".to_owned(),
            (Some(status), Some(_)) => match kind {
                ActionKind::Release => format!("released: {status}{}{why}", self.other_name()),
                ActionKind::Dismiss => format!("{status} meanwhile{why}"),
            },
        }
    }
}

/// All of them, in words.
pub(super) struct Lines(pub(super) ActionKind, pub(super) Vec<Line>);

impl fmt::Display for Lines {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.1.is_empty() {
            return Ok(());
        }
        let mut table =
            Table::new(["event", "source", "parked for", "now"].map(|title| (title, Align::Left)));
        for line in &self.1 {
            let or_none = |text: Option<&str>| text.unwrap_or("-").to_owned();
            table.row([
                line.name.clone(),
                or_none(line.source()),
                or_none(line.parked_for.map(Reason::as_str)),
                line.told(self.0),
            ]);
        }
        write!(f, "{table}")
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use ledger_postgres::TargetRow;

    use super::*;

    const TOO_OLD: Option<Reason> = Some(Reason::EventTooOld);

    #[test]
    fn a_message_is_told_with_the_event_that_it_came_to() {
        let mut line = Line { name: "instance:7".to_owned(), ..done(Status::Booked, None) };
        line.event_id = Some("evt_1#dbd2c533b8bc0034".to_owned());
        assert_eq!(line.told(ActionKind::Release), "released: booked as evt_1#dbd2c533b8bc0034");
    }

    fn line(status: Status, reason: Option<Reason>) -> Line {
        let (source, event_id) = (Some("stripe".to_owned()), Some("evt_1".to_owned()));
        Line::of(Target { row: TargetRow::Event(1), source, event_id, status, reason }, None)
    }

    fn asked(action: Option<i64>) -> Line {
        let mut line = line(Status::Parked, TOO_OLD);
        let target = line.target.clone().unwrap();
        line.ask(&Asked { target, action: action.map(ActionId), again: false });
        line
    }

    fn done(status: Status, reason: Option<Reason>) -> Line {
        let mut line = asked(Some(7));
        let recorded_at = Timestamp::UNIX_EPOCH;
        let effect = Effect { status, reason, event_id: Some("evt_1".to_owned()), recorded_at };
        line.learn(&BTreeMap::from([(ActionId(7), effect)]));
        line
    }

    #[test]
    fn each_thing_is_told_in_a_word_and_decided_or_not() {
        for (line, kind, told, decided) in [
            (done(Status::Booked, None), ActionKind::Release, "released: booked", true),
            (
                done(Status::Ignored, Some(Reason::MovesNoMoney)),
                ActionKind::Release,
                "released: ignored, moves-no-money",
                true,
            ),
            (
                done(Status::Parked, Some(Reason::UnknownMoney)),
                ActionKind::Release,
                "still parked, unknown-money",
                false,
            ),
            (done(Status::Dismissed, None), ActionKind::Dismiss, "dismissed", true),
            (done(Status::Booked, None), ActionKind::Dismiss, "booked meanwhile", true),
            (line(Status::Booked, None), ActionKind::Release, "booked already", true),
            (line(Status::Parked, TOO_OLD), ActionKind::Release, "not asked for yet", false),
            (asked(Some(7)), ActionKind::Release, "asked for as action 7, not done yet", false),
            (Line::unknown("evt_x".to_owned()), ActionKind::Release, "unknown to the books", false),
        ] {
            assert_eq!((line.told(kind).as_str(), line.is_decided()), (told, decided));
        }
    }

    #[test]
    fn what_is_done_is_asked_for_no_more() {
        assert_eq!(asked(Some(7)).open(), Some(ActionId(7)));
        assert_eq!(done(Status::Parked, TOO_OLD).open(), None);
        assert_eq!(line(Status::Booked, None).open(), None);
    }

    #[test]
    fn the_table_says_what_it_was_parked_for() {
        let lines = Lines(ActionKind::Release, vec![done(Status::Booked, None)]);
        let expected = "\
event  source  parked for     now
evt_1  stripe  event-too-old  released: booked
";
        assert_eq!(lines.to_string(), expected);
        let json = serde_json::to_value(&lines.1).unwrap();
        assert_eq!((&json[0]["parked_for"], &json[0]["status"]), (&"event-too-old".into(), &"booked".into()));
        assert_eq!(json[0]["action"], 7);
    }
}
