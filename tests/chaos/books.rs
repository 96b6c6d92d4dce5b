//! What stands in Postgres, read past every proxy.

use std::collections::BTreeMap;

use anyhow::Context as _;

use crate::ground::Ground;

/// An event as the books know it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct EventRow {
    pub(crate) status: String,
    pub(crate) reason: Option<String>,
}

/// A transaction, by the money object that it is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TransactionRow {
    pub(crate) object_id: String,
    /// The sum of its debits.
    pub(crate) amount_minor: i64,
    pub(crate) traced: bool,
}

/// A finding of the auditors, open or resolved.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub(crate) struct FindingRow {
    pub(crate) key: String,
    pub(crate) check: String,
    pub(crate) summary: String,
    pub(crate) resolved: bool,
}

/// The books.
#[derive(Debug, Clone, Default)]
pub(crate) struct Books {
    /// By source and event id.
    pub(crate) events: BTreeMap<(String, String), EventRow>,
    pub(crate) transactions: Vec<TransactionRow>,
    pub(crate) findings: Vec<FindingRow>,
    /// Messages that a control total calls confirmed and no delivery is of, `instance:sequence`.
    pub(crate) missing: Vec<String>,
    /// Deliveries in all, and those that are no events.
    pub(crate) deliveries: i64,
    pub(crate) buried: i64,
}

impl Books {
    pub(crate) async fn read(ground: &Ground) -> anyhow::Result<Self> {
        let client = ground.superuser().await?;
        let rows = client
            .query(
                "SELECT event.source, event.event_id, standing.status, standing.reason
                 FROM countersign.event JOIN countersign.event_standing AS standing ON standing.event_row = event.id",
                &[],
            )
            .await
            .context("read events")?;
        let events = rows
            .iter()
            .map(|row| ((row.get(0), row.get(1)), EventRow { status: row.get(2), reason: row.get(3) }))
            .collect();
        let rows = client
            .query(
                "SELECT object_id, sum(amount_minor)::BIGINT, bool_and(trace_id IS NOT NULL)
                 FROM countersign.journal WHERE amount_minor > 0 GROUP BY transaction_id, object_id",
                &[],
            )
            .await
            .context("read transactions")?;
        let transactions = rows
            .iter()
            .map(|row| TransactionRow { object_id: row.get(0), amount_minor: row.get(1), traced: row.get(2) })
            .collect();
        let rows = client
            .query(
                "SELECT key, check_name, summary, resolved_at IS NOT NULL FROM countersign.finding ORDER BY id",
                &[],
            )
            .await
            .context("read findings")?;
        let findings = rows
            .iter()
            .map(|row| FindingRow {
                key: row.get(0),
                check: row.get(1),
                summary: row.get(2),
                resolved: row.get(3),
            })
            .collect();
        let rows = client
            .query(
                "SELECT total.instance || ':' || listed.sequence
                 FROM countersign.control_total AS total, unnest(total.sequences) AS listed (sequence)
                 WHERE NOT EXISTS (SELECT FROM countersign.delivery AS d
                   WHERE d.instance = total.instance AND d.sequence = listed.sequence)",
                &[],
            )
            .await
            .context("compare control totals with deliveries")?;
        let missing = rows.iter().map(|row| row.get(0)).collect();
        let row = client
            .query_one(
                "SELECT count(*), count(*) FILTER (WHERE reason = 'dead-lettered') FROM countersign.delivery",
                &[],
            )
            .await
            .context("count deliveries")?;
        Ok(Self { events, transactions, findings, missing, deliveries: row.get(0), buried: row.get(1) })
    }
}
