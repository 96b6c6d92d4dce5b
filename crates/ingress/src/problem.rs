//! The refusals: a bounded set, each with its status. The slug is also the metric's label and the log's field.

use signature::Refused;

/// Why a delivery is refused. RFC 9457: `type` is `urn:countersign:problem:<slug>`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Problem {
    /// No signature header.
    SignatureMissing,
    /// The signature header cannot be read.
    SignatureMalformed,
    /// No signature matches any secret.
    SignatureMismatch,
    /// The signature is genuine and too old.
    SignatureExpired,
    /// The signature is genuine and from the future.
    SignatureFromFuture,
    /// Authentic, but no event.
    PayloadInvalid,
    /// Authentic, and the event older than its source allows.
    EventTooOld,
    /// Authentic, and the event of a mode or an account that its source is not for.
    EventWrongMode,
    /// The id belongs to another content.
    EventIdReused,
    /// Another delivery of the event is on its way.
    DeliveryInFlight {
        /// Whole seconds until its claim ends, at least one.
        retry_after_s: u32,
    },
    /// No such source.
    UnknownSource,
    /// Anything but POST.
    MethodNotAllowed,
    /// The body did not arrive in time.
    BodyTimeout,
    /// The body is larger than allowed.
    PayloadTooLarge,
    /// A content encoding.
    EncodingRefused,
    /// Too many failures from the sender's address, and no genuine delivery lately.
    TooManyFailures,
    /// The broker did not confirm.
    NotDurable,
    /// The cache is away and the configuration says to refuse.
    ReplayStateUnavailable,
    /// Too much is being admitted already.
    Overloaded,
}

impl Problem {
    /// All of them, each once.
    pub const ALL: [Self; 19] = [
        Self::SignatureMissing,
        Self::SignatureMalformed,
        Self::SignatureMismatch,
        Self::SignatureExpired,
        Self::SignatureFromFuture,
        Self::PayloadInvalid,
        Self::EventTooOld,
        Self::EventWrongMode,
        Self::EventIdReused,
        Self::DeliveryInFlight { retry_after_s: 1 },
        Self::UnknownSource,
        Self::MethodNotAllowed,
        Self::BodyTimeout,
        Self::PayloadTooLarge,
        Self::EncodingRefused,
        Self::TooManyFailures,
        Self::NotDurable,
        Self::ReplayStateUnavailable,
        Self::Overloaded,
    ];

    /// Another delivery holds the event for this long.
    pub(crate) fn in_flight(retry_after_ms: i64) -> Self {
        let seconds = u32::try_from(retry_after_ms.max(0)).unwrap_or(u32::MAX).div_ceil(1000);
        Self::DeliveryInFlight { retry_after_s: seconds.max(1) }
    }

    /// The slug.
    pub const fn slug(self) -> &'static str {
        self.parts().0
    }

    /// The HTTP status.
    pub const fn status(self) -> u16 {
        self.parts().1
    }

    /// One sentence for the person who reads the answer. It tells a forger nothing that the slug does not.
    pub const fn title(self) -> &'static str {
        self.parts().2
    }

    /// Seconds after which trying again may help.
    pub const fn retry_after_s(self) -> Option<u32> {
        match self {
            Self::DeliveryInFlight { retry_after_s } => Some(retry_after_s),
            Self::TooManyFailures | Self::NotDurable | Self::ReplayStateUnavailable | Self::Overloaded => {
                Some(5)
            }
            Self::SignatureMissing
            | Self::SignatureMalformed
            | Self::SignatureMismatch
            | Self::SignatureExpired
            | Self::SignatureFromFuture
            | Self::PayloadInvalid
            | Self::EventTooOld
            | Self::EventWrongMode
            | Self::EventIdReused
            | Self::UnknownSource
            | Self::MethodNotAllowed
            | Self::BodyTimeout
            | Self::PayloadTooLarge
            | Self::EncodingRefused => None,
        }
    }

    const fn parts(self) -> (&'static str, u16, &'static str) {
        match self {
            Self::SignatureMissing => ("signature-missing", 400, "The request carries no signature."),
            Self::SignatureMalformed => ("signature-malformed", 400, "The signature header cannot be read."),
            Self::SignatureMismatch => ("signature-mismatch", 401, "The signature does not match."),
            Self::SignatureExpired => ("signature-expired", 401, "The signature is too old."),
            Self::SignatureFromFuture => ("signature-from-future", 401, "The signature is from the future."),
            Self::PayloadInvalid => ("payload-invalid", 400, "The body is not an event."),
            Self::EventTooOld => {
                ("event-too-old", 400, "The event is too old; it is kept for a person to decide.")
            }
            Self::EventWrongMode => {
                ("event-wrong-mode", 400, "The event is of a mode or an account that this source is not for.")
            }
            Self::EventIdReused => ("event-id-reused", 409, "The event id was used for another content."),
            Self::DeliveryInFlight { .. } => {
                ("delivery-in-flight", 409, "Another delivery of this event is in flight.")
            }
            Self::UnknownSource => ("unknown-source", 404, "There is no such source."),
            Self::MethodNotAllowed => ("method-not-allowed", 405, "Webhooks are posted."),
            Self::BodyTimeout => ("body-timeout", 408, "The body did not arrive in time."),
            Self::PayloadTooLarge => ("payload-too-large", 413, "The body is too large."),
            Self::EncodingRefused => ("encoding-refused", 415, "The body must not be encoded."),
            Self::TooManyFailures => {
                ("too-many-failures", 429, "Too many failed deliveries from this address; try again.")
            }
            Self::NotDurable => ("not-durable", 503, "The event could not be stored durably; try again."),
            Self::ReplayStateUnavailable => {
                ("replay-state-unavailable", 503, "The replay state is unavailable; try again.")
            }
            Self::Overloaded => ("overloaded", 503, "Too many deliveries at once; try again."),
        }
    }

    /// Whether it is said before the body has been read, or read to its end.
    pub const fn leaves_body(self) -> bool {
        matches!(
            self,
            Self::UnknownSource
                | Self::MethodNotAllowed
                | Self::BodyTimeout
                | Self::PayloadTooLarge
                | Self::EncodingRefused
                | Self::TooManyFailures
        )
    }

    /// Whether `billing_webhook_invalid_sig_total` counts it.
    pub const fn is_invalid_signature(self) -> bool {
        matches!(self, Self::SignatureMissing | Self::SignatureMalformed | Self::SignatureMismatch)
    }

    /// Whether `webhooks_rejected_total` counts it: the sender had the secret, and is refused for good.
    pub const fn is_rejection(self) -> bool {
        matches!(
            self,
            Self::SignatureExpired
                | Self::SignatureFromFuture
                | Self::EventTooOld
                | Self::EventWrongMode
                | Self::EventIdReused
        )
    }

    /// Whether it is said only after evidence of what is refused was confirmed. Such a refusal is counted and told where its
    /// evidence is published, the first of each event; any other one where it is answered, each.
    pub const fn is_evidenced(self) -> bool {
        matches!(self, Self::EventTooOld | Self::EventWrongMode | Self::EventIdReused | Self::PayloadInvalid)
    }
}

impl From<Refused> for Problem {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::SignatureMissing => Self::SignatureMissing,
            Refused::SignatureMalformed => Self::SignatureMalformed,
            Refused::SignatureMismatch => Self::SignatureMismatch,
            Refused::SignatureExpired { .. } => Self::SignatureExpired,
            Refused::SignatureFromFuture { .. } => Self::SignatureFromFuture,
            Refused::PayloadInvalid => Self::PayloadInvalid,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_slugs_of_signatures_are_those_of_the_signature_crate() {
        for refused in [
            Refused::SignatureMissing,
            Refused::SignatureMalformed,
            Refused::SignatureMismatch,
            Refused::SignatureExpired { age_s: 601 },
            Refused::SignatureFromFuture { ahead_s: 301 },
            Refused::PayloadInvalid,
        ] {
            assert_eq!(Problem::from(refused).slug(), refused.slug());
        }
    }

    #[test]
    fn every_problem_that_may_pass_says_when_to_try_again() {
        for problem in Problem::ALL {
            let in_flight = matches!(problem, Problem::DeliveryInFlight { .. });
            let passing = matches!(problem.status(), 429 | 503) || in_flight;
            assert_eq!(problem.retry_after_s().is_some(), passing, "{}", problem.slug());
        }
    }

    #[test]
    fn a_delivery_in_flight_is_to_come_again_after_whole_seconds_and_at_least_one() {
        for (ms, seconds) in
            [(-5, 1), (0, 1), (1, 1), (1000, 1), (1001, 2), (9_999, 10), (i64::MAX, 4_294_968)]
        {
            assert_eq!(Problem::in_flight(ms).retry_after_s(), Some(seconds), "{ms} ms");
        }
    }
}
