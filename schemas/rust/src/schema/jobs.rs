//! Jobs of several tasks.
//!
//! Written by `schemas/rust/generate.py` from `schemas/json`. Do not change it by hand.

use std::collections::BTreeMap;

use crate::ids::Ulid;
use crate::invalid::Invalid;
use crate::json::Bytes;
use crate::model::{check, serde_of, store, words, Fields, Held, Members, Model, Record, Schema, Visit};
use crate::rule::{Format, ANY};
use crate::clock::now_ms;

/// What became of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum JobEventState {
    /// `cancelled`
    Cancelled,
    /// `completed`
    Completed,
    /// `created`
    Created,
    /// `failed`
    Failed,
}

words!(JobEventState { Cancelled = "cancelled", Completed = "completed", Created = "created", Failed = "failed" });

/// A job was started, or has ended.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct JobEvent {
    /// Version of the schema that the payload was written by.
    ///
    /// 1 to 4294967295.
    pub v: u64,
    /// When it happened.
    ///
    /// In unix milliseconds. 0 to 281474976710655.
    pub ts: u64,
    /// `{job_id}.{run}.{state}`.
    ///
    /// 1 to 256 characters.
    pub id: String,
    /// The job.
    ///
    /// 26 characters. It matches `^[0-7][0-9A-HJKMNP-TV-Z]{25}$`.
    pub job_id: String,
    /// Its type.
    ///
    /// 1 to 64 characters. It matches `^[A-Za-z0-9_-]+$`.
    pub job_type: String,
    /// What became of it.
    pub state: JobEventState,
    /// 1, and one more for each retry.
    ///
    /// 1 to 255. Default: `1`.
    pub run: u64,
    /// Why it failed.
    pub error: Option<String>,
}

impl JobEvent {
    /// A value with what it must have: `ts` is now, `id` a new ULID.
    pub fn new(job_id: impl Into<String>, job_type: impl Into<String>, state: JobEventState) -> Self {
        Self {
            v: <Self as Schema>::VERSION,
            ts: now_ms(),
            id: Ulid::new().to_string(),
            job_id: job_id.into(),
            job_type: job_type.into(),
            state,
            run: 1,
            error: None,
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

    /// The same with [`run`](Self::run).
    pub fn with_run(mut self, run: u64) -> Self {
        self.run = run;
        self
    }

    /// The same with [`error`](Self::error).
    pub fn with_error(mut self, error: impl Into<String>) -> Self {
        self.error = Some(error.into());
        self
    }
}

impl Model for JobEvent {
    fn read(members: &Members<'_>) -> Result<Self, Invalid> {
        Ok(Self {
            v: members.required("v", ANY.range(1, 4294967295))?,
            ts: members.required("ts", ANY.range(0, 281474976710655))?,
            id: members.required("id", ANY.length(1, 256))?,
            job_id: members.required("job_id", ANY.length(26, 26).format(Format::Ulid))?,
            job_type: members.required("job_type", ANY.length(1, 64).format(Format::Token))?,
            state: members.required("state", ANY)?,
            run: members.or("run", ANY.range(1, 255), 1)?,
            error: members.optional("error", ANY)?,
        })
    }

    fn visit<V: Visit>(&self, to: &mut V) -> Result<(), V::Error> {
        to.field("v", &self.v, ANY.range(1, 4294967295))?;
        to.field("ts", &self.ts, ANY.range(0, 281474976710655))?;
        to.field("id", &self.id, ANY.length(1, 256))?;
        to.field("job_id", &self.job_id, ANY.length(26, 26).format(Format::Ulid))?;
        to.field("job_type", &self.job_type, ANY.length(1, 64).format(Format::Token))?;
        to.field("state", &self.state, ANY)?;
        to.or("run", &self.run, ANY.range(1, 255), &1)?;
        to.optional("error", &self.error, ANY)
    }
}

impl Schema for JobEvent {
    const NAME: &'static str = "jobs/event";
    const VERSION: u64 = 1;
    const SUBJECTS: &'static [&'static str] = &["jobs.*.created", "jobs.*.completed", "jobs.*.failed", "jobs.*.cancelled"];
}

/// Where the job is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum JobState {
    /// `running`
    Running,
    /// `failing`
    Failing,
    /// `completed`
    Completed,
    /// `failed`
    Failed,
    /// `cancelled`
    Cancelled,
}

words!(JobState { Running = "running", Failing = "failing", Completed = "completed", Failed = "failed", Cancelled = "cancelled" });

/// A job in the state store, under `{namespace}.state.jobs.{job_id}`: a map of field to bytes. `x-stored` says how a value is bytes: `text` (UTF-8), `decimal` (digits), `json` (of `sizes`, with the numbers as strings) or `bytes` (base64 in a vector). What is null or an empty table is not stored.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct JobRecord {
    /// Its id.
    ///
    /// 26 characters. It matches `^[0-7][0-9A-HJKMNP-TV-Z]{25}$`.
    pub job_id: String,
    /// Its type.
    ///
    /// 1 to 64 characters. It matches `^[A-Za-z0-9_-]+$`.
    pub job_type: String,
    /// Where the job is.
    ///
    /// Default: `"running"`.
    pub state: JobState,
    /// Raised by every write: what a compare-and-set compares.
    ///
    /// 0 to 9223372036854775807. Default: `0`.
    pub rev: u64,
    /// 1, and one more for each retry.
    ///
    /// 1 to 255. Default: `1`.
    pub run: u64,
    /// When it was started.
    ///
    /// In unix milliseconds. 0 to 9223372036854775807. Default: `0`.
    pub created_at: u64,
    /// Of the last write.
    ///
    /// In unix milliseconds. 0 to 9223372036854775807. Default: `0`.
    pub updated_at: u64,
    /// When it ended.
    ///
    /// In unix milliseconds. 0 to 9223372036854775807.
    pub finished_at: Option<u64>,
    /// When somebody must look at it at the latest; absent once it has ended and all is done. The deadline index `look_at` is made of it.
    ///
    /// In unix milliseconds. 0 to 9223372036854775807.
    pub look_at: Option<u64>,
    /// End of its whole time.
    ///
    /// In unix milliseconds. 0 to 9223372036854775807. Default: `0`.
    pub deadline: u64,
    /// How long it is kept after its end.
    ///
    /// In milliseconds. 0 to 9223372036854775807. Default: `86400000`.
    pub retention_ms: u64,
    /// A code for each task, in the order of the definition: w waiting, s starting, r running, c completed, f failed, k skipped, x cancelled.
    ///
    /// Default: `""`.
    pub nodes: String,
    /// A byte for each task: the run in which it was started last.
    ///
    /// Base64 in JSON. Default: `""`.
    pub runs: Bytes,
    /// A code for each task's undoing; `-` if there is none.
    ///
    /// Default: `""`.
    pub undo: String,
    /// Of each fan-out that has started, by the task's number: a code for each chunk of 250 items: n fresh, s starting, r running, e broken, c completed, f failed.
    ///
    /// Default: `{}`.
    pub chunks: BTreeMap<String, String>,
    /// Items of each fan-out, by the task's number.
    ///
    /// Default: `{}`.
    pub sizes: BTreeMap<String, String>,
    /// What went wrong outside of a task's own record, by the task's number.
    ///
    /// Default: `{}`.
    pub errors: BTreeMap<String, String>,
    /// Why it failed.
    pub error: Option<String>,
    /// Of the start.
    pub idempotency_key: Option<String>,
    /// Trace context of the start.
    pub traceparent: Option<String>,
    /// 1 if no waiting task could start when this was written, and no failure was left to be judged.
    ///
    /// 0 to 9223372036854775807.
    pub settled: Option<u64>,
    /// The last transitions of the job, a line each: `{unix ms} {run} {what}`, and the number of a task that was skipped.
    ///
    /// Default: `""`.
    pub history: String,
}

impl JobRecord {
    /// A value with what it must have.
    pub fn new(job_id: impl Into<String>, job_type: impl Into<String>) -> Self {
        Self {
            job_id: job_id.into(),
            job_type: job_type.into(),
            state: JobState::Running,
            rev: 0,
            run: 1,
            created_at: 0,
            updated_at: 0,
            finished_at: None,
            look_at: None,
            deadline: 0,
            retention_ms: 86400000,
            nodes: String::new(),
            runs: Bytes::default(),
            undo: String::new(),
            chunks: BTreeMap::new(),
            sizes: BTreeMap::new(),
            errors: BTreeMap::new(),
            error: None,
            idempotency_key: None,
            traceparent: None,
            settled: None,
            history: String::new(),
        }
    }

    /// The same with [`state`](Self::state).
    pub fn with_state(mut self, state: JobState) -> Self {
        self.state = state;
        self
    }

    /// The same with [`rev`](Self::rev).
    pub fn with_rev(mut self, rev: u64) -> Self {
        self.rev = rev;
        self
    }

    /// The same with [`run`](Self::run).
    pub fn with_run(mut self, run: u64) -> Self {
        self.run = run;
        self
    }

    /// The same with [`created_at`](Self::created_at).
    pub fn with_created_at(mut self, created_at: u64) -> Self {
        self.created_at = created_at;
        self
    }

    /// The same with [`updated_at`](Self::updated_at).
    pub fn with_updated_at(mut self, updated_at: u64) -> Self {
        self.updated_at = updated_at;
        self
    }

    /// The same with [`finished_at`](Self::finished_at).
    pub fn with_finished_at(mut self, finished_at: u64) -> Self {
        self.finished_at = Some(finished_at);
        self
    }

    /// The same with [`look_at`](Self::look_at).
    pub fn with_look_at(mut self, look_at: u64) -> Self {
        self.look_at = Some(look_at);
        self
    }

    /// The same with [`deadline`](Self::deadline).
    pub fn with_deadline(mut self, deadline: u64) -> Self {
        self.deadline = deadline;
        self
    }

    /// The same with [`retention_ms`](Self::retention_ms).
    pub fn with_retention_ms(mut self, retention_ms: u64) -> Self {
        self.retention_ms = retention_ms;
        self
    }

    /// The same with [`nodes`](Self::nodes).
    pub fn with_nodes(mut self, nodes: impl Into<String>) -> Self {
        self.nodes = nodes.into();
        self
    }

    /// The same with [`runs`](Self::runs).
    pub fn with_runs(mut self, runs: impl Into<Bytes>) -> Self {
        self.runs = runs.into();
        self
    }

    /// The same with [`undo`](Self::undo).
    pub fn with_undo(mut self, undo: impl Into<String>) -> Self {
        self.undo = undo.into();
        self
    }

    /// The same with [`chunks`](Self::chunks).
    pub fn with_chunks(mut self, chunks: BTreeMap<String, String>) -> Self {
        self.chunks = chunks;
        self
    }

    /// The same with [`sizes`](Self::sizes).
    pub fn with_sizes(mut self, sizes: BTreeMap<String, String>) -> Self {
        self.sizes = sizes;
        self
    }

    /// The same with [`errors`](Self::errors).
    pub fn with_errors(mut self, errors: BTreeMap<String, String>) -> Self {
        self.errors = errors;
        self
    }

    /// The same with [`error`](Self::error).
    pub fn with_error(mut self, error: impl Into<String>) -> Self {
        self.error = Some(error.into());
        self
    }

    /// The same with [`idempotency_key`](Self::idempotency_key).
    pub fn with_idempotency_key(mut self, idempotency_key: impl Into<String>) -> Self {
        self.idempotency_key = Some(idempotency_key.into());
        self
    }

    /// The same with [`traceparent`](Self::traceparent).
    pub fn with_traceparent(mut self, traceparent: impl Into<String>) -> Self {
        self.traceparent = Some(traceparent.into());
        self
    }

    /// The same with [`settled`](Self::settled).
    pub fn with_settled(mut self, settled: u64) -> Self {
        self.settled = Some(settled);
        self
    }

    /// The same with [`history`](Self::history).
    pub fn with_history(mut self, history: impl Into<String>) -> Self {
        self.history = history.into();
        self
    }
}

impl Model for JobRecord {
    fn read(members: &Members<'_>) -> Result<Self, Invalid> {
        Ok(Self {
            job_id: members.required("job_id", ANY.length(26, 26).format(Format::Ulid))?,
            job_type: members.required("job_type", ANY.length(1, 64).format(Format::Token))?,
            state: members.or("state", ANY, JobState::Running)?,
            rev: members.or("rev", ANY.range(0, 9223372036854775807), 0)?,
            run: members.or("run", ANY.range(1, 255), 1)?,
            created_at: members.or("created_at", ANY.range(0, 9223372036854775807), 0)?,
            updated_at: members.or("updated_at", ANY.range(0, 9223372036854775807), 0)?,
            finished_at: members.optional("finished_at", ANY.range(0, 9223372036854775807))?,
            look_at: members.optional("look_at", ANY.range(0, 9223372036854775807))?,
            deadline: members.or("deadline", ANY.range(0, 9223372036854775807), 0)?,
            retention_ms: members.or("retention_ms", ANY.range(0, 9223372036854775807), 86400000)?,
            nodes: members.or("nodes", ANY, String::new())?,
            runs: members.or("runs", ANY, Bytes::default())?,
            undo: members.or("undo", ANY, String::new())?,
            chunks: members.or("chunks", ANY, BTreeMap::new())?,
            sizes: members.or("sizes", ANY.format(Format::Digits), BTreeMap::new())?,
            errors: members.or("errors", ANY, BTreeMap::new())?,
            error: members.optional("error", ANY)?,
            idempotency_key: members.optional("idempotency_key", ANY)?,
            traceparent: members.optional("traceparent", ANY)?,
            settled: members.optional("settled", ANY.range(0, 9223372036854775807))?,
            history: members.or("history", ANY, String::new())?,
        })
    }

    fn visit<V: Visit>(&self, to: &mut V) -> Result<(), V::Error> {
        to.field("job_id", &self.job_id, ANY.length(26, 26).format(Format::Ulid))?;
        to.field("job_type", &self.job_type, ANY.length(1, 64).format(Format::Token))?;
        to.or("state", &self.state, ANY, &JobState::Running)?;
        to.or("rev", &self.rev, ANY.range(0, 9223372036854775807), &0)?;
        to.or("run", &self.run, ANY.range(1, 255), &1)?;
        to.or("created_at", &self.created_at, ANY.range(0, 9223372036854775807), &0)?;
        to.or("updated_at", &self.updated_at, ANY.range(0, 9223372036854775807), &0)?;
        to.optional("finished_at", &self.finished_at, ANY.range(0, 9223372036854775807))?;
        to.optional("look_at", &self.look_at, ANY.range(0, 9223372036854775807))?;
        to.or("deadline", &self.deadline, ANY.range(0, 9223372036854775807), &0)?;
        to.or("retention_ms", &self.retention_ms, ANY.range(0, 9223372036854775807), &86400000)?;
        to.or("nodes", &self.nodes, ANY, &String::new())?;
        to.or("runs", &self.runs, ANY, &Bytes::default())?;
        to.or("undo", &self.undo, ANY, &String::new())?;
        to.or("chunks", &self.chunks, ANY, &BTreeMap::new())?;
        to.or("sizes", &self.sizes, ANY.format(Format::Digits), &BTreeMap::new())?;
        to.or("errors", &self.errors, ANY, &BTreeMap::new())?;
        to.optional("error", &self.error, ANY)?;
        to.optional("idempotency_key", &self.idempotency_key, ANY)?;
        to.optional("traceparent", &self.traceparent, ANY)?;
        to.optional("settled", &self.settled, ANY.range(0, 9223372036854775807))?;
        to.or("history", &self.history, ANY, &String::new())
    }
}

impl Record for JobRecord {
    const NAME: &'static str = "jobs/record";

    fn from_fields(fields: &Fields) -> Result<Self, Invalid> {
        let held = Held(fields);
        Ok(Self {
            job_id: held.required("job_id", ANY.length(26, 26).format(Format::Ulid))?,
            job_type: held.required("job_type", ANY.length(1, 64).format(Format::Token))?,
            state: held.or("state", ANY, JobState::Running)?,
            rev: held.or("rev", ANY.range(0, 9223372036854775807), 0)?,
            run: held.or("run", ANY.range(1, 255), 1)?,
            created_at: held.or("created_at", ANY.range(0, 9223372036854775807), 0)?,
            updated_at: held.or("updated_at", ANY.range(0, 9223372036854775807), 0)?,
            finished_at: held.optional("finished_at", ANY.range(0, 9223372036854775807))?,
            look_at: held.optional("look_at", ANY.range(0, 9223372036854775807))?,
            deadline: held.or("deadline", ANY.range(0, 9223372036854775807), 0)?,
            retention_ms: held.or("retention_ms", ANY.range(0, 9223372036854775807), 86400000)?,
            nodes: held.or("nodes", ANY, String::new())?,
            runs: held.or("runs", ANY, Bytes::default())?,
            undo: held.or("undo", ANY, String::new())?,
            chunks: held.or("chunks", ANY, BTreeMap::new())?,
            sizes: held.or("sizes", ANY.format(Format::Digits), BTreeMap::new())?,
            errors: held.or("errors", ANY, BTreeMap::new())?,
            error: held.optional("error", ANY)?,
            idempotency_key: held.optional("idempotency_key", ANY)?,
            traceparent: held.optional("traceparent", ANY)?,
            settled: held.optional("settled", ANY.range(0, 9223372036854775807))?,
            history: held.or("history", ANY, String::new())?,
        })
    }

    fn to_fields(&self) -> Fields {
        let mut fields = Fields::new();
        store(&mut fields, "job_id", &self.job_id);
        store(&mut fields, "job_type", &self.job_type);
        store(&mut fields, "state", &self.state);
        store(&mut fields, "rev", &self.rev);
        store(&mut fields, "run", &self.run);
        store(&mut fields, "created_at", &self.created_at);
        store(&mut fields, "updated_at", &self.updated_at);
        if let Some(value) = &self.finished_at {
            store(&mut fields, "finished_at", value);
        }
        if let Some(value) = &self.look_at {
            store(&mut fields, "look_at", value);
        }
        store(&mut fields, "deadline", &self.deadline);
        store(&mut fields, "retention_ms", &self.retention_ms);
        store(&mut fields, "nodes", &self.nodes);
        store(&mut fields, "runs", &self.runs);
        store(&mut fields, "undo", &self.undo);
        store(&mut fields, "chunks", &self.chunks);
        store(&mut fields, "sizes", &self.sizes);
        store(&mut fields, "errors", &self.errors);
        if let Some(value) = &self.error {
            store(&mut fields, "error", value);
        }
        if let Some(value) = &self.idempotency_key {
            store(&mut fields, "idempotency_key", value);
        }
        if let Some(value) = &self.traceparent {
            store(&mut fields, "traceparent", value);
        }
        if let Some(value) = &self.settled {
            store(&mut fields, "settled", value);
        }
        store(&mut fields, "history", &self.history);
        fields
    }

    fn validate(&self) -> Result<(), Invalid> {
        check("job_id", &self.job_id, ANY.length(26, 26).format(Format::Ulid))?;
        check("job_type", &self.job_type, ANY.length(1, 64).format(Format::Token))?;
        check("state", &self.state, ANY)?;
        check("rev", &self.rev, ANY.range(0, 9223372036854775807))?;
        check("run", &self.run, ANY.range(1, 255))?;
        check("created_at", &self.created_at, ANY.range(0, 9223372036854775807))?;
        check("updated_at", &self.updated_at, ANY.range(0, 9223372036854775807))?;
        if let Some(value) = &self.finished_at {
            check("finished_at", value, ANY.range(0, 9223372036854775807))?;
        }
        if let Some(value) = &self.look_at {
            check("look_at", value, ANY.range(0, 9223372036854775807))?;
        }
        check("deadline", &self.deadline, ANY.range(0, 9223372036854775807))?;
        check("retention_ms", &self.retention_ms, ANY.range(0, 9223372036854775807))?;
        check("nodes", &self.nodes, ANY)?;
        check("runs", &self.runs, ANY)?;
        check("undo", &self.undo, ANY)?;
        check("chunks", &self.chunks, ANY)?;
        check("sizes", &self.sizes, ANY.format(Format::Digits))?;
        check("errors", &self.errors, ANY)?;
        if let Some(value) = &self.error {
            check("error", value, ANY)?;
        }
        if let Some(value) = &self.idempotency_key {
            check("idempotency_key", value, ANY)?;
        }
        if let Some(value) = &self.traceparent {
            check("traceparent", value, ANY)?;
        }
        if let Some(value) = &self.settled {
            check("settled", value, ANY.range(0, 9223372036854775807))?;
        }
        check("history", &self.history, ANY)?;
        Ok(())
    }
}

serde_of!(JobEvent, JobRecord);
