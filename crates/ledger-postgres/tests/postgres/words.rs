//! The words of the code and of the database's CHECKs are the same.

use std::collections::BTreeSet;

use ledger::{ActionKind, Outcome, Reason, Status};
use testkit::servers::postgres::{Database, Role};

/// Every text between quotes in a CHECK.
fn quoted(definition: &str) -> BTreeSet<String> {
    definition.split('\'').skip(1).step_by(2).map(str::to_owned).collect()
}

#[tokio::test]
async fn outcomes_reasons_statuses_and_actions_are_those_of_the_ledger() {
    let database = Database::create().await;
    let superuser = database.connect(Role::Superuser).await;
    let outcomes: BTreeSet<String> = Outcome::ALL.iter().map(ToString::to_string).collect();
    let reasons: BTreeSet<String> = Reason::ALL.iter().map(ToString::to_string).collect();
    let statuses: BTreeSet<String> = Status::ALL.iter().map(ToString::to_string).collect();
    let with = |words: &BTreeSet<String>, more: &[&str]| {
        words.iter().cloned().chain(more.iter().map(ToString::to_string)).collect::<BTreeSet<_>>()
    };
    for (constraint, words) in [
        ("event_outcome", outcomes.clone()),
        ("delivery_outcome", with(&outcomes, &["hit", "refused"])),
        ("event_reason", &reasons | &outcomes),
        ("delivery_reason", with(&(&reasons | &outcomes), &["hit", "refused"])),
        ("event_status_status", statuses.clone()),
        ("event_status_reason", &reasons | &statuses),
        ("event_status_cause", with(&BTreeSet::new(), &["delivery", "action"])),
        ("operator_effect_status", statuses),
        ("operator_action_kind", ActionKind::ALL.iter().map(ToString::to_string).collect()),
        ("event_transaction_role", with(&BTreeSet::new(), &["first", "describer", "conflict"])),
    ] {
        let statement = "SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conname = $1";
        let definition: String = superuser.query_one(statement, &[&constraint]).await.unwrap().get(0);
        assert_eq!(quoted(&definition), words, "{constraint}");
    }
    // And each reason goes with its outcome alone.
    for reason in Reason::ALL {
        for outcome in Outcome::ALL {
            let insert = format!(
                "INSERT INTO countersign.event (source, provider, provider_account, livemode, event_id, event_type,
                   own_account, occurred_at, fingerprint, fingerprint_version, payload, keep_list_version, outcome, reason)
                 VALUES ('stripe', 'stripe', 'acct_dev', false, 'evt_{reason}', 't', 'acct_dev', now(), sha256(''), 1, '{{}}', 1,
                   '{outcome}', '{reason}')"
            );
            let taken = crate::refusal(&superuser, &insert).await.is_none();
            assert_eq!(taken, reason.outcome() == outcome, "{reason} {outcome}");
        }
    }
    database.close().await;
}
