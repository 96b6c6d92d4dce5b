use super::*;

/// A schema as the migrations make it.
fn whole() -> GuardRows {
    let trigger = |(table, name, function): (&str, &str, &str)| TriggerRow {
        table: table.to_owned(),
        name: name.to_owned(),
        function: Some(function.to_owned()),
        always: true,
    };
    let append_only = APPEND_ONLY.iter().map(|table| (*table, "append_only", "refuse_change"));
    GuardRows {
        triggers: append_only.chain(TRIGGERS.iter().copied()).map(trigger).collect(),
        constraints: CONSTRAINTS
            .iter()
            .map(|(table, name)| ConstraintRow {
                table: (*table).to_owned(),
                name: (*name).to_owned(),
                enforced: true,
            })
            .collect(),
        functions: FUNCTIONS
            .iter()
            .map(|(name, digest)| ((*name).to_owned(), (*digest).to_owned()))
            .collect(),
        owners: vec![("entry".to_owned(), "countersign_owner".to_owned())],
        privileges: vec![PrivilegeRow {
            role: "countersign_auditor".to_owned(),
            table: "finding".to_owned(),
            privilege: "UPDATE".to_owned(),
        }],
        roles: SERVICES.iter().map(|name| RoleRow { name: (*name).to_owned(), powers: Vec::new() }).collect(),
        settings: vec![setting("fsync", "on"), setting("synchronous_commit", "local")],
    }
}

fn setting(name: &str, value: &str) -> SettingRow {
    SettingRow { name: name.to_owned(), value: value.to_owned(), place: "server".to_owned() }
}

/// The only finding of a schema that was changed like this.
fn changed(change: impl FnOnce(&mut GuardRows)) -> (Fault, String) {
    let mut rows = whole();
    change(&mut rows);
    let result = check_guards(&rows);
    let [finding] = result.findings() else { panic!("{result:?}") };
    (finding.faults[0], finding.subject.clone().unwrap())
}

#[test]
fn a_schema_as_migrated_has_all_guards() {
    assert_eq!(check_guards(&whole()), CheckResult::Passed);
}

#[test]
fn a_trigger_that_is_gone_off_or_strange_is_found() {
    let gone = changed(|rows| {
        rows.triggers.retain(|row| (row.table.as_str(), row.name.as_str()) != ("entry", "append_only"));
    });
    assert_eq!(gone, (Fault::TriggerMissing, "entry.append_only".to_owned()));
    let off = changed(|rows| {
        rows.triggers.iter_mut().find(|row| row.name == "entry_rules").unwrap().always = false;
    });
    assert_eq!(off, (Fault::TriggerDisabled, "entry.entry_rules".to_owned()));
    let strange = changed(|rows| {
        let row = rows.triggers[0].clone();
        rows.triggers.push(TriggerRow { name: "skim".to_owned(), ..row });
    });
    assert_eq!(strange.0, Fault::TriggerUnknown);
}

#[test]
fn what_else_undermines_the_books_is_found() {
    assert_eq!(changed(|rows| rows.functions[0].1.clear()).0, Fault::FunctionChanged);
    assert_eq!(changed(|rows| rows.constraints[0].enforced = false).0, Fault::ConstraintMissing);
    assert_eq!(changed(|rows| rows.owners[0].1 = "mallory".to_owned()).0, Fault::OwnerChanged);
    assert_eq!(changed(|rows| rows.privileges[0].table = "entry".to_owned()).0, Fault::PrivilegeExcess);
    assert_eq!(changed(|rows| rows.privileges[0].role = "public".to_owned()).0, Fault::PrivilegeExcess);
    assert_eq!(changed(|rows| rows.roles[0].powers.push("superuser".to_owned())).0, Fault::RoleExcess);
    assert_eq!(changed(|rows| drop(rows.roles.pop())).0, Fault::RoleExcess);
    assert_eq!(
        changed(|rows| rows.settings.push(setting("synchronous_commit", "off"))).0,
        Fault::DurabilityOff
    );
    assert_eq!(
        changed(|rows| rows.settings.push(setting("session_replication_role", "replica"))).0,
        Fault::DurabilityOff
    );
}
