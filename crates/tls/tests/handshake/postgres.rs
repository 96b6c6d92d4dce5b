use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::Command;

use audit_postgres::AuditStore;
use ledger_postgres::{Applied, PostgresBooks, SCHEMA_VERSION, Settings, migrate_as};
use ports::BooksError;
use runtime::TokioExecutor;
use tls::Tls;

use crate::authority::Authority;
use crate::server::{Server, as_user, free_port, hand_over, run, until, until_listening};

const USER: &str = "postgres";

/// A database that is reached over TLS only, one that wants a client certificate too, and one in the clear only.
const RULES: &str = "local all all trust
hostssl encrypted all 127.0.0.1/32 trust
hostssl guarded all 127.0.0.1/32 trust clientcert=verify-ca
hostnossl plain all 127.0.0.1/32 trust
";

struct Postgres {
    authority: Authority,
    port: u16,
    _server: Server,
}

impl Postgres {
    async fn start() -> Self {
        let authority = Authority::new();
        let (folder, port) = (authority.folder().to_owned(), free_port());
        fs::set_permissions(authority.file("server.key"), fs::Permissions::from_mode(0o600)).unwrap();
        hand_over(&folder, USER);
        let programs = programs();
        let data = folder.join("data");
        let mut made = as_user(USER, programs.join("initdb").to_str().unwrap());
        run(made
            .args(["-U", USER, "--auth=trust", "--no-sync", "--encoding=UTF8", "--locale=C.UTF-8", "-D"])
            .arg(&data));
        fs::write(data.join("pg_hba.conf"), RULES).unwrap();
        let mut command = as_user(USER, programs.join("postgres").to_str().unwrap());
        command
            .arg("-D")
            .arg(&data)
            .args(["-h", "127.0.0.1", "-p", &port.to_string(), "-F", "-k"])
            .arg(&folder);
        for (key, file) in
            [("ssl_cert_file", "server.pem"), ("ssl_key_file", "server.key"), ("ssl_ca_file", "ca.pem")]
        {
            command.arg("-c").arg(format!("{key}={}", authority.file(file).display()));
        }
        command.args(["-c", "ssl=on"]);
        let server = Server::start(command, "INT", &authority.file("postgres.log"));
        until_listening(port).await;
        for name in ["encrypted", "guarded", "plain"] {
            let mut create = Command::new(programs.join("createdb"));
            create.arg("-h").arg(&folder).args(["-p", &port.to_string(), "-U", USER, name]);
            // It listens before it takes connections.
            until("the database is made", || create.output().unwrap().status.success()).await;
        }
        Self { authority, port, _server: server }
    }

    fn url(&self, database: &str) -> String {
        format!("postgres://{USER}:hunter2@localhost:{}/{database}", self.port)
    }

    fn settings(&self, database: &str, tls: Tls) -> Settings {
        Settings { tls, ..Settings::new(format!("{}?sslmode=verify-full", self.url(database))) }
    }

    async fn audited(&self, settings: &Settings) -> Result<(), String> {
        let settings = audit_postgres::Settings {
            tls: settings.tls.clone(),
            ..audit_postgres::Settings::new(settings.url.clone())
        };
        AuditStore::connect(&settings).unwrap().ready().await.map_err(|error| error.to_string())
    }
}

/// Distributions keep the server's programs out of the path, by version.
fn programs() -> PathBuf {
    let versions = fs::read_dir("/usr/lib/postgresql").unwrap();
    let mut folders: Vec<PathBuf> = versions.map(|version| version.unwrap().path().join("bin")).collect();
    folders.retain(|folder| folder.join("initdb").exists());
    folders.pop().expect("Postgres is installed")
}

#[tokio::test]
async fn the_books_over_tls_are_reached_with_their_authority() {
    let postgres = Postgres::start().await;
    let settings = postgres.settings("encrypted", postgres.authority.trusting("ca.pem"));
    assert_eq!(migrate_as(&settings).await, Ok(Applied { from: 0, to: SCHEMA_VERSION }));
    PostgresBooks::connect(&settings, TokioExecutor::handle()).await.unwrap();
    assert_eq!(postgres.audited(&settings).await, Ok(()));
    // In the clear it is not to be had, so all that was TLS.
    let clear = Settings::new(postgres.url("encrypted"));
    assert_eq!(migrate_as(&clear).await, Err(BooksError::Unavailable("SQLSTATE 28000".to_owned())));
    // The URL decides, not the files.
    let plain =
        Settings { tls: postgres.authority.trusting("wrong-ca.pem"), ..Settings::new(postgres.url("plain")) };
    assert_eq!(migrate_as(&plain).await, Ok(Applied { from: 0, to: SCHEMA_VERSION }));
    PostgresBooks::connect(&plain, TokioExecutor::handle()).await.unwrap();
    assert_eq!(postgres.audited(&plain).await, Ok(()));
}

#[tokio::test]
async fn a_postgres_that_the_named_authority_does_not_vouch_for_is_refused_and_file_and_host_are_named() {
    let postgres = Postgres::start().await;
    let settings = postgres.settings("encrypted", postgres.authority.trusting("wrong-ca.pem"));
    let refusals = [
        migrate_as(&settings).await.unwrap_err().to_string(),
        PostgresBooks::connect(&settings, TokioExecutor::handle()).await.unwrap_err().to_string(),
        postgres.audited(&settings).await.unwrap_err(),
    ];
    let file = postgres.authority.file("wrong-ca.pem").display().to_string();
    for refusal in refusals {
        assert!(refusal.contains(&file), "{refusal}");
        assert!(refusal.contains(&format!("localhost:{}", postgres.port)), "{refusal}");
        assert!(!refusal.contains("hunter2"), "{refusal}");
    }
}

#[tokio::test]
async fn a_postgres_that_wants_a_client_certificate_gets_it() {
    let postgres = Postgres::start().await;
    let settings = postgres.settings("guarded", postgres.authority.client());
    assert_eq!(migrate_as(&settings).await, Ok(Applied { from: 0, to: SCHEMA_VERSION }));
    assert_eq!(postgres.audited(&settings).await, Ok(()));
    // It asks for it only after the handshake, by its own rules, and says so by SQLSTATE.
    let settings = postgres.settings("guarded", postgres.authority.trusting("ca.pem"));
    assert_eq!(migrate_as(&settings).await, Err(BooksError::Unavailable("SQLSTATE 28000".to_owned())));
}
