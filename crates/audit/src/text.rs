//! A report in words, for a terminal or a message.

use core::fmt;

use money::{Currency, Decimal};

use crate::{BookVerdict, CurrencyCode, DeliveryRef, Finding, Livemode, Report, Verdict};

/// The verdict, one line per book, one line per finding, and the snapshot.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.verdict {
            Verdict::Imbalanced => write!(f, "Ledger imbalance detected! Difference: {}", Differences(self))?,
            Verdict::Balanced => f.write_str("Ledger balance verified")?,
        }
        writeln!(f)?;
        for book in &self.verdicts {
            writeln!(f, "  {book}")?;
        }
        for finding in &self.findings {
            writeln!(f, "- {finding}")?;
        }
        for check in self.checks.iter().filter(|check| check.left_out > 0) {
            writeln!(f, "- {}: {} more", check.check, check.left_out)?;
        }
        write!(f, "{} run at {}, snapshot ", self.run.kind.as_str(), self.run.started_at)?;
        writeln!(f, "{}", self.run.snapshot)
    }
}

/// The difference of each imbalanced book.
struct Differences<'r>(&'r Report);

impl fmt::Display for Differences<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let imbalanced = self.0.verdicts.iter().filter(|book| book.verdict == Verdict::Imbalanced);
        let differences: Vec<_> =
            imbalanced.map(|book| book.money(book.difference_minor).to_string()).collect();
        if differences.is_empty() {
            f.write_str("none in the totals")
        } else {
            f.write_str(&differences.join(", "))
        }
    }
}

impl BookVerdict {
    fn money(&self, minor: i128) -> Money<'_> {
        Money { minor, currency: Some(&self.currency), livemode: Some(self.livemode) }
    }
}

impl fmt::Display for BookVerdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: {}", self.livemode, self.currency, self.verdict.as_str())?;
        write!(f, ", debits {}, credits {}", self.money(self.debits_minor), self.money(self.credits_minor))
    }
}

/// One line: what is wrong, where, by how much, what probably happened and what to do.
impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.check)?;
        self.place(f)?;
        for (index, fault) in self.faults.iter().enumerate() {
            write!(f, "{}{fault}", if index == 0 { "" } else { ", " })?;
        }
        if let Some(subject) = &self.subject {
            write!(f, " ({subject})")?;
        }
        if self.check.decides_balance() || self.difference_minor != 0 {
            write!(f, "; difference {}", self.money(self.difference_minor))?;
        }
        if let Some(amount) = self.amount_minor {
            write!(f, "; amount {}", self.money(amount))?;
        }
        write!(f, "; probably {}", self.probable_cause)?;
        if let Some(leg) = self.leg {
            write!(f, ": leg {leg}")?;
        }
        if let Some(account) = &self.account {
            write!(f, " on {account}")?;
        }
        if let Some(event_id) = &self.event_id {
            write!(f, "; event {event_id}")?;
        }
        if let Some(trace_id) = &self.trace_id {
            write!(f, "; trace {trace_id}")?;
        }
        if let Some(since) = &self.since {
            write!(f, "; since {since}")?;
        }
        self.cure.map_or(Ok(()), |cure| write!(f, "; what to do: {cure}"))
    }
}

impl Finding {
    fn money(&self, minor: i128) -> Money<'_> {
        Money { minor, currency: self.currency.as_ref(), livemode: self.livemode }
    }

    /// Where it is, from the widest to the narrowest.
    fn place(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(height) = self.checkpoint {
            write!(f, "checkpoint {height}: ")?;
        }
        if let Some(transaction) = &self.transaction {
            write!(f, "transaction {}", transaction.id)?;
            if let Some(key) = &transaction.movement_key {
                write!(f, " ({key})")?;
            }
            f.write_str(": ")?;
        }
        if let Some(source) = &self.source {
            write!(f, "source {source}: ")?;
        }
        if let Some(DeliveryRef { instance, sequence, window }) = &self.delivery {
            match (sequence, window) {
                (Some(sequence), _) => write!(f, "delivery {instance}:{sequence}: ")?,
                (None, Some(window)) => write!(f, "ingress {instance}, window {window}: ")?,
                (None, None) => write!(f, "ingress {instance}: ")?,
            }
        }
        match (self.count, &self.reason) {
            (Some(count), Some(reason)) => write!(f, "{count} {reason}: "),
            (Some(count), None) if self.subject.is_none() => write!(f, "{count}: "),
            (Some(_) | None, _) => Ok(()),
        }
    }
}

/// An amount with its currency's decimal point, or in minor units where the currency is none that the books know.
struct Money<'r> {
    minor: i128,
    currency: Option<&'r CurrencyCode>,
    livemode: Option<Livemode>,
}

impl fmt::Display for Money<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { minor, currency, livemode } = self;
        match currency.map(|code| (code, Currency::parse(code.as_str()))) {
            Some((code, Ok(known))) => {
                write!(f, "{} {code}", Decimal { minor: *minor, exponent: known.exponent() })?;
            }
            Some((code, Err(_))) => write!(f, "{minor} minor units of {code:?}", code = code.as_str())?,
            None => write!(f, "{minor}")?,
        }
        livemode.map_or(Ok(()), |livemode| write!(f, " {livemode}"))
    }
}
