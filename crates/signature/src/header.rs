//! The one header that carries the proof.

use crate::{Refused, Request};

/// More than any provider sends; what strangers may make us look at.
const BYTES_MAX: usize = 4096;

/// The value of the only header of this name: not empty, printable ASCII, at most 4096 bytes.
///
/// A repeated header is refused because receivers and proxies disagree on which of the two counts.
pub(crate) fn single<'a>(request: &Request<'a>, name: &str) -> Result<&'a str, Refused> {
    let mut values =
        request.headers.iter().filter(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| *value);
    let value = values.next().ok_or(Refused::SignatureMissing)?;
    if values.next().is_some() {
        return Err(Refused::SignatureMalformed);
    }
    if value.is_empty() {
        return Err(Refused::SignatureMissing);
    }
    if value.len() > BYTES_MAX || !value.iter().all(|byte| matches!(byte, b' '..=b'~')) {
        return Err(Refused::SignatureMalformed);
    }
    str::from_utf8(value).map_err(|_| Refused::SignatureMalformed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn single_of<'a>(headers: &'a [(&'a str, &'a [u8])]) -> Result<&'a str, Refused> {
        single(&Request { headers, body: b"" }, "x-proof")
    }

    #[test]
    fn the_name_is_matched_in_any_case() {
        assert_eq!(single_of(&[("host", b"h"), ("X-PROOF", b"p")]), Ok("p"));
    }

    #[test]
    fn an_absent_or_empty_header_is_missing() {
        assert_eq!(single_of(&[("x-proof2", b"p")]), Err(Refused::SignatureMissing));
        assert_eq!(single_of(&[("x-proof", b"")]), Err(Refused::SignatureMissing));
    }

    #[test]
    fn a_repeated_header_is_malformed_even_when_both_agree_or_one_is_empty() {
        for second in [&b"p"[..], b"q", b""] {
            assert_eq!(
                single_of(&[("x-proof", b"p"), ("X-Proof", second)]),
                Err(Refused::SignatureMalformed)
            );
        }
    }

    #[test]
    fn only_printable_ascii_is_read() {
        for byte in 0..=u8::MAX {
            let printable = (0x20..=0x7e).contains(&byte);
            assert_eq!(single_of(&[("x-proof", &[b'p', byte])]).is_ok(), printable, "{byte:#x}");
        }
    }

    #[test]
    fn a_header_of_4096_bytes_is_read_and_of_4097_is_not() {
        assert!(single_of(&[("x-proof", &[b'p'; 4096])]).is_ok());
        assert_eq!(single_of(&[("x-proof", &[b'p'; 4097])]), Err(Refused::SignatureMalformed));
    }
}
