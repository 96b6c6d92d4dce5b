//! What kinds of movements there are, and what amounts each is made of.

use crate::word::words;

words! {
    /// What kind of movement; with the money object it makes the key. The word stands in keys, in the posting table and
    /// in the database.
    MovementKind {
        /// A payment was captured.
        Capture = "capture",
        /// A payment was refunded.
        Refund = "refund",
        /// A refund failed: its money came back.
        RefundFailed = "refund-failed",
        /// The provider's balance changed, by a balance transaction of the provider.
        Settlement = "settlement",
        /// A payout left for the bank; a negative one came from there.
        PayoutSent = "payout-sent",
        /// A payout failed or was canceled: its money came back.
        PayoutReturned = "payout-returned",
        /// Money went to a connected account.
        TransferSent = "transfer-sent",
        /// Money came back from a connected account.
        TransferReversed = "transfer-reversed",
        /// A platform earned its fee.
        FeeEarned = "fee-earned",
        /// A platform gave a fee back.
        FeeRefunded = "fee-refunded",
        /// The balance was topped up from the bank.
        Topup = "topup",
        /// A top-up was reversed.
        TopupReversed = "topup-reversed",
    }
}

words! {
    /// A named amount of a movement; the posting table says where each goes.
    Part {
        /// The whole amount, before fees. In a settlement: of what was announced and stands in clearing.
        Gross = "gross",
        /// In a settlement: what the balance changed by.
        Net = "net",
        /// In a settlement: the provider's own fee.
        FeeProvider = "fee-provider",
        /// In a settlement: what the card network or bank takes, passed on by the provider.
        FeeNetwork = "fee-network",
        /// In a settlement: what the platform takes.
        FeeApplication = "fee-application",
        /// In a settlement: tax on fees.
        FeeTax = "fee-tax",
        /// In a settlement: tax that the provider withholds.
        FeeWithheldTax = "fee-withheld-tax",
        /// In a settlement: a fee that is not told apart.
        FeeOther = "fee-other",
        /// In a settlement: withdrawn for a dispute, or reinstated.
        Disputed = "disputed",
        /// In a settlement: the provider's bill, where the fee is the whole amount.
        Billed = "billed",
        /// In a settlement: put into a reserve of the provider, or released.
        Reserved = "reserved",
        /// In a settlement: owed to or by a connected account, announced by nothing else.
        Connected = "connected",
        /// In a settlement: settled money of a type that the books do not know.
        Unmapped = "unmapped",
    }
}

impl MovementKind {
    /// The parts that a movement of this kind may have. Where there are several, it may lack some, and
    /// [weighted](Part::weight) they sum to zero.
    pub const fn parts(self) -> &'static [Part] {
        match self {
            Self::Settlement => Part::ALL,
            Self::Capture
            | Self::Refund
            | Self::RefundFailed
            | Self::PayoutSent
            | Self::PayoutReturned
            | Self::TransferSent
            | Self::TransferReversed
            | Self::FeeEarned
            | Self::FeeRefunded
            | Self::Topup
            | Self::TopupReversed => &[Part::Gross],
        }
    }
}

impl Part {
    /// The sign with which the part stands in what holds of every settlement: net and fees are the gross amount,
    /// whatever its counterpart is.
    pub const fn weight(self) -> i64 {
        match self {
            Self::Net
            | Self::FeeProvider
            | Self::FeeNetwork
            | Self::FeeApplication
            | Self::FeeTax
            | Self::FeeWithheldTax
            | Self::FeeOther => 1,
            Self::Gross
            | Self::Disputed
            | Self::Billed
            | Self::Reserved
            | Self::Connected
            | Self::Unmapped => -1,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_word_means_one_thing() {
        let kinds: BTreeSet<_> = MovementKind::ALL.iter().map(|kind| kind.as_str()).collect();
        let parts: BTreeSet<_> = Part::ALL.iter().map(|part| part.as_str()).collect();
        assert_eq!((kinds.len(), parts.len()), (MovementKind::ALL.len(), Part::ALL.len()));
        for kind in MovementKind::ALL {
            assert_eq!(MovementKind::parse(kind.as_str()), Some(*kind));
        }
        assert_eq!((MovementKind::parse("captured"), Part::parse("")), (None, None));
    }
}
