//! Messages as the port has them and as AMQP has them.

use std::borrow::Cow;

use bytes::Bytes;
use lapin::BasicProperties;
use lapin::types::{AMQPValue, FieldTable, LongString, ShortString, ShortStringError};
use ports::{Delivery, DeliveryTag, Exchange, Headers, Outgoing};

/// The property `delivery_mode` of a message that survives a restart.
const PERSISTENT: u8 = 2;

/// Headers travel in one frame of at most 128 KiB, and one that is larger would cost the whole connection.
const HEADERS_MAX: usize = 64 * 1024;

/// Why a message cannot be said in AMQP. It is a defect of whoever made it, and nothing but this message suffers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unsayable {
    #[error("a routing key, message id, type or header name is longer than 255 bytes")]
    NameTooLong,
    #[error("the headers are larger than 64 KiB")]
    HeadersTooLarge,
}

impl From<ShortStringError> for Unsayable {
    fn from(_length: ShortStringError) -> Self {
        Self::NameTooLong
    }
}

/// A message in AMQP's terms.
#[derive(Debug)]
pub(crate) struct Spoken {
    pub(crate) exchange: Exchange,
    pub(crate) routing_key: ShortString,
    pub(crate) properties: BasicProperties,
    pub(crate) body: Bytes,
}

pub(crate) fn speak(message: Outgoing) -> Result<Spoken, Unsayable> {
    let Outgoing { exchange, routing_key, message_id, kind, sent_at, headers, body } = message;
    let properties = BasicProperties::default()
        .with_delivery_mode(PERSISTENT)
        .with_content_type(content_type(exchange).into())
        .with_message_id(ShortString::try_new(message_id)?)
        .with_type(ShortString::try_new(kind)?)
        .with_timestamp(u64::try_from(sent_at.seconds()).unwrap_or(0))
        .with_headers(table(&headers)?);
    Ok(Spoken { exchange, routing_key: ShortString::try_new(routing_key)?, properties, body })
}

/// Events travel as `proto/` has them; what is booked is told in JSON, to whoever reads it.
const fn content_type(exchange: Exchange) -> &'static str {
    match exchange {
        Exchange::Events => "application/x-protobuf",
        Exchange::Booked => "application/json",
    }
}

fn table(headers: &Headers) -> Result<FieldTable, Unsayable> {
    let mut table = FieldTable::default();
    let mut size = 0_usize;
    for (name, value) in headers.iter() {
        // 1 byte of length and 1 of type beside the name, 4 of length beside the value.
        size = size.saturating_add(name.len()).saturating_add(value.len()).saturating_add(6);
        table.insert(ShortString::try_new(name)?, AMQPValue::LongString(LongString::from(value)));
    }
    if size > HEADERS_MAX { Err(Unsayable::HeadersTooLarge) } else { Ok(table) }
}

pub(crate) fn hear(delivery: lapin::message::Delivery) -> Delivery {
    let headers = delivery.properties.headers().as_ref().map(texts).unwrap_or_default();
    Delivery {
        tag: DeliveryTag(delivery.delivery_tag),
        redelivered: delivery.redelivered,
        routing_key: delivery.routing_key.into(),
        message_id: delivery.properties.message_id().clone().map(String::from),
        headers,
        body: delivery.data.into(),
    }
}

/// Every header that has a text: our own, and the broker's (`x-delivery-count`, `x-first-death-reason`, `x-death`).
fn texts(table: &FieldTable) -> Headers {
    table.into_iter().fold(Headers::default(), |headers, (name, value)| match readable(value) {
        // Whoever wrote it: no database holds a zero as text.
        Some(text) => headers.with(name.as_str(), text.replace('\0', "\u{fffd}")),
        None => headers,
    })
}

fn readable(value: &AMQPValue) -> Option<Cow<'_, str>> {
    match value {
        AMQPValue::LongString(text) => Some(String::from_utf8_lossy(text.as_bytes())),
        AMQPValue::ShortString(text) => Some(text.as_str().into()),
        AMQPValue::Boolean(yes) => Some(yes.to_string().into()),
        AMQPValue::ShortShortInt(number) => Some(number.to_string().into()),
        AMQPValue::ShortShortUInt(number) => Some(number.to_string().into()),
        AMQPValue::ShortInt(number) => Some(number.to_string().into()),
        AMQPValue::ShortUInt(number) => Some(number.to_string().into()),
        AMQPValue::LongInt(number) => Some(number.to_string().into()),
        AMQPValue::LongUInt(number) => Some(number.to_string().into()),
        AMQPValue::LongLongInt(number) => Some(number.to_string().into()),
        AMQPValue::Timestamp(seconds) => Some(seconds.to_string().into()),
        // `x-death`: a list of tables, most recent first.
        AMQPValue::FieldArray(list) => Some(joined(list.as_slice().iter().filter_map(readable), "; ").into()),
        AMQPValue::FieldTable(table) => {
            let fields =
                table.into_iter().filter_map(|(name, value)| Some(format!("{name}={}", readable(value)?)));
            Some(joined(fields.map(Cow::from), " ").into())
        }
        AMQPValue::Float(_)
        | AMQPValue::Double(_)
        | AMQPValue::DecimalValue(_)
        | AMQPValue::ByteArray(_)
        | AMQPValue::Void => None,
    }
}

fn joined<'a>(parts: impl Iterator<Item = Cow<'a, str>>, separator: &str) -> String {
    parts.collect::<Vec<_>>().join(separator)
}

#[cfg(test)]
mod tests;
