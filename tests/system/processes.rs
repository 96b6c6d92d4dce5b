use std::net::SocketAddr;
use std::process::Command;

use countersign_tests::{Process, System, now_s};
use serde_json::Value;
use testkit::servers::postgres::Role;
use testkit::stripe;

#[tokio::test(flavor = "multi_thread")]
async fn each_service_stops_in_order_on_sigterm() {
    let system = System::new().await;
    let mut services: Vec<Process> = Vec::new();
    for service in ["ingress", "processor", "auditor"] {
        services.push(Process::start(&system, service, &[]));
    }
    let ingress = services[0].address("address").await;
    for service in &services {
        system.ready(service.address("admin").await).await;
    }
    let body = stripe::event("evt_1", "charge.succeeded", now_s(), &stripe::charge("ch_1", 1000));
    assert_eq!(system.post(ingress, &body).await.word(), "accepted");
    system.recorded(1).await;
    for service in &mut services {
        service.terminate();
        let status = service.ended().await;
        assert!(status.success(), "{status}: {}", service.log());
        assert!(service.log().contains("Stopped"), "{}", service.log());
    }
    system.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_configuration_with_three_mistakes_names_all_three() {
    let system = System::new().await;
    for service in ["ingress", "processor", "auditor"] {
        let mistakes = [
            (format!("COUNTERSIGN_CFG__{}__ADMIN_LISTEN", service.to_uppercase()), "nowhere"),
            (format!("COUNTERSIGN_CFG__{}__COLOUR", service.to_uppercase()), "blue"),
            ("COUNTERSIGN_CFG__WEATHER__TODAY".to_owned(), "fine"),
        ];
        let mistakes: Vec<(&str, &str)> =
            mistakes.iter().map(|(name, value)| (name.as_str(), *value)).collect();
        let mut process = Process::start(&system, service, &mistakes);
        assert_eq!(process.ended().await.code(), Some(64));
        for named in ["admin_listen", "colour", "weather"] {
            assert!(process.log().contains(named), "{named}: {}", process.log());
        }
    }
    system.close().await;
}

/// The operator's tool, with the configuration of `system` and a way to its books.
pub(crate) fn countersign(system: &System, arguments: &[&str]) -> (Option<i32>, Value, String) {
    let config = system.folder().join("operator.toml");
    let operator = system.database.url(Role::Operator);
    let text = format!("{}[operator]\ndatabase_url = \"{operator}\"\n", system.config_text());
    std::fs::write(&config, text).unwrap();
    let test = std::env::current_exe().unwrap();
    let mut command = Command::new(test.ancestors().nth(2).unwrap().join("countersign"));
    let output = command.env("COUNTERSIGN_CONFIG", config).args(arguments).arg("--json").output().unwrap();
    let said = serde_json::from_slice(&output.stdout).unwrap_or(Value::Null);
    (output.status.code(), said, String::from_utf8(output.stderr).unwrap())
}

/// Has what is parked released by an operator.
pub(crate) fn release(system: &System, arguments: &[&str]) {
    let (code, released, stderr) = countersign(system, &[&["release"], arguments].concat());
    assert_eq!((code, stderr.as_str()), (Some(0), ""), "{released}");
}

/// An ingress and a processor, as processes of their own.
async fn running(system: &System) -> (SocketAddr, [Process; 2]) {
    let services = ["ingress", "processor"].map(|service| Process::start(system, service, &[]));
    for service in &services {
        system.ready(service.address("admin").await).await;
    }
    (services[0].address("address").await, services)
}

fn charge(n: i64, created_s: i64) -> String {
    let shown = stripe::charge(&format!("ch_{n}"), 1000);
    stripe::event(&format!("evt_{n}"), "charge.succeeded", created_s, &shown)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stale_event_is_parked_released_by_one_command_and_booked_once() {
    let system = System::new().await;
    let (ingress, _services) = running(&system).await;
    let stale = charge(1, now_s() - 600);
    let refused = system.post(ingress, &stale).await;
    assert_eq!((refused.status, refused.word()), (400, "event-too-old"), "{refused:?}");
    system.recorded(1).await;
    let (_, events, _) = countersign(&system, &["events", "--status", "parked"]);
    assert_eq!(events["events"][0]["reason"], "event-too-old", "{events}");
    assert_eq!(events["parked"][0]["amount_minor"], 1000, "{events}");
    assert_eq!(system.count("SELECT FROM countersign.transaction").await, 0);

    let release = ["release", "evt_1", "--reason", "the provider was late"];
    let (code, released, stderr) = countersign(&system, &release);
    assert_eq!((code, stderr.as_str()), (Some(0), ""), "{released}");
    assert_eq!(
        (&released[0]["parked_for"], &released[0]["status"]),
        (&"event-too-old".into(), &"booked".into())
    );
    // Again, and again by the provider: nothing more.
    let (code, again, _) = countersign(&system, &release);
    assert_eq!((code, &again[0]["status"], &again[0]["action"]), (Some(0), &"booked".into(), &Value::Null));
    system.told(ingress, &stale).await;
    let fresh = charge(1, now_s());
    assert_eq!(system.post(ingress, &fresh).await.word(), "replayed");
    assert_eq!(system.count("SELECT FROM countersign.transaction").await, 1);
    assert_eq!(system.count("SELECT FROM countersign.operator_action").await, 1);
    let (_, story, _) = countersign(&system, &["event", "evt_1"]);
    assert_eq!(story["events"][0]["actions"][0]["reason"], "the provider was late", "{story}");
    system.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outage_of_the_ingress_is_made_good_by_one_release() {
    const MISSED: i64 = 25;
    let system = System::new().await;
    let (ingress, _services) = running(&system).await;
    // What was made while nobody answered comes when it is six minutes old and more; and something fresh in between.
    for n in 0..MISSED {
        let late = system.post(ingress, &charge(n, now_s() - 360 - n)).await;
        assert_eq!(late.word(), "event-too-old", "{late:?}");
    }
    assert_eq!(system.post(ingress, &charge(MISSED, now_s())).await.word(), "accepted");
    system.recorded(MISSED + 1).await;
    let release = ["release", "--refusal", "event-too-old", "--since", "1h", "--reason", "our outage"];
    let (code, released, stderr) = countersign(&system, &release);
    assert_eq!((code, stderr.as_str()), (Some(0), ""), "{released}");
    let released = released.as_array().unwrap();
    assert_eq!(released.len(), usize::try_from(MISSED).unwrap());
    assert!(released.iter().all(|each| each["status"] == "booked"), "{released:?}");
    assert_eq!(system.count("SELECT FROM countersign.transaction").await, MISSED + 1);
    let (code, again, _) = countersign(&system, &release);
    assert_eq!((code, again), (Some(1), serde_json::json!([])), "nothing is left to release");
    system.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_dismissed_is_put_away_and_never_booked() {
    let system = System::new().await;
    let (ingress, _services) = running(&system).await;
    let stale = charge(1, now_s() - 600);
    assert_eq!(system.post(ingress, &stale).await.word(), "event-too-old");
    system.recorded(1).await;
    let (code, dismissed, stderr) = countersign(&system, &["dismiss", "evt_1", "--reason", "a test of ours"]);
    assert_eq!((code, stderr.as_str()), (Some(0), ""), "{dismissed}");
    assert_eq!(dismissed[0]["status"], "dismissed");
    let (code, released, _) = countersign(&system, &["release", "evt_1", "--reason", "on second thoughts"]);
    assert_eq!((code, &released[0]["status"]), (Some(0), &"dismissed".into()), "{released}");
    assert_eq!(system.count("SELECT FROM countersign.transaction").await, 0);
    system.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reused_id_is_released_by_its_delivery_and_booked_under_its_own_key() {
    let system = System::new().await;
    let (ingress, _services) = running(&system).await;
    assert_eq!(system.post(ingress, &charge(1, now_s())).await.word(), "accepted");
    let other = stripe::event("evt_1", "charge.succeeded", now_s(), &stripe::charge("ch_2", 700));
    let reused = system.post(ingress, &other).await;
    assert_eq!((reused.status, reused.word()), (409, "event-id-reused"), "{reused:?}");
    system.recorded(2).await;
    let (_, story, _) = countersign(&system, &["event", "evt_1"]);
    let evidence = &story["evidence"][0];
    assert_eq!(evidence["reason"], "event-id-reused", "{story}");
    let named = format!("{}:{}", evidence["instance"].as_str().unwrap(), evidence["sequence"]);
    let release = ["release", "--delivery", &named, "--reason", "the provider mended its ids"];
    let (code, released, stderr) = countersign(&system, &release);
    assert_eq!((code, stderr.as_str()), (Some(0), ""), "{released}");
    assert_eq!((&released[0]["name"], &released[0]["status"]), (&named.as_str().into(), &"booked".into()));
    let (code, again, _) = countersign(&system, &release);
    assert_eq!((code, &again[0]["status"]), (Some(0), &"booked".into()), "{again}");
    assert_eq!(system.count("SELECT FROM countersign.transaction").await, 2);
    system.close().await;
}
