#![doc = include_str!("../README.md")]

mod backlog;
mod balance;
mod checkpoint;
mod clearing;
mod completeness;
mod continuity;
mod coverage;
mod fault;
mod finding;
mod guards;
mod limits;
mod provider_balance;
mod rejections;
mod report;
mod row;
mod seal;
mod silence;
mod text;
mod transactions;
mod words;

pub use backlog::{Waiting, WaitingRow, check_backlog};
pub use balance::check_balance;
pub use checkpoint::{Checkpoint, Content, RangeFacts, Sums, TotalKey, Totals};
pub use clearing::{MoneyRef, ReferenceRow, check_clearing};
pub use completeness::{CompletenessRows, InstanceRow, MissingRow, WindowRow, check_completeness};
pub use continuity::{
    ContinuityRows, Head, HorizonRow, LinkRow, PublishedRow, RangeRow, RewrittenRow, check_continuity,
};
pub use coverage::{CoverageRows, UncoveredEventRow, UncoveredTransactionRow, check_coverage};
pub use fault::{Fault, ProbableCause};
pub use finding::{Check, CheckResult, DeliveryRef, Finding, Findings, Severity, TransactionRef};
pub use guards::{
    APPEND_ONLY, ConstraintRow, GuardRows, PrivilegeRow, RoleRow, SettingRow, TriggerRow, check_guards,
};
pub use limits::Limits;
pub use provider_balance::{StatedRow, check_provider_balance};
pub use rejections::{RefusedSourceRow, RefusedTypeRow, RejectionRows, check_rejections};
pub use report::{BookVerdict, CheckSummary, Kind, REPORT_SCHEMA, Report, Run, Verdict};
pub use row::{
    AccountName, CurrencyCode, EventId, FindingKey, HeaderRow, Height, InstanceName, Instant, LegRow,
    Livemode, MovementKey, Slug, Snapshot, SourceName, Suspects, TotalRow, TraceId, TransactionId,
    TransactionRow, Written,
};
pub use seal::{Digest, ENCODING_VERSION, Encoder, Field};
pub use silence::{SourceRow, check_silence};
pub use transactions::check_transactions;
