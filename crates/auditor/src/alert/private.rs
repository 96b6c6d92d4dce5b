//! The last look before something leaves: no card number, no address of a person, no endless text.
//!
//! Findings are made of ids and amounts. But they are read from books that may be damaged, in which anything may stand.

/// The longest text of any field; PagerDuty takes summaries of 1024 characters, Slack sections of 3000.
const BYTES_MAX: usize = 600;

/// What stands in the place of what is not shown.
const MASK: &str = "[masked]";

/// On one line, of bounded length, with card numbers and e-mail addresses masked.
pub(super) fn presentable(text: &str) -> String {
    let line: String = text.chars().map(|each| if each.is_control() { ' ' } else { each }).collect();
    let masked: Vec<String> = line.split(' ').map(word).collect();
    clip(&four_groups_masked(&masked), BYTES_MAX)
}

/// The beginning of a text that is too long, with an ellipsis.
fn clip(text: &str, bytes_max: usize) -> String {
    if text.len() <= bytes_max {
        return text.to_owned();
    }
    let ellipsis = '…';
    let end = text.floor_char_boundary(bytes_max.saturating_sub(ellipsis.len_utf8()));
    let mut clipped = text.get(..end).unwrap_or_default().to_owned();
    clipped.push(ellipsis);
    clipped
}

fn word(word: &str) -> String {
    let address = word.split_once('@').is_some_and(|(person, host)| {
        person.ends_with(|each: char| each.is_alphanumeric()) && host.contains('.')
    });
    if address { MASK.to_owned() } else { runs_masked(word) }
}

/// A card number that was written in one run, or with hyphens, between anything but letters and digits.
fn runs_masked(word: &str) -> String {
    let is_part = |each: char| each.is_ascii_alphanumeric() || each == '-';
    let mut shown = String::with_capacity(word.len());
    let mut rest = word;
    while !rest.is_empty() {
        let start = rest.find(is_part).unwrap_or(rest.len());
        let (before, from) = rest.split_at(start);
        let (run, after) = from.split_at(from.find(|each| !is_part(each)).unwrap_or(from.len()));
        shown.push_str(before);
        shown.push_str(if is_card(run) { MASK } else { run });
        rest = after;
    }
    shown
}

/// Four words of four digits each are a card number too.
fn four_groups_masked(words: &[String]) -> String {
    let mut shown: Vec<&str> = Vec::with_capacity(words.len());
    let mut rest = words;
    while let Some((first, others)) = rest.split_first() {
        let group = |word: &String| word.len() == 4 && word.bytes().all(|byte| byte.is_ascii_digit());
        if let Some((four, after)) = rest.split_at_checked(4)
            && four.iter().all(group)
            && is_card(&four.concat())
        {
            shown.push(MASK);
            rest = after;
        } else {
            shown.push(first);
            rest = others;
        }
    }
    shown.join(" ")
}

/// 13 to 19 digits, hyphens left out, that pass the check of Luhn.
fn is_card(run: &str) -> bool {
    let digits: Option<Vec<u32>> =
        run.chars().filter(|each| *each != '-').map(|each| each.to_digit(10)).collect();
    digits.is_some_and(|digits| (13..=19).contains(&digits.len()) && passes_luhn(&digits))
}

fn passes_luhn(digits: &[u32]) -> bool {
    let weighed = digits.iter().rev().enumerate().map(|(place, digit)| {
        let doubled = if place % 2 == 1 { digit.saturating_mul(2) } else { *digit };
        if doubled > 9 { doubled.saturating_sub(9) } else { doubled }
    });
    weighed.sum::<u32>().is_multiple_of(10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn card_numbers_and_addresses_are_masked_wherever_they_stand() {
        for (text, shown) in [
            ("paid with 4242424242424242.", "paid with [masked]."),
            ("4242-4242-4242-4242", "[masked]"),
            ("card 4242 4242 4242 4242 of", "card [masked] of"),
            ("pi_4242424242424242", "pi_[masked]"),
            ("from jane.doe@example.com today", "from [masked] today"),
            ("<jane@example.com>", "[masked]"),
        ] {
            assert_eq!(presentable(text), shown);
        }
    }

    #[test]
    fn ids_amounts_instants_and_digests_stay_as_they_are() {
        for text in [
            "transaction 4242424242424241 (stripe/acct_1/live/ch_3MmlLrLkdIwHu7ix0snN0B15/capture)",
            "evt_1MqqbKLt4dXK03v5qaIbiNCC: 10000.00 USD at 2026-11-22T10:16:15.123456Z",
            "trace 4bf92f3577b34da6a3ce929d0e0e4736, transactions 1001 1002 1003 1004",
            "0af7651916cd43dd8448eb211c80319c4242424242424242",
            "1.234.567 @ 3",
        ] {
            assert_eq!(presentable(text), text);
        }
    }

    #[test]
    fn a_text_is_one_line_of_bounded_length() {
        assert_eq!(presentable("a\nb\u{0}c"), "a b c");
        let long = presentable(&"é".repeat(2_000));
        assert!(long.len() <= BYTES_MAX && long.ends_with('…'));
    }
}
