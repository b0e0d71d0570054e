//! Events: what happened to systems, interfaces, users and data.
//!
//! Written by `schemas/rust/generate.py` from `schemas/json`. Do not change it by hand.

use crate::ids::Ulid;
use crate::invalid::Invalid;
use crate::json::{Json, JsonObject};
use crate::model::{serde_of, words, Members, Model, Schema, Visit};
use crate::rule::ANY;
use crate::clock::now_ms;

/// A request failed by the service's own fault.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct ApiError {
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
    /// Of HTTP.
    ///
    /// 1 to 256 characters.
    pub method: String,
    /// Without the query.
    ///
    /// 0 to 8192 characters.
    pub path: String,
    /// What is wrong, in words.
    ///
    /// 0 to 8192 characters.
    pub error: String,
    /// Of HTTP.
    ///
    /// 100 to 599.
    pub status: Option<u64>,
    /// Whose interface it was.
    ///
    /// 1 to 256 characters.
    pub service: Option<String>,
    /// Who: a user, a token's name, a program.
    ///
    /// 1 to 256 characters.
    pub actor: Option<String>,
    /// From where: an address.
    ///
    /// 1 to 256 characters.
    pub client: Option<String>,
    /// What the service calls the request.
    ///
    /// 1 to 256 characters.
    pub request_id: Option<String>,
}

impl ApiError {
    /// A value with what it must have: `ts` is now, `id` a new ULID.
    pub fn new(method: impl Into<String>, path: impl Into<String>, error: impl Into<String>) -> Self {
        Self {
            v: <Self as Schema>::VERSION,
            ts: now_ms(),
            id: Ulid::new().to_string(),
            method: method.into(),
            path: path.into(),
            error: error.into(),
            status: None,
            service: None,
            actor: None,
            client: None,
            request_id: None,
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

    /// The same with [`status`](Self::status).
    pub fn with_status(mut self, status: u64) -> Self {
        self.status = Some(status);
        self
    }

    /// The same with [`service`](Self::service).
    pub fn with_service(mut self, service: impl Into<String>) -> Self {
        self.service = Some(service.into());
        self
    }

    /// The same with [`actor`](Self::actor).
    pub fn with_actor(mut self, actor: impl Into<String>) -> Self {
        self.actor = Some(actor.into());
        self
    }

    /// The same with [`client`](Self::client).
    pub fn with_client(mut self, client: impl Into<String>) -> Self {
        self.client = Some(client.into());
        self
    }

    /// The same with [`request_id`](Self::request_id).
    pub fn with_request_id(mut self, request_id: impl Into<String>) -> Self {
        self.request_id = Some(request_id.into());
        self
    }
}

impl Model for ApiError {
    fn read(members: &Members<'_>) -> Result<Self, Invalid> {
        Ok(Self {
            v: members.required("v", ANY.range(1, 4294967295))?,
            ts: members.required("ts", ANY.range(0, 281474976710655))?,
            id: members.required("id", ANY.length(1, 256))?,
            method: members.required("method", ANY.length(1, 256))?,
            path: members.required("path", ANY.length(0, 8192))?,
            error: members.required("error", ANY.length(0, 8192))?,
            status: members.optional("status", ANY.range(100, 599))?,
            service: members.optional("service", ANY.length(1, 256))?,
            actor: members.optional("actor", ANY.length(1, 256))?,
            client: members.optional("client", ANY.length(1, 256))?,
            request_id: members.optional("request_id", ANY.length(1, 256))?,
        })
    }

    fn visit<V: Visit>(&self, to: &mut V) -> Result<(), V::Error> {
        to.field("v", &self.v, ANY.range(1, 4294967295))?;
        to.field("ts", &self.ts, ANY.range(0, 281474976710655))?;
        to.field("id", &self.id, ANY.length(1, 256))?;
        to.field("method", &self.method, ANY.length(1, 256))?;
        to.field("path", &self.path, ANY.length(0, 8192))?;
        to.field("error", &self.error, ANY.length(0, 8192))?;
        to.optional("status", &self.status, ANY.range(100, 599))?;
        to.optional("service", &self.service, ANY.length(1, 256))?;
        to.optional("actor", &self.actor, ANY.length(1, 256))?;
        to.optional("client", &self.client, ANY.length(1, 256))?;
        to.optional("request_id", &self.request_id, ANY.length(1, 256))
    }
}

impl Schema for ApiError {
    const NAME: &'static str = "events/api-error";
    const VERSION: u64 = 1;
    const SUBJECTS: &'static [&'static str] = &["events.api.error"];
}

/// A request was answered.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct ApiRequest {
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
    /// Of HTTP.
    ///
    /// 1 to 256 characters.
    pub method: String,
    /// Without the query.
    ///
    /// 0 to 8192 characters.
    pub path: String,
    /// Of HTTP.
    ///
    /// 100 to 599.
    pub status: u64,
    /// How long it took.
    ///
    /// In milliseconds. At least 0.
    pub duration_ms: Option<f64>,
    /// Whose interface it was.
    ///
    /// 1 to 256 characters.
    pub service: Option<String>,
    /// Who: a user, a token's name, a program.
    ///
    /// 1 to 256 characters.
    pub actor: Option<String>,
    /// From where: an address.
    ///
    /// 1 to 256 characters.
    pub client: Option<String>,
    /// What the service calls the request.
    ///
    /// 1 to 256 characters.
    pub request_id: Option<String>,
}

impl ApiRequest {
    /// A value with what it must have: `ts` is now, `id` a new ULID.
    pub fn new(method: impl Into<String>, path: impl Into<String>, status: u64) -> Self {
        Self {
            v: <Self as Schema>::VERSION,
            ts: now_ms(),
            id: Ulid::new().to_string(),
            method: method.into(),
            path: path.into(),
            status,
            duration_ms: None,
            service: None,
            actor: None,
            client: None,
            request_id: None,
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

    /// The same with [`duration_ms`](Self::duration_ms).
    pub fn with_duration_ms(mut self, duration_ms: f64) -> Self {
        self.duration_ms = Some(duration_ms);
        self
    }

    /// The same with [`service`](Self::service).
    pub fn with_service(mut self, service: impl Into<String>) -> Self {
        self.service = Some(service.into());
        self
    }

    /// The same with [`actor`](Self::actor).
    pub fn with_actor(mut self, actor: impl Into<String>) -> Self {
        self.actor = Some(actor.into());
        self
    }

    /// The same with [`client`](Self::client).
    pub fn with_client(mut self, client: impl Into<String>) -> Self {
        self.client = Some(client.into());
        self
    }

    /// The same with [`request_id`](Self::request_id).
    pub fn with_request_id(mut self, request_id: impl Into<String>) -> Self {
        self.request_id = Some(request_id.into());
        self
    }
}

impl Model for ApiRequest {
    fn read(members: &Members<'_>) -> Result<Self, Invalid> {
        Ok(Self {
            v: members.required("v", ANY.range(1, 4294967295))?,
            ts: members.required("ts", ANY.range(0, 281474976710655))?,
            id: members.required("id", ANY.length(1, 256))?,
            method: members.required("method", ANY.length(1, 256))?,
            path: members.required("path", ANY.length(0, 8192))?,
            status: members.required("status", ANY.range(100, 599))?,
            duration_ms: members.optional("duration_ms", ANY)?,
            service: members.optional("service", ANY.length(1, 256))?,
            actor: members.optional("actor", ANY.length(1, 256))?,
            client: members.optional("client", ANY.length(1, 256))?,
            request_id: members.optional("request_id", ANY.length(1, 256))?,
        })
    }

    fn visit<V: Visit>(&self, to: &mut V) -> Result<(), V::Error> {
        to.field("v", &self.v, ANY.range(1, 4294967295))?;
        to.field("ts", &self.ts, ANY.range(0, 281474976710655))?;
        to.field("id", &self.id, ANY.length(1, 256))?;
        to.field("method", &self.method, ANY.length(1, 256))?;
        to.field("path", &self.path, ANY.length(0, 8192))?;
        to.field("status", &self.status, ANY.range(100, 599))?;
        to.optional("duration_ms", &self.duration_ms, ANY)?;
        to.optional("service", &self.service, ANY.length(1, 256))?;
        to.optional("actor", &self.actor, ANY.length(1, 256))?;
        to.optional("client", &self.client, ANY.length(1, 256))?;
        to.optional("request_id", &self.request_id, ANY.length(1, 256))
    }
}

impl Schema for ApiRequest {
    const NAME: &'static str = "events/api-request";
    const VERSION: u64 = 1;
    const SUBJECTS: &'static [&'static str] = &["events.api.request"];
}

/// Something was looked at that is worth a note.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct AuditAccess {
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
    /// Who: a user, a token's name, a program.
    ///
    /// 1 to 256 characters.
    pub actor: String,
    /// What: kind and name, such as `invoice/17`.
    ///
    /// 1 to 256 characters.
    pub target: String,
    /// A verb.
    ///
    /// 1 to 256 characters. Default: `"read"`.
    pub action: String,
    /// How: `api`, `cli`, `ui`, `code`.
    ///
    /// 1 to 256 characters.
    pub via: Option<String>,
    /// Why, in words.
    ///
    /// 0 to 8192 characters.
    pub reason: Option<String>,
}

impl AuditAccess {
    /// A value with what it must have: `ts` is now, `id` a new ULID.
    pub fn new(actor: impl Into<String>, target: impl Into<String>) -> Self {
        Self {
            v: <Self as Schema>::VERSION,
            ts: now_ms(),
            id: Ulid::new().to_string(),
            actor: actor.into(),
            target: target.into(),
            action: "read".to_owned(),
            via: None,
            reason: None,
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

    /// The same with [`action`](Self::action).
    pub fn with_action(mut self, action: impl Into<String>) -> Self {
        self.action = action.into();
        self
    }

    /// The same with [`via`](Self::via).
    pub fn with_via(mut self, via: impl Into<String>) -> Self {
        self.via = Some(via.into());
        self
    }

    /// The same with [`reason`](Self::reason).
    pub fn with_reason(mut self, reason: impl Into<String>) -> Self {
        self.reason = Some(reason.into());
        self
    }
}

impl Model for AuditAccess {
    fn read(members: &Members<'_>) -> Result<Self, Invalid> {
        Ok(Self {
            v: members.required("v", ANY.range(1, 4294967295))?,
            ts: members.required("ts", ANY.range(0, 281474976710655))?,
            id: members.required("id", ANY.length(1, 256))?,
            actor: members.required("actor", ANY.length(1, 256))?,
            target: members.required("target", ANY.length(1, 256))?,
            action: members.or("action", ANY.length(1, 256), "read".to_owned())?,
            via: members.optional("via", ANY.length(1, 256))?,
            reason: members.optional("reason", ANY.length(0, 8192))?,
        })
    }

    fn visit<V: Visit>(&self, to: &mut V) -> Result<(), V::Error> {
        to.field("v", &self.v, ANY.range(1, 4294967295))?;
        to.field("ts", &self.ts, ANY.range(0, 281474976710655))?;
        to.field("id", &self.id, ANY.length(1, 256))?;
        to.field("actor", &self.actor, ANY.length(1, 256))?;
        to.field("target", &self.target, ANY.length(1, 256))?;
        to.or("action", &self.action, ANY.length(1, 256), &"read".to_owned())?;
        to.optional("via", &self.via, ANY.length(1, 256))?;
        to.optional("reason", &self.reason, ANY.length(0, 8192))
    }
}

impl Schema for AuditAccess {
    const NAME: &'static str = "events/audit-access";
    const VERSION: u64 = 1;
    const SUBJECTS: &'static [&'static str] = &["events.audit.access"];
}

/// Something was changed.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct AuditChange {
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
    /// Who: a user, a token's name, a program.
    ///
    /// 1 to 256 characters.
    pub actor: String,
    /// A verb: `update`, `cancel`, `pause`.
    ///
    /// 1 to 256 characters.
    pub action: String,
    /// What: kind and name, such as `invoice/17`.
    ///
    /// 1 to 256 characters.
    pub target: String,
    /// Its state before, any JSON; null if it does not matter or did not exist.
    pub before: Option<Json>,
    /// Its state after, any JSON; null if it does not matter or is gone.
    pub after: Option<Json>,
    /// How: `api`, `cli`, `ui`, `code`.
    ///
    /// 1 to 256 characters.
    pub via: Option<String>,
    /// Why, in words.
    ///
    /// 0 to 8192 characters.
    pub reason: Option<String>,
}

impl AuditChange {
    /// A value with what it must have: `ts` is now, `id` a new ULID.
    pub fn new(actor: impl Into<String>, action: impl Into<String>, target: impl Into<String>) -> Self {
        Self {
            v: <Self as Schema>::VERSION,
            ts: now_ms(),
            id: Ulid::new().to_string(),
            actor: actor.into(),
            action: action.into(),
            target: target.into(),
            before: None,
            after: None,
            via: None,
            reason: None,
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

    /// The same with [`before`](Self::before).
    pub fn with_before(mut self, before: Json) -> Self {
        self.before = Some(before);
        self
    }

    /// The same with [`after`](Self::after).
    pub fn with_after(mut self, after: Json) -> Self {
        self.after = Some(after);
        self
    }

    /// The same with [`via`](Self::via).
    pub fn with_via(mut self, via: impl Into<String>) -> Self {
        self.via = Some(via.into());
        self
    }

    /// The same with [`reason`](Self::reason).
    pub fn with_reason(mut self, reason: impl Into<String>) -> Self {
        self.reason = Some(reason.into());
        self
    }
}

impl Model for AuditChange {
    fn read(members: &Members<'_>) -> Result<Self, Invalid> {
        Ok(Self {
            v: members.required("v", ANY.range(1, 4294967295))?,
            ts: members.required("ts", ANY.range(0, 281474976710655))?,
            id: members.required("id", ANY.length(1, 256))?,
            actor: members.required("actor", ANY.length(1, 256))?,
            action: members.required("action", ANY.length(1, 256))?,
            target: members.required("target", ANY.length(1, 256))?,
            before: members.optional("before", ANY)?,
            after: members.optional("after", ANY)?,
            via: members.optional("via", ANY.length(1, 256))?,
            reason: members.optional("reason", ANY.length(0, 8192))?,
        })
    }

    fn visit<V: Visit>(&self, to: &mut V) -> Result<(), V::Error> {
        to.field("v", &self.v, ANY.range(1, 4294967295))?;
        to.field("ts", &self.ts, ANY.range(0, 281474976710655))?;
        to.field("id", &self.id, ANY.length(1, 256))?;
        to.field("actor", &self.actor, ANY.length(1, 256))?;
        to.field("action", &self.action, ANY.length(1, 256))?;
        to.field("target", &self.target, ANY.length(1, 256))?;
        to.optional("before", &self.before, ANY)?;
        to.optional("after", &self.after, ANY)?;
        to.optional("via", &self.via, ANY.length(1, 256))?;
        to.optional("reason", &self.reason, ANY.length(0, 8192))
    }
}

impl Schema for AuditChange {
    const NAME: &'static str = "events/audit-change";
    const VERSION: u64 = 1;
    const SUBJECTS: &'static [&'static str] = &["events.audit.change"];
}

/// Every other audit event.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct AuditRecord {
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
    /// Who: a user, a token's name, a program.
    ///
    /// 1 to 256 characters.
    pub actor: String,
    /// A verb.
    ///
    /// 1 to 256 characters.
    pub action: String,
    /// What: kind and name, such as `invoice/17`.
    ///
    /// 1 to 256 characters.
    pub target: Option<String>,
    /// How: `api`, `cli`, `ui`, `code`.
    ///
    /// 1 to 256 characters.
    pub via: Option<String>,
    /// More, as any JSON object.
    pub details: Option<JsonObject>,
}

impl AuditRecord {
    /// A value with what it must have: `ts` is now, `id` a new ULID.
    pub fn new(actor: impl Into<String>, action: impl Into<String>) -> Self {
        Self {
            v: <Self as Schema>::VERSION,
            ts: now_ms(),
            id: Ulid::new().to_string(),
            actor: actor.into(),
            action: action.into(),
            target: None,
            via: None,
            details: None,
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

    /// The same with [`target`](Self::target).
    pub fn with_target(mut self, target: impl Into<String>) -> Self {
        self.target = Some(target.into());
        self
    }

    /// The same with [`via`](Self::via).
    pub fn with_via(mut self, via: impl Into<String>) -> Self {
        self.via = Some(via.into());
        self
    }

    /// The same with [`details`](Self::details).
    pub fn with_details(mut self, details: JsonObject) -> Self {
        self.details = Some(details);
        self
    }
}

impl Model for AuditRecord {
    fn read(members: &Members<'_>) -> Result<Self, Invalid> {
        Ok(Self {
            v: members.required("v", ANY.range(1, 4294967295))?,
            ts: members.required("ts", ANY.range(0, 281474976710655))?,
            id: members.required("id", ANY.length(1, 256))?,
            actor: members.required("actor", ANY.length(1, 256))?,
            action: members.required("action", ANY.length(1, 256))?,
            target: members.optional("target", ANY.length(1, 256))?,
            via: members.optional("via", ANY.length(1, 256))?,
            details: members.optional("details", ANY)?,
        })
    }

    fn visit<V: Visit>(&self, to: &mut V) -> Result<(), V::Error> {
        to.field("v", &self.v, ANY.range(1, 4294967295))?;
        to.field("ts", &self.ts, ANY.range(0, 281474976710655))?;
        to.field("id", &self.id, ANY.length(1, 256))?;
        to.field("actor", &self.actor, ANY.length(1, 256))?;
        to.field("action", &self.action, ANY.length(1, 256))?;
        to.optional("target", &self.target, ANY.length(1, 256))?;
        to.optional("via", &self.via, ANY.length(1, 256))?;
        to.optional("details", &self.details, ANY)
    }
}

impl Schema for AuditRecord {
    const NAME: &'static str = "events/audit-record";
    const VERSION: u64 = 1;
    const SUBJECTS: &'static [&'static str] = &["events.audit.*"];
}

/// Somebody was refused. What was tried as a secret is not in it.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct AuthFailure {
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
    /// Why, in words.
    ///
    /// 0 to 8192 characters.
    pub reason: String,
    /// Who: a user, a token's name, a program.
    ///
    /// 1 to 256 characters.
    pub actor: Option<String>,
    /// How: `password`, `token`, `oidc`.
    ///
    /// 1 to 256 characters.
    pub method: Option<String>,
    /// From where: an address.
    ///
    /// 1 to 256 characters.
    pub client: Option<String>,
    /// What was asked for: a path.
    ///
    /// 0 to 8192 characters.
    pub target: Option<String>,
    /// Refusals that this event stands for; a flood of them is told together.
    ///
    /// 0 to 9223372036854775807. Default: `1`.
    pub count: u64,
}

impl AuthFailure {
    /// A value with what it must have: `ts` is now, `id` a new ULID.
    pub fn new(reason: impl Into<String>) -> Self {
        Self {
            v: <Self as Schema>::VERSION,
            ts: now_ms(),
            id: Ulid::new().to_string(),
            reason: reason.into(),
            actor: None,
            method: None,
            client: None,
            target: None,
            count: 1,
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

    /// The same with [`actor`](Self::actor).
    pub fn with_actor(mut self, actor: impl Into<String>) -> Self {
        self.actor = Some(actor.into());
        self
    }

    /// The same with [`method`](Self::method).
    pub fn with_method(mut self, method: impl Into<String>) -> Self {
        self.method = Some(method.into());
        self
    }

    /// The same with [`client`](Self::client).
    pub fn with_client(mut self, client: impl Into<String>) -> Self {
        self.client = Some(client.into());
        self
    }

    /// The same with [`target`](Self::target).
    pub fn with_target(mut self, target: impl Into<String>) -> Self {
        self.target = Some(target.into());
        self
    }

    /// The same with [`count`](Self::count).
    pub fn with_count(mut self, count: u64) -> Self {
        self.count = count;
        self
    }
}

impl Model for AuthFailure {
    fn read(members: &Members<'_>) -> Result<Self, Invalid> {
        Ok(Self {
            v: members.required("v", ANY.range(1, 4294967295))?,
            ts: members.required("ts", ANY.range(0, 281474976710655))?,
            id: members.required("id", ANY.length(1, 256))?,
            reason: members.required("reason", ANY.length(0, 8192))?,
            actor: members.optional("actor", ANY.length(1, 256))?,
            method: members.optional("method", ANY.length(1, 256))?,
            client: members.optional("client", ANY.length(1, 256))?,
            target: members.optional("target", ANY.length(0, 8192))?,
            count: members.or("count", ANY.range(0, 9223372036854775807), 1)?,
        })
    }

    fn visit<V: Visit>(&self, to: &mut V) -> Result<(), V::Error> {
        to.field("v", &self.v, ANY.range(1, 4294967295))?;
        to.field("ts", &self.ts, ANY.range(0, 281474976710655))?;
        to.field("id", &self.id, ANY.length(1, 256))?;
        to.field("reason", &self.reason, ANY.length(0, 8192))?;
        to.optional("actor", &self.actor, ANY.length(1, 256))?;
        to.optional("method", &self.method, ANY.length(1, 256))?;
        to.optional("client", &self.client, ANY.length(1, 256))?;
        to.optional("target", &self.target, ANY.length(0, 8192))?;
        to.or("count", &self.count, ANY.range(0, 9223372036854775807), &1)
    }
}

impl Schema for AuthFailure {
    const NAME: &'static str = "events/auth-failure";
    const VERSION: u64 = 1;
    const SUBJECTS: &'static [&'static str] = &["events.auth.failure"];
}

/// Somebody came in.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct AuthLogin {
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
    /// Who: a user, a token's name, a program.
    ///
    /// 1 to 256 characters.
    pub actor: String,
    /// How: `password`, `token`, `oidc`.
    ///
    /// 1 to 256 characters.
    pub method: Option<String>,
    /// From where: an address.
    ///
    /// 1 to 256 characters.
    pub client: Option<String>,
}

impl AuthLogin {
    /// A value with what it must have: `ts` is now, `id` a new ULID.
    pub fn new(actor: impl Into<String>) -> Self {
        Self {
            v: <Self as Schema>::VERSION,
            ts: now_ms(),
            id: Ulid::new().to_string(),
            actor: actor.into(),
            method: None,
            client: None,
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

    /// The same with [`method`](Self::method).
    pub fn with_method(mut self, method: impl Into<String>) -> Self {
        self.method = Some(method.into());
        self
    }

    /// The same with [`client`](Self::client).
    pub fn with_client(mut self, client: impl Into<String>) -> Self {
        self.client = Some(client.into());
        self
    }
}

impl Model for AuthLogin {
    fn read(members: &Members<'_>) -> Result<Self, Invalid> {
        Ok(Self {
            v: members.required("v", ANY.range(1, 4294967295))?,
            ts: members.required("ts", ANY.range(0, 281474976710655))?,
            id: members.required("id", ANY.length(1, 256))?,
            actor: members.required("actor", ANY.length(1, 256))?,
            method: members.optional("method", ANY.length(1, 256))?,
            client: members.optional("client", ANY.length(1, 256))?,
        })
    }

    fn visit<V: Visit>(&self, to: &mut V) -> Result<(), V::Error> {
        to.field("v", &self.v, ANY.range(1, 4294967295))?;
        to.field("ts", &self.ts, ANY.range(0, 281474976710655))?;
        to.field("id", &self.id, ANY.length(1, 256))?;
        to.field("actor", &self.actor, ANY.length(1, 256))?;
        to.optional("method", &self.method, ANY.length(1, 256))?;
        to.optional("client", &self.client, ANY.length(1, 256))
    }
}

impl Schema for AuthLogin {
    const NAME: &'static str = "events/auth-login";
    const VERSION: u64 = 1;
    const SUBJECTS: &'static [&'static str] = &["events.auth.login"];
}

/// Somebody left, or was sent away.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct AuthLogout {
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
    /// Who: a user, a token's name, a program.
    ///
    /// 1 to 256 characters.
    pub actor: String,
    /// From where: an address.
    ///
    /// 1 to 256 characters.
    pub client: Option<String>,
    /// Why, in words.
    ///
    /// 0 to 8192 characters.
    pub reason: Option<String>,
}

impl AuthLogout {
    /// A value with what it must have: `ts` is now, `id` a new ULID.
    pub fn new(actor: impl Into<String>) -> Self {
        Self {
            v: <Self as Schema>::VERSION,
            ts: now_ms(),
            id: Ulid::new().to_string(),
            actor: actor.into(),
            client: None,
            reason: None,
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

    /// The same with [`client`](Self::client).
    pub fn with_client(mut self, client: impl Into<String>) -> Self {
        self.client = Some(client.into());
        self
    }

    /// The same with [`reason`](Self::reason).
    pub fn with_reason(mut self, reason: impl Into<String>) -> Self {
        self.reason = Some(reason.into());
        self
    }
}

impl Model for AuthLogout {
    fn read(members: &Members<'_>) -> Result<Self, Invalid> {
        Ok(Self {
            v: members.required("v", ANY.range(1, 4294967295))?,
            ts: members.required("ts", ANY.range(0, 281474976710655))?,
            id: members.required("id", ANY.length(1, 256))?,
            actor: members.required("actor", ANY.length(1, 256))?,
            client: members.optional("client", ANY.length(1, 256))?,
            reason: members.optional("reason", ANY.length(0, 8192))?,
        })
    }

    fn visit<V: Visit>(&self, to: &mut V) -> Result<(), V::Error> {
        to.field("v", &self.v, ANY.range(1, 4294967295))?;
        to.field("ts", &self.ts, ANY.range(0, 281474976710655))?;
        to.field("id", &self.id, ANY.length(1, 256))?;
        to.field("actor", &self.actor, ANY.length(1, 256))?;
        to.optional("client", &self.client, ANY.length(1, 256))?;
        to.optional("reason", &self.reason, ANY.length(0, 8192))
    }
}

impl Schema for AuthLogout {
    const NAME: &'static str = "events/auth-logout";
    const VERSION: u64 = 1;
    const SUBJECTS: &'static [&'static str] = &["events.auth.logout"];
}

/// A component came, went, lives, or does not do what it should. The component is in the subject.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Lifecycle {
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
    /// Which one of its kind: host and process.
    ///
    /// 1 to 256 characters.
    pub instance: String,
    /// Of its program.
    ///
    /// 1 to 256 characters.
    pub version: Option<String>,
    /// Why, for `stopped` and `degraded`.
    ///
    /// 0 to 8192 characters.
    pub message: Option<String>,
    /// How long it has been running.
    ///
    /// In milliseconds. 0 to 9223372036854775807.
    pub uptime_ms: Option<u64>,
    /// More, as any JSON object.
    pub details: Option<JsonObject>,
}

impl Lifecycle {
    /// A value with what it must have: `ts` is now, `id` a new ULID.
    pub fn new(instance: impl Into<String>) -> Self {
        Self {
            v: <Self as Schema>::VERSION,
            ts: now_ms(),
            id: Ulid::new().to_string(),
            instance: instance.into(),
            version: None,
            message: None,
            uptime_ms: None,
            details: None,
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

    /// The same with [`version`](Self::version).
    pub fn with_version(mut self, version: impl Into<String>) -> Self {
        self.version = Some(version.into());
        self
    }

    /// The same with [`message`](Self::message).
    pub fn with_message(mut self, message: impl Into<String>) -> Self {
        self.message = Some(message.into());
        self
    }

    /// The same with [`uptime_ms`](Self::uptime_ms).
    pub fn with_uptime_ms(mut self, uptime_ms: u64) -> Self {
        self.uptime_ms = Some(uptime_ms);
        self
    }

    /// The same with [`details`](Self::details).
    pub fn with_details(mut self, details: JsonObject) -> Self {
        self.details = Some(details);
        self
    }
}

impl Model for Lifecycle {
    fn read(members: &Members<'_>) -> Result<Self, Invalid> {
        Ok(Self {
            v: members.required("v", ANY.range(1, 4294967295))?,
            ts: members.required("ts", ANY.range(0, 281474976710655))?,
            id: members.required("id", ANY.length(1, 256))?,
            instance: members.required("instance", ANY.length(1, 256))?,
            version: members.optional("version", ANY.length(1, 256))?,
            message: members.optional("message", ANY.length(0, 8192))?,
            uptime_ms: members.optional("uptime_ms", ANY.range(0, 9223372036854775807))?,
            details: members.optional("details", ANY)?,
        })
    }

    fn visit<V: Visit>(&self, to: &mut V) -> Result<(), V::Error> {
        to.field("v", &self.v, ANY.range(1, 4294967295))?;
        to.field("ts", &self.ts, ANY.range(0, 281474976710655))?;
        to.field("id", &self.id, ANY.length(1, 256))?;
        to.field("instance", &self.instance, ANY.length(1, 256))?;
        to.optional("version", &self.version, ANY.length(1, 256))?;
        to.optional("message", &self.message, ANY.length(0, 8192))?;
        to.optional("uptime_ms", &self.uptime_ms, ANY.range(0, 9223372036854775807))?;
        to.optional("details", &self.details, ANY)
    }
}

impl Schema for Lifecycle {
    const NAME: &'static str = "events/lifecycle";
    const VERSION: u64 = 1;
    const SUBJECTS: &'static [&'static str] = &["events.lifecycle.*.started", "events.lifecycle.*.stopped", "events.lifecycle.*.heartbeat", "events.lifecycle.*.degraded"];
}

/// What an archiver did since its last report.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct ArchiveReport {
    /// Version of the schema that the payload was written by.
    ///
    /// 1 to 4294967295.
    pub v: u64,
    /// When it happened.
    ///
    /// In unix milliseconds. 0 to 281474976710655.
    pub ts: u64,
    /// Which report it was.
    ///
    /// 1 to 256 characters.
    pub id: String,
    /// Who.
    pub archiver: String,
    /// Where it writes.
    pub sink: String,
    /// Confirmed batches.
    ///
    /// 0 to 9223372036854775807. Default: `0`.
    pub batches: u64,
    /// Confirmed messages.
    ///
    /// 0 to 9223372036854775807. Default: `0`.
    pub messages: u64,
    /// Confirmed payloads.
    ///
    /// In bytes. 0 to 9223372036854775807. Default: `0`.
    pub payload_bytes: u64,
    /// Batches that could not be written, and are written again.
    ///
    /// 0 to 9223372036854775807. Default: `0`.
    pub failures: u64,
    /// Messages handed to it that are not in the archive yet.
    ///
    /// 0 to 9223372036854775807. Default: `0`.
    pub waiting: u64,
    /// Age of the oldest of those.
    ///
    /// In milliseconds. 0 to 9223372036854775807. Default: `0`.
    pub oldest_ms: u64,
}

impl ArchiveReport {
    /// A value with what it must have: `ts` is now, `id` a new ULID.
    pub fn new(archiver: impl Into<String>, sink: impl Into<String>) -> Self {
        Self {
            v: <Self as Schema>::VERSION,
            ts: now_ms(),
            id: Ulid::new().to_string(),
            archiver: archiver.into(),
            sink: sink.into(),
            batches: 0,
            messages: 0,
            payload_bytes: 0,
            failures: 0,
            waiting: 0,
            oldest_ms: 0,
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

    /// The same with [`batches`](Self::batches).
    pub fn with_batches(mut self, batches: u64) -> Self {
        self.batches = batches;
        self
    }

    /// The same with [`messages`](Self::messages).
    pub fn with_messages(mut self, messages: u64) -> Self {
        self.messages = messages;
        self
    }

    /// The same with [`payload_bytes`](Self::payload_bytes).
    pub fn with_payload_bytes(mut self, payload_bytes: u64) -> Self {
        self.payload_bytes = payload_bytes;
        self
    }

    /// The same with [`failures`](Self::failures).
    pub fn with_failures(mut self, failures: u64) -> Self {
        self.failures = failures;
        self
    }

    /// The same with [`waiting`](Self::waiting).
    pub fn with_waiting(mut self, waiting: u64) -> Self {
        self.waiting = waiting;
        self
    }

    /// The same with [`oldest_ms`](Self::oldest_ms).
    pub fn with_oldest_ms(mut self, oldest_ms: u64) -> Self {
        self.oldest_ms = oldest_ms;
        self
    }
}

impl Model for ArchiveReport {
    fn read(members: &Members<'_>) -> Result<Self, Invalid> {
        Ok(Self {
            v: members.required("v", ANY.range(1, 4294967295))?,
            ts: members.required("ts", ANY.range(0, 281474976710655))?,
            id: members.required("id", ANY.length(1, 256))?,
            archiver: members.required("archiver", ANY)?,
            sink: members.required("sink", ANY)?,
            batches: members.or("batches", ANY.range(0, 9223372036854775807), 0)?,
            messages: members.or("messages", ANY.range(0, 9223372036854775807), 0)?,
            payload_bytes: members.or("payload_bytes", ANY.range(0, 9223372036854775807), 0)?,
            failures: members.or("failures", ANY.range(0, 9223372036854775807), 0)?,
            waiting: members.or("waiting", ANY.range(0, 9223372036854775807), 0)?,
            oldest_ms: members.or("oldest_ms", ANY.range(0, 9223372036854775807), 0)?,
        })
    }

    fn visit<V: Visit>(&self, to: &mut V) -> Result<(), V::Error> {
        to.field("v", &self.v, ANY.range(1, 4294967295))?;
        to.field("ts", &self.ts, ANY.range(0, 281474976710655))?;
        to.field("id", &self.id, ANY.length(1, 256))?;
        to.field("archiver", &self.archiver, ANY)?;
        to.field("sink", &self.sink, ANY)?;
        to.or("batches", &self.batches, ANY.range(0, 9223372036854775807), &0)?;
        to.or("messages", &self.messages, ANY.range(0, 9223372036854775807), &0)?;
        to.or("payload_bytes", &self.payload_bytes, ANY.range(0, 9223372036854775807), &0)?;
        to.or("failures", &self.failures, ANY.range(0, 9223372036854775807), &0)?;
        to.or("waiting", &self.waiting, ANY.range(0, 9223372036854775807), &0)?;
        to.or("oldest_ms", &self.oldest_ms, ANY.range(0, 9223372036854775807), &0)
    }
}

impl Schema for ArchiveReport {
    const NAME: &'static str = "events/system-archive";
    const VERSION: u64 = 1;
    const SUBJECTS: &'static [&'static str] = &["events.system.archive"];
}

/// How far it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SystemDeployStatus {
    /// `failed`
    Failed,
    /// `rolled_back`
    RolledBack,
    /// `started`
    Started,
    /// `succeeded`
    Succeeded,
}

words!(SystemDeployStatus { Failed = "failed", RolledBack = "rolled_back", Started = "started", Succeeded = "succeeded" });

/// A version went somewhere.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct SystemDeploy {
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
    /// What was deployed.
    ///
    /// 1 to 256 characters.
    pub service: String,
    /// Which version of it.
    ///
    /// 1 to 256 characters.
    pub version: String,
    /// Where to: `production`.
    ///
    /// 1 to 256 characters.
    pub environment: Option<String>,
    /// Who: a user, a token's name, a program.
    ///
    /// 1 to 256 characters.
    pub actor: Option<String>,
    /// How far it is.
    ///
    /// Default: `"succeeded"`.
    pub status: SystemDeployStatus,
    /// More, as any JSON object.
    pub details: Option<JsonObject>,
}

impl SystemDeploy {
    /// A value with what it must have: `ts` is now, `id` a new ULID.
    pub fn new(service: impl Into<String>, version: impl Into<String>) -> Self {
        Self {
            v: <Self as Schema>::VERSION,
            ts: now_ms(),
            id: Ulid::new().to_string(),
            service: service.into(),
            version: version.into(),
            environment: None,
            actor: None,
            status: SystemDeployStatus::Succeeded,
            details: None,
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

    /// The same with [`environment`](Self::environment).
    pub fn with_environment(mut self, environment: impl Into<String>) -> Self {
        self.environment = Some(environment.into());
        self
    }

    /// The same with [`actor`](Self::actor).
    pub fn with_actor(mut self, actor: impl Into<String>) -> Self {
        self.actor = Some(actor.into());
        self
    }

    /// The same with [`status`](Self::status).
    pub fn with_status(mut self, status: SystemDeployStatus) -> Self {
        self.status = status;
        self
    }

    /// The same with [`details`](Self::details).
    pub fn with_details(mut self, details: JsonObject) -> Self {
        self.details = Some(details);
        self
    }
}

impl Model for SystemDeploy {
    fn read(members: &Members<'_>) -> Result<Self, Invalid> {
        Ok(Self {
            v: members.required("v", ANY.range(1, 4294967295))?,
            ts: members.required("ts", ANY.range(0, 281474976710655))?,
            id: members.required("id", ANY.length(1, 256))?,
            service: members.required("service", ANY.length(1, 256))?,
            version: members.required("version", ANY.length(1, 256))?,
            environment: members.optional("environment", ANY.length(1, 256))?,
            actor: members.optional("actor", ANY.length(1, 256))?,
            status: members.or("status", ANY, SystemDeployStatus::Succeeded)?,
            details: members.optional("details", ANY)?,
        })
    }

    fn visit<V: Visit>(&self, to: &mut V) -> Result<(), V::Error> {
        to.field("v", &self.v, ANY.range(1, 4294967295))?;
        to.field("ts", &self.ts, ANY.range(0, 281474976710655))?;
        to.field("id", &self.id, ANY.length(1, 256))?;
        to.field("service", &self.service, ANY.length(1, 256))?;
        to.field("version", &self.version, ANY.length(1, 256))?;
        to.optional("environment", &self.environment, ANY.length(1, 256))?;
        to.optional("actor", &self.actor, ANY.length(1, 256))?;
        to.or("status", &self.status, ANY, &SystemDeployStatus::Succeeded)?;
        to.optional("details", &self.details, ANY)
    }
}

impl Schema for SystemDeploy {
    const NAME: &'static str = "events/system-deploy";
    const VERSION: u64 = 1;
    const SUBJECTS: &'static [&'static str] = &["events.system.deploy"];
}

/// Something that an operator should know of.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct SystemFault {
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
    /// Who noticed: `sweeper`, `archiver`, a service.
    ///
    /// 1 to 256 characters.
    pub source: String,
    /// What is wrong, in words.
    ///
    /// 0 to 8192 characters.
    pub error: String,
    /// The type of the task that it is about, if it is.
    ///
    /// 1 to 256 characters.
    pub task_type: Option<String>,
    /// The task that it is about, if it is.
    ///
    /// 1 to 256 characters.
    pub task_id: Option<String>,
    /// More, as any JSON object.
    pub details: Option<JsonObject>,
}

impl SystemFault {
    /// A value with what it must have: `ts` is now, `id` a new ULID.
    pub fn new(source: impl Into<String>, error: impl Into<String>) -> Self {
        Self {
            v: <Self as Schema>::VERSION,
            ts: now_ms(),
            id: Ulid::new().to_string(),
            source: source.into(),
            error: error.into(),
            task_type: None,
            task_id: None,
            details: None,
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

    /// The same with [`details`](Self::details).
    pub fn with_details(mut self, details: JsonObject) -> Self {
        self.details = Some(details);
        self
    }
}

impl Model for SystemFault {
    fn read(members: &Members<'_>) -> Result<Self, Invalid> {
        Ok(Self {
            v: members.required("v", ANY.range(1, 4294967295))?,
            ts: members.required("ts", ANY.range(0, 281474976710655))?,
            id: members.required("id", ANY.length(1, 256))?,
            source: members.required("source", ANY.length(1, 256))?,
            error: members.required("error", ANY.length(0, 8192))?,
            task_type: members.optional("task_type", ANY.length(1, 256))?,
            task_id: members.optional("task_id", ANY.length(1, 256))?,
            details: members.optional("details", ANY)?,
        })
    }

    fn visit<V: Visit>(&self, to: &mut V) -> Result<(), V::Error> {
        to.field("v", &self.v, ANY.range(1, 4294967295))?;
        to.field("ts", &self.ts, ANY.range(0, 281474976710655))?;
        to.field("id", &self.id, ANY.length(1, 256))?;
        to.field("source", &self.source, ANY.length(1, 256))?;
        to.field("error", &self.error, ANY.length(0, 8192))?;
        to.optional("task_type", &self.task_type, ANY.length(1, 256))?;
        to.optional("task_id", &self.task_id, ANY.length(1, 256))?;
        to.optional("details", &self.details, ANY)
    }
}

impl Schema for SystemFault {
    const NAME: &'static str = "events/system-error";
    const VERSION: u64 = 1;
    const SUBJECTS: &'static [&'static str] = &["events.system.error"];
}

/// How it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SystemHealthStatus {
    /// `degraded`
    Degraded,
    /// `down`
    Down,
    /// `ok`
    Ok,
}

words!(SystemHealthStatus { Degraded = "degraded", Down = "down", Ok = "ok" });

/// How a component is.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct SystemHealth {
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
    /// Which one.
    ///
    /// 1 to 256 characters.
    pub component: String,
    /// How it is.
    pub status: SystemHealthStatus,
    /// More in words.
    ///
    /// 0 to 8192 characters.
    pub message: Option<String>,
    /// More, as any JSON object.
    pub details: Option<JsonObject>,
}

impl SystemHealth {
    /// A value with what it must have: `ts` is now, `id` a new ULID.
    pub fn new(component: impl Into<String>, status: SystemHealthStatus) -> Self {
        Self {
            v: <Self as Schema>::VERSION,
            ts: now_ms(),
            id: Ulid::new().to_string(),
            component: component.into(),
            status,
            message: None,
            details: None,
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

    /// The same with [`message`](Self::message).
    pub fn with_message(mut self, message: impl Into<String>) -> Self {
        self.message = Some(message.into());
        self
    }

    /// The same with [`details`](Self::details).
    pub fn with_details(mut self, details: JsonObject) -> Self {
        self.details = Some(details);
        self
    }
}

impl Model for SystemHealth {
    fn read(members: &Members<'_>) -> Result<Self, Invalid> {
        Ok(Self {
            v: members.required("v", ANY.range(1, 4294967295))?,
            ts: members.required("ts", ANY.range(0, 281474976710655))?,
            id: members.required("id", ANY.length(1, 256))?,
            component: members.required("component", ANY.length(1, 256))?,
            status: members.required("status", ANY)?,
            message: members.optional("message", ANY.length(0, 8192))?,
            details: members.optional("details", ANY)?,
        })
    }

    fn visit<V: Visit>(&self, to: &mut V) -> Result<(), V::Error> {
        to.field("v", &self.v, ANY.range(1, 4294967295))?;
        to.field("ts", &self.ts, ANY.range(0, 281474976710655))?;
        to.field("id", &self.id, ANY.length(1, 256))?;
        to.field("component", &self.component, ANY.length(1, 256))?;
        to.field("status", &self.status, ANY)?;
        to.optional("message", &self.message, ANY.length(0, 8192))?;
        to.optional("details", &self.details, ANY)
    }
}

impl Schema for SystemHealth {
    const NAME: &'static str = "events/system-health";
    const VERSION: u64 = 1;
    const SUBJECTS: &'static [&'static str] = &["events.system.health"];
}

/// Every other system event; each source has fields of its own beside these.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct SystemRecord {
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
    /// Who noticed: `sweeper`, `archiver`, a service.
    ///
    /// 1 to 256 characters.
    pub source: Option<String>,
    /// In words.
    ///
    /// 0 to 8192 characters.
    pub message: Option<String>,
    /// More, as any JSON object.
    pub details: Option<JsonObject>,
}

impl SystemRecord {
    /// A value with what it must have: `ts` is now, `id` a new ULID.
    #[allow(clippy::new_without_default)] // no two are equal
    pub fn new() -> Self {
        Self {
            v: <Self as Schema>::VERSION,
            ts: now_ms(),
            id: Ulid::new().to_string(),
            source: None,
            message: None,
            details: None,
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

    /// The same with [`source`](Self::source).
    pub fn with_source(mut self, source: impl Into<String>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// The same with [`message`](Self::message).
    pub fn with_message(mut self, message: impl Into<String>) -> Self {
        self.message = Some(message.into());
        self
    }

    /// The same with [`details`](Self::details).
    pub fn with_details(mut self, details: JsonObject) -> Self {
        self.details = Some(details);
        self
    }
}

impl Model for SystemRecord {
    fn read(members: &Members<'_>) -> Result<Self, Invalid> {
        Ok(Self {
            v: members.required("v", ANY.range(1, 4294967295))?,
            ts: members.required("ts", ANY.range(0, 281474976710655))?,
            id: members.required("id", ANY.length(1, 256))?,
            source: members.optional("source", ANY.length(1, 256))?,
            message: members.optional("message", ANY.length(0, 8192))?,
            details: members.optional("details", ANY)?,
        })
    }

    fn visit<V: Visit>(&self, to: &mut V) -> Result<(), V::Error> {
        to.field("v", &self.v, ANY.range(1, 4294967295))?;
        to.field("ts", &self.ts, ANY.range(0, 281474976710655))?;
        to.field("id", &self.id, ANY.length(1, 256))?;
        to.optional("source", &self.source, ANY.length(1, 256))?;
        to.optional("message", &self.message, ANY.length(0, 8192))?;
        to.optional("details", &self.details, ANY)
    }
}

impl Schema for SystemRecord {
    const NAME: &'static str = "events/system-record";
    const VERSION: u64 = 1;
    const SUBJECTS: &'static [&'static str] = &["events.system.*"];
}

/// What one sweep did.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct SweepReport {
    /// Version of the schema that the payload was written by.
    ///
    /// 1 to 4294967295.
    pub v: u64,
    /// When it ended.
    ///
    /// In unix milliseconds. 0 to 281474976710655.
    pub ts: u64,
    /// Which sweep it was.
    ///
    /// 1 to 256 characters.
    pub id: String,
    /// Who swept.
    pub sweeper: String,
    /// Pending tasks whose signal was published again.
    ///
    /// 0 to 9223372036854775807. Default: `0`.
    pub signalled: u64,
    /// Pending tasks whose signal still lies in its queue, or whose type is paused.
    ///
    /// 0 to 9223372036854775807. Default: `0`.
    pub waiting: u64,
    /// Tasks whose holder was gone, and which wait for another one.
    ///
    /// 0 to 9223372036854775807. Default: `0`.
    pub retried: u64,
    /// Tasks whose time or budget was spent.
    ///
    /// 0 to 9223372036854775807. Default: `0`.
    pub failed: u64,
    /// Tasks that somebody else moved meanwhile.
    ///
    /// 0 to 9223372036854775807. Default: `0`.
    pub contended: u64,
    /// How long it took.
    ///
    /// In milliseconds. 0 to 9223372036854775807. Default: `0`.
    pub took_ms: u64,
}

impl SweepReport {
    /// A value with what it must have: `ts` is now, `id` a new ULID.
    pub fn new(sweeper: impl Into<String>) -> Self {
        Self {
            v: <Self as Schema>::VERSION,
            ts: now_ms(),
            id: Ulid::new().to_string(),
            sweeper: sweeper.into(),
            signalled: 0,
            waiting: 0,
            retried: 0,
            failed: 0,
            contended: 0,
            took_ms: 0,
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

    /// The same with [`signalled`](Self::signalled).
    pub fn with_signalled(mut self, signalled: u64) -> Self {
        self.signalled = signalled;
        self
    }

    /// The same with [`waiting`](Self::waiting).
    pub fn with_waiting(mut self, waiting: u64) -> Self {
        self.waiting = waiting;
        self
    }

    /// The same with [`retried`](Self::retried).
    pub fn with_retried(mut self, retried: u64) -> Self {
        self.retried = retried;
        self
    }

    /// The same with [`failed`](Self::failed).
    pub fn with_failed(mut self, failed: u64) -> Self {
        self.failed = failed;
        self
    }

    /// The same with [`contended`](Self::contended).
    pub fn with_contended(mut self, contended: u64) -> Self {
        self.contended = contended;
        self
    }

    /// The same with [`took_ms`](Self::took_ms).
    pub fn with_took_ms(mut self, took_ms: u64) -> Self {
        self.took_ms = took_ms;
        self
    }
}

impl Model for SweepReport {
    fn read(members: &Members<'_>) -> Result<Self, Invalid> {
        Ok(Self {
            v: members.required("v", ANY.range(1, 4294967295))?,
            ts: members.required("ts", ANY.range(0, 281474976710655))?,
            id: members.required("id", ANY.length(1, 256))?,
            sweeper: members.required("sweeper", ANY)?,
            signalled: members.or("signalled", ANY.range(0, 9223372036854775807), 0)?,
            waiting: members.or("waiting", ANY.range(0, 9223372036854775807), 0)?,
            retried: members.or("retried", ANY.range(0, 9223372036854775807), 0)?,
            failed: members.or("failed", ANY.range(0, 9223372036854775807), 0)?,
            contended: members.or("contended", ANY.range(0, 9223372036854775807), 0)?,
            took_ms: members.or("took_ms", ANY.range(0, 9223372036854775807), 0)?,
        })
    }

    fn visit<V: Visit>(&self, to: &mut V) -> Result<(), V::Error> {
        to.field("v", &self.v, ANY.range(1, 4294967295))?;
        to.field("ts", &self.ts, ANY.range(0, 281474976710655))?;
        to.field("id", &self.id, ANY.length(1, 256))?;
        to.field("sweeper", &self.sweeper, ANY)?;
        to.or("signalled", &self.signalled, ANY.range(0, 9223372036854775807), &0)?;
        to.or("waiting", &self.waiting, ANY.range(0, 9223372036854775807), &0)?;
        to.or("retried", &self.retried, ANY.range(0, 9223372036854775807), &0)?;
        to.or("failed", &self.failed, ANY.range(0, 9223372036854775807), &0)?;
        to.or("contended", &self.contended, ANY.range(0, 9223372036854775807), &0)?;
        to.or("took_ms", &self.took_ms, ANY.range(0, 9223372036854775807), &0)
    }
}

impl Schema for SweepReport {
    const NAME: &'static str = "events/system-sweep";
    const VERSION: u64 = 1;
    const SUBJECTS: &'static [&'static str] = &["events.system.sweep"];
}

serde_of!(ApiError, ApiRequest, AuditAccess, AuditChange, AuditRecord, AuthFailure, AuthLogin, AuthLogout, Lifecycle, ArchiveReport, SystemDeploy, SystemFault, SystemHealth, SystemRecord, SweepReport);
