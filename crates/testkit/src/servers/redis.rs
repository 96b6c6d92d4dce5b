//! A key prefix of the private Redis for each test. Blocking calls: a test may look into Redis from anywhere.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use data_encoding::HEXLOWER;
use deadpool_redis::redis::{self, Cmd, Connection, FromRedisValue, TypedCommands as _};

/// A prefix that no other test uses, on `COUNTERSIGN_TEST_REDIS_URL` or the Redis of `deploy/dev/servers.sh`. Its keys
/// are deleted when it is dropped.
pub struct KeyPrefix {
    url: String,
    prefix: String,
    connection: Mutex<Connection>,
}

impl core::fmt::Debug for KeyPrefix {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("KeyPrefix").field("prefix", &self.prefix).finish_non_exhaustive()
    }
}

impl KeyPrefix {
    /// A new prefix. Fails the test when there is no Redis.
    pub fn fresh() -> Self {
        let url = url();
        let connected = redis::Client::open(url.as_str()).and_then(|client| client.get_connection());
        let connection = connected.unwrap_or_else(|error| {
            panic!("no Redis at {url} ({error}): run `deploy/dev/servers.sh start`");
        });
        let mut id = [0; 8];
        getrandom::fill(&mut id).expect("the operating system gives randomness");
        let prefix = format!("countersign-test:{}:", HEXLOWER.encode(&id));
        Self { url, prefix, connection: Mutex::new(connection) }
    }

    /// Where Redis is.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// What every key of this test begins with.
    pub fn as_str(&self) -> &str {
        &self.prefix
    }

    /// What Redis answers to a command.
    pub fn ask<T: FromRedisValue>(&self, command: &Cmd) -> T {
        command.query(&mut *self.connection()).expect("Redis answers the test's command")
    }

    /// The keys of this prefix, in order.
    pub fn keys(&self) -> Vec<Vec<u8>> {
        let mut connection = self.connection();
        let found = connection.scan_match(format!("{}*", self.prefix)).expect("Redis lists its keys");
        let keys: BTreeSet<Vec<u8>> = found.map(|key| key.expect("Redis lists its keys")).collect();
        keys.into_iter().collect()
    }

    /// Every key of this prefix with its value, in order of keys.
    pub fn dump(&self) -> Vec<(Vec<u8>, Vec<u8>)> {
        self.keys().into_iter().map(|key| (key.clone(), self.value(&key))).collect()
    }

    /// The key when there is exactly one.
    pub fn only_key(&self) -> Vec<u8> {
        let mut keys = self.keys();
        assert_eq!(keys.len(), 1, "one key under {}", self.prefix);
        keys.remove(0)
    }

    /// The bytes under a key.
    pub fn value(&self, key: &[u8]) -> Vec<u8> {
        self.ask(redis::cmd("GET").arg(key))
    }

    /// Overwrites a key, as somebody with access to Redis could; it keeps its time to live.
    pub fn forge(&self, key: &[u8], value: &[u8]) {
        self.ask::<()>(redis::cmd("SET").arg(key).arg(value).arg("KEEPTTL"));
    }

    /// Puts the value of one key under another.
    pub fn copy(&self, from: &[u8], to: &[u8]) {
        self.ask::<()>(redis::cmd("COPY").arg(from).arg(to).arg("REPLACE"));
    }

    /// Milliseconds that Redis will keep a key; negative when for ever or when there is none.
    pub fn ttl_ms(&self, key: &[u8]) -> i64 {
        self.ask(redis::cmd("PTTL").arg(key))
    }

    /// Deletes every key of this prefix.
    pub fn forget(&self) {
        for key in self.keys() {
            self.ask::<()>(redis::cmd("DEL").arg(key));
        }
    }

    /// The URL of a user of this test who may do these things with the keys of this prefix, in the words of `ACL SETUSER`.
    pub fn url_of_user(&self, permissions: &str) -> String {
        let (user, pattern) = (self.user(), format!("~{}*", self.prefix));
        let mut acl = redis::cmd("ACL");
        acl.arg("SETUSER").arg(&user).arg("reset").arg("on").arg(">pw").arg(pattern);
        self.ask::<()>(acl.arg(permissions.split(' ').collect::<Vec<_>>()));
        self.url.replacen("redis://", &format!("redis://{user}:pw@"), 1)
    }

    /// The name of that user, without the characters that mean something in a URL.
    fn user(&self) -> String {
        self.prefix.trim_end_matches(':').replace(':', "-")
    }

    fn connection(&self) -> MutexGuard<'_, Connection> {
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for KeyPrefix {
    fn drop(&mut self) {
        // The server may be gone: then the test has said so, and a panic here would hide it.
        let connection = &mut *self.connection();
        let pattern = format!("{}*", self.prefix);
        if let Ok(found) = connection.scan_match::<_, Vec<u8>>(pattern) {
            let keys: Vec<Vec<u8>> = found.filter_map(Result::ok).collect();
            for key in keys {
                connection.del(key).ok();
            }
        }
        redis::cmd("ACL").arg("DELUSER").arg(self.user()).exec(connection).ok();
    }
}

#[expect(clippy::disallowed_methods, reason = "tests take the servers' place from the environment")]
fn url() -> String {
    std::env::var("COUNTERSIGN_TEST_REDIS_URL").unwrap_or_else(|_| {
        let offset = std::env::var("COUNTERSIGN_PORT_OFFSET").unwrap_or_default();
        let port = 56_379 + offset.parse::<u16>().unwrap_or(0);
        format!("redis://127.0.0.1:{port}/0")
    })
}
