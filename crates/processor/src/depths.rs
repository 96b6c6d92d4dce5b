//! How deep the queues are: looked at from here, because the processor alone may read them.

use core::convert::Infallible;
use core::time::Duration;

use bus_rabbitmq::RabbitMq;
use ports::{Handle, Queue};

use crate::Metrics;

/// As often as somebody is likely to ask.
const EVERY: Duration = Duration::from_secs(10);

/// Sooner, while it is not known.
const AGAIN: Duration = Duration::from_secs(1);

/// Looks again and again.
pub(crate) async fn watch(bus: &RabbitMq, metrics: &Metrics, handle: &Handle) -> Infallible {
    loop {
        let mut pause = EVERY;
        for queue in Queue::ALL {
            let depth = bus.depth(queue).await;
            if let Err(error) = &depth {
                pause = AGAIN;
                tracing::debug!(queue = queue.name(), %error, "The depth of a queue is not known");
            }
            metrics.depth(queue, depth.ok().map(|depth| (depth.messages, depth.consumers)));
        }
        handle.sleep(pause).await;
    }
}
