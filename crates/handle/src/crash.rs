//! Where a process may be told to die, so that chaos tests reach the instants between two effects. In builds with debug
//! assertions only: a release has no such place, and a test runs one to see.

/// An instant between two effects at which a crash must lose nothing and double nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum CrashPoint {
    /// The claim is ours, nothing is published.
    IngressClaimed,
    /// The broker has confirmed an event, the claim does not say so.
    IngressConfirmed,
    /// The broker has confirmed the evidence of a refusal, the claim does not say so.
    IngressEvidenceConfirmed,
    /// The claim says accepted or parked, nobody was answered.
    IngressPromoted,
    /// A control total is confirmed, the process does not know it yet.
    IngressTotalConfirmed,
    /// A batch is in hand, nothing is written.
    ProcessorReceived,
    /// Everything is written, nothing is committed.
    ProcessorWritten,
    /// The batch is committed, nothing is acknowledged.
    ProcessorCommitted,
    /// The batch is acknowledged, neither the cache nor anybody else was told.
    ProcessorAcknowledged,
    /// A control total or an operator's action is committed, its message is not acknowledged.
    ProcessorSpokenOf,
    /// A verdict is found, nothing is recorded.
    AuditorConcluded,
    /// The run is recorded, its findings and a checkpoint are not.
    AuditorRecorded,
    /// The findings are stored, no alert is.
    AuditorFound,
    /// An alert was sent, that is not recorded.
    AuditorAlertSent,
}

impl CrashPoint {
    /// All of them.
    pub const ALL: [Self; 14] = [
        Self::IngressClaimed,
        Self::IngressConfirmed,
        Self::IngressEvidenceConfirmed,
        Self::IngressPromoted,
        Self::IngressTotalConfirmed,
        Self::ProcessorReceived,
        Self::ProcessorWritten,
        Self::ProcessorCommitted,
        Self::ProcessorAcknowledged,
        Self::ProcessorSpokenOf,
        Self::AuditorConcluded,
        Self::AuditorRecorded,
        Self::AuditorFound,
        Self::AuditorAlertSent,
    ];

    /// The variable of the environment that names a point and, after a colon, at which passage to die: `NAME:3`.
    pub const VARIABLE: &str = "COUNTERSIGN_CRASH_AT";

    /// Its name: the service, then what has happened.
    pub const fn name(self) -> &'static str {
        match self {
            Self::IngressClaimed => "ingress-claimed",
            Self::IngressConfirmed => "ingress-confirmed",
            Self::IngressEvidenceConfirmed => "ingress-evidence-confirmed",
            Self::IngressPromoted => "ingress-promoted",
            Self::IngressTotalConfirmed => "ingress-total-confirmed",
            Self::ProcessorReceived => "processor-received",
            Self::ProcessorWritten => "processor-written",
            Self::ProcessorCommitted => "processor-committed",
            Self::ProcessorAcknowledged => "processor-acknowledged",
            Self::ProcessorSpokenOf => "processor-spoken-of",
            Self::AuditorConcluded => "auditor-concluded",
            Self::AuditorRecorded => "auditor-recorded",
            Self::AuditorFound => "auditor-found",
            Self::AuditorAlertSent => "auditor-alert-sent",
        }
    }

    /// Passes the point, or ends the process without a farewell if it was told to die here.
    #[cfg(debug_assertions)]
    pub fn pass(self) {
        use core::sync::atomic::{AtomicU64, Ordering};
        use std::sync::OnceLock;

        static DEADLY: OnceLock<Option<(String, AtomicU64)>> = OnceLock::new();
        let deadly = DEADLY.get_or_init(|| {
            #[expect(clippy::disallowed_methods, reason = "a test's order to die is no configuration")]
            let order = std::env::var(Self::VARIABLE).ok()?;
            let (name, passage) = order.split_once(':').unwrap_or((&order, "1"));
            Some((name.to_owned(), AtomicU64::new(passage.parse().ok()?)))
        });
        if let Some((name, left)) = deadly
            && name == self.name()
            && left.fetch_sub(1, Ordering::Relaxed) == 1
        {
            std::process::abort();
        }
    }

    /// Passes the point.
    #[cfg(not(debug_assertions))]
    #[inline(always)]
    pub const fn pass(self) {}
}
