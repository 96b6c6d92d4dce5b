//! The composition: the same for `main` and for tests on port 0.

use core::time::Duration;
use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Context as _;
use audit_postgres::{AuditStore, Settings};
use handle::Handle;
use prometheus_client::registry::Registry;
use runtime::Stop;
use runtime::admin::{Admin, Readiness, Serving};
use secrecy::ExposeSecret as _;

use crate::{Auditor, Config, Metrics};

/// An auditor with its admin listener bound and no run begun.
#[derive(Debug)]
pub struct App {
    /// Health and metrics.
    pub admin_address: SocketAddr,
    admin: Serving,
    auditor: Auditor,
    every: Duration,
}

impl App {
    /// Binds and composes; connects when the first run does.
    pub fn bind(config: &Config, handle: Handle) -> anyhow::Result<Self> {
        let settings = Settings {
            tls: config.database_tls.clone(),
            ..Settings::new(config.database_url.expose_secret())
        };
        let store = AuditStore::connect(&settings).context("open the books")?;
        let mut registry = Registry::default();
        let metrics = Metrics::register(&mut registry);
        let admin =
            Admin::bind(config.admin_listen).with_context(|| format!("bind {}", config.admin_listen))?;
        let admin_address = admin.address;
        let admin =
            admin.serve(registry, readiness(store.clone())).context("listen for health and metrics")?;
        let auditor = Auditor::new(store, metrics, handle);
        Ok(Self { admin_address, admin, auditor, every: config.every })
    }

    /// Audits until the soft stop; a run under way is finished, or given up at the hard one: it only reads.
    pub async fn run(mut self, stop: Stop) -> anyhow::Result<()> {
        let ended = tokio::select! {
            () = self.auditor.run_every(self.every, &stop.soft) => Ok(()),
            error = self.admin.failed() => Err(error).context("serve health and metrics"),
            () = stop.hard.cancelled() => {
                tracing::warn!("Stopped with a run under way; nothing is lost");
                Ok(())
            }
        };
        self.admin.stop().await;
        ended
    }
}

fn readiness(store: AuditStore) -> Readiness {
    Arc::new(move || {
        let store = store.clone();
        Box::pin(async move { vec![("postgres", store.ready().await.map_err(|error| error.to_string()))] })
    })
}
