//! The transitions of a task as writes: what its record must still be, and what becomes of it.
//!
//! The `attempt` among what is expected is the fence: a worker that was presumed dead carries an old one and cannot
//! overwrite its successor. Moments are unix milliseconds.

use std::time::Duration;

use crate::document::{depth, MAX_DEPTH};
use crate::json::Json;
use crate::line::{Line, RING};
use crate::schema::tasks::{
    AttemptEnded, AttemptEndedHow, AttemptStarted, TaskOutcome, TaskOutcomeState, TaskRecord, TaskSignal, TaskState,
};

/// How long a signal may go unanswered before the sweeper looks whether it still exists, in milliseconds.
pub const SIGNAL_PATIENCE_MS: u64 = 5_000;

/// How long whoever ends a task may take to publish its outcome before the sweeper does, in milliseconds.
pub const ANNOUNCE_PATIENCE_MS: u64 = 5_000;

/// An error is cut to this many characters.
pub const MAX_ERROR_CHARACTERS: usize = 4_000;

/// Parameters up to so many bytes travel with the signal; larger ones are looked up in the record.
pub const INLINE_LIMIT: usize = 16 * 1024;

const HISTORY_ERROR_CHARACTERS: usize = 200;

/// Fields in their order; `None` stands for one that is not there, or is to be removed.
pub type Changes = Vec<(String, Option<Vec<u8>>)>;

/// One transition, to be applied in one conditional write: see [`StateWrite`](crate::state::StateWrite).
#[derive(Debug, Clone, PartialEq)]
pub struct Move {
    /// What the record must have; otherwise nothing is written, and the task is somebody else's.
    pub expected: Changes,
    /// What it has afterwards.
    pub changes: Changes,
    /// How long the record lives from now on, if that changes.
    pub ttl: Option<Duration>,
}

/// A worker takes a pending task and starts it, in one write. It writes down the budget that counts.
///
/// `attempt` is that of the signal; the task's is one more from now on, and later moves carry that one. `trace` is the
/// trace context of this attempt, if it is the first that has one.
pub fn claim(attempt: u64, worker: &str, now: u64, timeout_at: u64, max_retries: u64, trace: Option<&str>) -> Move {
    let mut changes = vec![
        text("state", TaskState::Running.as_str()),
        number("attempt", attempt.saturating_add(1)),
        text("worker", worker),
        number("updated_at", now),
        number("started_at", now),
        number("timeout_at", timeout_at),
        number("max_retries", max_retries),
    ];
    changes.extend(trace.map(|trace| text("attempt_trace", trace)));
    Move { expected: at(TaskState::Pending, attempt), changes, ttl: None }
}

/// The same for a signal as it was received, with `traceparent` of the message: a budget of its own counts before
/// `max_retries` of the type, and a task of a job also writes down that an attempt begins.
pub fn claim_of(
    signal: &TaskSignal,
    worker: &str,
    now: u64,
    timeout_at: u64,
    max_retries: u64,
    traceparent: Option<&str>,
) -> Move {
    let budget = signal.max_retries.unwrap_or(max_retries);
    let change = claim(signal.attempt, worker, now, timeout_at, budget, None);
    match signal.job_id {
        Some(_) => change.with_start(signal.attempt.saturating_add(1), now, worker, traceparent),
        None => change,
    }
}

/// The worker lives, and holds the task until `timeout_at`: the heartbeat.
pub fn renew(attempt: u64, now: u64, timeout_at: u64) -> Move {
    let changes = vec![number("timeout_at", timeout_at), number("updated_at", now)];
    Move { expected: held(attempt), changes, ttl: None }
}

/// The task is done. `result` is JSON; `retention` is how long the record is kept.
///
/// `announce_at` is when the sweeper is to publish the outcome, unless somebody has ([`announced`]); `None` if the
/// task's signal is held until then, and so would come back.
pub fn complete(attempt: u64, now: u64, result: Option<&[u8]>, retention: Duration, announce_at: Option<u64>) -> Move {
    let mut changes = ended(TaskState::Completed, now, announce_at);
    changes.push(removed("error"));
    changes.extend(result.map(|result| ("result".to_owned(), Some(result.to_vec()))));
    Move { expected: held(attempt), changes, ttl: Some(retention) }
}

/// The task has failed for good; `announce_at` as for [`complete`].
pub fn fail(
    attempt: u64,
    now: u64,
    retry_count: u64,
    error: &str,
    retention: Duration,
    announce_at: Option<u64>,
) -> Move {
    let mut changes = ended(TaskState::Failed, now, announce_at);
    changes.extend(failure(error, retry_count));
    Move { expected: held(attempt), changes, ttl: Some(retention) }
}

/// The attempt has failed, and another one follows not before `run_at`. `retry_count` counts this failure.
pub fn retry(attempt: u64, now: u64, run_at: u64, retry_count: u64, error: &str) -> Move {
    let mut changes = waiting(now, run_at);
    changes.extend(failure(error, retry_count));
    Move { expected: held(attempt), changes, ttl: None }
}

/// The worker stops: the task goes on elsewhere, and nothing is counted.
pub fn hand_back(attempt: u64, now: u64) -> Move {
    Move { expected: held(attempt), changes: waiting(now, now), ttl: None }
}

/// A task is not wanted any more, pending or running; a worker that has it learns it at its next [`renew`], which is
/// refused. `None` if it has ended already. A task of a job also writes down how its attempt ends.
///
/// The sweeper publishes the outcome in [`ANNOUNCE_PATIENCE_MS`], unless somebody has and says so ([`announced`]).
pub fn cancel(record: &TaskRecord, now: u64, reason: &str, retention: Duration) -> Option<Move> {
    if outcome_of(record).is_some() {
        return None;
    }
    let mut changes = ended(TaskState::Cancelled, now, Some(now.saturating_add(ANNOUNCE_PATIENCE_MS)));
    changes.push(text("error", &shortened(reason)));
    // not as it was seen to the letter: the lease may be renewed meanwhile
    let change = Move { expected: at(record.state, record.attempt), changes, ttl: Some(retention) };
    let has_attempt = record.job_id.is_some() && record.state != TaskState::Pending;
    Some(if has_attempt { change.with_end(record.attempt, now) } else { change })
}

/// The outcome of a task that has ended is published: nobody needs to look at it any more. `announce_at` is as it was
/// when it ended.
pub fn announced(state: TaskState, attempt: u64, announce_at: u64) -> Move {
    let mut expected = at(state, attempt);
    expected.push(number("timeout_at", announce_at));
    Move { expected, changes: vec![removed("timeout_at")], ttl: None }
}

/// A task that has ended, of which nobody is about to tell: the sweeper is to publish the outcome at `announce_at`. For
/// whoever gets a signal again whose task has ended; `None` if there is nothing to be done.
pub fn announce_later(record: &TaskRecord, announce_at: u64) -> Option<Move> {
    if outcome_of(record).is_none() || record.timeout_at.is_some() {
        return None;
    }
    let mut expected = at(record.state, record.attempt);
    expected.push(removed("timeout_at"));
    Some(Move { expected, changes: vec![number("timeout_at", announce_at)], ttl: None })
}

impl Move {
    /// A claim that also writes down that an attempt begins, as tasks of jobs do. `attempt` is the new one.
    #[must_use]
    pub fn with_start(self, attempt: u64, now: u64, worker: &str, traceparent: Option<&str>) -> Self {
        let mut start = AttemptStarted::new(attempt, now, worker);
        start.traceparent = traceparent.map(str::to_owned);
        self.with_line(attempt, "started", &start)
    }

    /// A move that also writes down how an attempt ends, as tasks of jobs do.
    #[must_use]
    pub fn with_end(self, attempt: u64, now: u64) -> Self {
        let error = self.changed("error").chars().take(HISTORY_ERROR_CHARACTERS).collect::<String>();
        let how = match self.changed("state").parse() {
            Ok(TaskState::Completed) => AttemptEndedHow::Completed,
            Ok(TaskState::Failed) => AttemptEndedHow::Failed,
            Ok(TaskState::Cancelled) => AttemptEndedHow::Cancelled,
            _ if error.is_empty() => AttemptEndedHow::Returned,
            _ => AttemptEndedHow::Retried,
        };
        let mut end = AttemptEnded::new(attempt, now, how);
        end.error = Some(error).filter(|error| !error.is_empty());
        self.with_line(attempt, "ended", &end)
    }

    /// The same for the attempt that began with a signal; only tasks of jobs keep it.
    #[must_use]
    pub fn with_end_of(self, signal: &TaskSignal, now: u64) -> Self {
        match signal.job_id {
            Some(_) => self.with_end(signal.attempt.saturating_add(1), now),
            None => self,
        }
    }

    fn with_line<T: Line>(mut self, attempt: u64, word: &str, line: &T) -> Self {
        let name = format!("attempt_{}_{word}", attempt % RING);
        self.changes.push((name, Some(line.to_line().into_bytes())));
        self
    }

    fn changed(&self, name: &str) -> String {
        let value = self.changes.iter().find(|(field, _)| field == name).and_then(|(_, value)| value.as_deref());
        String::from_utf8_lossy(value.unwrap_or_default()).into_owned()
    }
}

/// The signal of a pending task, to be published to [`TaskNames::queue`](crate::names::TaskNames::queue).
pub fn signal_of(record: &TaskRecord, now: u64) -> TaskSignal {
    let mut signal = TaskSignal::new(&record.task_id, record.attempt, record.created_at);
    signal.ts = now;
    signal.id = format!("{}.{}", record.task_id, record.attempt);
    signal.retry_count = record.retry_count;
    signal.max_retries = record.max_retries;
    signal.step_timeout = record.step_timeout_ms.map(|step| Duration::from_millis(step).as_secs_f64());
    signal.deadline = record.deadline;
    signal.key.clone_from(&record.key);
    signal.reply_to.clone_from(&record.reply_to);
    signal.job_id.clone_from(&record.job_id);
    signal.attempt_trace.clone_from(&record.attempt_trace);
    signal.params = record.params.clone().filter(travels);
    signal
}

/// A signal is one level around its parameters.
fn travels(params: &Json) -> bool {
    params.get().len() <= INLINE_LIMIT && depth(params.get().as_bytes()) < MAX_DEPTH
}

/// The outcome of a task that has ended, to be published to [`TaskNames::terminal`](crate::names::TaskNames::terminal);
/// the same, whoever asks and how often. `None` for one that has not.
pub fn outcome_of(record: &TaskRecord) -> Option<TaskOutcome> {
    let state = match record.state {
        TaskState::Completed => TaskOutcomeState::Completed,
        TaskState::Failed => TaskOutcomeState::Failed,
        TaskState::Cancelled => TaskOutcomeState::Cancelled,
        _ => return None,
    };
    let ended_at = record.finished_at.unwrap_or_default();
    let mut outcome = TaskOutcome::new(&record.task_id, &record.task_type, state, record.attempt);
    outcome.ts = ended_at;
    outcome.id = format!("{}.{}", record.task_id, record.attempt);
    outcome.retry_count = record.retry_count;
    outcome.error.clone_from(&record.error);
    outcome.worker.clone_from(&record.worker);
    outcome.run_ms = record.started_at.map(|started| ended_at.saturating_sub(started));
    outcome.job_id.clone_from(&record.job_id);
    Some(outcome)
}

fn at(state: TaskState, attempt: u64) -> Changes {
    vec![text("state", state.as_str()), number("attempt", attempt)]
}

fn held(attempt: u64) -> Changes {
    at(TaskState::Running, attempt)
}

fn waiting(now: u64, run_at: u64) -> Changes {
    vec![
        text("state", TaskState::Pending.as_str()),
        removed("worker"),
        number("updated_at", now),
        number("run_at", run_at),
        number("signalled_at", now),
        number("timeout_at", now.max(run_at).saturating_add(SIGNAL_PATIENCE_MS)),
        removed("current_step"),
        removed("step_count"),
        removed("note"),
    ]
}

fn ended(state: TaskState, now: u64, announce_at: Option<u64>) -> Changes {
    vec![
        text("state", state.as_str()),
        number("updated_at", now),
        number("finished_at", now),
        announce_at.map_or_else(|| removed("timeout_at"), |moment| number("timeout_at", moment)),
    ]
}

fn failure(error: &str, retry_count: u64) -> Changes {
    vec![text("error", &shortened(error)), number("retry_count", retry_count)]
}

fn shortened(error: &str) -> String {
    error.chars().take(MAX_ERROR_CHARACTERS).collect()
}

fn text(name: &str, value: &str) -> (String, Option<Vec<u8>>) {
    (name.to_owned(), Some(value.as_bytes().to_vec()))
}

fn number(name: &str, value: u64) -> (String, Option<Vec<u8>>) {
    text(name, &value.to_string())
}

fn removed(name: &str) -> (String, Option<Vec<u8>>) {
    (name.to_owned(), None)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(state: TaskState) -> TaskRecord {
        TaskRecord::new("a", "01M8A2XBX214ZQTHTJFHP02E9D", state)
            .with_attempt(2)
            .with_params(crate::Json::parse(b"{}").unwrap())
    }

    fn shown(change: &Move) -> Vec<String> {
        let all = change.expected.iter().chain(&change.changes);
        all.map(|(name, value)| format!("{name}={}", String::from_utf8_lossy(value.as_deref().unwrap_or(b"-"))))
            .collect()
    }

    #[test]
    fn what_has_ended_and_was_not_told_is_the_sweepers() {
        let change = announce_later(&record(TaskState::Failed), 17).unwrap();
        assert_eq!(shown(&change), ["state=failed", "attempt=2", "timeout_at=-", "timeout_at=17"]);
        assert_eq!(announce_later(&record(TaskState::Failed).with_timeout_at(5), 17), None);
        assert_eq!(announce_later(&record(TaskState::Running), 17), None);
    }

    #[test]
    fn tasks_of_jobs_keep_what_became_of_their_attempts() {
        let of_job = signal_of(&record(TaskState::Pending).with_job_id("01M8A2XBX3JQB0000000000000"), 1);
        let last = |change: Move| shown(&change).pop().unwrap();
        assert_eq!(last(claim_of(&of_job, "w", 7, 9, 3, None)), "attempt_3_started=3 7 w -");
        assert_eq!(last(retry(3, 8, 9, 1, "no").with_end_of(&of_job, 8)), "attempt_3_ended=3 8 retried no");
        assert_eq!(last(hand_back(3, 8).with_end_of(&of_job, 8)), "attempt_3_ended=3 8 returned ");
        let alone = signal_of(&record(TaskState::Pending), 1);
        assert_eq!(hand_back(3, 8).with_end_of(&alone, 8), hand_back(3, 8));
        assert_eq!(claim_of(&alone, "w", 7, 9, 3, None), claim(2, "w", 7, 9, 3, None));
    }

    #[test]
    fn large_parameters_do_not_travel_with_a_signal() {
        let large = crate::Json::of(&"x".repeat(INLINE_LIMIT)).unwrap();
        assert!(signal_of(&record(TaskState::Pending), 1).params.is_some());
        assert!(signal_of(&record(TaskState::Pending).with_params(large), 1).params.is_none());
    }
}
