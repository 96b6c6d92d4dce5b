//! An update on the wire: `{"update_id":N,\n"<kind>":{…}}`, one kind per update.

use core::fmt;
use std::borrow::Cow;

use serde::de::{Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use crate::Unreadable;

/// The longest name of a kind, in bytes.
const KIND_MAX: usize = 64;

/// An update, its content not looked at.
#[derive(Debug)]
pub(super) struct Update<'a> {
    /// Which of the bot's updates it is. After a week of silence the numbers start again anywhere, so that a greater one
    /// need not be newer.
    pub(super) number: u32,
    /// What it is: `message`, `pre_checkout_query`, …
    pub(super) kind: Cow<'a, str>,
    /// What it shows.
    pub(super) content: &'a RawValue,
}

impl<'a> Update<'a> {
    /// Reads the outermost object; `text` must be the whole body.
    pub(super) fn read(text: &'a str) -> Result<Self, Unreadable> {
        let Outermost { update_id, shown } = serde_json::from_str(text).map_err(|_| Unreadable::Json)?;
        let number = update_id.and_then(|number| number.get().parse().ok());
        let number = number.ok_or(Unreadable::Field("update_id"))?;
        let (kind, content) = shown.ok_or(Unreadable::Field("type"))?;
        // The kind becomes part of the event's type: letters only, so that nothing else can travel in it.
        let is_kind = kind.len() <= KIND_MAX && kind.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
        if !is_kind || kind.is_empty() {
            return Err(Unreadable::Field("type"));
        }
        Ok(Self { number, kind, content })
    }
}

struct Outermost<'a> {
    update_id: Option<&'a RawValue>,
    shown: Option<(Cow<'a, str>, &'a RawValue)>,
}

impl<'de> Deserialize<'de> for Outermost<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(OutermostVisitor)
    }
}

struct OutermostVisitor;

impl<'de> Visitor<'de> for OutermostVisitor {
    type Value = Outermost<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an update")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut outermost = Outermost { update_id: None, shown: None };
        while let Some(key) = map.next_key::<Cow<'de, str>>()? {
            let value = map.next_value()?;
            let stands_twice = if key == "update_id" {
                outermost.update_id.replace(value).is_some()
            } else {
                outermost.shown.replace((key, value)).is_some()
            };
            if stands_twice {
                return Err(A::Error::custom("more than one id or kind"));
            }
        }
        Ok(outermost)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_update_has_one_id_and_one_kind_in_any_order() {
        for text in [
            "{\"update_id\":7,\n\"message\":{\"text\":\"}\"}}",
            r#"{"message":{"text":"}"},"update_id":7}"#,
            r#"{"update\u005fid":7,"mess\u0061ge":{"text":"}"}}"#,
        ] {
            let update = Update::read(text).unwrap();
            assert_eq!((update.number, &*update.kind), (7, "message"), "{text}");
            assert_eq!(update.content.get(), r#"{"text":"}"}"#, "{text}");
        }
    }

    #[test]
    fn what_is_no_update_is_refused() {
        let long = format!(r#"{{"update_id":7,"{}":{{}}}}"#, "m".repeat(65));
        for (text, refused) in [
            ("", Unreadable::Json),
            ("[]", Unreadable::Json),
            (r#"{"update_id":7,"message":{}"#, Unreadable::Json),
            (r#"{"update_id":7,"message":{}} {}"#, Unreadable::Json),
            (r#"{"update_id":7,"update_id":8,"message":{}}"#, Unreadable::Json),
            (r#"{"update_id":7,"message":{},"poll":{}}"#, Unreadable::Json),
            (r#"{"message":{}}"#, Unreadable::Field("update_id")),
            (r#"{"update_id":"7","message":{}}"#, Unreadable::Field("update_id")),
            (r#"{"update_id":7.0,"message":{}}"#, Unreadable::Field("update_id")),
            (r#"{"update_id":7e0,"message":{}}"#, Unreadable::Field("update_id")),
            (r#"{"update_id":-7,"message":{}}"#, Unreadable::Field("update_id")),
            (r#"{"update_id":4242424242424242,"message":{}}"#, Unreadable::Field("update_id")),
            (r#"{"update_id":7}"#, Unreadable::Field("type")),
            (r#"{"update_id":7,"":{}}"#, Unreadable::Field("type")),
            (r#"{"update_id":7,"4242424242424242":{}}"#, Unreadable::Field("type")),
            (r#"{"update_id":7,"a b":{}}"#, Unreadable::Field("type")),
            (&long, Unreadable::Field("type")),
        ] {
            assert_eq!(Update::read(text).err(), Some(refused), "{text}");
        }
    }

    #[test]
    fn ten_thousand_levels_do_no_harm() {
        let deep = format!(r#"{{"update_id":7,"message":{}{}}}"#, "[".repeat(10_000), "]".repeat(10_000));
        assert!(Update::read(&deep).is_ok());
    }
}
