//! Metrics and health of an auditor in this process.

use core::time::Duration;
use std::net::SocketAddr;

use auditor::{App, Config};
use handle::{BoxFuture, Executor, Handle};
use money::UnixMillis;
use runtime::{Stop, TokioExecutor};
use testkit::servers::postgres::{Database, Role};

use crate::alerts::away::{come_back, go_away};
use crate::books::{balanced, damage, heal, superuser};

const DEADLINE: Duration = Duration::from_secs(30);

pub(crate) fn config(database_url: String) -> Config {
    Config {
        admin_listen: SocketAddr::from(([127, 0, 0, 1], 0)),
        database_url: database_url.into(),
        database_tls: runtime::sections::Tls::default(),
        every: Duration::from_millis(200),
        full: auditor::Schedule::default(),
        head_file: None,
        tail_rows: 10_000,
        limits: audit::Limits::default(),
        audit_token: None,
        alerts: auditor::alert::Settings::default(),
        drain: Duration::from_secs(5),
        telemetry: runtime::sections::Telemetry::default(),
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
    while_auditing_with(&config(database_url), test).await;
}

/// The same with this configuration.
pub(crate) async fn while_auditing_with(config: &Config, test: impl AsyncFnOnce(SocketAddr)) {
    let handle = TokioExecutor::handle();
    let app = App::bind(config, handle).unwrap();
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
            "ledger_oldest_undecided_age_seconds 0",
            "ledger_unbooked 0",
            "ledger_oldest_unbooked_age_seconds 0",
            "ledger_ingress_heard_age_seconds 0",
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
        let build = concat!("countersign_build_info{version=\"", env!("CARGO_PKG_VERSION"), "\",revision=\"");
        assert!(metrics.contains(build), "{metrics}");
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

#[tokio::test]
async fn what_waits_is_not_told_from_memory_while_the_books_cannot_be_read() {
    let database = balanced().await;
    while_auditing(database.url(Role::Auditor), async |address| {
        until_metrics(address, &["ledger_unbooked 0", "ledger_oldest_unbooked_age_seconds 0"]).await;
        go_away(&database).await;
        let handle = TokioExecutor::handle();
        let told = |metrics: &str, name: &str| metrics.lines().any(|line| line.starts_with(name));
        let forgotten = handle.within(DEADLINE, async {
            while told(&fetch(address, "/metrics").await.1, "ledger_unbooked") {
                handle.sleep(Duration::from_millis(20)).await;
            }
        });
        forgotten.await.unwrap();
        let metrics = fetch(address, "/metrics").await.1;
        for name in ["ledger_undecided", "ledger_oldest", "ledger_ingress_heard"] {
            assert!(!told(&metrics, name), "{metrics}");
        }
        // The verdict stands, with the time that it is of.
        assert!(told(&metrics, "ledger_balance_check_status{livemode=\"true\"} 1"), "{metrics}");
        come_back(&database).await;
        until_metrics(address, &["ledger_unbooked 0", "ledger_ingress_heard_age_seconds 0"]).await;
    })
    .await;
    database.close().await;
}

#[tokio::test]
async fn the_head_is_published_and_a_chain_without_it_is_a_finding_that_is_not_published_over() {
    let database = balanced().await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("head");
    let config = Config { head_file: Some(path.clone()), ..config(database.url(Role::Auditor)) };
    while_auditing_with(&config, async |address| {
        until_metrics(
            address,
            &["auditor_checkpoint_height 1", "auditor_findings_open{check=\"continuity\"} 0"],
        )
        .await;
        let line = std::fs::read_to_string(&path).unwrap();
        let digest = line.split_whitespace().nth(2).unwrap().to_owned();
        assert_eq!((line.lines().count(), digest.len()), (1, 64));
        until_metrics(address, &[&format!("auditor_checkpoint_head{{digest=\"{digest}\"}} 1")]).await;

        // The newest checkpoint is deleted, and with it the witness in the database; the file remembers.
        database.damaged();
        superuser(
            &database,
            "ALTER TABLE countersign.checkpoint DISABLE TRIGGER append_only;
             DELETE FROM countersign.checkpoint;
             ALTER TABLE countersign.checkpoint ENABLE ALWAYS TRIGGER append_only",
        )
        .await;
        until_metrics(address, &["auditor_findings_open{check=\"continuity\"} 1"]).await;
        assert_eq!(std::fs::read_to_string(&path).unwrap(), line);
    })
    .await;
    database.close().await;
}

/// The real executor with another wall clock.
struct Shifted {
    real: Handle,
    by_ms: i64,
}

impl Executor for Shifted {
    fn now(&self) -> UnixMillis {
        self.real.now().plus_ms(self.by_ms)
    }

    fn monotonic(&self) -> Duration {
        self.real.monotonic()
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        self.real.sleep(duration)
    }

    fn spawn(&self, name: &'static str, task: BoxFuture<'static, ()>) {
        drop(self.real.spawn(name, task));
    }

    fn fill_random(&self, bytes: &mut [u8]) {
        bytes.fill_with(|| self.real.random::<1>()[0]);
    }
}

#[tokio::test]
async fn a_full_run_comes_at_two_in_the_morning() {
    let database = balanced().await;
    let real = TokioExecutor::handle();
    // Half a second before two o'clock.
    let almost: jiff::Timestamp = "2026-11-22T01:59:59.5Z".parse().unwrap();
    let by_ms = almost.as_millisecond() - real.now().0;
    let app =
        App::bind(&config(database.url(Role::Auditor)), Handle::new(Shifted { real: real.clone(), by_ms }))
            .unwrap();
    let (address, stop) = (app.admin_address, Stop::default());
    let (ended, ()) = tokio::join!(app.run(stop.clone()), async {
        let two = almost.as_second() + 1;
        let shown = real.within(DEADLINE, async {
            loop {
                let metrics = fetch(address, "/metrics").await.1;
                let full = metrics
                    .lines()
                    .find_map(|line| line.strip_prefix("auditor_last_full_timestamp_seconds "));
                match full.map(|at| at.parse::<i64>().unwrap()) {
                    Some(at) if at >= two => return,
                    Some(_) | None => real.sleep(Duration::from_millis(50)).await,
                }
            }
        });
        shown.await.unwrap();
        stop.soft.cancel();
    });
    ended.unwrap();
    let runs = "SELECT count(*) FILTER (WHERE kind = 'full'), count(*) > 1 FROM countersign.audit_run";
    let row = database.connect(Role::Superuser).await.query_one(runs, &[]).await.unwrap();
    assert_eq!((row.get::<_, i64>(0), row.get::<_, bool>(1)), (1, true));
    database.close().await;
}
