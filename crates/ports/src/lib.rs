#![doc = include_str!("../README.md")]

mod books;
mod bus;
mod replay;
mod trace;

pub use books::{
    Acted, Assess, Books, BooksError, Decision, DeliveryRecord, EventRecord, Filing, Gate, Known, Record,
    Recorded, Settlement, Subject,
};
pub use bus::{
    Bus, BusUnavailable, Delivery, DeliveryTag, Exchange, Headers, Linger, NotConfirmed, Outgoing, Queue,
    Subscription, header,
};
pub use handle::{BoxFuture, CrashPoint, Executor, Handle, Task};
pub use replay::{
    Age, Ask, Claim, ClaimRecord, ClaimState, ClaimTimes, ClaimTrace, Held, Judgement, OwnerToken, Promotion,
    Replay, ReplayUnavailable, Settled, StoredResult,
};
pub use trace::trace_id_of;
