//! Card numbers that stray into kept fields.

/// Masks every run of 13 to 19 digits that passes the Luhn check (ISO/IEC 7812-1), and every group of runs joined by
/// blanks, dashes, dots or underscores that does so as a whole. A longer run of digits is no card number: ids are made of such.
pub(crate) fn mask(text: &str) -> Option<String> {
    let joined = mask_runs(text, |b| b.is_ascii_digit() || matches!(b, b' ' | b'-' | b'.' | b'_'));
    let rest = joined.as_deref().unwrap_or(text);
    mask_runs(rest, |b| b.is_ascii_digit()).or(joined)
}

fn mask_runs(text: &str, in_run: fn(u8) -> bool) -> Option<String> {
    let mut bytes = text.as_bytes().to_vec();
    let mut masked = false;
    for run in bytes.chunk_by_mut(|a, b| in_run(*a) == in_run(*b)) {
        let digits: Vec<u32> = run.iter().filter_map(|b| char::from(*b).to_digit(10)).collect();
        if (13..=19).contains(&digits.len()) && passes_luhn(&digits) {
            run.iter_mut().filter(|b| b.is_ascii_digit()).for_each(|b| *b = b'*');
            masked = true;
        }
    }
    masked.then(|| String::from_utf8_lossy(&bytes).into_owned())
}

fn passes_luhn(digits: &[u32]) -> bool {
    let sum: u32 = digits
        .iter()
        .rev()
        .enumerate()
        .map(|(place, digit)| match digit {
            digit if place % 2 == 0 => *digit,
            digit if *digit < 5 => digit * 2,
            digit => digit * 2 - 9,
        })
        .sum();
    sum.is_multiple_of(10) && digits.iter().any(|digit| *digit != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_card_number_is_masked_with_and_without_separators() {
        for (text, expected) in [
            ("4242424242424242", Some("****************")),
            ("ch_4242424242424242x", Some("ch_****************x")),
            ("4242 4242 4242 4242", Some("**** **** **** ****")),
            ("5555-5555-5555-4444", Some("****-****-****-****")),
            ("4242.4242.4242.4242", Some("****.****.****.****")),
            ("4242_4242_4242_4242", Some("****_****_****_****")),
            ("378282246310005", Some("***************")),
            ("4242424242424241", None),
            ("0000000000000000", None),
            ("42424242424242424242", None),
            ("order-12-4242424242424242", Some("order-12-****************")),
            ("evt_1NG8Du2eZvKYlo2CUI79vXWy", None),
            ("", None),
        ] {
            assert_eq!(mask(text).as_deref(), expected, "{text}");
        }
    }
}
