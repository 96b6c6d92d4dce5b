//! The admin listener: `/livez`, `/readyz`, `/metrics`, apart from the public one.

use core::fmt;
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex, PoisonError};

use actix_web::dev::{Server, ServerHandle};
use actix_web::http::header::CONTENT_TYPE;
use actix_web::{App, HttpResponse, HttpServer, web};
use handle::BoxFuture;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;
use serde_json::{Map, Value, json};
use tokio::task::JoinHandle;

/// One dependency and whether it answers; the text says what is wrong, without secrets.
pub type Dependency = (&'static str, Result<(), String>);

/// Asks the dependencies.
pub type Readiness = Arc<dyn Fn() -> BoxFuture<'static, Vec<Dependency>> + Send + Sync>;

/// The metrics of a service, registered once at start.
pub type Metrics = Arc<Mutex<Registry>>;

/// What was built, where whoever built it said so.
const REVISION: &str = match option_env!("COUNTERSIGN_REVISION") {
    Some(revision) => revision,
    None => "unknown",
};

/// A bound admin listener.
#[derive(Debug)]
pub struct Admin {
    /// Where it listens; the port is the real one also when 0 was asked for.
    pub address: SocketAddr,
    listener: TcpListener,
}

impl Admin {
    /// Binds.
    pub fn bind(address: SocketAddr) -> std::io::Result<Self> {
        let listener = TcpListener::bind(address)?;
        Ok(Self { address: listener.local_addr()?, listener })
    }

    /// Serves on one worker, in a task of the current runtime.
    pub fn serve(self, registry: Registry, readiness: Readiness) -> std::io::Result<Serving> {
        self.serve_with(registry, readiness, |_| {})
    }

    /// The same, and what else the service answers here.
    pub fn serve_with(
        self,
        registry: Registry,
        readiness: Readiness,
        more: impl Fn(&mut web::ServiceConfig) + Clone + Send + 'static,
    ) -> std::io::Result<Serving> {
        let mut registry = registry;
        let build = Info::new([("version", env!("CARGO_PKG_VERSION")), ("revision", REVISION)]);
        registry.register("countersign_build", "What this process was built from", build);
        let metrics: Metrics = Arc::new(Mutex::new(registry));
        let server = HttpServer::new(move || {
            App::new()
                .configure(more.clone())
                .app_data(web::Data::new(Arc::clone(&metrics)))
                .app_data(web::Data::new(Arc::clone(&readiness)))
                .route("/livez", web::get().to(livez))
                .route("/readyz", web::get().to(readyz))
                .route("/metrics", web::get().to(metrics_text))
        });
        Ok(Serving::spawn(
            server.workers(1).disable_signals().shutdown_timeout(1).listen(self.listener)?.run(),
        ))
    }
}

/// A listener being served.
pub struct Serving {
    handle: ServerHandle,
    ended: JoinHandle<std::io::Result<()>>,
}

impl fmt::Debug for Serving {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Serving")
    }
}

impl Serving {
    /// Serves in a task of the current runtime.
    pub fn spawn(server: Server) -> Self {
        Self { handle: server.handle(), ended: tokio::runtime::Handle::current().spawn(server) }
    }

    /// Completes when serving ends by itself, which it should not.
    pub async fn failed(&mut self) -> std::io::Error {
        match (&mut self.ended).await {
            Ok(Err(error)) => error,
            Ok(Ok(())) => std::io::Error::other("the listener ended by itself"),
            Err(panicked) => std::io::Error::other(panicked),
        }
    }

    /// Takes no new connection and waits for the requests in hand, as long as the server's shutdown timeout.
    pub async fn stop(&self) {
        self.handle.stop(true).await;
    }
}

async fn livez() -> HttpResponse {
    HttpResponse::Ok().body("ok\n")
}

async fn readyz(readiness: web::Data<Readiness>) -> HttpResponse {
    let dependencies = readiness().await;
    let ready = dependencies.iter().all(|(_, state)| state.is_ok());
    let details: Map<String, Value> = dependencies
        .into_iter()
        .map(|(name, state)| (name.to_owned(), Value::from(state.err().unwrap_or_else(|| "ok".to_owned()))))
        .collect();
    let body = json!({ "ready": ready, "dependencies": details });
    if ready { HttpResponse::Ok().json(body) } else { HttpResponse::ServiceUnavailable().json(body) }
}

async fn metrics_text(metrics: web::Data<Metrics>) -> HttpResponse {
    let mut text = String::new();
    let registry = metrics.lock().unwrap_or_else(PoisonError::into_inner);
    match encode(&mut text, &registry) {
        Ok(()) => HttpResponse::Ok()
            .insert_header((CONTENT_TYPE, "application/openmetrics-text; version=1.0.0; charset=utf-8"))
            .body(text),
        Err(error) => HttpResponse::InternalServerError().body(error.to_string()),
    }
}
