//! Tasks: signals, progress, outcomes, records.
//!
//! Written by `schemas/rust/generate.py` from `schemas/json`. Do not change it by hand.

use std::collections::BTreeMap;

use crate::ids::Ulid;
use crate::invalid::Invalid;
use crate::json::Json;
use crate::line::{check_lines, join, store_lines, Line, Parts, Ring};
use crate::model::{check, serde_of, store, words, Fields, Held, Members, Model, Record, Schema, Visit};
use crate::rule::{Format, ANY};
use crate::clock::now_ms;

/// How it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TaskOutcomeState {
    /// `cancelled`
    Cancelled,
    /// `completed`
    Completed,
    /// `failed`
    Failed,
}

words!(TaskOutcomeState { Cancelled = "cancelled", Completed = "completed", Failed = "failed" });

/// A task has ended.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct TaskOutcome {
    /// Version of the schema that the payload was written by.
    ///
    /// 1 to 4294967295.
    pub v: u64,
    /// When it ended.
    ///
    /// In unix milliseconds. 0 to 281474976710655.
    pub ts: u64,
    /// `{task_id}.{attempt}`.
    ///
    /// 1 to 256 characters.
    pub id: String,
    /// The task.
    ///
    /// 26 characters. It matches `^[0-7][0-9A-HJKMNP-TV-Z]{25}$`.
    pub task_id: String,
    /// Its type.
    ///
    /// 1 to 64 characters. It matches `^[A-Za-z0-9_-]+$`.
    pub task_type: String,
    /// How it ended.
    pub state: TaskOutcomeState,
    /// Claims in all.
    ///
    /// 0 to 9223372036854775807.
    pub attempt: u64,
    /// Attempts that have failed, timed out or were lost.
    ///
    /// 0 to 9223372036854775807. Default: `0`.
    pub retry_count: u64,
    /// Why it failed.
    pub error: Option<String>,
    /// Who had it last.
    pub worker: Option<String>,
    /// How long its last attempt ran.
    ///
    /// In milliseconds. 0 to 9223372036854775807.
    pub run_ms: Option<u64>,
    /// The job that it is part of.
    ///
    /// 26 characters. It matches `^[0-7][0-9A-HJKMNP-TV-Z]{25}$`.
    pub job_id: Option<String>,
    /// Its result, any JSON: in replies only, and only if it is not large.
    ///
    /// `null` is a value, and not absence.
    pub result: Option<Json>,
}

impl TaskOutcome {
    /// A value with what it must have: `ts` is now, `id` a new ULID.
    pub fn new(task_id: impl Into<String>, task_type: impl Into<String>, state: TaskOutcomeState, attempt: u64) -> Self {
        Self {
            v: <Self as Schema>::VERSION,
            ts: now_ms(),
            id: Ulid::new().to_string(),
            task_id: task_id.into(),
            task_type: task_type.into(),
            state,
            attempt,
            retry_count: 0,
            error: None,
            worker: None,
            run_ms: None,
            job_id: None,
            result: None,
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

    /// The same with [`retry_count`](Self::retry_count).
    pub fn with_retry_count(mut self, retry_count: u64) -> Self {
        self.retry_count = retry_count;
        self
    }

    /// The same with [`error`](Self::error).
    pub fn with_error(mut self, error: impl Into<String>) -> Self {
        self.error = Some(error.into());
        self
    }

    /// The same with [`worker`](Self::worker).
    pub fn with_worker(mut self, worker: impl Into<String>) -> Self {
        self.worker = Some(worker.into());
        self
    }

    /// The same with [`run_ms`](Self::run_ms).
    pub fn with_run_ms(mut self, run_ms: u64) -> Self {
        self.run_ms = Some(run_ms);
        self
    }

    /// The same with [`job_id`](Self::job_id).
    pub fn with_job_id(mut self, job_id: impl Into<String>) -> Self {
        self.job_id = Some(job_id.into());
        self
    }

    /// The same with [`result`](Self::result).
    pub fn with_result(mut self, result: Json) -> Self {
        self.result = Some(result);
        self
    }
}

impl Model for TaskOutcome {
    fn read(members: &Members<'_>) -> Result<Self, Invalid> {
        Ok(Self {
            v: members.required("v", ANY.range(1, 4294967295))?,
            ts: members.required("ts", ANY.range(0, 281474976710655))?,
            id: members.required("id", ANY.length(1, 256))?,
            task_id: members.required("task_id", ANY.length(26, 26).format(Format::Ulid))?,
            task_type: members.required("task_type", ANY.length(1, 64).format(Format::Token))?,
            state: members.required("state", ANY)?,
            attempt: members.required("attempt", ANY.range(0, 9223372036854775807))?,
            retry_count: members.or("retry_count", ANY.range(0, 9223372036854775807), 0)?,
            error: members.optional("error", ANY)?,
            worker: members.optional("worker", ANY)?,
            run_ms: members.optional("run_ms", ANY.range(0, 9223372036854775807))?,
            job_id: members.optional("job_id", ANY.length(26, 26).format(Format::Ulid))?,
            result: members.free("result", ANY)?,
        })
    }

    fn visit<V: Visit>(&self, to: &mut V) -> Result<(), V::Error> {
        to.field("v", &self.v, ANY.range(1, 4294967295))?;
        to.field("ts", &self.ts, ANY.range(0, 281474976710655))?;
        to.field("id", &self.id, ANY.length(1, 256))?;
        to.field("task_id", &self.task_id, ANY.length(26, 26).format(Format::Ulid))?;
        to.field("task_type", &self.task_type, ANY.length(1, 64).format(Format::Token))?;
        to.field("state", &self.state, ANY)?;
        to.field("attempt", &self.attempt, ANY.range(0, 9223372036854775807))?;
        to.or("retry_count", &self.retry_count, ANY.range(0, 9223372036854775807), &0)?;
        to.optional("error", &self.error, ANY)?;
        to.optional("worker", &self.worker, ANY)?;
        to.optional("run_ms", &self.run_ms, ANY.range(0, 9223372036854775807))?;
        to.optional("job_id", &self.job_id, ANY.length(26, 26).format(Format::Ulid))?;
        to.optional("result", &self.result, ANY)
    }
}

impl Schema for TaskOutcome {
    const NAME: &'static str = "tasks/outcome";
    const VERSION: u64 = 1;
    const SUBJECTS: &'static [&'static str] = &["tasks.*.terminal", "tasks._reply.*"];
}

/// A running task has come so far.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct TaskProgress {
    /// Version of the schema that the payload was written by.
    ///
    /// 1 to 4294967295.
    pub v: u64,
    /// When it happened.
    ///
    /// In unix milliseconds. 0 to 281474976710655.
    pub ts: u64,
    /// Of the payload itself.
    ///
    /// 1 to 256 characters.
    pub id: String,
    /// The task.
    ///
    /// 26 characters. It matches `^[0-7][0-9A-HJKMNP-TV-Z]{25}$`.
    pub task_id: String,
    /// Its type.
    ///
    /// 1 to 64 characters. It matches `^[A-Za-z0-9_-]+$`.
    pub task_type: String,
    /// Claims of the task, this one included.
    ///
    /// 0 to 9223372036854775807.
    pub attempt: u64,
    /// Who had it last.
    pub worker: String,
    /// Steps that are done.
    ///
    /// 0 to 9223372036854775807.
    pub done: u64,
    /// Steps in all, as far as it is known.
    ///
    /// 0 to 9223372036854775807.
    pub total: Option<u64>,
    /// What it is doing, in words.
    ///
    /// Default: `""`.
    pub note: String,
}

impl TaskProgress {
    /// A value with what it must have: `ts` is now, `id` a new ULID.
    pub fn new(task_id: impl Into<String>, task_type: impl Into<String>, attempt: u64, worker: impl Into<String>, done: u64) -> Self {
        Self {
            v: <Self as Schema>::VERSION,
            ts: now_ms(),
            id: Ulid::new().to_string(),
            task_id: task_id.into(),
            task_type: task_type.into(),
            attempt,
            worker: worker.into(),
            done,
            total: None,
            note: String::new(),
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

    /// The same with [`total`](Self::total).
    pub fn with_total(mut self, total: u64) -> Self {
        self.total = Some(total);
        self
    }

    /// The same with [`note`](Self::note).
    pub fn with_note(mut self, note: impl Into<String>) -> Self {
        self.note = note.into();
        self
    }
}

impl Model for TaskProgress {
    fn read(members: &Members<'_>) -> Result<Self, Invalid> {
        Ok(Self {
            v: members.required("v", ANY.range(1, 4294967295))?,
            ts: members.required("ts", ANY.range(0, 281474976710655))?,
            id: members.required("id", ANY.length(1, 256))?,
            task_id: members.required("task_id", ANY.length(26, 26).format(Format::Ulid))?,
            task_type: members.required("task_type", ANY.length(1, 64).format(Format::Token))?,
            attempt: members.required("attempt", ANY.range(0, 9223372036854775807))?,
            worker: members.required("worker", ANY)?,
            done: members.required("done", ANY.range(0, 9223372036854775807))?,
            total: members.optional("total", ANY.range(0, 9223372036854775807))?,
            note: members.or("note", ANY, String::new())?,
        })
    }

    fn visit<V: Visit>(&self, to: &mut V) -> Result<(), V::Error> {
        to.field("v", &self.v, ANY.range(1, 4294967295))?;
        to.field("ts", &self.ts, ANY.range(0, 281474976710655))?;
        to.field("id", &self.id, ANY.length(1, 256))?;
        to.field("task_id", &self.task_id, ANY.length(26, 26).format(Format::Ulid))?;
        to.field("task_type", &self.task_type, ANY.length(1, 64).format(Format::Token))?;
        to.field("attempt", &self.attempt, ANY.range(0, 9223372036854775807))?;
        to.field("worker", &self.worker, ANY)?;
        to.field("done", &self.done, ANY.range(0, 9223372036854775807))?;
        to.optional("total", &self.total, ANY.range(0, 9223372036854775807))?;
        to.or("note", &self.note, ANY, &String::new())
    }
}

impl Schema for TaskProgress {
    const NAME: &'static str = "tasks/progress";
    const VERSION: u64 = 1;
    const SUBJECTS: &'static [&'static str] = &["tasks.*.progress"];
}

/// Where the task is; the last three never change again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TaskState {
    /// `pending`
    Pending,
    /// `claimed`
    Claimed,
    /// `running`
    Running,
    /// `completed`
    Completed,
    /// `failed`
    Failed,
    /// `cancelled`
    Cancelled,
}

words!(TaskState { Pending = "pending", Claimed = "claimed", Running = "running", Completed = "completed", Failed = "failed", Cancelled = "cancelled" });

/// Which queue it waits in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TaskPriority {
    /// `high`
    High,
    /// `normal`
    Normal,
    /// `low`
    Low,
}

words!(TaskPriority { High = "high", Normal = "normal", Low = "low" });

/// An attempt began. Tasks of jobs keep it of their last 32 attempts; the number in the name is the attempt modulo 32. A line that does not read so is skipped: no record is refused for what it tells of its past.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct AttemptStarted {
    /// Which one; the first is 1.
    ///
    /// 1 to 9223372036854775807.
    pub attempt: u64,
    /// When it was claimed.
    ///
    /// In unix milliseconds. 0 to 9223372036854775807.
    pub at: u64,
    /// Who claimed it; spaces in its name are written as `_`.
    ///
    /// It matches `^[^ ]+$`.
    pub worker: String,
    /// Trace context of the attempt.
    pub traceparent: Option<String>,
}

impl AttemptStarted {
    /// A value with what it must have.
    pub fn new(attempt: u64, at: u64, worker: impl Into<String>) -> Self {
        Self {
            attempt,
            at,
            worker: worker.into(),
            traceparent: None,
        }
    }

    /// The same with [`traceparent`](Self::traceparent).
    pub fn with_traceparent(mut self, traceparent: impl Into<String>) -> Self {
        self.traceparent = Some(traceparent.into());
        self
    }
}

impl Model for AttemptStarted {
    fn read(members: &Members<'_>) -> Result<Self, Invalid> {
        Ok(Self {
            attempt: members.required("attempt", ANY.range(1, 9223372036854775807))?,
            at: members.required("at", ANY.range(0, 9223372036854775807))?,
            worker: members.required("worker", ANY.length(1, usize::MAX).format(Format::Word))?,
            traceparent: members.optional("traceparent", ANY)?,
        })
    }

    fn visit<V: Visit>(&self, to: &mut V) -> Result<(), V::Error> {
        to.field("attempt", &self.attempt, ANY.range(1, 9223372036854775807))?;
        to.field("at", &self.at, ANY.range(0, 9223372036854775807))?;
        to.field("worker", &self.worker, ANY.length(1, usize::MAX).format(Format::Word))?;
        to.optional("traceparent", &self.traceparent, ANY)
    }
}

impl Line for AttemptStarted {
    fn from_line(line: &str) -> Option<Self> {
        let mut parts = Parts::of(line, 4);
        Some(Self {
            attempt: parts.next(ANY.range(1, 9223372036854775807))?,
            at: parts.next(ANY.range(0, 9223372036854775807))?,
            worker: parts.next(ANY.length(1, usize::MAX).format(Format::Word))?,
            traceparent: parts.next_unless("-", ANY)?,
        })
    }

    fn to_line(&self) -> String {
        join([
            self.attempt.to_string(),
            self.at.to_string(),
            self.worker.to_string(),
            self.traceparent.as_ref().map_or("-".to_owned(), ToString::to_string),
        ])
    }
}

/// How it ended: `retried` says that it failed or was lost and that another one follows, `returned` that its worker stopped and nothing is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum AttemptEndedHow {
    /// `completed`
    Completed,
    /// `failed`
    Failed,
    /// `cancelled`
    Cancelled,
    /// `retried`
    Retried,
    /// `returned`
    Returned,
}

words!(AttemptEndedHow { Completed = "completed", Failed = "failed", Cancelled = "cancelled", Retried = "retried", Returned = "returned" });

/// An attempt ended, kept as its beginning is. A line that does not read so is skipped: no record is refused for what it tells of its past.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct AttemptEnded {
    /// Which one; the first is 1.
    ///
    /// 1 to 9223372036854775807.
    pub attempt: u64,
    /// When it ended.
    ///
    /// In unix milliseconds. 0 to 9223372036854775807.
    pub at: u64,
    /// How it ended: `retried` says that it failed or was lost and that another one follows, `returned` that its worker stopped and nothing is counted.
    pub how: AttemptEndedHow,
    /// What went wrong, its beginning.
    ///
    /// 0 to 200 characters.
    pub error: Option<String>,
}

impl AttemptEnded {
    /// A value with what it must have.
    pub fn new(attempt: u64, at: u64, how: AttemptEndedHow) -> Self {
        Self {
            attempt,
            at,
            how,
            error: None,
        }
    }

    /// The same with [`error`](Self::error).
    pub fn with_error(mut self, error: impl Into<String>) -> Self {
        self.error = Some(error.into());
        self
    }
}

impl Model for AttemptEnded {
    fn read(members: &Members<'_>) -> Result<Self, Invalid> {
        Ok(Self {
            attempt: members.required("attempt", ANY.range(1, 9223372036854775807))?,
            at: members.required("at", ANY.range(0, 9223372036854775807))?,
            how: members.required("how", ANY)?,
            error: members.optional("error", ANY.length(0, 200))?,
        })
    }

    fn visit<V: Visit>(&self, to: &mut V) -> Result<(), V::Error> {
        to.field("attempt", &self.attempt, ANY.range(1, 9223372036854775807))?;
        to.field("at", &self.at, ANY.range(0, 9223372036854775807))?;
        to.field("how", &self.how, ANY)?;
        to.optional("error", &self.error, ANY.length(0, 200))
    }
}

impl Line for AttemptEnded {
    fn from_line(line: &str) -> Option<Self> {
        let mut parts = Parts::of(line, 4);
        Some(Self {
            attempt: parts.next(ANY.range(1, 9223372036854775807))?,
            at: parts.next(ANY.range(0, 9223372036854775807))?,
            how: parts.next(ANY)?,
            error: parts.next_unless("", ANY.length(0, 200))?,
        })
    }

    fn to_line(&self) -> String {
        join([
            self.attempt.to_string(),
            self.at.to_string(),
            self.how.to_string(),
            self.error.as_ref().map_or("".to_owned(), ToString::to_string),
        ])
    }
}

/// A task in the state store, under `{namespace}.state.tasks.{task_type}.{task_id}`: a map of field to bytes. `x-stored` says how a value is bytes: `text` (UTF-8), `decimal` (digits), `json`, or `line` (the values of its properties in their order, a space between). A field that is null is not stored. Who writes keeps fields that it does not know.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct TaskRecord {
    /// Its type.
    ///
    /// 1 to 64 characters. It matches `^[A-Za-z0-9_-]+$`.
    pub task_type: String,
    /// Its id.
    ///
    /// 26 characters. It matches `^[0-7][0-9A-HJKMNP-TV-Z]{25}$`.
    pub task_id: String,
    /// Where the task is; the last three never change again.
    pub state: TaskState,
    /// Claims so far. Every write of a worker is conditional on it.
    ///
    /// 0 to 9223372036854775807. Default: `0`.
    pub attempt: u64,
    /// Attempts that failed, timed out or were lost.
    ///
    /// 0 to 9223372036854775807. Default: `0`.
    pub retry_count: u64,
    /// When it was submitted.
    ///
    /// In unix milliseconds. 0 to 9223372036854775807. Default: `0`.
    pub created_at: u64,
    /// Of the last write.
    ///
    /// In unix milliseconds. 0 to 9223372036854775807. Default: `0`.
    pub updated_at: u64,
    /// Which queue it waits in.
    ///
    /// Default: `"normal"`.
    pub priority: TaskPriority,
    /// Further attempts after one that failed; absent: its type's.
    ///
    /// 0 to 9223372036854775807.
    pub max_retries: Option<u64>,
    /// How long a step may take; absent: its type's.
    ///
    /// In milliseconds. 0 to 9223372036854775807.
    pub step_timeout_ms: Option<u64>,
    /// When somebody must look: of a pending task, whether its signal got lost; of a running one, whether its worker did; of one that has ended, whether its outcome is published. Absent once it is. The deadline index `timeout_at` is made of it.
    ///
    /// In unix milliseconds. 0 to 9223372036854775807.
    pub timeout_at: Option<u64>,
    /// Not before then.
    ///
    /// In unix milliseconds. 0 to 9223372036854775807.
    pub run_at: Option<u64>,
    /// Of the last signal.
    ///
    /// In unix milliseconds. 0 to 9223372036854775807.
    pub signalled_at: Option<u64>,
    /// Of the last claim.
    ///
    /// In unix milliseconds. 0 to 9223372036854775807.
    pub started_at: Option<u64>,
    /// When it ended.
    ///
    /// In unix milliseconds. 0 to 9223372036854775807.
    pub finished_at: Option<u64>,
    /// End of its whole time.
    ///
    /// In unix milliseconds. 0 to 9223372036854775807.
    pub deadline: Option<u64>,
    /// Steps that are done.
    ///
    /// 0 to 9223372036854775807.
    pub current_step: Option<u64>,
    /// Steps in all.
    ///
    /// 0 to 9223372036854775807.
    pub step_count: Option<u64>,
    /// What it is doing, in words.
    pub note: Option<String>,
    /// Who has it, or had it last.
    pub worker: Option<String>,
    /// The job that it is part of.
    pub job_id: Option<String>,
    /// What its limits per key go by.
    pub key: Option<String>,
    /// Of the submit.
    pub idempotency_key: Option<String>,
    /// The task that it repeats.
    pub retry_of: Option<String>,
    /// The subject where its submitter listens.
    pub reply_to: Option<String>,
    /// What went wrong last; at most 4000 characters.
    pub error: Option<String>,
    /// Trace context of the submit.
    pub traceparent: Option<String>,
    /// Trace context of the first attempt, which later ones link to.
    pub attempt_trace: Option<String>,
    /// Parameters, JSON.
    ///
    /// `null` is a value, and not absence.
    pub params: Option<Json>,
    /// Claim check of large parameters, JSON.
    ///
    /// `null` is a value, and not absence.
    pub params_ref: Option<Json>,
    /// Result, JSON.
    ///
    /// `null` is a value, and not absence.
    pub result: Option<Json>,
    /// Claim check of a large result, JSON.
    ///
    /// `null` is a value, and not absence.
    pub result_ref: Option<Json>,
    /// An attempt began. Tasks of jobs keep it of their last 32 attempts; the number in the name is the attempt modulo 32. A line that does not read so is skipped: no record is refused for what it tells of its past.
    pub attempt_started: BTreeMap<String, AttemptStarted>,
    /// An attempt ended, kept as its beginning is. A line that does not read so is skipped: no record is refused for what it tells of its past.
    pub attempt_ended: BTreeMap<String, AttemptEnded>,
}

impl TaskRecord {
    /// A value with what it must have.
    pub fn new(task_type: impl Into<String>, task_id: impl Into<String>, state: TaskState) -> Self {
        Self {
            task_type: task_type.into(),
            task_id: task_id.into(),
            state,
            attempt: 0,
            retry_count: 0,
            created_at: 0,
            updated_at: 0,
            priority: TaskPriority::Normal,
            max_retries: None,
            step_timeout_ms: None,
            timeout_at: None,
            run_at: None,
            signalled_at: None,
            started_at: None,
            finished_at: None,
            deadline: None,
            current_step: None,
            step_count: None,
            note: None,
            worker: None,
            job_id: None,
            key: None,
            idempotency_key: None,
            retry_of: None,
            reply_to: None,
            error: None,
            traceparent: None,
            attempt_trace: None,
            params: None,
            params_ref: None,
            result: None,
            result_ref: None,
            attempt_started: BTreeMap::new(),
            attempt_ended: BTreeMap::new(),
        }
    }

    /// The same with [`attempt`](Self::attempt).
    pub fn with_attempt(mut self, attempt: u64) -> Self {
        self.attempt = attempt;
        self
    }

    /// The same with [`retry_count`](Self::retry_count).
    pub fn with_retry_count(mut self, retry_count: u64) -> Self {
        self.retry_count = retry_count;
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

    /// The same with [`priority`](Self::priority).
    pub fn with_priority(mut self, priority: TaskPriority) -> Self {
        self.priority = priority;
        self
    }

    /// The same with [`max_retries`](Self::max_retries).
    pub fn with_max_retries(mut self, max_retries: u64) -> Self {
        self.max_retries = Some(max_retries);
        self
    }

    /// The same with [`step_timeout_ms`](Self::step_timeout_ms).
    pub fn with_step_timeout_ms(mut self, step_timeout_ms: u64) -> Self {
        self.step_timeout_ms = Some(step_timeout_ms);
        self
    }

    /// The same with [`timeout_at`](Self::timeout_at).
    pub fn with_timeout_at(mut self, timeout_at: u64) -> Self {
        self.timeout_at = Some(timeout_at);
        self
    }

    /// The same with [`run_at`](Self::run_at).
    pub fn with_run_at(mut self, run_at: u64) -> Self {
        self.run_at = Some(run_at);
        self
    }

    /// The same with [`signalled_at`](Self::signalled_at).
    pub fn with_signalled_at(mut self, signalled_at: u64) -> Self {
        self.signalled_at = Some(signalled_at);
        self
    }

    /// The same with [`started_at`](Self::started_at).
    pub fn with_started_at(mut self, started_at: u64) -> Self {
        self.started_at = Some(started_at);
        self
    }

    /// The same with [`finished_at`](Self::finished_at).
    pub fn with_finished_at(mut self, finished_at: u64) -> Self {
        self.finished_at = Some(finished_at);
        self
    }

    /// The same with [`deadline`](Self::deadline).
    pub fn with_deadline(mut self, deadline: u64) -> Self {
        self.deadline = Some(deadline);
        self
    }

    /// The same with [`current_step`](Self::current_step).
    pub fn with_current_step(mut self, current_step: u64) -> Self {
        self.current_step = Some(current_step);
        self
    }

    /// The same with [`step_count`](Self::step_count).
    pub fn with_step_count(mut self, step_count: u64) -> Self {
        self.step_count = Some(step_count);
        self
    }

    /// The same with [`note`](Self::note).
    pub fn with_note(mut self, note: impl Into<String>) -> Self {
        self.note = Some(note.into());
        self
    }

    /// The same with [`worker`](Self::worker).
    pub fn with_worker(mut self, worker: impl Into<String>) -> Self {
        self.worker = Some(worker.into());
        self
    }

    /// The same with [`job_id`](Self::job_id).
    pub fn with_job_id(mut self, job_id: impl Into<String>) -> Self {
        self.job_id = Some(job_id.into());
        self
    }

    /// The same with [`key`](Self::key).
    pub fn with_key(mut self, key: impl Into<String>) -> Self {
        self.key = Some(key.into());
        self
    }

    /// The same with [`idempotency_key`](Self::idempotency_key).
    pub fn with_idempotency_key(mut self, idempotency_key: impl Into<String>) -> Self {
        self.idempotency_key = Some(idempotency_key.into());
        self
    }

    /// The same with [`retry_of`](Self::retry_of).
    pub fn with_retry_of(mut self, retry_of: impl Into<String>) -> Self {
        self.retry_of = Some(retry_of.into());
        self
    }

    /// The same with [`reply_to`](Self::reply_to).
    pub fn with_reply_to(mut self, reply_to: impl Into<String>) -> Self {
        self.reply_to = Some(reply_to.into());
        self
    }

    /// The same with [`error`](Self::error).
    pub fn with_error(mut self, error: impl Into<String>) -> Self {
        self.error = Some(error.into());
        self
    }

    /// The same with [`traceparent`](Self::traceparent).
    pub fn with_traceparent(mut self, traceparent: impl Into<String>) -> Self {
        self.traceparent = Some(traceparent.into());
        self
    }

    /// The same with [`attempt_trace`](Self::attempt_trace).
    pub fn with_attempt_trace(mut self, attempt_trace: impl Into<String>) -> Self {
        self.attempt_trace = Some(attempt_trace.into());
        self
    }

    /// The same with [`params`](Self::params).
    pub fn with_params(mut self, params: Json) -> Self {
        self.params = Some(params);
        self
    }

    /// The same with [`params_ref`](Self::params_ref).
    pub fn with_params_ref(mut self, params_ref: Json) -> Self {
        self.params_ref = Some(params_ref);
        self
    }

    /// The same with [`result`](Self::result).
    pub fn with_result(mut self, result: Json) -> Self {
        self.result = Some(result);
        self
    }

    /// The same with [`result_ref`](Self::result_ref).
    pub fn with_result_ref(mut self, result_ref: Json) -> Self {
        self.result_ref = Some(result_ref);
        self
    }

    /// The same with [`attempt_started`](Self::attempt_started).
    pub fn with_attempt_started(mut self, attempt_started: BTreeMap<String, AttemptStarted>) -> Self {
        self.attempt_started = attempt_started;
        self
    }

    /// The same with [`attempt_ended`](Self::attempt_ended).
    pub fn with_attempt_ended(mut self, attempt_ended: BTreeMap<String, AttemptEnded>) -> Self {
        self.attempt_ended = attempt_ended;
        self
    }
}

impl Model for TaskRecord {
    fn read(members: &Members<'_>) -> Result<Self, Invalid> {
        Ok(Self {
            task_type: members.required("task_type", ANY.length(1, 64).format(Format::Token))?,
            task_id: members.required("task_id", ANY.length(26, 26).format(Format::Ulid))?,
            state: members.required("state", ANY)?,
            attempt: members.or("attempt", ANY.range(0, 9223372036854775807), 0)?,
            retry_count: members.or("retry_count", ANY.range(0, 9223372036854775807), 0)?,
            created_at: members.or("created_at", ANY.range(0, 9223372036854775807), 0)?,
            updated_at: members.or("updated_at", ANY.range(0, 9223372036854775807), 0)?,
            priority: members.or("priority", ANY, TaskPriority::Normal)?,
            max_retries: members.optional("max_retries", ANY.range(0, 9223372036854775807))?,
            step_timeout_ms: members.optional("step_timeout_ms", ANY.range(0, 9223372036854775807))?,
            timeout_at: members.optional("timeout_at", ANY.range(0, 9223372036854775807))?,
            run_at: members.optional("run_at", ANY.range(0, 9223372036854775807))?,
            signalled_at: members.optional("signalled_at", ANY.range(0, 9223372036854775807))?,
            started_at: members.optional("started_at", ANY.range(0, 9223372036854775807))?,
            finished_at: members.optional("finished_at", ANY.range(0, 9223372036854775807))?,
            deadline: members.optional("deadline", ANY.range(0, 9223372036854775807))?,
            current_step: members.optional("current_step", ANY.range(0, 9223372036854775807))?,
            step_count: members.optional("step_count", ANY.range(0, 9223372036854775807))?,
            note: members.optional("note", ANY)?,
            worker: members.optional("worker", ANY)?,
            job_id: members.optional("job_id", ANY)?,
            key: members.optional("key", ANY)?,
            idempotency_key: members.optional("idempotency_key", ANY)?,
            retry_of: members.optional("retry_of", ANY)?,
            reply_to: members.optional("reply_to", ANY)?,
            error: members.optional("error", ANY)?,
            traceparent: members.optional("traceparent", ANY)?,
            attempt_trace: members.optional("attempt_trace", ANY)?,
            params: members.free("params", ANY)?,
            params_ref: members.free("params_ref", ANY)?,
            result: members.free("result", ANY)?,
            result_ref: members.free("result_ref", ANY)?,
            attempt_started: members.ring(Ring { before: "attempt_", after: "_started" })?,
            attempt_ended: members.ring(Ring { before: "attempt_", after: "_ended" })?,
        })
    }

    fn visit<V: Visit>(&self, to: &mut V) -> Result<(), V::Error> {
        to.field("task_type", &self.task_type, ANY.length(1, 64).format(Format::Token))?;
        to.field("task_id", &self.task_id, ANY.length(26, 26).format(Format::Ulid))?;
        to.field("state", &self.state, ANY)?;
        to.or("attempt", &self.attempt, ANY.range(0, 9223372036854775807), &0)?;
        to.or("retry_count", &self.retry_count, ANY.range(0, 9223372036854775807), &0)?;
        to.or("created_at", &self.created_at, ANY.range(0, 9223372036854775807), &0)?;
        to.or("updated_at", &self.updated_at, ANY.range(0, 9223372036854775807), &0)?;
        to.or("priority", &self.priority, ANY, &TaskPriority::Normal)?;
        to.optional("max_retries", &self.max_retries, ANY.range(0, 9223372036854775807))?;
        to.optional("step_timeout_ms", &self.step_timeout_ms, ANY.range(0, 9223372036854775807))?;
        to.optional("timeout_at", &self.timeout_at, ANY.range(0, 9223372036854775807))?;
        to.optional("run_at", &self.run_at, ANY.range(0, 9223372036854775807))?;
        to.optional("signalled_at", &self.signalled_at, ANY.range(0, 9223372036854775807))?;
        to.optional("started_at", &self.started_at, ANY.range(0, 9223372036854775807))?;
        to.optional("finished_at", &self.finished_at, ANY.range(0, 9223372036854775807))?;
        to.optional("deadline", &self.deadline, ANY.range(0, 9223372036854775807))?;
        to.optional("current_step", &self.current_step, ANY.range(0, 9223372036854775807))?;
        to.optional("step_count", &self.step_count, ANY.range(0, 9223372036854775807))?;
        to.optional("note", &self.note, ANY)?;
        to.optional("worker", &self.worker, ANY)?;
        to.optional("job_id", &self.job_id, ANY)?;
        to.optional("key", &self.key, ANY)?;
        to.optional("idempotency_key", &self.idempotency_key, ANY)?;
        to.optional("retry_of", &self.retry_of, ANY)?;
        to.optional("reply_to", &self.reply_to, ANY)?;
        to.optional("error", &self.error, ANY)?;
        to.optional("traceparent", &self.traceparent, ANY)?;
        to.optional("attempt_trace", &self.attempt_trace, ANY)?;
        to.optional("params", &self.params, ANY)?;
        to.optional("params_ref", &self.params_ref, ANY)?;
        to.optional("result", &self.result, ANY)?;
        to.optional("result_ref", &self.result_ref, ANY)?;
        to.ring(&self.attempt_started)?;
        to.ring(&self.attempt_ended)
    }
}

impl Record for TaskRecord {
    const NAME: &'static str = "tasks/record";

    fn from_fields(fields: &Fields) -> Result<Self, Invalid> {
        let held = Held(fields);
        Ok(Self {
            task_type: held.required("task_type", ANY.length(1, 64).format(Format::Token))?,
            task_id: held.required("task_id", ANY.length(26, 26).format(Format::Ulid))?,
            state: held.required("state", ANY)?,
            attempt: held.or("attempt", ANY.range(0, 9223372036854775807), 0)?,
            retry_count: held.or("retry_count", ANY.range(0, 9223372036854775807), 0)?,
            created_at: held.or("created_at", ANY.range(0, 9223372036854775807), 0)?,
            updated_at: held.or("updated_at", ANY.range(0, 9223372036854775807), 0)?,
            priority: held.or("priority", ANY, TaskPriority::Normal)?,
            max_retries: held.optional("max_retries", ANY.range(0, 9223372036854775807))?,
            step_timeout_ms: held.optional("step_timeout_ms", ANY.range(0, 9223372036854775807))?,
            timeout_at: held.optional("timeout_at", ANY.range(0, 9223372036854775807))?,
            run_at: held.optional("run_at", ANY.range(0, 9223372036854775807))?,
            signalled_at: held.optional("signalled_at", ANY.range(0, 9223372036854775807))?,
            started_at: held.optional("started_at", ANY.range(0, 9223372036854775807))?,
            finished_at: held.optional("finished_at", ANY.range(0, 9223372036854775807))?,
            deadline: held.optional("deadline", ANY.range(0, 9223372036854775807))?,
            current_step: held.optional("current_step", ANY.range(0, 9223372036854775807))?,
            step_count: held.optional("step_count", ANY.range(0, 9223372036854775807))?,
            note: held.optional("note", ANY)?,
            worker: held.optional("worker", ANY)?,
            job_id: held.optional("job_id", ANY)?,
            key: held.optional("key", ANY)?,
            idempotency_key: held.optional("idempotency_key", ANY)?,
            retry_of: held.optional("retry_of", ANY)?,
            reply_to: held.optional("reply_to", ANY)?,
            error: held.optional("error", ANY)?,
            traceparent: held.optional("traceparent", ANY)?,
            attempt_trace: held.optional("attempt_trace", ANY)?,
            params: held.optional("params", ANY)?,
            params_ref: held.optional("params_ref", ANY)?,
            result: held.optional("result", ANY)?,
            result_ref: held.optional("result_ref", ANY)?,
            attempt_started: held.lines(Ring { before: "attempt_", after: "_started" })?,
            attempt_ended: held.lines(Ring { before: "attempt_", after: "_ended" })?,
        })
    }

    fn to_fields(&self) -> Fields {
        let mut fields = Fields::new();
        store(&mut fields, "task_type", &self.task_type);
        store(&mut fields, "task_id", &self.task_id);
        store(&mut fields, "state", &self.state);
        store(&mut fields, "attempt", &self.attempt);
        store(&mut fields, "retry_count", &self.retry_count);
        store(&mut fields, "created_at", &self.created_at);
        store(&mut fields, "updated_at", &self.updated_at);
        store(&mut fields, "priority", &self.priority);
        if let Some(value) = &self.max_retries {
            store(&mut fields, "max_retries", value);
        }
        if let Some(value) = &self.step_timeout_ms {
            store(&mut fields, "step_timeout_ms", value);
        }
        if let Some(value) = &self.timeout_at {
            store(&mut fields, "timeout_at", value);
        }
        if let Some(value) = &self.run_at {
            store(&mut fields, "run_at", value);
        }
        if let Some(value) = &self.signalled_at {
            store(&mut fields, "signalled_at", value);
        }
        if let Some(value) = &self.started_at {
            store(&mut fields, "started_at", value);
        }
        if let Some(value) = &self.finished_at {
            store(&mut fields, "finished_at", value);
        }
        if let Some(value) = &self.deadline {
            store(&mut fields, "deadline", value);
        }
        if let Some(value) = &self.current_step {
            store(&mut fields, "current_step", value);
        }
        if let Some(value) = &self.step_count {
            store(&mut fields, "step_count", value);
        }
        if let Some(value) = &self.note {
            store(&mut fields, "note", value);
        }
        if let Some(value) = &self.worker {
            store(&mut fields, "worker", value);
        }
        if let Some(value) = &self.job_id {
            store(&mut fields, "job_id", value);
        }
        if let Some(value) = &self.key {
            store(&mut fields, "key", value);
        }
        if let Some(value) = &self.idempotency_key {
            store(&mut fields, "idempotency_key", value);
        }
        if let Some(value) = &self.retry_of {
            store(&mut fields, "retry_of", value);
        }
        if let Some(value) = &self.reply_to {
            store(&mut fields, "reply_to", value);
        }
        if let Some(value) = &self.error {
            store(&mut fields, "error", value);
        }
        if let Some(value) = &self.traceparent {
            store(&mut fields, "traceparent", value);
        }
        if let Some(value) = &self.attempt_trace {
            store(&mut fields, "attempt_trace", value);
        }
        if let Some(value) = &self.params {
            store(&mut fields, "params", value);
        }
        if let Some(value) = &self.params_ref {
            store(&mut fields, "params_ref", value);
        }
        if let Some(value) = &self.result {
            store(&mut fields, "result", value);
        }
        if let Some(value) = &self.result_ref {
            store(&mut fields, "result_ref", value);
        }
        store_lines(&mut fields, &self.attempt_started);
        store_lines(&mut fields, &self.attempt_ended);
        fields
    }

    fn validate(&self) -> Result<(), Invalid> {
        check("task_type", &self.task_type, ANY.length(1, 64).format(Format::Token))?;
        check("task_id", &self.task_id, ANY.length(26, 26).format(Format::Ulid))?;
        check("state", &self.state, ANY)?;
        check("attempt", &self.attempt, ANY.range(0, 9223372036854775807))?;
        check("retry_count", &self.retry_count, ANY.range(0, 9223372036854775807))?;
        check("created_at", &self.created_at, ANY.range(0, 9223372036854775807))?;
        check("updated_at", &self.updated_at, ANY.range(0, 9223372036854775807))?;
        check("priority", &self.priority, ANY)?;
        if let Some(value) = &self.max_retries {
            check("max_retries", value, ANY.range(0, 9223372036854775807))?;
        }
        if let Some(value) = &self.step_timeout_ms {
            check("step_timeout_ms", value, ANY.range(0, 9223372036854775807))?;
        }
        if let Some(value) = &self.timeout_at {
            check("timeout_at", value, ANY.range(0, 9223372036854775807))?;
        }
        if let Some(value) = &self.run_at {
            check("run_at", value, ANY.range(0, 9223372036854775807))?;
        }
        if let Some(value) = &self.signalled_at {
            check("signalled_at", value, ANY.range(0, 9223372036854775807))?;
        }
        if let Some(value) = &self.started_at {
            check("started_at", value, ANY.range(0, 9223372036854775807))?;
        }
        if let Some(value) = &self.finished_at {
            check("finished_at", value, ANY.range(0, 9223372036854775807))?;
        }
        if let Some(value) = &self.deadline {
            check("deadline", value, ANY.range(0, 9223372036854775807))?;
        }
        if let Some(value) = &self.current_step {
            check("current_step", value, ANY.range(0, 9223372036854775807))?;
        }
        if let Some(value) = &self.step_count {
            check("step_count", value, ANY.range(0, 9223372036854775807))?;
        }
        if let Some(value) = &self.note {
            check("note", value, ANY)?;
        }
        if let Some(value) = &self.worker {
            check("worker", value, ANY)?;
        }
        if let Some(value) = &self.job_id {
            check("job_id", value, ANY)?;
        }
        if let Some(value) = &self.key {
            check("key", value, ANY)?;
        }
        if let Some(value) = &self.idempotency_key {
            check("idempotency_key", value, ANY)?;
        }
        if let Some(value) = &self.retry_of {
            check("retry_of", value, ANY)?;
        }
        if let Some(value) = &self.reply_to {
            check("reply_to", value, ANY)?;
        }
        if let Some(value) = &self.error {
            check("error", value, ANY)?;
        }
        if let Some(value) = &self.traceparent {
            check("traceparent", value, ANY)?;
        }
        if let Some(value) = &self.attempt_trace {
            check("attempt_trace", value, ANY)?;
        }
        if let Some(value) = &self.params {
            check("params", value, ANY)?;
        }
        if let Some(value) = &self.params_ref {
            check("params_ref", value, ANY)?;
        }
        if let Some(value) = &self.result {
            check("result", value, ANY)?;
        }
        if let Some(value) = &self.result_ref {
            check("result_ref", value, ANY)?;
        }
        check_lines(&self.attempt_started, Ring { before: "attempt_", after: "_started" })?;
        check_lines(&self.attempt_ended, Ring { before: "attempt_", after: "_ended" })?;
        Ok(())
    }
}

/// A task waits in its queue. What it says of the task is true as long as the claim that names its `attempt` succeeds.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct TaskSignal {
    /// Version of the schema that the payload was written by.
    ///
    /// 1 to 4294967295.
    pub v: u64,
    /// When it was signalled.
    ///
    /// In unix milliseconds. 0 to 281474976710655.
    pub ts: u64,
    /// `{task_id}.{attempt}`.
    ///
    /// 1 to 256 characters.
    pub id: String,
    /// The task.
    ///
    /// 26 characters. It matches `^[0-7][0-9A-HJKMNP-TV-Z]{25}$`.
    pub task_id: String,
    /// Claims before this signal; the next one is one more.
    ///
    /// 0 to 9223372036854775807.
    pub attempt: u64,
    /// When the task was submitted.
    ///
    /// In unix milliseconds. 0 to 281474976710655.
    pub created_at: u64,
    /// Attempts that have failed, timed out or were lost.
    ///
    /// 0 to 9223372036854775807. Default: `0`.
    pub retry_count: u64,
    /// Of this task, where it differs from its type's.
    ///
    /// 0 to 9223372036854775807.
    pub max_retries: Option<u64>,
    /// Of this task, where it differs from its type's.
    ///
    /// In seconds. At least 0.
    pub step_timeout: Option<f64>,
    /// End of the task's whole time.
    ///
    /// In unix milliseconds. 0 to 281474976710655.
    pub deadline: Option<u64>,
    /// What its limits per key go by.
    pub key: Option<String>,
    /// The subject where its submitter listens.
    ///
    /// 1 to 255 characters. It matches `^[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*$`.
    pub reply_to: Option<String>,
    /// Its parameters, any JSON; absent: they are in the record.
    ///
    /// `null` is a value, and not absence.
    pub params: Option<Json>,
    /// The job that it is part of.
    ///
    /// 26 characters. It matches `^[0-7][0-9A-HJKMNP-TV-Z]{25}$`.
    pub job_id: Option<String>,
    /// Trace context of the first attempt, which later ones link to.
    pub attempt_trace: Option<String>,
}

impl TaskSignal {
    /// A value with what it must have: `ts` is now, `id` a new ULID.
    pub fn new(task_id: impl Into<String>, attempt: u64, created_at: u64) -> Self {
        Self {
            v: <Self as Schema>::VERSION,
            ts: now_ms(),
            id: Ulid::new().to_string(),
            task_id: task_id.into(),
            attempt,
            created_at,
            retry_count: 0,
            max_retries: None,
            step_timeout: None,
            deadline: None,
            key: None,
            reply_to: None,
            params: None,
            job_id: None,
            attempt_trace: None,
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

    /// The same with [`retry_count`](Self::retry_count).
    pub fn with_retry_count(mut self, retry_count: u64) -> Self {
        self.retry_count = retry_count;
        self
    }

    /// The same with [`max_retries`](Self::max_retries).
    pub fn with_max_retries(mut self, max_retries: u64) -> Self {
        self.max_retries = Some(max_retries);
        self
    }

    /// The same with [`step_timeout`](Self::step_timeout).
    pub fn with_step_timeout(mut self, step_timeout: f64) -> Self {
        self.step_timeout = Some(step_timeout);
        self
    }

    /// The same with [`deadline`](Self::deadline).
    pub fn with_deadline(mut self, deadline: u64) -> Self {
        self.deadline = Some(deadline);
        self
    }

    /// The same with [`key`](Self::key).
    pub fn with_key(mut self, key: impl Into<String>) -> Self {
        self.key = Some(key.into());
        self
    }

    /// The same with [`reply_to`](Self::reply_to).
    pub fn with_reply_to(mut self, reply_to: impl Into<String>) -> Self {
        self.reply_to = Some(reply_to.into());
        self
    }

    /// The same with [`params`](Self::params).
    pub fn with_params(mut self, params: Json) -> Self {
        self.params = Some(params);
        self
    }

    /// The same with [`job_id`](Self::job_id).
    pub fn with_job_id(mut self, job_id: impl Into<String>) -> Self {
        self.job_id = Some(job_id.into());
        self
    }

    /// The same with [`attempt_trace`](Self::attempt_trace).
    pub fn with_attempt_trace(mut self, attempt_trace: impl Into<String>) -> Self {
        self.attempt_trace = Some(attempt_trace.into());
        self
    }
}

impl Model for TaskSignal {
    fn read(members: &Members<'_>) -> Result<Self, Invalid> {
        Ok(Self {
            v: members.required("v", ANY.range(1, 4294967295))?,
            ts: members.required("ts", ANY.range(0, 281474976710655))?,
            id: members.required("id", ANY.length(1, 256))?,
            task_id: members.required("task_id", ANY.length(26, 26).format(Format::Ulid))?,
            attempt: members.required("attempt", ANY.range(0, 9223372036854775807))?,
            created_at: members.required("created_at", ANY.range(0, 281474976710655))?,
            retry_count: members.or("retry_count", ANY.range(0, 9223372036854775807), 0)?,
            max_retries: members.optional("max_retries", ANY.range(0, 9223372036854775807))?,
            step_timeout: members.optional("step_timeout", ANY)?,
            deadline: members.optional("deadline", ANY.range(0, 281474976710655))?,
            key: members.optional("key", ANY)?,
            reply_to: members.optional("reply_to", ANY.length(1, 255).format(Format::Subject))?,
            params: members.free("params", ANY)?,
            job_id: members.optional("job_id", ANY.length(26, 26).format(Format::Ulid))?,
            attempt_trace: members.optional("attempt_trace", ANY)?,
        })
    }

    fn visit<V: Visit>(&self, to: &mut V) -> Result<(), V::Error> {
        to.field("v", &self.v, ANY.range(1, 4294967295))?;
        to.field("ts", &self.ts, ANY.range(0, 281474976710655))?;
        to.field("id", &self.id, ANY.length(1, 256))?;
        to.field("task_id", &self.task_id, ANY.length(26, 26).format(Format::Ulid))?;
        to.field("attempt", &self.attempt, ANY.range(0, 9223372036854775807))?;
        to.field("created_at", &self.created_at, ANY.range(0, 281474976710655))?;
        to.or("retry_count", &self.retry_count, ANY.range(0, 9223372036854775807), &0)?;
        to.optional("max_retries", &self.max_retries, ANY.range(0, 9223372036854775807))?;
        to.optional("step_timeout", &self.step_timeout, ANY)?;
        to.optional("deadline", &self.deadline, ANY.range(0, 281474976710655))?;
        to.optional("key", &self.key, ANY)?;
        to.optional("reply_to", &self.reply_to, ANY.length(1, 255).format(Format::Subject))?;
        to.optional("params", &self.params, ANY)?;
        to.optional("job_id", &self.job_id, ANY.length(26, 26).format(Format::Ulid))?;
        to.optional("attempt_trace", &self.attempt_trace, ANY)
    }
}

impl Schema for TaskSignal {
    const NAME: &'static str = "tasks/signal";
    const VERSION: u64 = 1;
    const SUBJECTS: &'static [&'static str] = &["tasks.*.queue", "tasks.*.queue.*"];
}

serde_of!(TaskOutcome, TaskProgress, AttemptStarted, AttemptEnded, TaskRecord, TaskSignal);
