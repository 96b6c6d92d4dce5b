#![doc = include_str!("../README.md")]

mod balance;
mod finding;
mod report;
mod row;
mod text;
mod transactions;

pub use balance::check_balance;
pub use finding::{Check, CheckResult, Fault, Finding, Findings, ProbableCause, TransactionRef};
pub use report::{BookVerdict, CheckSummary, Kind, REPORT_SCHEMA, Report, Run, Verdict};
pub use row::{
    AccountName, CurrencyCode, EventId, HeaderRow, Instant, LegRow, Livemode, MovementKey, Snapshot,
    Suspects, TotalRow, TraceId, TransactionId, TransactionRow, Written,
};
pub use transactions::check_transactions;
