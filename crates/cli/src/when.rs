//! Instants, as people type them.

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp};
use money::UnixMillis;

/// Up to when: an instant, or a day, which means its last millisecond, UTC.
pub(crate) fn until(text: &str) -> Result<UnixMillis, String> {
    let instant = match day(text) {
        Some(date) => date.tomorrow().and_then(first_instant).and_then(|next| {
            let last = next.checked_sub(Span::new().milliseconds(1))?;
            Ok(last)
        }),
        None => text.parse::<Timestamp>(),
    };
    instant.map(millis).map_err(|error| error.to_string())
}

/// Since when.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Since {
    /// An instant, or the beginning of a day, UTC.
    Instant(UnixMillis),
    /// So long ago.
    Ago(Span),
}

impl Since {
    /// An instant, a day, or a span like `2h` or `1d 12h`.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        if let Some(date) = day(text) {
            return first_instant(date).map(millis).map(Self::Instant).map_err(|error| error.to_string());
        }
        match text.parse::<Span>() {
            Ok(span) if span.is_positive() => Ok(Self::Ago(span)),
            Ok(_) => Err("a span of more than nothing is expected".to_owned()),
            Err(_) => {
                text.parse::<Timestamp>().map(millis).map(Self::Instant).map_err(|error| error.to_string())
            }
        }
    }

    /// The instant, seen from `now`.
    pub(crate) fn instant(self, now: UnixMillis) -> Result<UnixMillis, jiff::Error> {
        match self {
            Self::Instant(instant) => Ok(instant),
            // In a zone a day has a length.
            Self::Ago(span) => {
                let now = Timestamp::from_millisecond(now.0)?.to_zoned(TimeZone::UTC);
                Ok(millis(now.checked_sub(span)?.timestamp()))
            }
        }
    }
}

fn day(text: &str) -> Option<Date> {
    if text.contains(['T', 't', ' ']) { None } else { text.parse().ok() }
}

fn first_instant(date: Date) -> Result<Timestamp, jiff::Error> {
    Ok(date.to_zoned(TimeZone::UTC)?.timestamp())
}

fn millis(instant: Timestamp) -> UnixMillis {
    UnixMillis(instant.as_millisecond())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_an_instant_or_a_whole_day() {
        for (text, ms) in [
            ("1970-01-01T00:00:01Z", 1000),
            ("1970-01-01T01:00:01+01:00", 1000),
            ("1970-01-01", 86_399_999),
            ("1969-12-31", -1),
        ] {
            assert_eq!(until(text), Ok(UnixMillis(ms)), "{text}");
        }
        for text in ["", "yesterday", "1970-01-01T00:00:01", "1970-13-01"] {
            assert!(until(text).is_err(), "{text}");
        }
    }

    #[test]
    fn since_is_an_instant_the_beginning_of_a_day_or_a_span_ago() {
        let now = UnixMillis(10 * 86_400_000);
        for (text, ms) in [
            ("1970-01-01T00:00:01Z", 1000),
            ("1970-01-02", 86_400_000),
            ("2h", 10 * 86_400_000 - 7_200_000),
            ("90m", 10 * 86_400_000 - 5_400_000),
            ("1d 12h", 10 * 86_400_000 - 36 * 3_600_000),
        ] {
            assert_eq!(Since::parse(text).unwrap().instant(now).unwrap(), UnixMillis(ms), "{text}");
        }
        for text in ["", "2", "-2h", "0s", "yesterday", "1970-13-01"] {
            assert!(Since::parse(text).is_err(), "{text}");
        }
    }
}
