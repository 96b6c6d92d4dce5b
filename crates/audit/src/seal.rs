//! The canonical encoding of rows, and the digests over it. Version 1; another encoding is another version, and a
//! checkpoint is always verified by the one that it was sealed with.
//!
//! A row is a marker, the number of its fields and the fields; a field is a marker of its type and its bytes, big-endian,
//! with the length before it where that varies. So no two different rows have the same bytes.

use core::fmt;

use sha2::{Digest as _, Sha256};

/// The encoding that this version seals with.
pub const ENCODING_VERSION: i16 = 1;

/// SHA-256. Printed as hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Digest(pub [u8; 32]);

impl Digest {
    /// What the first checkpoint follows.
    pub const NONE: Self = Self([0; 32]);

    /// From its hexadecimal digits.
    pub fn parse(text: &str) -> Option<Self> {
        let mut bytes = [0; 32];
        if text.len() != 64 || !text.is_ascii() {
            return None;
        }
        for (index, byte) in bytes.iter_mut().enumerate() {
            let at = index.checked_mul(2)?;
            *byte = u8::from_str_radix(text.get(at..at.checked_add(2)?)?, 16).ok()?;
        }
        Some(Self(bytes))
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// One value of a row.
#[derive(Debug, Clone, Copy)]
pub enum Field<'r> {
    /// NULL.
    Null,
    /// Any integer.
    Integer(i64),
    /// A boolean.
    Boolean(bool),
    /// A text.
    Text(&'r str),
    /// Bytes.
    Bytes(&'r [u8]),
    /// An instant: microseconds since 1970-01-01T00:00:00Z.
    Instant(i64),
}

/// A digest under way.
#[derive(Debug, Clone, Default)]
pub struct Encoder(Sha256);

impl Encoder {
    /// Adds a row.
    pub fn row(&mut self, fields: &[Field<'_>]) {
        self.0.update([0x10]);
        self.length(fields.len());
        for field in fields {
            self.field(*field);
        }
    }

    fn field(&mut self, field: Field<'_>) {
        match field {
            Field::Null => self.0.update([0x00]),
            Field::Integer(value) => self.tagged(0x01, &value.to_be_bytes()),
            Field::Boolean(value) => self.tagged(0x02, &[u8::from(value)]),
            Field::Text(text) => self.sized(0x03, text.as_bytes()),
            Field::Bytes(bytes) => self.sized(0x04, bytes),
            Field::Instant(micros) => self.tagged(0x05, &micros.to_be_bytes()),
        }
    }

    fn tagged(&mut self, tag: u8, bytes: &[u8]) {
        self.0.update([tag]);
        self.0.update(bytes);
    }

    fn sized(&mut self, tag: u8, bytes: &[u8]) {
        self.0.update([tag]);
        self.length(bytes.len());
        self.0.update(bytes);
    }

    fn length(&mut self, length: usize) {
        self.0.update(u64::try_from(length).unwrap_or(u64::MAX).to_be_bytes());
    }

    /// The digest of all rows so far.
    pub fn finish(self) -> Digest {
        Digest(self.0.finalize().into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(rows: &[&[Field<'_>]]) -> Digest {
        let mut encoder = Encoder::default();
        for row in rows {
            encoder.row(row);
        }
        encoder.finish()
    }

    #[test]
    fn the_encoding_is_what_version_1_says() {
        let fields = [
            Field::Null,
            Field::Integer(-1),
            Field::Boolean(true),
            Field::Text("é"),
            Field::Bytes(&[0xff]),
            Field::Instant(1_000_000),
        ];
        let mut bytes = vec![0x10, 0, 0, 0, 0, 0, 0, 0, 6, 0x00, 0x01];
        bytes.extend([0xff; 8]);
        bytes.extend([0x02, 1, 0x03, 0, 0, 0, 0, 0, 0, 0, 2, 0xc3, 0xa9, 0x04, 0, 0, 0, 0, 0, 0, 0, 1, 0xff]);
        bytes.extend([0x05, 0, 0, 0, 0, 0, 0x0f, 0x42, 0x40]);
        assert_eq!(digest(&[&fields]), Digest(Sha256::digest(bytes).into()));
    }

    #[test]
    fn nothing_that_differs_has_the_same_digest() {
        let same_letters = [
            digest(&[&[Field::Text("ab"), Field::Text("c")]]),
            digest(&[&[Field::Text("a"), Field::Text("bc")]]),
            digest(&[&[Field::Text("abc")]]),
            digest(&[&[Field::Text("ab")], &[Field::Text("c")]]),
            digest(&[&[Field::Bytes(b"ab"), Field::Text("c")]]),
            digest(&[&[Field::Text("ab"), Field::Text("c"), Field::Null]]),
        ];
        for (index, one) in same_letters.iter().enumerate() {
            assert!(same_letters[index + 1..].iter().all(|other| other != one));
        }
    }

    #[test]
    fn a_digest_is_read_as_it_is_printed() {
        let digest = digest(&[]);
        assert_eq!(Digest::parse(&digest.to_string()), Some(digest));
        assert_eq!(Digest::parse("12"), None);
        assert_eq!(Digest::parse(&"x".repeat(64)), None);
    }
}
