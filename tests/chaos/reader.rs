//! Somebody who reads the books all the while: they balance at every instant, and what was written stays as it was.

use core::time::Duration;

use ports::Handle;
use serde::Serialize;

use crate::ground::Ground;

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(200);

/// What it has seen.
#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct Seen {
    /// How many snapshots it got.
    pub(crate) snapshots: u64,
    /// What was wrong in one.
    pub(crate) faults: Vec<String>,
}

/// What stood below a horizon: it may never change.
struct Fixed {
    horizon: i64,
    entries: i64,
    digest: String,
}

/// What one snapshot shows.
const LOOK: &str = "SELECT
  (SELECT count(*) FROM (SELECT FROM countersign.entry GROUP BY livemode, currency HAVING sum(amount_minor) <> 0) AS book),
  (SELECT count(*) FROM countersign.transaction AS t
    WHERE t.legs <> (SELECT count(*) FROM countersign.entry WHERE transaction_id = t.id)),
  pg_snapshot_xmin(pg_current_snapshot())::TEXT::BIGINT + countersign.xid_offset()";

const BELOW: &str = "SELECT count(*), coalesce(sum(hashtextextended(e::TEXT, 0)), 0)::TEXT
  FROM countersign.entry AS e WHERE xid < $1";

/// Reads until `over`.
pub(crate) async fn read(ground: Ground, handle: Handle, over: tokio_util::sync::CancellationToken) -> Seen {
    let mut seen = Seen::default();
    let mut fixed: Option<Fixed> = None;
    while !over.is_cancelled() {
        // Without a database there is nothing to see; another connection comes with the next.
        if let Ok(mut client) = ground.superuser().await {
            while !over.is_cancelled() && look(&mut client, &mut seen, &mut fixed).await.is_some() {
                handle.sleep(PAUSE).await;
            }
        }
        handle.sleep(PAUSE).await;
    }
    seen
}

async fn look(
    client: &mut testkit::servers::postgres::Connected,
    seen: &mut Seen,
    fixed: &mut Option<Fixed>,
) -> Option<()> {
    client.batch_execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await.ok()?;
    let row = client.query_one(LOOK, &[]).await.ok()?;
    let (unbalanced, broken, horizon): (i64, i64, i64) = (row.get(0), row.get(1), row.get(2));
    if unbalanced > 0 || broken > 0 {
        seen.faults.push(format!("{unbalanced} books unbalanced, {broken} transactions not whole"));
    }
    if let Some(before) = fixed {
        let row = client.query_one(BELOW, &[&before.horizon]).await.ok()?;
        let (entries, digest): (i64, String) = (row.get(0), row.get(1));
        if (entries, &digest) != (before.entries, &before.digest) {
            seen.faults.push(format!(
                "of {} entries that stood for good, {entries} stand, or others",
                before.entries
            ));
        }
    }
    let row = client.query_one(BELOW, &[&horizon]).await.ok()?;
    *fixed = Some(Fixed { horizon, entries: row.get(0), digest: row.get(1) });
    client.batch_execute("COMMIT").await.ok()?;
    seen.snapshots += 1;
    Some(())
}
