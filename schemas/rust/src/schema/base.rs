//! What every payload has, dead letters, and the envelope.
//!
//! Written by `schemas/rust/generate.py` from `schemas/json`. Do not change it by hand.

use crate::ids::Ulid;
use crate::invalid::Invalid;
use crate::json::Bytes;
use crate::model::{serde_of, Members, Model, Schema, Visit};
use crate::rule::{Format, ANY};
use crate::clock::now_ms;

/// The message as it was published: its envelope.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct DeadLetterOriginal {
    /// Id of the message.
    ///
    /// 1 to 256 characters.
    pub id: String,
    /// Where it was published.
    pub subject: String,
    /// When it was published, as its publisher says.
    ///
    /// In unix milliseconds. 0 to 9999999999999999.
    pub timestamp: u64,
    /// Its payload.
    ///
    /// Base64 in JSON.
    pub payload: Bytes,
    /// W3C trace context.
    pub traceparent: Option<String>,
}

impl DeadLetterOriginal {
    /// A value with what it must have.
    pub fn new(id: impl Into<String>, subject: impl Into<String>, timestamp: u64, payload: impl Into<Bytes>) -> Self {
        Self {
            id: id.into(),
            subject: subject.into(),
            timestamp,
            payload: payload.into(),
            traceparent: None,
        }
    }

    /// The same with [`traceparent`](Self::traceparent).
    pub fn with_traceparent(mut self, traceparent: impl Into<String>) -> Self {
        self.traceparent = Some(traceparent.into());
        self
    }
}

impl Model for DeadLetterOriginal {
    fn read(members: &Members<'_>) -> Result<Self, Invalid> {
        Ok(Self {
            id: members.required("id", ANY.length(1, 256))?,
            subject: members.required("subject", ANY)?,
            timestamp: members.required("timestamp", ANY.range(0, 9999999999999999))?,
            payload: members.required("payload", ANY)?,
            traceparent: members.optional("traceparent", ANY)?,
        })
    }

    fn visit<V: Visit>(&self, to: &mut V) -> Result<(), V::Error> {
        to.field("id", &self.id, ANY.length(1, 256))?;
        to.field("subject", &self.subject, ANY)?;
        to.field("timestamp", &self.timestamp, ANY.range(0, 9999999999999999))?;
        to.field("payload", &self.payload, ANY)?;
        to.optional("traceparent", &self.traceparent, ANY)
    }
}

/// One message that a consumer group gave up on.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct DeadLetter {
    /// Version of the schema that the payload was written by.
    ///
    /// 1 to 4294967295.
    pub v: u64,
    /// When it was given up.
    ///
    /// In unix milliseconds. 0 to 281474976710655.
    pub ts: u64,
    /// Equal for every attempt to write this letter.
    ///
    /// 1 to 256 characters.
    pub id: String,
    /// Why, in words for an operator.
    pub reason: String,
    /// The consumer group that gave up.
    pub group: String,
    /// How often the message had been delivered to that group.
    ///
    /// 0 to 9223372036854775807.
    pub deliveries: u64,
    /// The message as it was published: its envelope.
    pub original: DeadLetterOriginal,
    /// The kind of error, such as `ValueError`; null if nobody knows.
    pub error_type: Option<String>,
    /// When it failed first, as far as the member that gave up knows.
    ///
    /// In unix milliseconds. 0 to 281474976710655.
    pub first_failed_at: Option<u64>,
    /// When it failed last.
    ///
    /// In unix milliseconds. 0 to 281474976710655.
    pub last_failed_at: Option<u64>,
    /// 16 hexadecimal digits, equal for alike failures.
    pub fingerprint: Option<String>,
    /// Size of the original's payload, if the engine could not take it into the letter.
    ///
    /// In bytes. 0 to 9223372036854775807.
    pub payload_left_out: Option<u64>,
    /// Type of the task that has failed.
    pub task_type: Option<String>,
    /// The task that has failed; its parameters are in the state store, not in `original`.
    pub task_id: Option<String>,
}

impl DeadLetter {
    /// A value with what it must have: `ts` is now, `id` a new ULID.
    pub fn new(reason: impl Into<String>, group: impl Into<String>, deliveries: u64, original: DeadLetterOriginal) -> Self {
        Self {
            v: <Self as Schema>::VERSION,
            ts: now_ms(),
            id: Ulid::new().to_string(),
            reason: reason.into(),
            group: group.into(),
            deliveries,
            original,
            error_type: None,
            first_failed_at: None,
            last_failed_at: None,
            fingerprint: None,
            payload_left_out: None,
            task_type: None,
            task_id: None,
        }
    }

    /// The same with [`ts`](Self::ts).
    pub fn with_ts(mut self, ts: u64) -> Self {
        self.ts = ts;
        self
    }

    /// The same with [`id`](Self::id).
    pub fn with_id(mut self, id: impl Into<String>) -> Self {
        self.id = id.into();
        self
    }

    /// The same with [`error_type`](Self::error_type).
    pub fn with_error_type(mut self, error_type: impl Into<String>) -> Self {
        self.error_type = Some(error_type.into());
        self
    }

    /// The same with [`first_failed_at`](Self::first_failed_at).
    pub fn with_first_failed_at(mut self, first_failed_at: u64) -> Self {
        self.first_failed_at = Some(first_failed_at);
        self
    }

    /// The same with [`last_failed_at`](Self::last_failed_at).
    pub fn with_last_failed_at(mut self, last_failed_at: u64) -> Self {
        self.last_failed_at = Some(last_failed_at);
        self
    }

    /// The same with [`fingerprint`](Self::fingerprint).
    pub fn with_fingerprint(mut self, fingerprint: impl Into<String>) -> Self {
        self.fingerprint = Some(fingerprint.into());
        self
    }

    /// The same with [`payload_left_out`](Self::payload_left_out).
    pub fn with_payload_left_out(mut self, payload_left_out: u64) -> Self {
        self.payload_left_out = Some(payload_left_out);
        self
    }

    /// The same with [`task_type`](Self::task_type).
    pub fn with_task_type(mut self, task_type: impl Into<String>) -> Self {
        self.task_type = Some(task_type.into());
        self
    }

    /// The same with [`task_id`](Self::task_id).
    pub fn with_task_id(mut self, task_id: impl Into<String>) -> Self {
        self.task_id = Some(task_id.into());
        self
    }
}

impl Model for DeadLetter {
    fn read(members: &Members<'_>) -> Result<Self, Invalid> {
        Ok(Self {
            v: members.required("v", ANY.range(1, 4294967295))?,
            ts: members.required("ts", ANY.range(0, 281474976710655))?,
            id: members.required("id", ANY.length(1, 256))?,
            reason: members.required("reason", ANY)?,
            group: members.required("group", ANY)?,
            deliveries: members.required("deliveries", ANY.range(0, 9223372036854775807))?,
            original: members.required("original", ANY)?,
            error_type: members.optional("error_type", ANY)?,
            first_failed_at: members.optional("first_failed_at", ANY.range(0, 281474976710655))?,
            last_failed_at: members.optional("last_failed_at", ANY.range(0, 281474976710655))?,
            fingerprint: members.optional("fingerprint", ANY)?,
            payload_left_out: members.optional("payload_left_out", ANY.range(0, 9223372036854775807))?,
            task_type: members.optional("task_type", ANY)?,
            task_id: members.optional("task_id", ANY)?,
        })
    }

    fn visit<V: Visit>(&self, to: &mut V) -> Result<(), V::Error> {
        to.field("v", &self.v, ANY.range(1, 4294967295))?;
        to.field("ts", &self.ts, ANY.range(0, 281474976710655))?;
        to.field("id", &self.id, ANY.length(1, 256))?;
        to.field("reason", &self.reason, ANY)?;
        to.field("group", &self.group, ANY)?;
        to.field("deliveries", &self.deliveries, ANY.range(0, 9223372036854775807))?;
        to.field("original", &self.original, ANY)?;
        to.optional("error_type", &self.error_type, ANY)?;
        to.optional("first_failed_at", &self.first_failed_at, ANY.range(0, 281474976710655))?;
        to.optional("last_failed_at", &self.last_failed_at, ANY.range(0, 281474976710655))?;
        to.optional("fingerprint", &self.fingerprint, ANY)?;
        to.optional("payload_left_out", &self.payload_left_out, ANY.range(0, 9223372036854775807))?;
        to.optional("task_type", &self.task_type, ANY)?;
        to.optional("task_id", &self.task_id, ANY)
    }
}

impl Schema for DeadLetter {
    const NAME: &'static str = "deadletter";
    const VERSION: u64 = 1;
    const SUBJECTS: &'static [&'static str] = &["_deadletter.*"];
}

/// What the transport reads and writes around a payload. On the wire it is headers (NATS) or entry fields (Redis), not JSON; as JSON it is the `envelope` of a vector.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Envelope {
    /// A ULID: 48 bits of unix milliseconds and 80 random bits.
    ///
    /// 26 characters. It matches `^[0-7][0-9A-HJKMNP-TV-Z]{25}$`.
    pub id: String,
    /// Where it was published: dot-separated tokens, without wildcards.
    ///
    /// 1 to 255 characters. It matches `^[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*$`.
    pub subject: String,
    /// When it was published, as its publisher says; at most 16 digits.
    ///
    /// In unix milliseconds. 0 to 9999999999999999.
    pub timestamp: u64,
    /// Opaque bytes; at most `max_payload_size` of the deployment (1 MiB by default).
    ///
    /// Base64 in JSON.
    pub payload: Bytes,
    /// Trace context of the publisher, as in W3C Trace Context, section 3.2.2.
    ///
    /// 55 characters. It matches `^(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}$`.
    pub traceparent: Option<String>,
}

impl Envelope {
    /// A value with what it must have.
    pub fn new(id: impl Into<String>, subject: impl Into<String>, timestamp: u64, payload: impl Into<Bytes>) -> Self {
        Self {
            id: id.into(),
            subject: subject.into(),
            timestamp,
            payload: payload.into(),
            traceparent: None,
        }
    }

    /// The same with [`traceparent`](Self::traceparent).
    pub fn with_traceparent(mut self, traceparent: impl Into<String>) -> Self {
        self.traceparent = Some(traceparent.into());
        self
    }
}

impl Model for Envelope {
    fn read(members: &Members<'_>) -> Result<Self, Invalid> {
        Ok(Self {
            id: members.required("id", ANY.length(26, 26).format(Format::Ulid))?,
            subject: members.required("subject", ANY.length(1, 255).format(Format::Subject))?,
            timestamp: members.required("timestamp", ANY.range(0, 9999999999999999))?,
            payload: members.required("payload", ANY)?,
            traceparent: members.optional("traceparent", ANY.length(55, 55).format(Format::Traceparent))?,
        })
    }

    fn visit<V: Visit>(&self, to: &mut V) -> Result<(), V::Error> {
        to.field("id", &self.id, ANY.length(26, 26).format(Format::Ulid))?;
        to.field("subject", &self.subject, ANY.length(1, 255).format(Format::Subject))?;
        to.field("timestamp", &self.timestamp, ANY.range(0, 9999999999999999))?;
        to.field("payload", &self.payload, ANY)?;
        to.optional("traceparent", &self.traceparent, ANY.length(55, 55).format(Format::Traceparent))
    }
}

/// What every payload has, whatever else is in it. Unknown fields are allowed and skipped. Lists and objects are nested at most `x-max-depth` deep, the payload itself included, whether a schema knows the fields or not: this goes for every document of the contract.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Payload {
    /// Version of the schema that the payload was written by.
    ///
    /// 1 to 4294967295.
    pub v: u64,
    /// When it happened.
    ///
    /// In unix milliseconds. 0 to 281474976710655.
    pub ts: u64,
    /// Of the payload itself: consumers and archives deduplicate on it.
    ///
    /// 1 to 256 characters.
    pub id: String,
}

impl Payload {
    /// A value with what it must have: `ts` is now, `id` a new ULID.
    #[allow(clippy::new_without_default)] // no two are equal
    pub fn new() -> Self {
        Self {
            v: <Self as Schema>::VERSION,
            ts: now_ms(),
            id: Ulid::new().to_string(),
        }
    }

    /// The same with [`ts`](Self::ts).
    pub fn with_ts(mut self, ts: u64) -> Self {
        self.ts = ts;
        self
    }

    /// The same with [`id`](Self::id).
    pub fn with_id(mut self, id: impl Into<String>) -> Self {
        self.id = id.into();
        self
    }
}

impl Model for Payload {
    fn read(members: &Members<'_>) -> Result<Self, Invalid> {
        Ok(Self {
            v: members.required("v", ANY.range(1, 4294967295))?,
            ts: members.required("ts", ANY.range(0, 281474976710655))?,
            id: members.required("id", ANY.length(1, 256))?,
        })
    }

    fn visit<V: Visit>(&self, to: &mut V) -> Result<(), V::Error> {
        to.field("v", &self.v, ANY.range(1, 4294967295))?;
        to.field("ts", &self.ts, ANY.range(0, 281474976710655))?;
        to.field("id", &self.id, ANY.length(1, 256))
    }
}

impl Schema for Payload {
    const NAME: &'static str = "payload";
    const VERSION: u64 = 1;
    const SUBJECTS: &'static [&'static str] = &[];
}

serde_of!(DeadLetterOriginal, DeadLetter, Envelope, Payload);
