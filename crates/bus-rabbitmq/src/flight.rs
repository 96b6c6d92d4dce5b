//! Publishes on their way to a confirm. All are on one channel and polled by one task: the driver lets two threads that
//! share a channel exchange their confirms.

use core::pin::Pin;
use core::task::{Context, Poll};
use std::future::poll_fn;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use futures_util::stream::{FuturesUnordered, Stream};
use lapin::options::BasicPublishOptions;
use lapin::{Channel, Confirmation};
use ports::{Exchange, NotConfirmed};
use tokio::sync::oneshot;

use crate::message::Spoken;

/// Whom to tell how a publish ended. Dropped without a word, it says that the outcome is unknown.
pub(crate) type Answer = oneshot::Sender<Result<(), NotConfirmed>>;

/// The broker returned a message, though the alternate exchange takes what no queue is bound for: the topology is
/// broken. Which message it was cannot be told, so all in flight are in doubt.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Returned;

/// The publishes in flight on one channel. Dropping it leaves those that have not landed unconfirmed.
pub(crate) struct Flights {
    channel: Channel,
    airborne: FuturesUnordered<BoxFuture<'static, Landing>>,
    landed: Vec<Landing>,
}

struct Landing {
    answer: Answer,
    confirmation: lapin::Result<Confirmation>,
}

impl Flights {
    pub(crate) fn new(channel: Channel) -> Self {
        Self { channel, airborne: FuturesUnordered::new(), landed: Vec::new() }
    }

    pub(crate) fn len(&self) -> usize {
        self.airborne.len().saturating_add(self.landed.len())
    }

    /// Sends a message; it goes out with the next `land`.
    pub(crate) fn launch(&mut self, message: Spoken, answer: Answer) {
        let channel = self.channel.clone();
        self.airborne.push(Box::pin(async move {
            let confirmation = publish(&channel, message).await;
            Landing { answer, confirmation }
        }));
    }

    /// Waits for publishes to end, answers those whose end is certain, and says how many the broker has decided.
    pub(crate) async fn land(&mut self) -> Result<usize, Returned> {
        poll_fn(|context| self.poll_land(context)).await
    }

    /// The driver attaches a returned message to whichever confirm it resolves next, and walks the confirms of one
    /// `multiple` acknowledgement in any order: the message that was returned may land as a clean ack a moment before
    /// another lands with its return. So what has landed is believed only after the driver is through with the
    /// acknowledgement it came from.
    fn poll_land(&mut self, context: &mut Context<'_>) -> Poll<Result<usize, Returned>> {
        self.collect(context);
        let certain = self.landed.len();
        if certain == 0 {
            return Poll::Pending;
        }
        self.await_acknowledgement_in_progress();
        self.collect(context);
        if self.landed.iter().any(Landing::is_returned) {
            return Poll::Ready(Err(Returned));
        }
        let decided = self.landed.iter().take(certain).filter(|landing| landing.confirmation.is_ok()).count();
        self.landed.drain(..certain).for_each(Landing::tell);
        Poll::Ready(Ok(decided))
    }

    fn collect(&mut self, context: &mut Context<'_>) {
        // The set may say "pending" out of fairness with more at hand, but not twice.
        let mut pauses = 0;
        while pauses < 2 {
            match Pin::new(&mut self.airborne).poll_next(context) {
                Poll::Ready(Some(landing)) => {
                    self.landed.push(landing);
                    pauses = 0;
                }
                Poll::Ready(None) => break,
                Poll::Pending => pauses += 1,
            }
        }
    }

    /// Takes the lock under which the driver resolves all confirms of one acknowledgement; the first step of this
    /// request does, and the rest of it is not wanted.
    fn await_acknowledgement_in_progress(&self) {
        drop(self.channel.wait_for_confirms().now_or_never());
    }
}

impl Landing {
    fn is_returned(&self) -> bool {
        matches!(self.confirmation, Ok(Confirmation::Ack(Some(_)) | Confirmation::Nack(Some(_))))
    }

    fn tell(self) {
        let outcome = match self.confirmation {
            Ok(Confirmation::Ack(None)) => Ok(()),
            // Not requested: the channel was never in confirm mode.
            Ok(Confirmation::Ack(Some(_)) | Confirmation::Nack(_) | Confirmation::NotRequested) => {
                Err(NotConfirmed::Refused)
            }
            Err(_channel_or_connection_ended) => Err(NotConfirmed::Unreachable),
        };
        if self.answer.send(outcome).is_err() {
            tracing::debug!(?outcome, "A publish ended after its caller");
        }
    }
}

async fn publish(channel: &Channel, message: Spoken) -> lapin::Result<Confirmation> {
    // What is booked may interest nobody; an event has the alternate exchange, and is never returned.
    let mandatory = message.exchange == Exchange::Events;
    let options = BasicPublishOptions { mandatory, immediate: false };
    let Spoken { exchange, routing_key, properties, body } = message;
    channel.basic_publish(exchange.name().into(), routing_key, options, &body, properties).await?.await
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(confirmation: lapin::Result<Confirmation>) -> Result<(), NotConfirmed> {
        let (answer, mut answered) = oneshot::channel();
        Landing { answer, confirmation }.tell();
        answered.try_recv().unwrap()
    }

    #[test]
    fn only_a_clean_ack_is_a_success() {
        assert_eq!(told(Ok(Confirmation::Ack(None))), Ok(()));
        assert_eq!(told(Ok(Confirmation::Nack(None))), Err(NotConfirmed::Refused));
        assert_eq!(told(Ok(Confirmation::NotRequested)), Err(NotConfirmed::Refused));
        assert_eq!(told(Err(lapin::ErrorKind::MissingHeartbeatError.into())), Err(NotConfirmed::Unreachable));
    }
}
