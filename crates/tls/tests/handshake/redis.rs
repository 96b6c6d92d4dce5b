use core::time::Duration;
use std::process::Command;

use replay_redis::{RedisReplay, Settings};
use runtime::TokioExecutor;
use tls::Tls;

use crate::authority::Authority;
use crate::server::{Server, free_port, until_listening};

struct Redis {
    authority: Authority,
    encrypted: u16,
    plain: u16,
    _server: Server,
}

impl Redis {
    /// With two ports; `clients` is whether a client must show a certificate over TLS: `yes` or `no`.
    async fn start(clients: &str) -> Self {
        let authority = Authority::new();
        let (encrypted, plain) = (free_port(), free_port());
        let mut command = Command::new("redis-server");
        command.arg("--dir").arg(authority.folder()).args(["--save", "", "--bind", "127.0.0.1"]);
        command.args(["--port", &plain.to_string(), "--tls-port", &encrypted.to_string()]);
        command.arg("--tls-cert-file").arg(authority.file("server.pem"));
        command.arg("--tls-key-file").arg(authority.file("server.key"));
        command.arg("--tls-ca-cert-file").arg(authority.file("ca.pem")).args(["--tls-auth-clients", clients]);
        let server = Server::start(command, "KILL", &authority.file("redis.log"));
        until_listening(encrypted).await;
        Self { authority, encrypted, plain, _server: server }
    }

    /// What a claim would meet.
    async fn meets(url: String, tls: Tls) -> Result<(), String> {
        let settings = Settings {
            tls,
            budget: Duration::from_secs(10),
            ..Settings::new(url.into(), vec![7; 32].into())
        };
        let replay = RedisReplay::new(&settings, TokioExecutor::handle()).unwrap();
        replay.ready().await.map_err(|error| error.to_string())
    }

    fn encrypted(&self, host: &str) -> String {
        format!("rediss://{host}:{}", self.encrypted)
    }
}

#[tokio::test]
async fn redis_over_tls_is_reached_with_its_authority_and_in_the_clear_without_tls() {
    let redis = Redis::start("no").await;
    for host in ["localhost", "127.0.0.1"] {
        assert_eq!(Redis::meets(redis.encrypted(host), redis.authority.trusting("ca.pem")).await, Ok(()));
    }
    // Files change nothing: the URL decides.
    let plain = format!("redis://127.0.0.1:{}", redis.plain);
    assert_eq!(Redis::meets(plain, redis.authority.trusting("wrong-ca.pem")).await, Ok(()));
}

#[tokio::test]
async fn a_redis_that_the_named_authority_does_not_vouch_for_is_refused_and_file_and_host_are_named() {
    let redis = Redis::start("no").await;
    let refused = Redis::meets(redis.encrypted("localhost"), redis.authority.trusting("wrong-ca.pem")).await;
    let refused = refused.unwrap_err();
    let file = redis.authority.file("wrong-ca.pem").display().to_string();
    assert!(
        refused.contains(&file) && refused.contains(&format!("localhost:{}", redis.encrypted)),
        "{refused}"
    );
    // Nor does the system vouch for it.
    let refused = Redis::meets(redis.encrypted("localhost"), Tls::default()).await.unwrap_err();
    assert!(refused.contains("no ca_file"), "{refused}");
}

#[tokio::test]
async fn a_certificate_for_another_name_is_refused() {
    let redis = Redis::start("no").await;
    // The same server, under an address that its certificate does not name.
    let refused =
        Redis::meets(redis.encrypted("[::ffff:127.0.0.1]"), redis.authority.trusting("ca.pem")).await;
    let refused = refused.unwrap_err();
    assert!(refused.contains("the certificate of") && refused.contains("ca.pem"), "{refused}");
}

#[tokio::test]
async fn a_redis_that_wants_a_client_certificate_gets_it_or_says_so() {
    let redis = Redis::start("yes").await;
    assert_eq!(Redis::meets(redis.encrypted("localhost"), redis.authority.client()).await, Ok(()));
    let refused = Redis::meets(redis.encrypted("localhost"), redis.authority.trusting("ca.pem")).await;
    let refused = refused.unwrap_err();
    assert!(refused.contains("wants a client certificate"), "{refused}");
}
