//! Metrics and health of an auditor in this process.

use core::time::Duration;
use std::net::SocketAddr;

use auditor::{App, Config};
use runtime::{Stop, TokioExecutor};
use testkit::servers::postgres::{Database, Role};

use crate::books::{balanced, damage, heal};

const DEADLINE: Duration = Duration::from_secs(30);

fn config(database_url: String) -> Config {
    Config {
        admin_listen: SocketAddr::from(([127, 0, 0, 1], 0)),
        database_url: database_url.into(),
        database_tls: runtime::sections::Tls::default(),
        every: Duration::from_millis(200),
        drain: Duration::from_secs(5),
    }
}

async fn fetch(address: SocketAddr, path: &str) -> (u16, String) {
    let response = reqwest::get(format!("http://{address}{path}")).await.unwrap();
    (response.status().as_u16(), response.text().await.unwrap())
}

/// Waits until `/metrics` has all these lines; panics with what it has at the deadline.
async fn until_metrics(address: SocketAddr, lines: &[&str]) {
    let handle = TokioExecutor::handle();
    let mut last = String::new();
    let shown = handle.within(DEADLINE, async {
        loop {
            last = fetch(address, "/metrics").await.1;
            if lines.iter().all(|line| last.lines().any(|shown| shown == *line)) {
                return;
            }
            handle.sleep(Duration::from_millis(50)).await;
        }
    });
    let shown = shown.await;
    assert!(shown.is_some(), "never {lines:?} in:\n{last}");
}

/// Runs an auditor of the database while `test` looks at it.
async fn while_auditing(database_url: String, test: impl AsyncFnOnce(SocketAddr)) {
    let handle = TokioExecutor::handle();
    let app = App::bind(&config(database_url), handle).unwrap();
    let address = app.admin_address;
    let stop = Stop::default();
    let (ended, ()) = tokio::join!(app.run(stop.clone()), async {
        test(address).await;
        stop.soft.cancel();
    });
    ended.unwrap();
}

#[tokio::test]
async fn the_gauges_follow_the_books() {
    let database = balanced().await;
    while_auditing(database.url(Role::Auditor), async |address| {
        let balanced = [
            "ledger_balance_check_status{livemode=\"true\"} 1",
            "ledger_balance_check_status{livemode=\"false\"} 1",
            "ledger_imbalance_amount{currency=\"USD\",livemode=\"true\"} 0",
            "auditor_findings_open{check=\"balance\"} 0",
            "auditor_findings_open{check=\"transactions\"} 0",
        ];
        until_metrics(address, &balanced).await;
        assert_eq!(fetch(address, "/readyz").await.0, 200);

        damage(&database).await;
        let imbalanced = [
            "ledger_balance_check_status{livemode=\"true\"} 0",
            "ledger_balance_check_status{livemode=\"false\"} 1",
            "ledger_imbalance_amount{currency=\"USD\",livemode=\"true\"} 500",
            "auditor_findings_open{check=\"balance\"} 1",
            "auditor_findings_open{check=\"transactions\"} 1",
        ];
        until_metrics(address, &imbalanced).await;

        heal(&database).await;
        until_metrics(address, &balanced).await;
        let metrics = fetch(address, "/metrics").await.1;
        assert!(metrics.contains("auditor_runs_total{verdict=\"failed\"} 0"), "{metrics}");
        let at =
            metrics.lines().find_map(|line| line.strip_prefix("auditor_last_success_timestamp_seconds "));
        assert!(at.unwrap().parse::<i64>().unwrap() > 1_700_000_000);
    })
    .await;
    database.close().await;
}

#[tokio::test]
async fn an_auditor_that_cannot_read_says_so_and_nothing_about_the_books() {
    let database = Database::empty().await;
    while_auditing(database.url(Role::Superuser), async |address| {
        let handle = TokioExecutor::handle();
        let failed = handle.within(DEADLINE, async {
            while !fetch(address, "/metrics").await.1.contains("auditor_runs_total{verdict=\"failed\"} 2") {
                handle.sleep(Duration::from_millis(20)).await;
            }
        });
        failed.await.unwrap();
        let metrics = fetch(address, "/metrics").await.1;
        assert!(!metrics.contains("ledger_balance_check_status{"), "{metrics}");
        assert!(metrics.contains("auditor_last_success_timestamp_seconds 0"), "{metrics}");
        let (status, body) = fetch(address, "/readyz").await;
        assert_eq!(status, 503);
        assert!(body.contains("countersign migrate"), "{body}");
        assert_eq!(fetch(address, "/livez").await.0, 200);
    })
    .await;
    database.close().await;
}
