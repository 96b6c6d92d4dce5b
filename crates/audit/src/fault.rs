//! What can be wrong, what probably happened, and what a person does about it.

use crate::words::words;

words! {
    /// A rule that the rows break.
    Fault {
        /// Debits and credits of a livemode and currency differ.
        TotalsDiffer = "debits and credits differ",
        /// The legs of a transaction in a currency do not sum to zero.
        NotZero = "the legs do not sum to zero",
        /// It has fewer legs than it says.
        FewerLegs = "legs are missing",
        /// It has more legs than it says.
        MoreLegs = "there are more legs than declared",
        /// Its legs are as many as it says, but not numbered 1 to that number.
        LegNumbers = "the legs are not numbered one by one",
        /// Its row and its legs are not all of one livemode.
        MixedLivemode = "live and test are mixed",
        /// Its legs belong to no transaction row.
        NoHeader = "the transaction row is gone",
        /// A sealed range no longer has the count, the totals or the digest that it was sealed with.
        RangeChanged = "what was sealed is no longer what it was",
        /// A checkpoint is missing, does not follow the one before, or is not what its own digest says.
        ChainBroken = "the chain of checkpoints is broken",
        /// The last checkpoint is lower than the head that was published outside.
        ChainShorter = "the chain is shorter than the head that was published outside",
        /// The checkpoint at the height of the published head has another digest.
        ChainDiffers = "the chain differs from the head that was published outside",
        /// New transaction numbers lie below what is sealed.
        ForeignHistory = "transaction numbers have started again below what is sealed",
        /// A transaction under way keeps what came after it from being sealed.
        HorizonStuck = "a transaction that does not end keeps what is new from being sealed",
        /// A message that was confirmed to the ingress has no delivery row.
        DeliveryMissing = "an accepted delivery never reached the books",
        /// A control total never came, nor the one after it that would have told the same.
        WindowMissing = "a control total is missing",
        /// No control total for long, and the last one was not the final one.
        InstanceSilent = "an ingress went silent without its final control total",
        /// An event stands booked, and no transaction is linked to it.
        BookedWithoutTransaction = "the event stands booked without a transaction",
        /// A transaction whose event is gone, not linked to it or not booked.
        TransactionWithoutEvent = "the transaction has no event that was booked",
        /// A movement stands in the books twice.
        MovementTwice = "the movement stands there twice",
        /// Events are parked for longer than the limit.
        EventsUndecided = "parked events wait for a decision",
        /// Messages that made no event wait for longer than the limit.
        EvidenceUndecided = "messages that made no event wait for a decision",
        /// What was announced has not been settled within the limit.
        NotSettled = "what was announced was neither settled nor returned in time",
        /// The balance in the books is not what the provider says that it holds.
        BalanceDiffers = "the balance is not what the provider says that it holds",
        /// More authentic deliveries were refused in an hour than the limit.
        RefusalsPerHour = "many authentic deliveries were refused within an hour",
        /// Many more were refused than in an hour of the week before.
        RefusalsAboveMean = "far more authentic deliveries were refused than in other hours",
        /// Nearly all of one event type are refused.
        TypeRefused = "nearly all events of one type are refused",
        /// A trigger that guards the books is not there.
        TriggerMissing = "a guarding trigger is missing",
        /// It is there and does not fire always.
        TriggerDisabled = "a guarding trigger is switched off",
        /// A trigger or rule that no migration made.
        TriggerUnknown = "a trigger or rule that does not belong there",
        /// A guarding function is missing or has another body.
        FunctionChanged = "a guarding function is missing or was replaced",
        /// A constraint is missing, is not validated or has an index that is not valid.
        ConstraintMissing = "a constraint is missing or not enforced",
        /// Somebody may do what nobody should.
        PrivilegeExcess = "a privilege that nobody should have",
        /// A role may do what it should not, or is missing.
        RoleExcess = "a role has powers that it should not have, or is missing",
        /// A table belongs to somebody else than the owner.
        OwnerChanged = "a table belongs to somebody else",
        /// A setting that makes a COMMIT durable is off.
        DurabilityOff = "a setting that makes a commit durable is off",
        /// A source that delivers daily has been quiet.
        SourceSilent = "a source that delivers daily has gone quiet",
    }
}

impl Fault {
    /// What a person does about it, where that is one thing.
    pub const fn cure(self) -> Option<&'static str> {
        match self {
            Self::RangeChanged | Self::ChainBroken => Some(
                "compare with a backup and put the rows back; if the change is right: countersign adopt --reason …",
            ),
            Self::ChainShorter | Self::ChainDiffers => Some(
                "an older backup was restored, or history rewritten: bring the newest rows back (resend from the \
                 providers); then: countersign adopt --reason …",
            ),
            Self::ForeignHistory => Some(
                "the database was restored from a dump: countersign adopt --reason … carries the numbers on",
            ),
            Self::HorizonStuck => Some(
                "end the session (pg_stat_activity.backend_xid) or the prepared transaction (pg_prepared_xacts)",
            ),
            Self::DeliveryMissing => Some(
                "send the event again from the provider's dashboard; the finding resolves when it is booked",
            ),
            Self::WindowMissing => Some(
                "resend from the provider what this ingress accepted about then; then: countersign acknowledge",
            ),
            Self::InstanceSilent => {
                Some("look whether the ingress was killed; then: countersign acknowledge ID --reason …")
            }
            Self::EventsUndecided | Self::EvidenceUndecided => {
                Some("countersign release ID --reason …, or countersign dismiss ID --reason …")
            }
            Self::NotSettled => Some(
                "import the settlements of those days, or look the object up at the provider; if it never settles: \
                 countersign acknowledge ID --reason …",
            ),
            Self::BalanceDiffers => Some(
                "import the settlements up to that instant; if the figure was wrong: countersign assert-balance again",
            ),
            Self::TriggerMissing
            | Self::TriggerDisabled
            | Self::FunctionChanged
            | Self::ConstraintMissing => {
                Some("put it back as the migration has it, then: countersign verify --full")
            }
            Self::TotalsDiffer
            | Self::NotZero
            | Self::FewerLegs
            | Self::MoreLegs
            | Self::LegNumbers
            | Self::MixedLivemode
            | Self::NoHeader
            | Self::BookedWithoutTransaction
            | Self::TransactionWithoutEvent
            | Self::MovementTwice
            | Self::RefusalsPerHour
            | Self::RefusalsAboveMean
            | Self::TypeRefused
            | Self::TriggerUnknown
            | Self::PrivilegeExcess
            | Self::RoleExcess
            | Self::OwnerChanged
            | Self::DurabilityOff
            | Self::SourceSilent => None,
        }
    }
}

words! {
    /// What probably happened.
    ProbableCause {
        /// A total cannot tell; the findings of `transactions` do.
        SeeTransactions = "the transactions tell",
        /// A leg was deleted or never written.
        LegMissing = "a leg was deleted",
        /// A leg was added to a finished transaction.
        LegAdded = "a leg was added",
        /// A leg stands there twice.
        LegDoubled = "a leg was doubled",
        /// An amount was edited.
        AmountEdited = "an amount was edited",
        /// A debit became a credit, or the other way round.
        SideSwapped = "debit and credit were swapped",
        /// A leg was moved to another currency.
        CurrencyChanged = "a currency was changed",
        /// A leg or the transaction row was moved between live and test.
        LivemodeChanged = "live and test were swapped",
        /// The transaction row was deleted.
        HeaderDeleted = "the transaction row was deleted",
        /// The transaction row was edited.
        HeaderEdited = "the transaction row was edited",
        /// Sealed rows are fewer than they were.
        RowsDeleted = "rows were deleted",
        /// Sealed rows are more than they were.
        RowsAdded = "rows were added later",
        /// Sealed rows are as many as they were, with another content.
        RowsEdited = "rows were edited",
        /// A leg stands on another account than it did.
        AccountChanged = "an account was changed",
        /// The history is an older one.
        BackupRestored = "an older backup was restored, or the newest rows were deleted",
        /// A session or a prepared transaction was forgotten.
        TransactionForgotten = "a session was left in a transaction, or a prepared transaction was forgotten",
        /// The broker lost what it had confirmed.
        MessagesLost = "a queue was purged, or the broker lost what it had confirmed",
        /// The process ended without draining.
        IngressKilled = "the ingress was killed",
        /// The transaction was deleted, or the event's standing written by hand.
        TransactionDeleted = "its transaction was deleted",
        /// A row was written past the processor.
        WrittenByHand = "it was written past the processor",
        /// Nobody has decided yet.
        NobodyDecided = "nobody has decided yet",
        /// A line of the provider's balance was not imported, or tells of what no webhook told.
        SettlementMissing = "settlements were not imported, or a webhook never came",
        /// Clock, pins or policy of the source.
        SourceMisconfigured = "a clock is wrong, or the source's mode, account or age limits are",
        /// Somebody changed the schema, the roles or the settings.
        SchemaChanged = "somebody changed schema, roles or settings by hand",
        /// The provider stopped sending, or something before the ingress stops it.
        SenderStopped = "the provider's endpoint is disabled, or something before the ingress stops it",
    }
}
