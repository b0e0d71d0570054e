//! The binding of an envelope to a NATS message: the payload is the body, all else is headers.

use blake2::digest::consts::U6;
use blake2::{Blake2s, Digest};

use crate::envelope::{names_itself, usable_trace};
use crate::ids::Ulid;
use crate::schema::base::Envelope;
use crate::Invalid;

/// Header: the id of the message.
pub const ID: &str = "Gbe-Id";
/// Header: when it was published, unix milliseconds.
pub const TIMESTAMP: &str = "Gbe-Timestamp";
/// Header: W3C trace context.
pub const TRACEPARENT: &str = "traceparent";
/// Header: what the engine de-duplicates by, for each stream, so it carries the subject too.
pub const MESSAGE_ID: &str = "Nats-Msg-Id";

/// A message to be published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NatsMessage {
    /// Where to.
    pub subject: String,
    /// Names and values, in their order.
    pub headers: Vec<(String, String)>,
    /// The payload.
    pub body: Vec<u8>,
}

/// Where the engine keeps a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// Its sequence in the stream.
    pub sequence: u64,
    /// When it was stored, unix milliseconds.
    pub time_ms: u64,
}

/// The message of an envelope; with an idempotency key that is what it is de-duplicated by, otherwise its id.
///
/// # Errors
///
/// The envelope does not keep to the contract, or the key has a control character, which no header can hold.
pub fn encode(envelope: &Envelope, idempotency_key: Option<&str>) -> Result<NatsMessage, Invalid> {
    envelope.validate()?;
    let subject = &envelope.subject;
    let unique = match idempotency_key {
        Some(key) if key.chars().any(char::is_control) => {
            return Err(Invalid::new(crate::Reason::Format, "a control character").under("idempotency_key"))
        }
        Some(key) => format!("{subject}|k:{key}"),
        None => format!("{subject}|i:{}", envelope.id),
    };
    let mut headers = vec![
        (MESSAGE_ID.to_owned(), unique),
        (ID.to_owned(), envelope.id.clone()),
        (TIMESTAMP.to_owned(), envelope.timestamp.to_string()),
    ];
    headers.extend(envelope.traceparent.iter().map(|trace| (TRACEPARENT.to_owned(), trace.clone())));
    Ok(NatsMessage { subject: subject.clone(), headers, body: envelope.payload.0.clone() })
}

/// Read an envelope back. Headers that are not known are skipped; what has no usable id and time gets both from its
/// place, the same at each reading: nobody's message is lost for want of a header.
pub fn decode<'a>(
    subject: &str,
    headers: impl IntoIterator<Item = (&'a str, &'a str)>,
    body: &[u8],
    place: Place,
) -> Envelope {
    let (mut id, mut timestamp, mut trace) = ("", "", "");
    for (name, value) in headers {
        match name {
            ID => id = value,
            TIMESTAMP => timestamp = value,
            TRACEPARENT => trace = value,
            _ => {}
        }
    }
    let (id, timestamp) = names_itself(id, timestamp)
        .unwrap_or_else(|| (Ulid::from_parts(place.time_ms, u128::from(place.sequence)).to_string(), place.time_ms));
    let envelope = Envelope::new(id, subject, timestamp, body);
    match usable_trace(trace) {
        Some(trace) => envelope.with_traceparent(trace),
        None => envelope,
    }
}

/// The durable consumer that is a group's subscription to a pattern: `{group}-` and 12 hexadecimal digits, BLAKE2s of the
/// pattern with a digest of 6 bytes.
pub fn durable_name(group: &str, pattern: &str) -> String {
    let digest = Blake2s::<U6>::digest(pattern);
    digest.iter().fold(format!("{group}-"), |name, byte| format!("{name}{byte:02x}"))
}
