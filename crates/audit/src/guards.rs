//! The check `guards`: what protects the books, against what a migrated schema has.

mod expected;

use crate::{Check, CheckResult, Fault, Finding, ProbableCause, Severity};

pub use expected::APPEND_ONLY;
use expected::{CONSTRAINTS, FUNCTIONS, SERVICES, TRIGGERS, WORKING};

/// The schema as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GuardRows {
    /// Triggers on tables of the schema, without those that implement foreign keys; and rules.
    pub triggers: Vec<TriggerRow>,
    /// Constraints on tables of the schema.
    pub constraints: Vec<ConstraintRow>,
    /// Functions of the schema, with the SHA-256 of their body in hexadecimal digits.
    pub functions: Vec<(String, String)>,
    /// Tables of the schema and whose they are.
    pub owners: Vec<(String, String)>,
    /// Who may do what beyond reading and inserting, on which table, unless he is the owner.
    pub privileges: Vec<PrivilegeRow>,
    /// The roles, as far as they exist, with what they may do that none should.
    pub roles: Vec<RoleRow>,
    /// Settings that make a COMMIT durable, wherever they are set: name, value, where.
    pub settings: Vec<SettingRow>,
}

/// A trigger or a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TriggerRow {
    /// On which table.
    pub table: String,
    /// Its name.
    pub name: String,
    /// The function that it runs; a rule has none.
    pub function: Option<String>,
    /// Whether it fires whatever `session_replication_role` says.
    pub always: bool,
}

/// A constraint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConstraintRow {
    /// On which table.
    pub table: String,
    /// Its name.
    pub name: String,
    /// Whether it is validated, and its index valid if it has one.
    pub enforced: bool,
}

/// A privilege that is none of a service's business.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PrivilegeRow {
    /// Who has it; `public` is everybody.
    pub role: String,
    /// On which table.
    pub table: String,
    /// `UPDATE`, `DELETE`, `TRUNCATE`, `TRIGGER`, …; or `INSERT` into a column that only the database fills.
    pub privilege: String,
}

/// A role of ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoleRow {
    /// Its name.
    pub name: String,
    /// What it has of: superuser, createrole, createdb, replication, bypassrls, owner.
    pub powers: Vec<String>,
}

/// A setting of the server, a database or a role.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SettingRow {
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: String,
    /// Where it stands.
    pub place: String,
}

/// Fails for everything that protects the books and is missing, off or undermined.
pub fn check_guards(rows: &GuardRows) -> CheckResult {
    let mut findings = triggers(rows);
    findings.extend(functions(rows));
    findings.extend(constraints(rows));
    findings.extend(owners(rows));
    findings.extend(privileges(rows));
    findings.extend(roles(rows));
    findings.extend(settings(rows));
    CheckResult::of(findings, 0)
}

fn finding(fault: Fault, kind: &str, subject: String) -> Finding {
    let cause = ProbableCause::SchemaChanged;
    let key = format!("{kind}/{subject}");
    Finding {
        severity: Severity::Error,
        subject: Some(subject),
        ..Finding::new(Check::Guards, fault, cause, key)
    }
}

fn triggers(rows: &GuardRows) -> Vec<Finding> {
    let append_only = APPEND_ONLY.iter().map(|table| (*table, "append_only", "refuse_change"));
    let expected: Vec<_> = append_only.chain(TRIGGERS.iter().copied()).collect();
    let is = |row: &TriggerRow, (table, name, function): &(&str, &str, &str)| {
        row.table == *table && row.name == *name && row.function.as_deref() == Some(*function)
    };
    let missing = expected.iter().filter_map(|wanted| {
        let subject = format!("{}.{}", wanted.0, wanted.1);
        match rows.triggers.iter().find(|row| is(row, wanted)) {
            None => Some(finding(Fault::TriggerMissing, "trigger", subject)),
            Some(row) if !row.always => Some(finding(Fault::TriggerDisabled, "trigger", subject)),
            Some(_) => None,
        }
    });
    let strange = rows.triggers.iter().filter(|row| !expected.iter().any(|wanted| is(row, wanted)));
    let strange = strange
        .map(|row| finding(Fault::TriggerUnknown, "unknown-trigger", format!("{}.{}", row.table, row.name)));
    missing.chain(strange).collect()
}

fn functions(rows: &GuardRows) -> Vec<Finding> {
    let same = |name: &str, digest: &str| rows.functions.iter().any(|(n, d)| n == name && d == digest);
    let changed = FUNCTIONS.iter().filter(|(name, digest)| !same(name, digest));
    changed.map(|(name, _)| finding(Fault::FunctionChanged, "function", (*name).to_owned())).collect()
}

fn constraints(rows: &GuardRows) -> Vec<Finding> {
    let enforced = |table: &str, name: &str| {
        rows.constraints.iter().any(|row| row.table == table && row.name == name && row.enforced)
    };
    let missing = CONSTRAINTS.iter().filter(|(table, name)| !enforced(table, name));
    missing
        .map(|(table, name)| finding(Fault::ConstraintMissing, "constraint", format!("{table}.{name}")))
        .collect()
}

fn owners(rows: &GuardRows) -> Vec<Finding> {
    let others = rows.owners.iter().filter(|(_, owner)| owner != "countersign_owner");
    others
        .map(|(table, owner)| finding(Fault::OwnerChanged, "owner", format!("{table} of {owner}")))
        .collect()
}

fn privileges(rows: &GuardRows) -> Vec<Finding> {
    // The auditor and the operator work with tables that are no evidence.
    let allowed = |row: &PrivilegeRow| {
        let works = row.role == "countersign_auditor" || row.role == "countersign_operator";
        works
            && WORKING.contains(&row.table.as_str())
            && matches!(row.privilege.as_str(), "INSERT" | "UPDATE" | "DELETE")
    };
    let excess = rows.privileges.iter().filter(|row| !allowed(row));
    excess
        .map(|row| {
            let subject = format!("{} on {} for {}", row.privilege, row.table, row.role);
            finding(Fault::PrivilegeExcess, "privilege", subject)
        })
        .collect()
}

fn roles(rows: &GuardRows) -> Vec<Finding> {
    let powers =
        rows.roles.iter().flat_map(|row| row.powers.iter().map(|power| format!("{}: {power}", row.name)));
    let missing = SERVICES.iter().filter(|name| !rows.roles.iter().any(|row| row.name == **name));
    let missing = missing.map(|name| format!("{name}: missing"));
    powers.chain(missing).map(|subject| finding(Fault::RoleExcess, "role", subject)).collect()
}

fn settings(rows: &GuardRows) -> Vec<Finding> {
    let off = rows.settings.iter().filter(|row| match row.name.as_str() {
        // `local` is durable on this machine, which is all that is promised without a standby.
        "fsync" | "full_page_writes" | "synchronous_commit" => is_off(&row.value),
        "session_replication_role" => row.value != "origin",
        _ => false,
    });
    off.map(|row| {
        let subject = format!("{} = {} ({})", row.name, row.value, row.place);
        finding(Fault::DurabilityOff, "setting", subject)
    })
    .collect()
}

fn is_off(value: &str) -> bool {
    matches!(value.to_ascii_lowercase().as_str(), "off" | "false" | "no" | "0" | "of" | "f" | "n")
}

#[cfg(test)]
mod tests;
