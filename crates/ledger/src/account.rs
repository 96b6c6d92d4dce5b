//! Accounts of the chart.

use core::fmt;

use crate::Provider;

/// The name of an account: lower-case segments joined by colons, `assets:stripe:clearing`.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Account(Box<str>);

/// The text is not the name of an account.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not an account name: {0}")]
pub struct AccountInvalid(pub String);

impl Account {
    /// Reads a name.
    pub fn parse(name: &str) -> Result<Self, AccountInvalid> {
        let segment = |text: &str| {
            !text.is_empty()
                && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        };
        if name.len() <= 128 && name.split(':').all(segment) {
            Ok(Self(name.into()))
        } else {
            Err(AccountInvalid(name.chars().take(128).collect()))
        }
    }

    /// A name of the chart with `<provider>` filled in.
    pub fn of_template(template: &str, provider: &Provider) -> Result<Self, AccountInvalid> {
        Self::parse(&template.replace("<provider>", provider.as_str()))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
