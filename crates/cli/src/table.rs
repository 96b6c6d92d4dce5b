//! Tables for a terminal, and amounts in them.

use core::fmt::{self, Write as _};

use jiff::Timestamp;
use money::{Currency, Decimal};

/// Where the text of a column stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Align {
    /// Words.
    Left,
    /// Numbers.
    Right,
}

/// Rows under titles; as wide as the widest text of each column.
#[derive(Debug)]
pub(crate) struct Table {
    columns: Vec<(&'static str, Align)>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// Without rows.
    pub(crate) fn new(columns: impl IntoIterator<Item = (&'static str, Align)>) -> Self {
        Self { columns: columns.into_iter().collect(), rows: Vec::new() }
    }

    /// Adds a row: one text per column.
    pub(crate) fn row(&mut self, texts: impl IntoIterator<Item = String>) {
        self.rows.push(texts.into_iter().collect());
    }

    fn widths(&self) -> Vec<usize> {
        let width = |index: usize, title: &str| {
            let texts = self.rows.iter().filter_map(|row| row.get(index));
            texts.map(|text| text.chars().count()).max().unwrap_or_default().max(title.len())
        };
        self.columns.iter().enumerate().map(|(index, (title, _))| width(index, title)).collect()
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let widths = self.widths();
        let titles = self.columns.iter().map(|(title, _)| (*title).to_owned()).collect();
        for row in core::iter::once(&titles).chain(&self.rows) {
            let mut line = String::new();
            for ((text, (_, align)), width) in row.iter().zip(&self.columns).zip(&widths) {
                match align {
                    Align::Left => write!(line, "{text:<width$}  ")?,
                    Align::Right => write!(line, "{text:>width$}  ")?,
                }
            }
            writeln!(f, "{}", line.trim_end())?;
        }
        Ok(())
    }
}

/// Minor units with the decimal point of their currency; bare where the books know no such currency.
pub(crate) fn decimal(minor: i128, currency: &str) -> String {
    match Currency::parse(currency) {
        Ok(known) => Decimal { minor, exponent: known.exponent() }.to_string(),
        Err(_) => format!("{minor} minor units"),
    }
}

/// An instant to the second, UTC.
pub(crate) fn instant(instant: Timestamp) -> String {
    format!("{instant:.0}")
}

/// `live` or `test`.
pub(crate) const fn mode(livemode: bool) -> &'static str {
    if livemode { "live" } else { "test" }
}

/// The head of the chain of checkpoints in a line: height and the first digits of its digest.
pub(crate) fn head(head: Option<(i64, &str)>) -> String {
    match head {
        Some((height, digest)) => {
            format!("head: checkpoint {height}, {}…", digest.get(..16).unwrap_or(digest))
        }
        None => "head: nothing is sealed yet".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_text() {
        let mut table = Table::new([("account", Align::Left), ("debit", Align::Right)]);
        table.row(["income:sales".to_owned(), "9.00".to_owned()]);
        table.row(["x".to_owned(), "10,000.00".to_owned()]);
        let expected = "account           debit\nincome:sales       9.00\nx             10,000.00\n";
        assert_eq!(table.to_string(), expected);
    }

    #[test]
    fn an_amount_has_the_point_of_its_currency() {
        assert_eq!(decimal(1234, "USD"), "12.34");
        assert_eq!(decimal(-1234, "JPY"), "-1234");
        assert_eq!(decimal(1234, "ZZZ"), "1234 minor units");
    }

    #[test]
    fn an_instant_is_printed_to_the_second() {
        assert_eq!(instant(Timestamp::from_millisecond(1_790_000_000_999).unwrap()), "2026-09-21T14:13:20Z");
    }
}
