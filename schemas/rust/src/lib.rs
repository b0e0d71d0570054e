//! The contract of gbe: what programs must agree on to speak with gbe and with one another.
//!
//! | module | what |
//! |---|---|
//! | [`events`], [`notify`], [`tasks`], [`jobs`] and the root | a type for each payload and record, generated from `schemas/json` |
//! | [`nats`], [`redis`] | an envelope as a NATS message, and as an entry of a Redis stream |
//! | [`subjects`], [`names`], [`ids`] | subjects and patterns, the names of everything, ULIDs and ids of keys |
//! | [`moves`], [`state`] | the transitions of a task, and the conditional write of a record |
//!
//! Nothing here opens a connection: use the client of your engine, and these types for what goes over it.
//!
//! ```
//! use gbe_schema::events::AuditChange;
//! use gbe_schema::{Reason, Schema};
//!
//! let event = AuditChange::new("ann", "update", "invoice/17").with_reason("typo");
//! let payload = event.encode().unwrap();
//! assert_eq!(AuditChange::decode(&payload).unwrap(), event);
//!
//! let wrong = AuditChange::decode(br#"{"v":1,"ts":1,"id":"a","actor":"","action":"update","target":"x"}"#).unwrap_err();
//! assert_eq!((wrong.path.as_str(), wrong.reason), ("actor", Reason::Bound));
//! ```

#[cfg(doctest)]
#[doc = include_str!("../../../docs/languages-rust.md")]
mod page {}

mod clock;
mod document;
mod envelope;
mod hash;
mod invalid;
mod json;
mod line;
mod model;
mod rule;
mod schema;

pub mod ids;
pub mod moves;
pub mod msgpack;
pub mod names;
pub mod nats;
pub mod redis;
pub mod state;
pub mod subjects;
pub mod traceparent;

pub use crate::clock::now_ms;
pub use crate::document::MAX_DEPTH;
pub use crate::hash::slot_of;
pub use crate::ids::Ulid;
pub use crate::invalid::{Invalid, Reason};
pub use crate::json::{Bytes, Json, JsonObject};
pub use crate::model::{Fields, Record, Schema};
pub use crate::schema::base::{DeadLetter, DeadLetterOriginal, Envelope, Payload};
pub use crate::schema::{events, jobs, notify, tasks};
