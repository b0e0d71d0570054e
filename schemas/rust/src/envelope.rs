//! What the bindings of envelopes have in common.

use crate::ids::is_ulid;
use crate::invalid::Invalid;
use crate::model::{Checker, Model};
use crate::schema::base::Envelope;
use crate::traceparent::is_traceparent;

/// Milliseconds of any calendar.
const TIMESTAMP_DIGITS: usize = 16;

impl Envelope {
    /// Whether every field keeps to the contract.
    ///
    /// # Errors
    ///
    /// The first field that does not.
    pub fn validate(&self) -> Result<(), Invalid> {
        self.visit(&mut Checker)
    }
}

/// Id and time of a message, if both can be used.
pub(crate) fn names_itself(id: &str, timestamp: &str) -> Option<(String, u64)> {
    let is_time = timestamp.len() <= TIMESTAMP_DIGITS && timestamp.bytes().all(|byte| byte.is_ascii_digit());
    if !is_time || !is_ulid(id) {
        return None;
    }
    timestamp.parse().ok().map(|moment| (id.to_owned(), moment))
}

pub(crate) fn usable_trace(text: &str) -> Option<&str> {
    is_traceparent(text).then_some(text)
}
