//! What the checks beside balance, transactions and continuity read: one statement each, facts and not judgements.

use audit::{
    CompletenessRows, ConstraintRow, CoverageRows, CurrencyCode, EventId, GuardRows, InstanceName,
    InstanceRow, Limits, Livemode, MissingRow, MovementKey, PrivilegeRow, RefusedSourceRow, RefusedTypeRow,
    RejectionRows, RoleRow, SettingRow, Slug, SourceName, SourceRow, TraceId, TransactionId, TriggerRow,
    UncoveredEventRow, UncoveredTransactionRow, Waiting, WaitingRow, WindowRow,
};
use tokio_postgres::types::Type;
use tokio_postgres::{Row, Transaction};

use crate::query::{Columns, Parameters, query, query_one};
use crate::{AuditStoreError, findings};

/// How many things of a kind are listed; the others are counted.
const LISTED_MAX: i64 = 200;

/// Of what came with transaction number `lo` or later.
pub(crate) async fn coverage(
    transaction: &Transaction<'_>,
    lo: i64,
) -> Result<CoverageRows, AuditStoreError> {
    let statement = concat!("-- coverage\n", include_str!("../sql/coverage.sql"));
    let parameters: Parameters<'_> = &[(&lo, Type::INT8), (&LISTED_MAX, Type::INT8)];
    let rows = query(transaction, "coverage", statement, parameters).await?;
    let mut found = CoverageRows::default();
    for row in &rows {
        let columns = Columns { statement: "coverage", row };
        let listed = u64::try_from(rows.len()).unwrap_or(u64::MAX);
        found.left_out = columns.count("total")?.saturating_sub(listed);
        match columns.read("kind")? {
            "event" => found.booked_without_transaction.push(uncovered_event(&columns)?),
            "transaction" => found.without_event.push(uncovered_transaction(&columns)?),
            _ => found.twice.push(uncovered_transaction(&columns)?),
        }
    }
    Ok(found)
}

fn uncovered_event(columns: &Columns<'_>) -> Result<UncoveredEventRow, AuditStoreError> {
    Ok(UncoveredEventRow {
        event_row: columns.read("id")?,
        source: columns.text("source", SourceName::new)?,
        event_id: columns.text("event_id", EventId::new)?,
        livemode: Livemode::from_bool(columns.read("livemode")?),
        amount_minor: columns.sum("amount_minor")?.and_then(|amount| i64::try_from(amount).ok()),
        currency: columns.optional("currency", CurrencyCode::new)?,
        trace_id: columns.optional("trace_id", TraceId::new)?,
    })
}

fn uncovered_transaction(columns: &Columns<'_>) -> Result<UncoveredTransactionRow, AuditStoreError> {
    Ok(UncoveredTransactionRow {
        id: TransactionId(columns.read("id")?),
        movement_key: columns.text("movement_key", MovementKey::new)?,
        livemode: Livemode::from_bool(columns.read("livemode")?),
        currency: columns.optional("currency", CurrencyCode::new)?,
        amount_minor: columns.sum("amount_minor")?,
        event_id: columns.optional("event_id", EventId::new)?,
        trace_id: columns.optional("trace_id", TraceId::new)?,
    })
}

/// Of the control totals that an incremental run has not seen due yet, or of all.
pub(crate) async fn completeness(
    transaction: &Transaction<'_>,
    everything: bool,
    limits: &Limits,
) -> Result<CompletenessRows, AuditStoreError> {
    const MISSING: &str =
        concat!("-- missing\n", include_str!("../sql/totals_due.sql"), include_str!("../sql/missing.sql"));
    const WINDOWS: &str =
        concat!("-- windows\n", include_str!("../sql/totals_due.sql"), include_str!("../sql/windows.sql"));
    let since = if everything { None } else { findings::reached(transaction, "completeness").await? };
    let due = limits.delivery_due_s;
    let parameters: Parameters<'_> =
        &[(&since, Type::TIMESTAMPTZ), (&due, Type::INT8), (&LISTED_MAX, Type::INT8)];
    let missing = query(transaction, "missing", MISSING, parameters).await?;
    let windows = query(transaction, "windows", WINDOWS, parameters).await?;
    let instances = open_instances(transaction, limits).await?;

    let mut rows = CompletenessRows::default();
    for (statement, listed) in [("missing", &missing), ("windows", &windows)] {
        let Some(row) = listed.first() else { continue };
        let listed = u64::try_from(listed.len()).unwrap_or(u64::MAX);
        rows.left_out += (Columns { statement, row }).count("total")?.saturating_sub(listed);
    }
    for row in &missing {
        let columns = Columns { statement: "missing", row };
        rows.missing.push(MissingRow {
            instance: columns.text("instance", InstanceName::new)?,
            sequence: columns.read("sequence")?,
            window: columns.read("window_number")?,
            source: columns.text("source", SourceName::new)?,
            event_id: columns.text("event_id", EventId::new)?,
            closed_at: columns.instant("closed_at")?,
            recorded_age_s: columns.read("age_s")?,
        });
    }
    for row in &windows {
        let columns = Columns { statement: "windows", row };
        rows.windows.push(WindowRow {
            instance: columns.text("instance", InstanceName::new)?,
            window: columns.read("window_number")?,
            next_closed_at: columns.instant("closed_at")?,
            recorded_age_s: columns.read("age_s")?,
        });
    }
    for row in &instances {
        let columns = Columns { statement: "instances", row };
        rows.open_instances.push(InstanceRow {
            instance: columns.text("instance", InstanceName::new)?,
            window: columns.read("window_number")?,
            closed_at: columns.instant("closed_at")?,
            recorded_age_s: columns.read("age_s")?,
        });
    }
    Ok(rows)
}

async fn open_instances(transaction: &Transaction<'_>, limits: &Limits) -> Result<Vec<Row>, AuditStoreError> {
    const INSTANCES: &str = concat!("-- instances\n", include_str!("../sql/instances.sql"));
    let parameters: Parameters<'_> =
        &[(&limits.instance_silent_s, Type::INT8), (&limits.instance_forgotten_s, Type::INT8)];
    query(transaction, "instances", INSTANCES, parameters).await
}

/// Messages that are confirmed and not booked.
pub(crate) struct Unbooked {
    pub(crate) count: u64,
    /// Since when the oldest of them is told of, in seconds.
    pub(crate) age_s: i64,
    /// The transaction number of the first total that tells of one.
    pub(crate) first: Option<i64>,
}

/// Of the totals of the last `span_s` seconds that came with transaction number `lo` or later.
pub(crate) async fn unbooked(
    transaction: &Transaction<'_>,
    lo: i64,
    span_s: i64,
) -> Result<Unbooked, AuditStoreError> {
    let statement = concat!("-- unbooked\n", include_str!("../sql/unbooked.sql"));
    let parameters: Parameters<'_> = &[(&lo, Type::INT8), (&span_s, Type::INT8)];
    let row = query_one(transaction, "unbooked", statement, parameters).await?;
    let columns = Columns { statement: "unbooked", row: &row };
    Ok(Unbooked {
        count: columns.count("count")?,
        age_s: columns.read("age_s")?,
        first: columns.read("first")?,
    })
}

/// How long ago, in seconds, the last total of an ingress that goes on was recorded.
pub(crate) async fn heard(
    transaction: &Transaction<'_>,
    limits: &Limits,
) -> Result<Option<i64>, AuditStoreError> {
    let rows = open_instances(transaction, limits).await?;
    let ages = rows.iter().map(|row| Columns { statement: "instances", row }.read("age_s"));
    Ok(ages.collect::<Result<Vec<i64>, _>>()?.into_iter().min())
}

/// What has waited for longer than the limit.
pub(crate) async fn backlog(
    transaction: &Transaction<'_>,
    limits: &Limits,
) -> Result<Vec<WaitingRow>, AuditStoreError> {
    let statement = concat!("-- backlog\n", include_str!("../sql/backlog.sql"));
    let rows = query(transaction, "backlog", statement, &[(&limits.backlog_due_s, Type::INT8)]).await?;
    let waiting = |columns: &Columns<'_>| {
        let events = columns.read::<&str>("waiting")? == "events";
        Ok(WaitingRow {
            waiting: if events { Waiting::Events } else { Waiting::Evidence },
            source: columns.optional("source", SourceName::new)?,
            livemode: columns.read::<Option<bool>>("livemode")?.map(Livemode::from_bool),
            reason: Slug::new(columns.read::<Option<&str>>("reason")?.unwrap_or("unknown")),
            currency: columns.optional("currency", CurrencyCode::new)?,
            amount_minor: columns.sum("amount_minor")?,
            count: columns.count("count")?,
            event_id: columns.optional("event_id", EventId::new)?,
            since: columns.instant("since")?,
            age_s: columns.read("age_s")?,
        })
    };
    rows.iter().map(|row| waiting(&Columns { statement: "backlog", row })).collect()
}

/// What was refused of authentic senders.
pub(crate) async fn rejections(
    transaction: &Transaction<'_>,
    limits: &Limits,
) -> Result<RejectionRows, AuditStoreError> {
    let sources = concat!("-- refused_sources\n", include_str!("../sql/refused_sources.sql"));
    let types = concat!("-- refused_types\n", include_str!("../sql/refused_types.sql"));
    let sources = query(transaction, "refused_sources", sources, &[]).await?;
    let least = limits.type_refused_of.saturating_mul(limits.type_refused_percent).div_ceil(100).max(1);
    let least = i64::try_from(least).unwrap_or(i64::MAX);
    let types = query(transaction, "refused_types", types, &[(&least, Type::INT8)]).await?;
    let source = |columns: &Columns<'_>| {
        Ok(RefusedSourceRow {
            source: columns.text("source", SourceName::new)?,
            last_hour: columns.count("last_hour")?,
            week_before: columns.count("week_before")?,
        })
    };
    let of_type = |columns: &Columns<'_>| {
        Ok(RefusedTypeRow {
            source: columns.text("source", SourceName::new)?,
            event_type: columns.text("event_type", str::to_owned)?,
            refused: columns.count("refused")?,
            delivered: columns.count("delivered")?,
        })
    };
    Ok(RejectionRows {
        sources: sources
            .iter()
            .map(|row| source(&Columns { statement: "refused_sources", row }))
            .collect::<Result<_, _>>()?,
        types: types
            .iter()
            .map(|row| of_type(&Columns { statement: "refused_types", row }))
            .collect::<Result<_, _>>()?,
    })
}

/// When sources last delivered.
pub(crate) async fn silence(
    transaction: &Transaction<'_>,
    lo: i64,
) -> Result<Vec<SourceRow>, AuditStoreError> {
    let statement = concat!("-- silence\n", include_str!("../sql/silence.sql"));
    let rows = query(transaction, "silence", statement, &[(&lo, Type::INT8)]).await?;
    let source = |columns: &Columns<'_>| {
        Ok(SourceRow {
            source: columns.text("source", SourceName::new)?,
            last_at: columns.instant("last_at")?,
            quiet_s: columns.read("quiet_s")?,
            days: columns.read("days")?,
        })
    };
    rows.iter().map(|row| source(&Columns { statement: "silence", row })).collect()
}

/// What guards the books.
pub(crate) async fn guards(transaction: &Transaction<'_>) -> Result<GuardRows, AuditStoreError> {
    let statement = concat!("-- guards\n", include_str!("../sql/guards.sql"));
    let rows = query(transaction, "guards", statement, &[]).await?;
    let mut guards = GuardRows::default();
    for row in &rows {
        let columns = Columns { statement: "guards", row };
        let text = |name| columns.read::<Option<&str>>(name).map(|text| text.unwrap_or_default().to_owned());
        let (a, b, c) = (text("a")?, text("b")?, text("c")?);
        let is = text("d")? == "true";
        match columns.read("kind")? {
            "trigger" => {
                let function = Some(c).filter(|function| !function.is_empty());
                guards.triggers.push(TriggerRow { table: a, name: b, function, always: is });
            }
            "constraint" => guards.constraints.push(ConstraintRow { table: a, name: b, enforced: is }),
            "function" => guards.functions.push((a, b)),
            "owner" => guards.owners.push((a, b)),
            "privilege" => guards.privileges.push(PrivilegeRow { role: a, table: b, privilege: c }),
            "role" => {
                let powers = Some(b).filter(|power| !power.is_empty());
                match guards.roles.iter_mut().find(|role| role.name == a) {
                    Some(role) => role.powers.extend(powers),
                    None => guards.roles.push(RoleRow { name: a, powers: powers.into_iter().collect() }),
                }
            }
            _ => guards.settings.push(SettingRow { name: a, value: b, place: c }),
        }
    }
    Ok(guards)
}
