//! The sources, as configuration and books agree on them: pure.

use core::fmt;
use std::collections::BTreeMap;

use ledger::{Provider, ProviderAccount, Reason, Source};
use provider::SettlesWith;
use wire::Event;

/// A source, as it is configured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceTerms {
    /// Whose scheme it speaks.
    pub provider: Provider,
    /// Its own account.
    pub own_account: ProviderAccount,
    /// What to do with events of other accounts.
    pub connected: Connected,
    /// The source that settles the money which this one announces, so that it is booked under that one's key.
    pub settles_with: Option<Source>,
}

/// What to do with events about accounts that are connected to a source's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Connected {
    /// Book them, each account a book of its own.
    Book,
    /// Keep them as ignored.
    Ignore,
}

/// A `settles_with` that cannot be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unsettled {
    /// It names nothing.
    #[error("there is no such source")]
    Unknown,
    /// It names its own source.
    #[error("a source settles its own money without saying so")]
    Itself,
    /// It names a source that settles nothing itself.
    #[error("that source settles with another one")]
    Elsewhere,
}

/// A source that was another one when the books first heard of it: what they hold under its name is not its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Disagreement {
    /// Its name.
    pub source: Source,
    /// What the configuration says.
    pub configured: (Provider, ProviderAccount),
    /// What the books know.
    pub known: (Provider, ProviderAccount),
}

impl fmt::Display for Disagreement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { source, configured: (provider, account), known: (known_provider, known_account) } = self;
        write!(f, "source {source} is {provider} {account}, in the books {known_provider} {known_account}")
    }
}

/// The sources whose events can be booked.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Sources(BTreeMap<Source, SourceTerms>);

impl Sources {
    /// Of these terms; names every source that settles with none.
    pub fn new(terms: BTreeMap<Source, SourceTerms>) -> Result<Self, Vec<(Source, Unsettled)>> {
        let unsettled: Vec<_> = terms
            .iter()
            .filter_map(|(source, own)| {
                let settling = own.settles_with.as_ref()?;
                let fault = match terms.get(settling) {
                    _ if settling == source => Unsettled::Itself,
                    None => Unsettled::Unknown,
                    Some(other) if other.settles_with.is_some() => Unsettled::Elsewhere,
                    Some(_) => return None,
                };
                Some((source.clone(), fault))
            })
            .collect();
        if unsettled.is_empty() { Ok(Self(terms)) } else { Err(unsettled) }
    }

    /// What the books are to know of each: its name, its provider, its own account.
    pub fn identities(&self) -> Vec<(Source, Provider, ProviderAccount)> {
        let identity = |(source, own): (&Source, &SourceTerms)| {
            (source.clone(), own.provider.clone(), own.own_account.clone())
        };
        self.0.iter().map(identity).collect()
    }

    /// Those that the books know as what they are, and the others, whose events nobody can book.
    #[must_use]
    pub fn agreed(self, books: &BTreeMap<Source, (Provider, ProviderAccount)>) -> (Self, Vec<Disagreement>) {
        let mut disagreements = Vec::new();
        let mut agreed = self.0;
        agreed.retain(|source, own| {
            let configured = (own.provider.clone(), own.own_account.clone());
            let known = books.get(source).filter(|known| **known != configured).cloned();
            let agrees = known.is_none();
            disagreements.extend(known.map(|known| Disagreement {
                source: source.clone(),
                configured,
                known,
            }));
            agrees
        });
        (Self(agreed), disagreements)
    }

    /// Who settles the money of this event, if not its own source; or why it cannot be booked, whatever it asserts.
    pub(crate) fn settling(&self, event: &Event) -> Result<Option<SettlesWith>, Reason> {
        let own = self.0.get(&event.key.source).ok_or(Reason::Misconfigured)?;
        if event.provider != own.provider || event.own_account != own.own_account {
            return Err(Reason::Misconfigured);
        }
        if own.connected == Connected::Ignore && event.key.account != own.own_account {
            return Err(Reason::ConnectedAccount);
        }
        let Some(settling) = &own.settles_with else { return Ok(None) };
        let settling = self.0.get(settling).ok_or(Reason::Misconfigured)?;
        Ok(Some(SettlesWith { provider: settling.provider.clone(), account: settling.own_account.clone() }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(name: &str) -> Source {
        Source::parse(name).unwrap()
    }

    fn identity(account: &str) -> (Provider, ProviderAccount) {
        (Provider::parse("stripe").unwrap(), ProviderAccount::parse(account).unwrap())
    }

    fn terms(names: &[(&str, Option<&str>)]) -> BTreeMap<Source, SourceTerms> {
        let (provider, own_account) = identity("acct_1");
        let terms = |settles_with: Option<&str>| SourceTerms {
            provider: provider.clone(),
            own_account: own_account.clone(),
            connected: Connected::Book,
            settles_with: settles_with.map(source),
        };
        names.iter().map(|(name, settles_with)| (source(name), terms(*settles_with))).collect()
    }

    #[test]
    fn a_source_settles_with_one_that_is_there_and_settles_itself() {
        let refused = Sources::new(terms(&[
            ("a", Some("a")),
            ("b", Some("none")),
            ("c", Some("d")),
            ("d", Some("e")),
            ("e", None),
        ]));
        let expected = [("a", Unsettled::Itself), ("b", Unsettled::Unknown), ("c", Unsettled::Elsewhere)];
        assert_eq!(refused.unwrap_err(), expected.map(|(name, fault)| (source(name), fault)));
        assert!(Sources::new(terms(&[("d", Some("e")), ("e", None)])).is_ok());
    }

    #[test]
    fn a_source_that_the_books_know_as_another_one_is_left_out_and_named() {
        let sources = Sources::new(terms(&[("a", None), ("b", None)])).unwrap();
        let books = BTreeMap::from([(source("a"), identity("acct_1")), (source("b"), identity("acct_2"))]);
        let (agreed, disagreements) = sources.agreed(&books);
        assert_eq!(agreed, Sources::new(terms(&[("a", None)])).unwrap());
        let [disagreement] = disagreements.as_slice() else { panic!("{disagreements:?}") };
        assert_eq!(disagreement.to_string(), "source b is stripe acct_1, in the books stripe acct_2");
    }
}
