//! The few commands that Redis is asked, each atomic in itself.

use deadpool_redis::redis::aio::ConnectionLike;
use deadpool_redis::redis::{RedisError, RedisResult, Script, cmd};
use deadpool_redis::{PoolError, TimeoutType};
use ports::ReplayUnavailable;

/// The longest time a key is kept: Redis refuses what overflows its clock.
const TTL_MS_MAX: i64 = 10 * 366 * 86_400_000;

/// What the two scripts do is told at their callers. `pcall`: a key that is no string is nobody's claim.
const TAKE: &str = "
local current = redis.pcall('GET', KEYS[1])
if type(current) == 'string' and current ~= ARGV[1] then return current end
redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
return false";
const REPLACE: &str = "
if redis.pcall('GET', KEYS[1]) ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[2], 'KEEPTTL')
return 1";

/// The commands, with their scripts hashed once.
#[derive(Debug)]
pub(crate) struct Commands {
    take: Script,
    replace: Script,
}

/// What a key held that was not free.
#[derive(Debug)]
pub(crate) enum Present {
    /// These bytes.
    Bytes(Vec<u8>),
    /// Something that is no string, so none of ours.
    Alien,
}

impl Present {
    /// The bytes to compare with; an alien value has none.
    pub(crate) fn bytes(&self) -> &[u8] {
        match self {
            Self::Bytes(bytes) => bytes,
            Self::Alien => &[],
        }
    }
}

impl Commands {
    pub(crate) fn new() -> Self {
        Self { take: Script::new(TAKE), replace: Script::new(REPLACE) }
    }

    /// Stores `value` if there is none; otherwise says what is there.
    pub(crate) async fn store_if_absent(
        &self,
        redis: &mut impl ConnectionLike,
        name: &str,
        value: &[u8],
        ttl_ms: i64,
    ) -> RedisResult<Option<Present>> {
        let mut set = cmd("SET");
        set.arg(name).arg(value).arg("NX").arg("GET").arg("PX").arg(ttl(ttl_ms));
        match set.query_async::<Option<Vec<u8>>>(redis).await {
            Ok(present) => Ok(present.map(Present::Bytes)),
            Err(error) if error.code() == Some("WRONGTYPE") => Ok(Some(Present::Alien)),
            Err(error) => Err(error),
        }
    }

    /// Stores `value` if there is `old` or nothing; otherwise says what is there.
    pub(crate) async fn take(
        &self,
        redis: &mut (impl ConnectionLike + Send),
        name: &str,
        old: &Present,
        value: &[u8],
        ttl_ms: i64,
    ) -> RedisResult<Option<Present>> {
        let mut take = self.take.key(name);
        take.arg(old.bytes()).arg(value).arg(ttl(ttl_ms));
        let present: Option<Vec<u8>> = take.invoke_async(redis).await?;
        Ok(present.map(Present::Bytes))
    }

    /// Stores `value` if there is `old`, for as long as `old` had left.
    pub(crate) async fn replace(
        &self,
        redis: &mut (impl ConnectionLike + Send),
        name: &str,
        old: &[u8],
        value: &[u8],
    ) -> RedisResult<bool> {
        self.replace.key(name).arg(old).arg(value).invoke_async(redis).await
    }

    /// Stores `value` whatever there is.
    pub(crate) async fn store(
        &self,
        redis: &mut impl ConnectionLike,
        name: &str,
        value: &[u8],
        ttl_ms: i64,
    ) -> RedisResult<()> {
        cmd("SET").arg(name).arg(value).arg("PX").arg(ttl(ttl_ms)).exec_async(redis).await
    }
}

fn ttl(ms: i64) -> i64 {
    ms.clamp(1, TTL_MS_MAX)
}

/// A failure in few words: what Redis says in detail may quote keys, values and the URL.
pub(crate) fn refused(error: &RedisError) -> ReplayUnavailable {
    let is_code = |code: &&str| code.len() <= 16 && code.bytes().all(|b| b.is_ascii_uppercase());
    ReplayUnavailable(match error.code().filter(is_code) {
        Some(code) => format!("Redis answered {code}"),
        None if error.is_timeout() => "Redis did not answer in time".to_owned(),
        None => format!("Redis: {}", error.category()),
    })
}

/// The same for a connection that could not be had.
pub(crate) fn unreachable(error: &PoolError) -> ReplayUnavailable {
    ReplayUnavailable(match error {
        PoolError::Backend(error) => return refused(error),
        PoolError::Timeout(TimeoutType::Wait) => "every connection to Redis is busy".to_owned(),
        PoolError::Timeout(TimeoutType::Create | TimeoutType::Recycle) => {
            "no connection to Redis in time".to_owned()
        }
        PoolError::Closed | PoolError::NoRuntimeSpecified | PoolError::PostCreateHook(_) => {
            "the pool of Redis connections is closed".to_owned()
        }
    })
}
