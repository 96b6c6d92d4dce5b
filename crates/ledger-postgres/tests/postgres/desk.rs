//! What the contract needs beside the port, of a database: every statement as the role that may.

use std::collections::BTreeMap;

use ledger::{ActionId, ActionKind, EventId, ProblemSlug, Source, UnixMillis};
use ports::BoxFuture;
use testkit::contract::books::Desk;
use testkit::memory::books::{RefusalKey, Target, TotalKept};
use testkit::servers::postgres::{Database, Role};
use tokio_postgres::Client;
use wire::{InstanceId, Listed, Sequence};

/// An operator's connection.
pub(crate) struct PostgresDesk(Client);

impl PostgresDesk {
    pub(crate) async fn of(database: &Database) -> Self {
        Self(database.connect(Role::Operator).await)
    }
}

impl Desk for PostgresDesk {
    fn ask(&self, kind: ActionKind, target: Target) -> BoxFuture<'_, ActionId> {
        Box::pin(async move {
            let row = match target {
                Target::Event(key) => {
                    let statement = "INSERT INTO countersign.operator_action (kind, event_row, reason)
                        SELECT $1, id, 'contract' FROM countersign.event
                        WHERE source = $2 AND provider_account = $3 AND livemode = $4 AND event_id = $5
                        RETURNING id";
                    let (source, account) = (key.source.as_str(), key.account.as_str());
                    let (livemode, id) = (key.livemode.is_live(), key.event_id.as_str());
                    self.0.query_one(statement, &[&kind.as_str(), &source, &account, &livemode, &id]).await
                }
                Target::Delivery(instance, sequence) => {
                    let statement = "INSERT INTO countersign.operator_action (kind, delivery_row, reason)
                        SELECT $1, id, 'contract' FROM countersign.delivery WHERE instance = $2 AND sequence = $3
                        RETURNING id";
                    let sequence = sequence.0.cast_signed();
                    self.0.query_one(statement, &[&kind.as_str(), &instance.to_string(), &sequence]).await
                }
            };
            ActionId(row.unwrap().get(0))
        })
    }

    fn totals(&self, instance: InstanceId) -> BoxFuture<'_, BTreeMap<u64, TotalKept>> {
        Box::pin(async move {
            let statement =
                "SELECT window_number, (extract(epoch FROM closed_at) * 1000)::BIGINT, confirmed, final,
                sequences, sources, event_ids, restated
                FROM countersign.control_total WHERE instance = $1";
            let rows = self.0.query(statement, &[&instance.to_string()]).await.unwrap();
            let total = |row: &tokio_postgres::Row| {
                let (sequences, sources): (Vec<i64>, Vec<String>) = (row.get(4), row.get(5));
                let ids: Vec<String> = row.get(6);
                let listed =
                    sequences.iter().zip(&sources).zip(&ids).map(|((sequence, source), id)| Listed {
                        sequence: Sequence(sequence.cast_unsigned()),
                        source: Source::parse(source).unwrap(),
                        event_id: EventId::parse(id).unwrap(),
                    });
                let total = TotalKept {
                    closed_at: UnixMillis(row.get(1)),
                    confirmed: row.get::<_, i64>(2).unsigned_abs(),
                    last: row.get(3),
                    listed: listed.collect(),
                    restated: row.get(7),
                };
                (row.get::<_, i64>(0).unsigned_abs(), total)
            };
            rows.iter().map(total).collect()
        })
    }

    fn refusals(&self, instance: InstanceId) -> BoxFuture<'_, BTreeMap<RefusalKey, u64>> {
        Box::pin(async move {
            let statement =
                "SELECT window_number, source, reason, (extract(epoch FROM minute) * 1000)::BIGINT, count
                FROM countersign.refusal_count WHERE instance = $1";
            let rows = self.0.query(statement, &[&instance.to_string()]).await.unwrap();
            rows.iter()
                .map(|row| {
                    let key = (
                        instance,
                        row.get::<_, i64>(0).unsigned_abs(),
                        Source::parse(row.get(1)).unwrap(),
                        ProblemSlug::parse(row.get(2)).unwrap(),
                        UnixMillis(row.get(3)),
                    );
                    (key, row.get::<_, i64>(4).unsigned_abs())
                })
                .collect()
        })
    }
}
