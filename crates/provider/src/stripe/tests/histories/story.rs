//! What happened to one money object, in Stripe's units.

use proptest::prelude::*;

/// One object's life.
#[derive(Debug, Clone)]
pub(super) struct Story {
    /// A currency, as Stripe writes it.
    pub(super) currency: &'static str,
    pub(super) life: Life,
    /// Whether the lines of the balance were imported too.
    pub(super) settled: bool,
}

#[derive(Debug, Clone)]
pub(super) enum Life {
    Charge(Charge),
    /// Negative: from the bank. Paid, then failed or not; or canceled.
    Payout {
        amount: i64,
        end: PayoutEnd,
    },
    Transfer {
        amount: i64,
        reversals: Vec<i64>,
    },
    Fee {
        amount: i64,
        refunds: Vec<i64>,
    },
    Topup {
        amount: i64,
        end: TopupEnd,
    },
}

#[derive(Debug, Clone)]
pub(super) struct Charge {
    pub(super) authorised: i64,
    /// `None`: never captured.
    pub(super) captured: Option<i64>,
    /// Each with whether it failed later.
    pub(super) refunds: Vec<(i64, bool)>,
    pub(super) dispute: Option<Dispute>,
    /// Whether the API version is one whose charges list their refunds, with no events of their own.
    pub(super) old_version: bool,
}

#[derive(Debug, Clone)]
pub(super) struct Dispute {
    pub(super) amount: i64,
    pub(super) fee: i64,
    /// Won; the fee is returned or not.
    pub(super) reinstated: Option<bool>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PayoutEnd {
    Paid,
    PaidThenFailed,
    Canceled,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TopupEnd {
    Succeeded,
    Reversed,
    Failed,
}

/// A multiple of 100: whole in the books whatever the exponents are.
fn amount() -> impl Strategy<Value = i64> {
    (1_i64..100_000).prop_map(|hundreds| hundreds * 100)
}

fn amounts() -> impl Strategy<Value = Vec<i64>> {
    proptest::collection::vec(amount(), 0..3)
}

impl Story {
    pub(super) fn any(settled: bool) -> impl Strategy<Value = Self> {
        let currency = proptest::sample::select(&["usd", "eur", "jpy", "kwd", "isk", "mga"][..]);
        (currency, Life::any()).prop_map(move |(currency, life)| Self { currency, life, settled })
    }
}

impl Life {
    fn any() -> impl Strategy<Value = Self> {
        prop_oneof![
            4 => Charge::any().prop_map(Self::Charge),
            1 => (
                amount(),
                any::<bool>(),
                proptest::sample::select(&[PayoutEnd::Paid, PayoutEnd::PaidThenFailed, PayoutEnd::Canceled][..]),
            )
                .prop_map(|(amount, negative, end)| Self::Payout { amount: if negative { -amount } else { amount }, end }),
            1 => (amount(), amounts()).prop_map(|(amount, reversals)| Self::Transfer { amount, reversals }),
            1 => (amount(), amounts()).prop_map(|(amount, refunds)| Self::Fee { amount, refunds }),
            1 => (
                amount(),
                proptest::sample::select(&[TopupEnd::Succeeded, TopupEnd::Reversed, TopupEnd::Failed][..]),
            )
                .prop_map(|(amount, end)| Self::Topup { amount, end }),
        ]
    }
}

impl Charge {
    fn any() -> impl Strategy<Value = Self> {
        let captured = prop_oneof![
            1 => Just(None),
            4 => Just(Some(100)),
            3 => (1_i64..100).prop_map(Some),
        ];
        let refunds = proptest::collection::vec((amount(), any::<bool>()), 0..3);
        (amount(), captured, refunds, proptest::option::weighted(0.3, Dispute::any()), any::<bool>())
            .prop_map(|(authorised, percent, refunds, dispute, old_version)| Self {
                authorised,
                captured: percent
                    .map(|percent| authorised / 100 * percent / 100 * 100)
                    .filter(|captured| *captured > 0),
                refunds,
                dispute,
                old_version,
            })
    }
}

impl Dispute {
    fn any() -> impl Strategy<Value = Self> {
        (amount(), 0_i64..20, proptest::option::of(any::<bool>()))
            .prop_map(|(amount, fee, reinstated)| Self { amount, fee: fee * 100, reinstated })
    }
}
