//! The minimiser: copies what a keep-list names out of a JSON text, streaming, and looks at nothing else.

use core::fmt;

use serde::de::{DeserializeSeed, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use crate::{Unreadable, pan};

/// What may be kept of a value. Anything else in its place becomes `null`; where a reference was expected `{}`, so that
/// it is told from no reference at all.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Keep {
    /// An identifier or a word of the provider's vocabulary.
    Word,
    /// A whole number within 64 bits.
    Integer,
    /// `true` or `false`.
    Flag,
    /// These fields of an object.
    Object(&'static [Field]),
    /// An id, or the object that Stripe expands it to: then these fields of it.
    Expandable(&'static [Field]),
    /// So many items of a list, each of this kind. One more `null` stands at the end of a list that was longer.
    List(&'static Keep, usize),
}

/// A named field of a keep-list.
pub(crate) type Field = (&'static str, Keep);

/// The longest word kept, in bytes.
const WORD_MAX: usize = 128;

/// What `fields` keep of the JSON object `text`, as JSON.
pub(crate) fn minimise(text: &[u8], fields: &'static [Field]) -> Result<Vec<u8>, Unreadable> {
    let mut kept = Vec::with_capacity(512);
    let mut reader = serde_json::Deserializer::from_slice(text);
    Seed { keep: Keep::Object(fields), kept: &mut kept }
        .deserialize(&mut reader)
        .map_err(|_| Unreadable::Json)?;
    reader.end().map_err(|_| Unreadable::Json)?;
    Ok(kept)
}

/// The text with card numbers masked, if there are any. Nearly every text has too few digits to be looked at closely.
fn masked(text: &str) -> Option<String> {
    let digits = text.bytes().filter(u8::is_ascii_digit).count();
    if digits < 13 { None } else { pan::mask(text) }
}

struct Seed<'o> {
    keep: Keep,
    kept: &'o mut Vec<u8>,
}

impl Seed<'_> {
    fn null(self) {
        self.kept.extend_from_slice(b"null");
    }

    /// In the place of a value that may not be kept.
    fn dropped(self) {
        match self.keep {
            Keep::Expandable(_) => self.kept.extend_from_slice(b"{}"),
            Keep::Word | Keep::Integer | Keep::Flag | Keep::Object(_) | Keep::List(..) => self.null(),
        }
    }

    fn word(self, word: &str) {
        let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b':' | b'-');
        if word.len() > WORD_MAX || !word.bytes().all(plain) {
            return self.dropped();
        }
        let masked = masked(word);
        self.kept.push(b'"');
        self.kept.extend_from_slice(masked.as_deref().unwrap_or(word).as_bytes());
        self.kept.push(b'"');
    }

    fn integer(self, digits: &str) {
        if masked(digits).is_some() {
            return self.dropped();
        }
        self.kept.extend_from_slice(digits.as_bytes());
    }
}

impl<'de> DeserializeSeed<'de> for Seed<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Seed<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_bool<E: Error>(self, flag: bool) -> Result<(), E> {
        if matches!(self.keep, Keep::Flag) {
            self.kept.extend_from_slice(if flag { b"true" } else { b"false" });
        } else {
            self.dropped();
        }
        Ok(())
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<(), E> {
        if matches!(self.keep, Keep::Integer) {
            self.integer(&number.to_string());
        } else {
            self.dropped();
        }
        Ok(())
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<(), E> {
        match i64::try_from(number) {
            Ok(number) => self.visit_i64(number),
            Err(_) => {
                self.dropped();
                Ok(())
            }
        }
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<(), E> {
        self.dropped();
        Ok(())
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<(), E> {
        if matches!(self.keep, Keep::Word | Keep::Expandable(_)) {
            self.word(text);
        } else {
            self.dropped();
        }
        Ok(())
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        self.null();
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        let Keep::List(keep, max) = self.keep else {
            while items.next_element::<IgnoredAny>()?.is_some() {}
            self.dropped();
            return Ok(());
        };
        self.kept.push(b'[');
        let mut room = max;
        while room > 0 && items.next_element_seed(Seed { keep: *keep, kept: self.kept })?.is_some() {
            self.kept.push(b',');
            room -= 1;
        }
        if items.next_element::<IgnoredAny>()?.is_some() {
            while items.next_element::<IgnoredAny>()?.is_some() {}
            self.kept.extend_from_slice(b"null");
        } else if room < max {
            self.kept.pop();
        }
        self.kept.push(b']');
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let (Keep::Object(fields) | Keep::Expandable(fields)) = self.keep else {
            while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
            self.dropped();
            return Ok(());
        };
        let mut seen = 0_u64;
        self.kept.push(b'{');
        while let Some(Key(place)) = map.next_key_seed(KeySeed(fields))? {
            let Some((place, (name, keep))) = place.and_then(|place| Some((place, fields.get(place)?)))
            else {
                map.next_value::<IgnoredAny>()?;
                continue;
            };
            let bit = 1_u64.checked_shl(u32::try_from(place).unwrap_or(u32::MAX)).unwrap_or_default();
            if seen & bit != 0 {
                return Err(A::Error::custom("a kept key stands twice"));
            }
            if seen != 0 {
                self.kept.push(b',');
            }
            seen |= bit;
            self.kept.push(b'"');
            self.kept.extend_from_slice(name.as_bytes());
            self.kept.extend_from_slice(b"\":");
            map.next_value_seed(Seed { keep: *keep, kept: self.kept })?;
        }
        self.kept.push(b'}');
        Ok(())
    }
}

/// The place of a key in the keep-list, or nothing.
struct Key(Option<usize>);

struct KeySeed(&'static [Field]);

impl<'de> DeserializeSeed<'de> for KeySeed {
    type Value = Key;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Key, D::Error> {
        let name = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        Ok(Key(self.0.iter().position(|(field, _)| *field == name)))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const FIELDS: &[Field] = &[
        ("id", Keep::Word),
        ("amount", Keep::Integer),
        ("paid", Keep::Flag),
        ("charge", Keep::Expandable(&[("id", Keep::Word)])),
        ("data", Keep::Object(&[("object", Keep::Object(&[("id", Keep::Word)]))])),
        ("list", Keep::List(&Keep::Object(&[("id", Keep::Word)]), 2)),
    ];

    fn kept(text: &str) -> Result<String, Unreadable> {
        minimise(text.as_bytes(), FIELDS).map(|kept| String::from_utf8(kept).unwrap())
    }

    #[test]
    fn what_is_not_on_the_list_is_gone() {
        let text = r#"{"id":"ch_1","client_secret":"s","amount":5,"data":{"object":{"id":"x","email":"a@b.c"}},"paid":true}"#;
        let expected = r#"{"id":"ch_1","amount":5,"data":{"object":{"id":"x"}},"paid":true}"#;
        assert_eq!(kept(text).as_deref(), Ok(expected));
    }

    #[test]
    fn a_value_of_another_type_than_the_list_says_becomes_null() {
        for value in ["\"5\"", "1e3", "5.0", "18446744073709551615", "[5]", "{}", "true", "null"] {
            assert_eq!(
                kept(&format!("{{\"amount\":{value}}}")).as_deref(),
                Ok("{\"amount\":null}"),
                "{value}"
            );
        }
        for word in ["a b", "jenny@example.com", "\\u0000", "ümlaut", &"x".repeat(129)] {
            assert_eq!(kept(&format!("{{\"id\":\"{word}\"}}")).as_deref(), Ok("{\"id\":null}"), "{word}");
        }
    }

    #[test]
    fn an_expandable_field_is_an_id_or_an_object() {
        assert_eq!(kept(r#"{"charge":"ch_1"}"#).as_deref(), Ok(r#"{"charge":"ch_1"}"#));
        assert_eq!(kept(r#"{"charge":{"id":"ch_1","x":1}}"#).as_deref(), Ok(r#"{"charge":{"id":"ch_1"}}"#));
        assert_eq!(kept(r#"{"charge":null}"#).as_deref(), Ok(r#"{"charge":null}"#));
        for value in ["5", "true", "1e3", "[\"ch_1\"]", "\"a b\""] {
            assert_eq!(
                kept(&format!("{{\"charge\":{value}}}")).as_deref(),
                Ok(r#"{"charge":{}}"#),
                "{value}"
            );
        }
    }

    #[test]
    fn a_list_is_kept_up_to_its_limit_and_shows_that_there_was_more() {
        for (list, expected) in [
            ("[]", "[]"),
            (r#"[{"id":"a","x":[1]}]"#, r#"[{"id":"a"}]"#),
            (r#"[{"id":"a"},{"id":"b"}]"#, r#"[{"id":"a"},{"id":"b"}]"#),
            (r#"[{"id":"a"},{"id":"b"},{"id":"c"},{"id":"d"}]"#, r#"[{"id":"a"},{"id":"b"},null]"#),
            (r#"["a",{"id":"b"}]"#, r#"[null,{"id":"b"}]"#),
            (r#"{"id":"a"}"#, "null"),
            ("\"a\"", "null"),
        ] {
            let expected = format!("{{\"list\":{expected}}}");
            assert_eq!(kept(&format!("{{\"list\":{list}}}")).as_deref(), Ok(expected.as_str()), "{list}");
        }
        assert!(kept(r#"{"list":[{"id":"a"}"#).is_err());
    }

    #[test]
    fn a_card_number_never_survives_as_text_or_as_number() {
        assert_eq!(kept(r#"{"id":"4242424242424242"}"#).as_deref(), Ok(r#"{"id":"****************"}"#));
        assert_eq!(kept(r#"{"amount":4242424242424242}"#).as_deref(), Ok(r#"{"amount":null}"#));
    }

    #[test]
    fn what_cannot_be_read_without_doubt_is_refused() {
        for text in [
            "",
            "5",
            "[",
            r#"{"id":"a","id":"b"}"#,
            r#"{"id":"\ud800"}"#,
            r#"{"id":"a"} trailing"#,
            "{\"id\":\"\u{0}\"}",
        ] {
            assert!(kept(text).is_err() || kept(text).as_deref() == Ok("null"), "{text}");
        }
        assert!(minimise(b"{\"id\":\"\xff\"}", FIELDS).is_err());
    }

    #[test]
    fn ten_thousand_levels_of_what_is_not_kept_do_no_harm() {
        let deep = format!("{{\"x\":{}{},\"id\":\"a\"}}", "[".repeat(10_000), "]".repeat(10_000));
        assert_eq!(kept(&deep).as_deref(), Ok(r#"{"id":"a"}"#));
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic_and_give_json_or_nothing(bytes: Vec<u8>) {
            if let Ok(kept) = minimise(&bytes, FIELDS) {
                prop_assert!(serde_json::from_slice::<serde_json::Value>(&kept).is_ok());
            }
        }

        #[test]
        fn no_text_outside_the_list_survives(secret in "[a-z]{12}", depth in 0_usize..5) {
            let mut value = format!("\"{secret}\"");
            for _ in 0..depth {
                value = format!("{{\"note\":[{value}]}}");
            }
            let text = format!("{{\"{secret}\":1,\"other\":{value},\"charge\":{{\"x\":{value}}},\"amount\":{value}}}");
            let kept = kept(&text).unwrap();
            prop_assert!(!kept.contains(&secret), "{}", kept);
        }
    }
}
