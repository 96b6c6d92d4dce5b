//! Audits that somebody asks for under a key of his own: done once, and answered the same however often they are asked for.

use tokio_postgres::types::Type;

use crate::error::unreadable;
use crate::query::{Columns, Parameters, query};
use crate::{AuditStore, AuditStoreError};

/// What is known of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AuditRequest {
    /// Nobody has asked under this key: it is now ours to do.
    New,
    /// Somebody is doing it.
    UnderWay,
    /// It was done: what was answered.
    Answered(String),
    /// The key belongs to a request with another body.
    OtherBody,
}

impl AuditStore {
    /// Asks for a key. What was begun more than 15 minutes ago and never answered was given up, and is ours now.
    pub async fn begin_request(
        &self,
        key: &str,
        body_digest: &[u8; 32],
    ) -> Result<AuditRequest, AuditStoreError> {
        const BEGIN: &str = "-- begin_request
INSERT INTO countersign.audit_request (key, body_digest) VALUES ($1, $2)
ON CONFLICT (key) DO UPDATE SET requested_at = clock_timestamp()
WHERE audit_request.body_digest = EXCLUDED.body_digest
  AND audit_request.answer IS NULL
  AND audit_request.requested_at < clock_timestamp() - INTERVAL '15 minutes'
RETURNING key";
        const FOUND: &str = "-- found_request
SELECT body_digest = $2 AS same, answer FROM countersign.audit_request WHERE key = $1";
        let client = self.client().await?;
        let digest = body_digest.as_slice();
        let parameters: Parameters<'_> = &[(&key, Type::TEXT), (&digest, Type::BYTEA)];
        if !query(&**client, "begin_request", BEGIN, parameters).await?.is_empty() {
            return Ok(AuditRequest::New);
        }
        let rows = query(&**client, "found_request", FOUND, parameters).await?;
        // Given up in this moment: whoever asks again begins it.
        let Some(row) = rows.first() else { return Ok(AuditRequest::UnderWay) };
        let columns = Columns { statement: "found_request", row };
        if !columns.read::<bool>("same")? {
            return Ok(AuditRequest::OtherBody);
        }
        let answer: Option<String> = columns.read("answer")?;
        Ok(answer.map_or(AuditRequest::UnderWay, AuditRequest::Answered))
    }

    /// Answers a request that was begun; without an answer it is given up, and may be begun again.
    pub async fn end_request(&self, key: &str, answer: Option<&str>) -> Result<(), AuditStoreError> {
        const ANSWER: &str = "-- end_request
UPDATE countersign.audit_request SET answer = $2 WHERE key = $1 AND answer IS NULL RETURNING key";
        const GIVE_UP: &str = "-- give_up_request
DELETE FROM countersign.audit_request WHERE key = $1 AND answer IS NULL";
        let client = self.client().await?;
        match answer {
            Some(answer) => {
                let parameters: Parameters<'_> = &[(&key, Type::TEXT), (&answer, Type::TEXT)];
                let ended = query(&**client, "end_request", ANSWER, parameters).await?;
                ended.first().map(drop).ok_or_else(|| unreadable("end_request"))
            }
            None => query(&**client, "give_up_request", GIVE_UP, &[(&key, Type::TEXT)]).await.map(drop),
        }
    }
}
