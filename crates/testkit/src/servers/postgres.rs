//! A Postgres database for each test, cloned from a migrated template.

use core::sync::atomic::{AtomicBool, Ordering};
use std::fmt::Write as _;

use sha2::{Digest, Sha256};
use tokio::sync::OnceCell;
pub use tokio_postgres::Client as Connected;
use tokio_postgres::{Client, NoTls};

/// Says how to reach another server than the development one.
const URL_VARIABLE: &str = "COUNTERSIGN_TEST_POSTGRES_URL";

/// Any number that nobody else on the server locks.
const TEMPLATE_LOCK: i64 = 0x0074_656d_706c_6174;

/// A database of one test: migrated, empty, dropped when it goes out of scope.
///
/// Its names tell their age, so that what a killed test left behind is dropped an hour later by another one.
#[derive(Debug)]
pub struct Database {
    name: String,
    damaged: AtomicBool,
    open: bool,
}

/// Whom to connect as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Passes every privilege, and no trigger.
    Superuser,
    /// Who records.
    Processor,
    /// Who checks.
    Auditor,
    /// Who reads for people.
    Operator,
}

impl Role {
    /// The three roles of services and people.
    pub const SERVICES: [Self; 3] = [Self::Processor, Self::Auditor, Self::Operator];

    fn user(self) -> Option<&'static str> {
        match self {
            Self::Superuser => None,
            Self::Processor => Some("countersign_processor"),
            Self::Auditor => Some("countersign_auditor"),
            Self::Operator => Some("countersign_operator"),
        }
    }
}

impl Database {
    /// With the schema and nothing in it. Panics when there is no server: a missing server never skips a test.
    pub async fn create() -> Self {
        static TEMPLATE: OnceCell<String> = OnceCell::const_new();
        let template = TEMPLATE.get_or_init(template).await;
        let database = Self::clone_of(template).await;
        // Settings of roles belong to a database and are not copied with it.
        ledger_postgres::migrate(&database.url(Role::Superuser)).await.expect("migrate the clone");
        database
    }

    /// Without any schema.
    pub async fn empty() -> Self {
        Self::clone_of("template0").await
    }

    async fn clone_of(template: &str) -> Self {
        let server = connect(&server_url()).await;
        let row = server
            .query_one(
                "SELECT 'countersign_test_' || extract(epoch FROM now())::BIGINT || '_' || left(md5(random()::TEXT), 12)",
                &[],
            )
            .await
            .unwrap();
        let name: String = row.get(0);
        server.batch_execute(&format!("CREATE DATABASE {name} TEMPLATE {template}")).await.unwrap();
        Self { name, damaged: AtomicBool::new(false), open: true }
    }

    /// Its name on the server.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where it is, for this role.
    pub fn url(&self, role: Role) -> String {
        database_url(&self.name, role)
    }

    /// A connection of this role, driven by a task of the calling test's runtime.
    pub async fn connect(&self, role: Role) -> Client {
        connect(&self.url(role)).await
    }

    /// What is in it contradicts itself on purpose: leaving checks nothing.
    pub fn damaged(&self) {
        self.damaged.store(true, Ordering::SeqCst);
    }

    /// Checks that the books hold together, then drops the database. The end of every test that writes to it.
    pub async fn close(mut self) {
        if !self.damaged.load(Ordering::SeqCst) {
            audit(&self.connect(Role::Superuser).await).await;
        }
        drop_database(&self.name).await;
        self.open = false;
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        if !self.open {
            return;
        }
        // The runtime of the test is being torn down: a thread with its own.
        let name = core::mem::take(&mut self.name);
        let dropping = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(drop_database(&name));
        });
        // A test that panics must not panic again while it unwinds; the next hour's test drops what is left.
        drop(dropping.join());
    }
}

/// What must be true of any books: each transaction is whole and balanced, whatever stands booked has one, and nothing else.
async fn audit(client: &Client) {
    let row = client.query_one("SELECT to_regclass('countersign.journal') IS NOT NULL", &[]).await.unwrap();
    if !row.get::<_, bool>(0) {
        return;
    }
    let findings = client
        .query(
            "SELECT 'transaction ' || movement_key || ' is not whole or not balanced'
             FROM countersign.transaction
             WHERE legs <> (SELECT count(*) FROM countersign.entry WHERE transaction_id = transaction.id)
               OR EXISTS (
                 SELECT FROM countersign.entry WHERE transaction_id = transaction.id
                 GROUP BY currency HAVING sum(amount_minor) <> 0)
             UNION ALL
             SELECT 'event ' || event_id || ' is ' || standing.status || ', its transactions say otherwise'
             FROM countersign.event
             JOIN countersign.event_standing AS standing ON standing.event_row = event.id
             WHERE (standing.status = 'booked') <> EXISTS (
               SELECT FROM countersign.event_transaction AS link
               WHERE link.event_row = event.id AND role IN ('first', 'describer'))",
            &[],
        )
        .await
        .unwrap();
    let findings: Vec<String> = findings.iter().map(|row| row.get(0)).collect();
    assert!(findings.is_empty(), "the books do not hold together: {findings:?}");
}

/// The name of the migrated database that tests are cloned from, made by whoever comes first. Its name tells which
/// migrations it has.
async fn template() -> String {
    let mut hash = Sha256::new();
    for text in ledger_postgres::migration_texts() {
        hash.update(text.len().to_be_bytes());
        hash.update(text);
    }
    let mut name = String::from("countersign_template_");
    for byte in &hash.finalize()[..8] {
        write!(name, "{byte:02x}").unwrap();
    }

    let server = connect(&server_url()).await;
    server.execute("SELECT pg_advisory_lock($1)", &[&TEMPLATE_LOCK]).await.unwrap();
    drop_leftovers(&server).await;
    let found =
        server.query_opt("SELECT datistemplate FROM pg_database WHERE datname = $1", &[&name]).await.unwrap();
    // Marked as a template only when complete: without the mark it is what somebody did not finish.
    if !found.is_some_and(|row| row.get(0)) {
        server.batch_execute(&format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)")).await.unwrap();
        server.batch_execute(&format!("CREATE DATABASE {name} TEMPLATE template0")).await.unwrap();
        ledger_postgres::migrate(&database_url(&name, Role::Superuser)).await.expect("migrate the template");
        server
            .batch_execute(&format!("ALTER DATABASE {name} IS_TEMPLATE true ALLOW_CONNECTIONS false"))
            .await
            .unwrap();
    }
    name
}

async fn drop_leftovers(server: &Client) {
    let names = server
        .query(
            "SELECT datname FROM pg_database
             WHERE datname ~ '^countersign_test_[0-9]{10}_'
               AND split_part(datname, '_', 3)::BIGINT < extract(epoch FROM now() - INTERVAL '1 hour')",
            &[],
        )
        .await
        .unwrap();
    for row in names {
        let name: String = row.get(0);
        server.batch_execute(&format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)")).await.unwrap();
    }
}

async fn drop_database(name: &str) {
    let server = connect(&server_url()).await;
    server.batch_execute(&format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)")).await.unwrap();
}

/// `postgres://user[:password]@host:port/database` of a superuser.
fn server_url() -> String {
    #[expect(
        clippy::disallowed_methods,
        reason = "tests have no configuration; the home of their environment is here"
    )]
    let variable = |name| std::env::var(name).ok();
    variable(URL_VARIABLE).unwrap_or_else(|| {
        let offset =
            variable("COUNTERSIGN_PORT_OFFSET").map_or(0, |text| text.parse().expect("a port offset"));
        format!("postgres://postgres@127.0.0.1:{}/postgres", 55432_u16.checked_add(offset).expect("a port"))
    })
}

fn database_url(database: &str, role: Role) -> String {
    let server = server_url();
    let (scheme, rest) = server.split_once("://").expect("a URL");
    let (user, host) = rest.split_once('@').expect("a URL with a user");
    let (address, parameters) =
        host.split_once('?').map_or((host, String::new()), |(a, p)| (a, format!("?{p}")));
    let address = address.split_once('/').map_or(address, |(address, _)| address);
    format!("{scheme}://{}@{address}/{database}{parameters}", role.user().unwrap_or(user))
}

async fn connect(url: &str) -> Client {
    try_connect(url).await.unwrap_or_else(|error| {
        let cause = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
        panic!("no Postgres at {url} ({error}: {cause}): start it with deploy/dev/servers.sh start")
    })
}

/// A connection to a server that may be down, driven by a task of the calling runtime.
pub async fn try_connect(url: &str) -> Result<Connected, tokio_postgres::Error> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
    #[expect(
        clippy::disallowed_methods,
        reason = "a test's own connection lives as long as the test's runtime"
    )]
    tokio::spawn(async move { drop(connection.await) });
    Ok(client)
}
