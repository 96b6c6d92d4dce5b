//! What each command reads of the configuration: its own section, and nothing that it does not need, so that an
//! operator need not be able to read the secrets of the services.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use core::time::Duration;

use audit_postgres::HeadFile;
use runtime::config::{Document, Problems};
use runtime::sections::{self, Source, Tls};
use runtime::telemetry::TraceUrl;
use secrecy::{ExposeSecret as _, SecretString};

/// Every section that some program reads.
const SECTIONS: [&str; 10] = [
    "ingress",
    "processor",
    "auditor",
    "operator",
    "postgres",
    "redis",
    "replay",
    "rabbitmq",
    "sources",
    "telemetry",
];

/// A database: its URL and what TLS to it takes.
#[derive(Debug)]
pub(crate) struct Database {
    /// With the account, and maybe a password.
    pub(crate) url: SecretString,
    /// Whom to trust and as whom to appear; the keys stand in `[postgres]` for every account.
    pub(crate) tls: Tls,
}

/// `[postgres] url`: the database, as whoever migrates.
pub(crate) fn owner() -> Result<Database, Problems> {
    let mut document = only(&["postgres"])?;
    let database = document
        .section("postgres", |s| Database { url: sections::database_url(s, "url"), tls: sections::tls(s) });
    document.finish()?;
    Ok(database)
}

/// `[operator] database_url`: the database, as an operator.
pub(crate) fn operator() -> Result<Database, Problems> {
    let mut document = only(&["operator", "postgres"])?;
    let tls = sections::postgres_tls(&mut document);
    let url = document.section("operator", |s| sections::database_url(s, "database_url"));
    document.finish()?;
    Ok(Database { url, tls })
}

/// What reading of events takes.
#[derive(Debug)]
pub(crate) struct Reading {
    /// The database, as an operator.
    pub(crate) database: Database,
    /// Where traces are shown, if anywhere.
    pub(crate) trace_url: Option<TraceUrl>,
}

/// `[operator] database_url` and `[telemetry] trace_url`.
pub(crate) fn reading() -> Result<Reading, Problems> {
    let mut document = only(&["operator", "postgres", "telemetry"])?;
    let tls = sections::postgres_tls(&mut document);
    let url = document.section("operator", |s| sections::database_url(s, "database_url"));
    let trace_url = sections::telemetry(&mut document).trace_url;
    document.finish()?;
    Ok(Reading { database: Database { url, tls }, trace_url })
}

/// What acting takes.
#[derive(Debug)]
pub(crate) struct Acting {
    /// The database, as an operator.
    pub(crate) database: Database,
    /// The bus, looked at and never declared.
    pub(crate) bus: bus_rabbitmq::Settings,
}

/// `[operator] database_url` and `[rabbitmq]`.
pub(crate) fn acting() -> Result<Acting, Problems> {
    let mut document = only(&["operator", "postgres", "rabbitmq"])?;
    let tls = sections::postgres_tls(&mut document);
    let url = document.section("operator", |s| sections::database_url(s, "database_url"));
    let rabbitmq = sections::rabbitmq(&mut document);
    let address = rabbitmq.url.expose_secret().parse::<bus_rabbitmq::Address>();
    document.finish()?;
    let address = address.map_err(|invalid| Problems(vec![format!("rabbitmq.url: {invalid}")]))?;
    let bus = bus_rabbitmq::Settings {
        tls: rabbitmq.tls,
        declare: bus_rabbitmq::Declare::Passive,
        confirm_deadline: Duration::from_millis(rabbitmq.confirm_timeout_ms),
        ..bus_rabbitmq::Settings::new(address, "countersign")
    };
    Ok(Acting { database: Database { url, tls }, bus })
}

/// What auditing takes.
#[derive(Debug)]
pub(crate) struct Auditing {
    /// The database, as the auditor, with the limits that the service has.
    pub(crate) store: audit_postgres::Settings,
    /// Where the head of the chain is published, if anywhere.
    pub(crate) head_file: Option<HeadFile>,
}

/// `[auditor]`: what decides about a verdict.
pub(crate) fn auditor() -> Result<Auditing, Problems> {
    let mut document = only(&["auditor", "postgres"])?;
    let tls = sections::postgres_tls(&mut document);
    let auditing = document.section("auditor", |s| {
        let url = sections::database_url(s, "database_url");
        let store = audit_postgres::Settings {
            tls,
            limits: audit::Limits::read(|key, default, range| s.integer(key, default, range)),
            tail_rows: s.integer("tail_rows", 10_000, 0..=10_000_000),
            ..audit_postgres::Settings::new(url.expose_secret())
        };
        let head_file = s.path_or("head_file", HeadFile::DEFAULT_PATH).map(HeadFile::new);
        s.leave_rest();
        Auditing { store, head_file }
    });
    document.finish()?;
    Ok(auditing)
}

/// What sending needs.
#[derive(Debug)]
pub(crate) struct Sending {
    /// Where the ingress listens, as a client on this machine reaches it.
    pub(crate) ingress: SocketAddr,
    /// The sources.
    pub(crate) sources: Vec<Source>,
}

/// `[ingress] listen` and `[sources]`.
pub(crate) fn sending() -> Result<Sending, Problems> {
    let mut document = only(&["ingress", "sources"])?;
    let default = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8080);
    let listen = document.section("ingress", |s| {
        let listen = s.address("listen", default);
        s.leave_rest();
        listen
    });
    let sources = sections::sources(&mut document);
    document.finish()?;
    Ok(Sending { ingress: reachable(listen), sources })
}

fn only(sections: &[&str]) -> Result<Document, Problems> {
    let mut document = Document::load(None)?;
    let others: Vec<&str> = SECTIONS.into_iter().filter(|section| !sections.contains(section)).collect();
    document.skip(&others);
    Ok(document)
}

/// Who listens everywhere is reached on this machine's loopback.
fn reachable(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        IpAddr::V4(_) | IpAddr::V6(_) => listen.ip(),
    };
    SocketAddr::new(ip, listen.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_listens_everywhere_is_reached_on_loopback() {
        for (listen, reached) in
            [("0.0.0.0:1", "127.0.0.1:1"), ("[::]:1", "[::1]:1"), ("10.0.0.7:1", "10.0.0.7:1")]
        {
            assert_eq!(reachable(listen.parse().unwrap()), reached.parse().unwrap());
        }
    }
}
