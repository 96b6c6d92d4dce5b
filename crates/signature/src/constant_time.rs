//! Comparison that takes the same time whatever is equal, and whichever of many is.

use subtle::{Choice, ConstantTimeEq};

use crate::Secret;

/// The output of SHA-256 and HMAC-SHA256. Comparing only values of this type keeps lengths out of every comparison.
pub(crate) type Digest = [u8; 32];

/// Whether any of the candidates is the digest; all are compared.
pub(crate) fn any_equal(candidates: &[Digest], digest: &Digest) -> Choice {
    candidates
        .iter()
        .fold(Choice::from(0), |any, candidate| any | candidate.as_slice().ct_eq(digest.as_slice()))
}

/// The position of the first secret that matches; every secret is asked before any answer is looked at.
pub(crate) fn first_match(secrets: &[Secret], mut matches: impl FnMut(&[u8]) -> Choice) -> Option<usize> {
    let answers: Vec<Choice> = secrets.iter().map(|secret| matches(secret.expose())).collect();
    answers.into_iter().position(bool::from)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Scheme;

    #[test]
    fn every_secret_is_asked_even_when_the_first_matches() {
        let secrets = ["a", "b", "c"].map(|name| Secret::parse(name.as_bytes(), Scheme::Stripe).unwrap());
        let mut asked = Vec::new();
        let found = first_match(&secrets, |key| {
            asked.extend_from_slice(key);
            Choice::from(1)
        });
        assert_eq!((found, asked.as_slice()), (Some(0), b"abc".as_slice()));
        assert_eq!(first_match(&secrets, |key| key.ct_eq(b"c")), Some(2));
        assert_eq!(first_match(&secrets, |_| Choice::from(0)), None);
        assert_eq!(first_match(&[], |_| Choice::from(1)), None);
    }

    #[test]
    fn any_candidate_may_be_equal_wherever_it_stands() {
        let digest = [7; 32];
        for place in 0..16 {
            let mut candidates = [[0; 32]; 16];
            assert!(!bool::from(any_equal(&candidates, &digest)));
            candidates[place] = digest;
            assert!(bool::from(any_equal(&candidates, &digest)));
        }
        assert!(!bool::from(any_equal(&[], &digest)));
    }
}
