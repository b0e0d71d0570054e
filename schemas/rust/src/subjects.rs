//! Subjects and patterns, and what belongs to a subject in Redis.
//!
//! A subject is dot-separated tokens of `A-Z a-z 0-9 _ -`, at most 255 bytes. A pattern may use `*` for one token and a
//! final `>` for one or more.

use crate::hash::{crc32, slot_of};
use crate::invalid::{Invalid, Reason};

/// The longest subject, in bytes.
pub const MAX_SUBJECT_BYTES: usize = 255;

const BUCKETS: u32 = 8;
const MARKS: u32 = 1_000_000;

/// Whether a text may stand between two dots of a subject.
pub fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-')
}

/// Whether a text is a subject.
///
/// # Errors
///
/// It is too long, or has an empty token, a wildcard or another character.
pub fn check_subject(text: &str) -> Result<(), Invalid> {
    check(text, text.split('.').all(is_token), "expected dot-separated tokens of A-Z a-z 0-9 _ -, without wildcards")
}

/// Whether a text is a pattern; every subject is one, too.
///
/// # Errors
///
/// As [`check_subject`], or a `>` is not the last token.
pub fn check_pattern(text: &str) -> Result<(), Invalid> {
    let tokens = match text.strip_suffix(".>") {
        _ if text == ">" => return Ok(()),
        Some(rest) => rest,
        None => text,
    };
    let is_pattern = tokens.split('.').all(|token| token == "*" || is_token(token));
    check(text, is_pattern, "expected tokens of A-Z a-z 0-9 _ -, `*` for one token, a final `>` for more")
}

fn check(text: &str, is_one: bool, detail: &str) -> Result<(), Invalid> {
    if text.len() > MAX_SUBJECT_BYTES {
        return Err(Invalid::new(Reason::Bound, format!("expected at most {MAX_SUBJECT_BYTES} bytes")));
    }
    if is_one {
        Ok(())
    } else {
        Err(Invalid::new(Reason::Format, detail))
    }
}

/// Whether a pattern covers a subject. Both are taken to be valid.
pub fn matches(pattern: &str, subject: &str) -> bool {
    let mut given = subject.split('.');
    for wanted in pattern.split('.') {
        match (wanted, given.next()) {
            (">", Some(_)) => return true,
            ("*", Some(_)) => {}
            (wanted, Some(token)) if wanted == token => {}
            _ => return false,
        }
    }
    given.next().is_none()
}

/// Where the dead letters of a subject's domain go: of `gbe.notify.topic.a` to `gbe._deadletter.notify`.
pub fn deadletter_subject(subject: &str) -> String {
    let mut tokens = subject.split('.');
    let namespace = tokens.next().unwrap_or_default();
    format!("{namespace}._deadletter.{}", tokens.next().unwrap_or("unknown"))
}

/// What belongs to a subject in Redis, all of it in one hash slot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubjectKeys {
    /// The stream of its messages.
    pub stream: String,
    /// The slot in a cluster.
    pub slot: u16,
    /// Which of the 8 parts of its stream's index names it.
    pub bucket: u32,
    /// The last six digits of its entry ids.
    pub mark: u32,
}

impl SubjectKeys {
    /// Of a valid subject.
    pub fn of(subject: &str) -> Self {
        let stream = subject.replace('.', ":");
        let checksum = crc32(stream.as_bytes());
        Self { slot: slot_of(stream.as_bytes()), bucket: checksum % BUCKETS, mark: checksum % MARKS, stream }
    }

    /// A key in the stream's own slot.
    pub fn companion(&self, name: &str) -> String {
        format!("{{{}}}:{name}", self.stream)
    }

    /// Sharded channel: something was stored here, or comes back.
    pub fn wake(&self) -> String {
        self.companion("wake")
    }

    /// Sorted set: ids of delayed messages by the unix milliseconds at which they are due.
    pub fn delayed(&self) -> String {
        self.companion("delayed")
    }

    /// Hash: id to delayed message.
    pub fn later(&self) -> String {
        self.companion("later")
    }

    /// Sorted set: what a group has refused.
    pub fn waiting(&self, group: &str) -> String {
        self.companion(&format!("waiting:{group}"))
    }

    /// String: that a message with this id was published.
    pub fn seen_id(&self, id: &str) -> String {
        self.companion(&format!("seen:i:{id}"))
    }

    /// String: the first message with this idempotency key.
    pub fn seen_key(&self, idempotency_key: &str) -> String {
        self.companion(&format!("seen:k:{idempotency_key}"))
    }

    /// Sorted set and sharded channel: the subjects of a configured stream by their last use.
    pub fn index(&self, stream_name: &str) -> String {
        format!("{{gbe/subjects/{stream_name}/{}}}", self.bucket)
    }
}

/// The Redis stream of a subject as a subject again.
pub fn subject_of(stream_key: &str) -> String {
    stream_key.replace(':', ".")
}
