//! What the accounts must hold: told from the stories alone.

use super::Totals;
use super::story::{Charge, Life, PayoutEnd, Story, TopupEnd};

const CLEARING: &str = "assets:stripe:clearing";
const BALANCE: &str = "assets:stripe:balance";
const PAYOUTS: &str = "assets:stripe:payouts";

/// The totals of one story in its currency.
struct Book<'t> {
    totals: &'t mut Totals,
    story: &'t Story,
}

pub(super) fn add(story: &Story, totals: &mut Totals) {
    let mut book = Book { totals, story };
    match &story.life {
        Life::Charge(charge) => book.charge(charge),
        Life::Payout { amount, end } => {
            if *end == PayoutEnd::Paid {
                book.put(PAYOUTS, *amount);
                book.settles(-amount);
            }
        }
        Life::Transfer { amount, reversals } => {
            let sent = amount - reversals.iter().sum::<i64>();
            book.put("liabilities:connected", sent);
            book.settles(-sent);
        }
        Life::Fee { amount, refunds } => {
            let earned = amount - refunds.iter().sum::<i64>();
            book.put("income:platform-fees", -earned);
            book.settles(earned);
        }
        Life::Topup { amount, end } => {
            if *end == TopupEnd::Succeeded {
                book.put(PAYOUTS, -amount);
                book.settles(*amount);
            }
        }
    }
}

impl Book<'_> {
    fn put(&mut self, account: &str, units: i64) {
        let (code, minor) = match self.story.currency {
            "isk" => ("ISK", units / 100),
            "mga" => ("MGA", units * 100),
            "usd" => ("USD", units),
            "eur" => ("EUR", units),
            "jpy" => ("JPY", units),
            "kwd" => ("KWD", units),
            other => panic!("{other}"),
        };
        *self.totals.entry((account.to_owned(), code)).or_default() += minor;
    }

    /// Money that was announced: in the balance if that was imported, still in clearing if not.
    fn settles(&mut self, units: i64) {
        self.put(if self.story.settled { BALANCE } else { CLEARING }, units);
    }

    fn charge(&mut self, charge: &Charge) {
        let Some(captured) = charge.captured else { return };
        let refunded: i64 =
            charge.refunds.iter().filter(|(_, failed)| !failed).map(|(amount, _)| amount).sum();
        self.put("income:sales", -captured);
        self.put("income:refunds", refunded);
        self.settles(captured - refunded);
        if self.story.settled {
            // One hundred units of fee on each charge.
            self.put("expenses:psp-fees", 100);
            self.put(BALANCE, -100);
        }
        let Some(dispute) = &charge.dispute else { return };
        let (lost, fee) = match dispute.reinstated {
            None => (dispute.amount, dispute.fee),
            Some(true) => (0, 0),
            Some(false) => (0, dispute.fee),
        };
        self.put("expenses:disputes", lost);
        self.put("expenses:psp-fees", fee);
        self.put(BALANCE, -lost - fee);
    }
}
