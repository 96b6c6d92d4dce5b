//! A sealed range against what is there now: where the difference lies.

use std::collections::{BTreeMap, BTreeSet};

use super::{RangeRow, RewrittenRow};
use crate::{
    AccountName, Check, CurrencyCode, Fault, Finding, Livemode, ProbableCause, Sums, TransactionRef,
};

/// One finding for each livemode and currency whose totals differ; one for the range if none do.
pub(super) fn findings(row: &RangeRow) -> Vec<Finding> {
    let checkpoint = &row.checkpoint;
    let height = checkpoint.height;
    if checkpoint.own_digest() != checkpoint.digest {
        return vec![Finding {
            checkpoint: Some(height),
            subject: Some("the checkpoint is not what its digest says".to_owned()),
            ..Finding::new(
                Check::Continuity,
                Fault::ChainBroken,
                ProbableCause::RowsEdited,
                format_args!("checkpoint/{height}"),
            )
        }];
    }
    let sealed = checkpoint.totals.minus(&row.before);
    let off = row.found.totals.minus(&sealed);
    if checkpoint.contents == row.found.contents && off.0.is_empty() {
        return Vec::new();
    }
    let mut books: BTreeMap<(Livemode, CurrencyCode), BTreeMap<AccountName, Sums>> = BTreeMap::new();
    for ((livemode, currency, account), sums) in off.0 {
        books.entry((livemode, currency)).or_default().insert(account, sums);
    }
    if books.is_empty() {
        let rewritten = only(row.rewritten.iter());
        return vec![localised(finding(row, format!("range/{height}")), rewritten)];
    }
    let finding = |((livemode, currency), accounts): ((Livemode, CurrencyCode), BTreeMap<_, Sums>)| {
        let amount = accounts.values().map(moved).max();
        let net = accounts.values().map(|sums| sums.net_minor()).fold(0, i128::saturating_add);
        let edited = row
            .rewritten
            .iter()
            .filter(|rewritten| rewritten.leg.currency == currency && rewritten.leg.livemode == livemode);
        let edited = only(edited);
        let found = Finding {
            difference_minor: net,
            amount_minor: amount,
            account: (accounts.len() == 1).then(|| accounts.keys().next().cloned()).flatten(),
            ..finding(row, format!("range/{height}/{livemode}/{currency}"))
        };
        let found = Finding { livemode: Some(livemode), currency: Some(currency), ..found };
        let moved = accounts.len() == 2 && net == 0 && found.probable_cause == ProbableCause::RowsEdited;
        let cause = if moved { ProbableCause::AccountChanged } else { found.probable_cause };
        localised(Finding { probable_cause: cause, ..found }, edited)
    };
    books.into_iter().map(finding).collect()
}

fn moved(sums: &Sums) -> i128 {
    sums.debits_minor.saturating_abs().max(sums.credits_minor.saturating_abs())
}

fn finding(row: &RangeRow, key: String) -> Finding {
    let (sealed, found) = (&row.checkpoint.contents, &row.found.contents);
    let tables: BTreeSet<&String> = sealed.keys().chain(found.keys()).collect();
    let mut deviating = Vec::new();
    let (mut fewer, mut more) = (false, false);
    for table in tables {
        let rows = |contents: &BTreeMap<String, crate::Content>| contents.get(table).map_or(0, |c| c.rows);
        if sealed.get(table) == found.get(table) {
            continue;
        }
        let (was, is) = (rows(sealed), rows(found));
        fewer |= is < was;
        more |= is > was;
        deviating.push(format!("{table}: {is} of {was} rows{}", if is == was { ", changed" } else { "" }));
    }
    let cause = match (fewer, more) {
        (true, _) => ProbableCause::RowsDeleted,
        (false, true) => ProbableCause::RowsAdded,
        (false, false) => ProbableCause::RowsEdited,
    };
    Finding {
        checkpoint: Some(row.checkpoint.height),
        subject: Some(deviating.join("; ")),
        ..Finding::new(Check::Continuity, Fault::RangeChanged, cause, key)
    }
}

fn localised(finding: Finding, rewritten: Option<&RewrittenRow>) -> Finding {
    let Some(rewritten) = rewritten else { return finding };
    let header = rewritten.header.as_ref();
    Finding {
        transaction: Some(TransactionRef {
            id: rewritten.transaction,
            movement_key: header.map(|header| header.movement_key.clone()),
        }),
        account: rewritten.leg.account.clone().or(finding.account),
        leg: Some(rewritten.leg.leg),
        event_id: header.and_then(|header| header.event_id.clone()),
        trace_id: header.and_then(|header| header.trace_id.clone()),
        ..finding
    }
}

fn only<'r>(mut rows: impl Iterator<Item = &'r RewrittenRow>) -> Option<&'r RewrittenRow> {
    let first = rows.next()?;
    rows.next().is_none().then_some(first)
}
