//! Rows of the database to values of the books, and back: the one place where columns and types meet.

use bytes::Bytes;
use jiff::Timestamp;
use ledger::{
    EventId, EventKey, EventType, Livemode, MovementDigest, MovementKey, MovementKind, ObjectId, Provider,
    ProviderAccount, Source, UnixMillis,
};
use ports::BooksError;
use tokio_postgres::Row;
use tokio_postgres::types::FromSql;
use wire::{BusMessage, Event, Evidence, Fingerprint, InstanceId, Sequence};

use crate::error::of_driver;

/// A column by name.
pub(crate) fn column<'r, T: FromSql<'r>>(row: &'r Row, name: &str) -> Result<T, BooksError> {
    row.try_get(name).map_err(|error| of_driver(&error))
}

/// A column of text by name, read by `parse`. What does not read was written by another version.
pub(crate) fn word<T>(row: &Row, name: &str, parse: impl Fn(&str) -> Option<T>) -> Result<T, BooksError> {
    parse(column(row, name)?).ok_or_else(|| unreadable(name))
}

/// A column of text or NULL by name.
pub(crate) fn word_or_null<T>(
    row: &Row,
    name: &str,
    parse: impl Fn(&str) -> Option<T>,
) -> Result<Option<T>, BooksError> {
    column::<Option<&str>>(row, name)?.map(|text| parse(text).ok_or_else(|| unreadable(name))).transpose()
}

fn unreadable(name: &str) -> BooksError {
    BooksError::Incompatible(format!("column {name} holds what this version does not know"))
}

pub(crate) fn event_key(row: &Row) -> Result<EventKey, BooksError> {
    Ok(EventKey {
        source: word(row, "source", |text| Source::parse(text).ok())?,
        account: word(row, "provider_account", |text| ProviderAccount::parse(text).ok())?,
        livemode: Livemode::from_bool(column(row, "livemode")?),
        event_id: word(row, "event_id", |text| EventId::parse(text).ok())?,
    })
}

pub(crate) fn movement_key(row: &Row) -> Result<MovementKey, BooksError> {
    Ok(MovementKey {
        provider: word(row, "provider", |text| Provider::parse(text).ok())?,
        account: word(row, "provider_account", |text| ProviderAccount::parse(text).ok())?,
        livemode: Livemode::from_bool(column(row, "livemode")?),
        object_id: word(row, "object_id", |text| ObjectId::parse(text).ok())?,
        kind: word(row, "kind", MovementKind::parse)?,
    })
}

pub(crate) fn delivery_key(row: &Row) -> Result<(InstanceId, Sequence), BooksError> {
    let instance = word(row, "instance", InstanceId::parse)?;
    Ok((instance, Sequence(column::<i64>(row, "sequence")?.cast_unsigned())))
}

/// `None` when the digest is of a version that cannot be compared with ours.
pub(crate) fn digest(row: &Row) -> Result<Option<MovementDigest>, BooksError> {
    let version: i16 = column(row, "digest_version")?;
    if version != i16::from(MovementDigest::VERSION) {
        return Ok(None);
    }
    let bytes: &[u8] = column(row, "digest")?;
    Ok(Some(MovementDigest(bytes.try_into().map_err(|_| unreadable("digest"))?)))
}

pub(crate) fn fingerprint(row: &Row) -> Result<Fingerprint, BooksError> {
    let version: i16 = column(row, "fingerprint_version")?;
    let bytes: &[u8] = column(row, "fingerprint")?;
    Ok(Fingerprint {
        version: version.try_into().map_err(|_| unreadable("fingerprint_version"))?,
        digest: bytes.try_into().map_err(|_| unreadable("fingerprint"))?,
    })
}

/// A whole event.
pub(crate) fn event(row: &Row) -> Result<Event, BooksError> {
    let occurred_at: Timestamp = column(row, "occurred_at")?;
    let keep_list_version: i32 = column(row, "keep_list_version")?;
    Ok(Event {
        key: event_key(row)?,
        provider: word(row, "provider", |text| Provider::parse(text).ok())?,
        event_type: word(row, "event_type", |text| EventType::parse(text).ok())?,
        object_id: word_or_null(row, "object_id", |text| ObjectId::parse(text).ok())?,
        own_account: word(row, "own_account", |text| ProviderAccount::parse(text).ok())?,
        occurred_at: UnixMillis(occurred_at.as_millisecond()),
        fingerprint: fingerprint(row)?,
        keep_list_version: keep_list_version.try_into().map_err(|_| unreadable("keep_list_version"))?,
        payload: column::<String>(row, "payload")?.into(),
    })
}

/// The event that a message holds.
pub(crate) fn event_in(message: &[u8]) -> Option<Event> {
    match BusMessage::decode(Bytes::copy_from_slice(message)) {
        Ok(BusMessage::Accepted(accepted)) => Some(accepted.event),
        Ok(BusMessage::Refused(refused)) => match refused.evidence {
            Evidence::Event(event) => Some(event),
            Evidence::Body { .. } => None,
        },
        Ok(BusMessage::Control(_) | BusMessage::Request(_)) | Err(_) => None,
    }
}

/// The column's number of a sequence. Beyond 2^63 it prints as a negative one, and comes back as it was.
pub(crate) fn sequence(sequence: Sequence) -> i64 {
    sequence.0.cast_signed()
}

/// An instant that the books can hold: of the years 1 to 9999.
pub(crate) fn instant(at: UnixMillis) -> Result<Timestamp, BooksError> {
    let known = (FIRST_MS..=LAST_MS).contains(&at.0);
    let instant = Timestamp::from_millisecond(at.0).ok().filter(|_| known);
    instant.ok_or_else(|| BooksError::Refused("an instant is not of the years 1 to 9999".to_owned()))
}

/// The nearest instant that the books can hold, for what a sender may garble without harm.
pub(crate) fn instant_nearest(at: UnixMillis) -> Result<Timestamp, BooksError> {
    instant(UnixMillis(at.0.clamp(FIRST_MS, LAST_MS)))
}

/// 0001-01-01T00:00:00Z.
const FIRST_MS: i64 = -62_135_596_800_000;
/// 9999-12-30T00:00:00Z, a day before the last that jiff knows.
const LAST_MS: i64 = 253_402_128_000_000;

/// A version number as a column holds it.
pub(crate) fn version(version: u32) -> Result<i32, BooksError> {
    version.try_into().map_err(|_| BooksError::Refused("a version number is beyond 2^31".to_owned()))
}

/// A leg's number, or how many there are.
pub(crate) fn leg(number: usize) -> Result<i16, BooksError> {
    number.try_into().map_err(|_| BooksError::Refused("a transaction has more than 32767 legs".to_owned()))
}

/// Text as a column holds it: UTF-8 without a NUL.
pub(crate) fn text(bytes: &[u8]) -> Result<&str, BooksError> {
    let text = core::str::from_utf8(bytes).ok().filter(|text| !text.contains('\0'));
    text.ok_or_else(|| BooksError::Refused("a payload is no text".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_sequence_comes_back_from_its_column() {
        for number in [0, 1, u64::try_from(i64::MAX).unwrap(), u64::try_from(i64::MAX).unwrap() + 1, u64::MAX]
        {
            assert_eq!(sequence(Sequence(number)).cast_unsigned(), number);
        }
    }

    #[test]
    fn an_instant_that_postgres_or_a_person_could_not_read_is_refused_or_brought_near() {
        for at in [FIRST_MS, 0, LAST_MS] {
            assert_eq!(instant(UnixMillis(at)).unwrap().as_millisecond(), at);
        }
        for at in [i64::MIN, FIRST_MS - 1, LAST_MS + 1, i64::MAX] {
            assert!(matches!(instant(UnixMillis(at)), Err(BooksError::Refused(_))));
            assert_eq!(
                instant_nearest(UnixMillis(at)).unwrap().as_millisecond(),
                at.clamp(FIRST_MS, LAST_MS)
            );
        }
        assert_eq!(instant(UnixMillis(FIRST_MS)).unwrap().to_string(), "0001-01-01T00:00:00Z");
        assert_eq!(instant(UnixMillis(LAST_MS)).unwrap().to_string(), "9999-12-30T00:00:00Z");
    }

    #[test]
    fn text_is_utf_8_without_a_nul() {
        assert_eq!(text("{\"a\":\"\u{e9}\"}".as_bytes()).unwrap(), "{\"a\":\"\u{e9}\"}");
        assert!(text(b"\xff").is_err() && text(b"a\0b").is_err());
    }
}
