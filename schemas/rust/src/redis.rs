//! The binding of an envelope to an entry of a Redis stream.
//!
//! Who publishes on Redis also marks the subject and wakes readers; `docs/redis.md` has the commands.

use crate::envelope::{names_itself, usable_trace};
use crate::ids::Ulid;
use crate::schema::base::Envelope;
use crate::subjects::SubjectKeys;
use crate::Invalid;

/// Field: the id of the message.
pub const ID: &str = "id";
/// Field: when it was published, unix milliseconds in digits.
pub const TIMESTAMP: &str = "ts";
/// Field: W3C trace context, if there is one.
pub const TRACEPARENT: &str = "tp";
/// Field: the payload.
pub const DATA: &str = "data";

const LAST_ULID_MS: u64 = (1 << 48) - 1;

/// An entry to be added.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RedisEntry {
    /// The stream.
    pub key: String,
    /// Names and values, in their order.
    pub fields: Vec<(String, Vec<u8>)>,
}

/// The entry of an envelope.
///
/// # Errors
///
/// The envelope does not keep to the contract.
pub fn encode(envelope: &Envelope) -> Result<RedisEntry, Invalid> {
    envelope.validate()?;
    let mut fields = vec![
        (ID.to_owned(), envelope.id.clone().into_bytes()),
        (TIMESTAMP.to_owned(), envelope.timestamp.to_string().into_bytes()),
    ];
    fields.extend(envelope.traceparent.iter().map(|trace| (TRACEPARENT.to_owned(), trace.clone().into_bytes())));
    fields.push((DATA.to_owned(), envelope.payload.0.clone()));
    Ok(RedisEntry { key: SubjectKeys::of(&envelope.subject).stream, fields })
}

/// Read an envelope back. Fields that are not known are skipped; what has no usable id and time gets both from its entry
/// id (`MS-MINOR`), the same at each reading: nobody's message is lost for want of a field.
pub fn decode<'a>(subject: &str, entry_id: &str, fields: impl IntoIterator<Item = (&'a [u8], &'a [u8])>) -> Envelope {
    let (mut id, mut timestamp, mut trace, mut data) = ("", "", "", &b""[..]);
    for (name, value) in fields {
        let text = || std::str::from_utf8(value).unwrap_or_default();
        match std::str::from_utf8(name) {
            Ok(ID) => id = text(),
            Ok(TIMESTAMP) => timestamp = text(),
            Ok(TRACEPARENT) => trace = text(),
            Ok(DATA) => data = value,
            _ => {}
        }
    }
    let (id, timestamp) = names_itself(id, timestamp).unwrap_or_else(|| of_place(entry_id));
    let envelope = Envelope::new(id, subject, timestamp, data);
    match usable_trace(trace) {
        Some(trace) => envelope.with_traceparent(trace),
        None => envelope,
    }
}

fn of_place(entry_id: &str) -> (String, u64) {
    let (ms, minor) = entry_id.split_once('-').unwrap_or((entry_id, ""));
    let ms: u64 = ms.parse().unwrap_or_default();
    let minor: u64 = minor.parse().unwrap_or_default();
    (Ulid::from_parts(ms.min(LAST_ULID_MS), u128::from(minor)).to_string(), ms)
}
