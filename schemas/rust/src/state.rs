//! Where records and their deadlines lie, and the conditional write of a record, on Redis and on NATS.
//!
//! Nothing here speaks to an engine: a client of yours sends what these types say.

use std::time::Duration;

use crate::hash::{crc32, slot_of};
use crate::model::Fields;
use crate::moves::{Changes, Move};
use crate::msgpack;

/// The script that writes a record in Redis, of `schemas/redis/write.lua`.
pub const WRITE_SCRIPT: &str = include_str!("schema/write.lua");

/// The fields that are deadlines, as gbe is configured unless somebody changes it.
pub const INDEXES: [&str; 3] = ["timeout_at", "fire_at", "look_at"];

const BUCKETS: u32 = 64;
const MARK_KEPT_MS: u64 = 60_000;
const MAX_FIELDS: usize = 256;
const MAX_RECORD_BYTES: usize = 256 * 1024;
const DEADLINE_DIGITS: usize = 13;

/// The names of one record in a store (`state.bucket`, `gbe-state` unless configured otherwise).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StateKeys {
    store: String,
    key: String,
    /// Redis: which of the 64 buckets it lies in.
    pub bucket: u32,
    /// Redis: the hash tag of the bucket.
    pub tag: String,
}

impl StateKeys {
    /// Of a record's key, such as [`TaskNames::record`](crate::names::TaskNames::record).
    pub fn of(store: &str, key: &str) -> Self {
        let bucket = crc32(key.as_bytes()) % BUCKETS;
        Self { store: store.to_owned(), key: key.to_owned(), bucket, tag: format!("{{{store}:{bucket}}}") }
    }

    /// Redis: the slot of the bucket in a cluster.
    pub fn slot(&self) -> u16 {
        slot_of(self.tag.as_bytes())
    }

    /// Redis: the hash of the record.
    pub fn redis_record(&self) -> String {
        self.redis(&format!("r:{}", self.key.replace('.', ":")))
    }

    /// Redis: another key of the bucket: `keys`, `ends`, `seq`, `log`, `changes`, or `due:` and the name of an index.
    pub fn redis(&self, suffix: &str) -> String {
        format!("{}:{suffix}", self.tag)
    }

    /// NATS: the stream of the store.
    pub fn nats_stream(&self) -> String {
        format!("KV_{}", self.store)
    }

    /// NATS: the subject of the record.
    pub fn nats_record(&self) -> String {
        format!("$KV.{}.{}", self.store, self.key)
    }

    /// NATS: the subject of the entry of a deadline (unix milliseconds) in an index.
    pub fn nats_entry(&self, index: &str, deadline: u64) -> String {
        let digits = format!("{deadline:0DEADLINE_DIGITS$}").chars().map(String::from).collect::<Vec<_>>().join(".");
        format!("gbe-due.{}.{index}.{digits}.{}", self.store, self.key)
    }
}

/// A conditional write of a record.
#[derive(Debug, Clone, PartialEq)]
pub struct StateWrite {
    keys: StateKeys,
    change: Move,
    indexes: Vec<String>,
}

/// A call of [`WRITE_SCRIPT`]: `EVALSHA` or `EVAL`, in a cluster on the node of [`StateKeys::slot`]. It answers 1
/// (written) or 0 (not as expected).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RedisCall {
    /// The record, and the mark of this write.
    pub keys: [String; 2],
    /// In their order.
    pub arguments: Vec<Vec<u8>>,
}

/// A record as NATS holds it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct NatsRecord {
    /// What a compare-and-set compares: 0 if the subject has no message.
    pub sequence: u64,
    /// `None` if there is no record.
    pub fields: Option<Fields>,
    /// When it ends, unix milliseconds; `None` if it does not.
    pub expires: Option<u64>,
}

impl NatsRecord {
    /// Of the last message on [`StateKeys::nats_record`]. What is no record of ours counts as none.
    pub fn read<'a>(headers: impl IntoIterator<Item = (&'a str, &'a str)>, body: &[u8], sequence: u64) -> Self {
        let mut expires = None;
        for (name, value) in headers {
            match name {
                "KV-Operation" | "Nats-Marker-Reason" => return Self { sequence, ..Self::default() },
                "Gbe-Expires" => expires = value.parse().ok(),
                _ => {}
            }
        }
        Self { sequence, fields: msgpack::decode(body).ok(), expires }
    }
}

/// What is published to write a record in NATS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NatsWrite {
    /// Empty messages to be published, and confirmed, ahead of the record.
    pub entries: Vec<String>,
    /// Where the record goes.
    pub subject: String,
    /// With the condition: the engine answers `err_code` 10071 or 10164 if somebody else wrote meanwhile. Then read again
    /// and decide again.
    pub headers: Vec<(String, String)>,
    /// The whole record.
    pub body: Vec<u8>,
}

impl StateWrite {
    /// A move of the record with these keys.
    pub fn new(keys: StateKeys, change: Move) -> Self {
        Self { keys, change, indexes: INDEXES.map(String::from).to_vec() }
    }

    /// The same where other fields are deadlines (`state.indexes`).
    #[must_use]
    pub fn with_indexes(mut self, indexes: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.indexes = indexes.into_iter().map(Into::into).collect();
        self
    }

    /// The record afterwards; `None` if it is not as expected.
    pub fn apply(&self, before: &Fields) -> Option<Fields> {
        let is_as_expected = |(name, value): &(String, Option<Vec<u8>>)| before.get(name) == value.as_ref();
        if !self.change.expected.iter().all(is_as_expected) {
            return None;
        }
        let mut after = before.clone();
        for (name, value) in &self.change.changes {
            match value {
                Some(value) => after.insert(name.clone(), value.clone()),
                None => after.remove(name),
            };
        }
        Some(after)
    }

    /// The call that does it in Redis. `write_id` is a text that no other write has; a repetition with the same one is
    /// not applied twice.
    pub fn redis(&self, write_id: &str) -> RedisCall {
        let life = self.change.ttl.map_or_else(|| "-1".to_owned(), |ttl| ttl.as_millis().to_string());
        let mut arguments: Vec<Vec<u8>> = [
            self.keys.tag.clone(),
            self.keys.key.clone(),
            self.indexes.join(" "),
            "set".to_owned(),
            life,
            MARK_KEPT_MS.to_string(),
            MAX_FIELDS.to_string(),
            MAX_RECORD_BYTES.to_string(),
            self.change.expected.len().to_string(),
            self.change.changes.len().to_string(),
        ]
        .map(String::into_bytes)
        .to_vec();
        for (name, value) in self.change.expected.iter().chain(&self.change.changes) {
            let is_there: &[u8] = if value.is_some() { b"1" } else { b"0" };
            arguments.extend([name.clone().into_bytes(), is_there.to_vec(), value.clone().unwrap_or_default()]);
        }
        RedisCall { keys: [self.keys.redis_record(), self.keys.redis(&format!("w:{write_id}"))], arguments }
    }

    /// What is published to do it in NATS, after `current` was read at `now` (unix milliseconds); `None` if the record is
    /// not as expected. `write_id` is a text that no other write has, the same for a repetition.
    pub fn nats(&self, current: &NatsRecord, write_id: &str, now: u64) -> Option<NatsWrite> {
        let nothing = Fields::new();
        let before = current.fields.as_ref().unwrap_or(&nothing);
        let after = self.apply(before)?;
        let mut headers = vec![
            ("Nats-Expected-Last-Subject-Sequence".to_owned(), current.sequence.to_string()),
            ("Nats-Msg-Id".to_owned(), write_id.to_owned()),
        ];
        let ends = match self.change.ttl {
            Some(ttl) => Some(now.saturating_add(milliseconds(ttl))),
            None => current.expires,
        };
        if let Some(ends) = ends {
            headers.push(("Nats-TTL".to_owned(), ends.saturating_sub(now).div_ceil(1000).max(1).to_string()));
            headers.push(("Gbe-Expires".to_owned(), ends.to_string()));
        }
        Some(NatsWrite {
            entries: self.nats_entries(before, &after),
            subject: self.keys.nats_record(),
            headers,
            body: msgpack::encode(&after),
        })
    }

    /// For each deadline there must be an entry at it or earlier: so one that is new, or moves to an earlier time, has one.
    fn nats_entries(&self, before: &Fields, after: &Fields) -> Vec<String> {
        let moved = self.indexes.iter().filter_map(|index| {
            let deadline = deadline(after, index)?;
            let is_covered = self::deadline(before, index).is_some_and(|earlier| earlier <= deadline);
            (!is_covered).then(|| self.keys.nats_entry(index, deadline))
        });
        moved.collect()
    }

    /// What the record must have.
    pub fn expected(&self) -> &Changes {
        &self.change.expected
    }
}

fn deadline(fields: &Fields, index: &str) -> Option<u64> {
    std::str::from_utf8(fields.get(index)?).ok()?.parse().ok()
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
