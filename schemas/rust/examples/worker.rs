//! A worker for one type of tasks, beside those of gbe. `docs/languages-rust.md` walks through it.

#[allow(dead_code)] // each example needs a part of it
mod engine;

use std::time::Duration;

use engine::{argument, arguments, seconds, Delivery, Engine, Result};
use futures_util::future::try_join_all;
use gbe_schema::moves::{self, Move, ANNOUNCE_PATIENCE_MS};
use gbe_schema::names::TaskNames;
use gbe_schema::state::StateKeys;
use gbe_schema::tasks::{TaskPriority, TaskSignal, TaskState};
use gbe_schema::{now_ms, Json, Schema, Ulid};
use serde_json::{json, Value};
use tokio::signal::unix::{signal, SignalKind};
use tokio::sync::watch;
use tokio::time::{interval, sleep, timeout};

// What is configured of the type; a task's signal may say otherwise.
const MAX_RETRIES: u64 = 3;
const STEP_TIMEOUT_SECONDS: f64 = 60.0;
const RETENTION: Duration = Duration::from_secs(24 * 3600);

/// What the task does: it counts the words of `text`, and takes `seconds` for it.
async fn perform(params: &Json) -> Result<Json, String> {
    let params: Value = params.to().map_err(|fault| fault.to_string())?;
    let text = params["text"].as_str().ok_or("text: expected a string")?;
    sleep(Duration::from_secs_f64(params["seconds"].as_f64().unwrap_or_default().clamp(0.0, 3600.0))).await;
    match text.split_whitespace().count() {
        0 => Err("text: there are no words".to_owned()),
        words => Json::of(&json!({"words": words, "by": "rust"})).map_err(|fault| fault.to_string()),
    }
}

struct Worker {
    engine: Engine,
    names: TaskNames,
    store: String,
    task_type: String,
    group: String,
    name: String,
    lease_ms: u64,
}

/// One attempt at a task that is ours. Its number is the fence of every write.
struct Attempt {
    number: u64,
    signal: TaskSignal,
    keys: StateKeys,
    traceparent: Option<String>,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let (named, _) = arguments()?;
    let names = TaskNames::new(argument(&named, "namespace", "gbe"));
    let task_type = argument(&named, "type", "count-words").to_owned();
    let worker = Worker {
        engine: Engine::connect(&named).await?,
        store: argument(&named, "bucket", "gbe-state").to_owned(),
        group: names.group(&task_type),
        name: format!("rust-{}", Ulid::new()),
        lease_ms: seconds(&named, "lease", "8")?.as_millis() as u64,
        names,
        task_type,
    };
    let (stop, stopped) = watch::channel(false);
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::spawn(async move { (terminate.recv().await, stop.send(true)) });
    try_join_all(TaskPriority::ALL.iter().map(|priority| worker.serve(*priority, stopped.clone()))).await.map(drop)
}

impl Worker {
    /// Take signals from one queue, as a member of gbe's own group.
    async fn serve(&self, priority: TaskPriority, mut stopped: watch::Receiver<bool>) -> Result<()> {
        let queue = self.names.queue(&self.task_type, priority);
        let mut member = self.engine.join(&queue, &self.group).await?;
        println!("{} takes tasks from {queue}", self.name);
        while !*stopped.borrow() {
            if let Some(delivery) = member.next().await? {
                self.handle(delivery, &mut stopped).await?;
            }
        }
        Ok(())
    }

    async fn handle(&self, delivery: Delivery, stopped: &mut watch::Receiver<bool>) -> Result<()> {
        let signal = match TaskSignal::decode(&delivery.envelope.payload.0) {
            Ok(signal) => signal,
            Err(fault) => return self.engine.bury(delivery, &self.group, format!("not a signal: {fault}")).await,
        };
        let attempt = Attempt {
            number: signal.attempt + 1,
            keys: StateKeys::of(&self.store, &self.names.record(&self.task_type, &signal.task_id)),
            traceparent: delivery.envelope.traceparent.clone(),
            signal,
        };
        let (now, trace) = (now_ms(), attempt.traceparent.as_deref());
        let claim = moves::claim_of(&attempt.signal, &self.name, now, now + self.lease_ms, MAX_RETRIES, trace);
        if !self.engine.apply(&attempt.keys, claim).await? {
            // somebody has the task, or it has ended; then a signal that comes back may be the last trace of the end
            let record = self.engine.task(&attempt.keys).await?.filter(|_| delivery.count > 1);
            if let Some(change) = record.and_then(|record| moves::announce_later(&record, now_ms())) {
                self.engine.apply(&attempt.keys, change).await?;
            }
            return delivery.ack().await;
        }
        delivery.ack().await?; // from here on the lease brings it back, if we die
        println!("{} runs, attempt {}", attempt.signal.task_id, attempt.number);
        tokio::select! {
            result = self.run(&attempt) => match result? {
                Ok(result) => self.complete(&attempt, &result).await,
                Err(error) => self.failed(&attempt, &error).await,
            },
            lost = self.keep(&attempt) => lost, // `run` is dropped where it waits
            _ = stopped.wait_for(|stopped| *stopped) => {
                self.wait_again(&attempt, moves::hand_back(attempt.number, now_ms()), Duration::ZERO).await
            }
        }
    }

    /// Renew the lease as long as the task is ours; returns when it is not.
    async fn keep(&self, attempt: &Attempt) -> Result<()> {
        let mut ticks = interval(Duration::from_millis(self.lease_ms) / 4);
        loop {
            ticks.tick().await;
            let now = now_ms();
            if !self.engine.apply(&attempt.keys, moves::renew(attempt.number, now, now + self.lease_ms)).await? {
                println!("{} is no longer ours", attempt.signal.task_id);
                return Ok(());
            }
        }
    }

    async fn run(&self, attempt: &Attempt) -> Result<Result<Json, String>> {
        let params = match &attempt.signal.params {
            Some(params) => Some(params.clone()),
            None => self.engine.task(&attempt.keys).await?.and_then(|record| record.params),
        };
        let Some(params) = params else { return Ok(Err("its parameters lie in the object store".to_owned())) };
        let step = attempt.signal.step_timeout.unwrap_or(STEP_TIMEOUT_SECONDS);
        let left = attempt.signal.deadline.map_or(step, |end| end.saturating_sub(now_ms()) as f64 / 1000.0);
        let limit = Duration::try_from_secs_f64(step.min(left)).unwrap_or(Duration::MAX);
        Ok(timeout(limit, perform(&params)).await.unwrap_or_else(|_| Err("timeout".to_owned())))
    }

    /// Write the end, then tell of it, then note that it is told. If we die between, the sweeper tells.
    async fn complete(&self, attempt: &Attempt, result: &Json) -> Result<()> {
        let (now, result) = (now_ms(), Some(result.get().as_bytes()));
        let announce_at = now + ANNOUNCE_PATIENCE_MS;
        let change = moves::complete(attempt.number, now, result, RETENTION, Some(announce_at));
        if !self.write(attempt, change).await? {
            return Ok(());
        }
        if let Some(outcome) = self.engine.task(&attempt.keys).await?.as_ref().and_then(moves::outcome_of) {
            let terminal = self.names.terminal(&self.task_type);
            self.engine.send(&terminal, outcome.encode()?, attempt.traceparent.as_deref()).await?;
        }
        let told = moves::announced(TaskState::Completed, attempt.number, announce_at);
        self.engine.apply(&attempt.keys, told).await.map(drop)
    }

    /// Another attempt after a pause, or the end; of that the sweeper tells, and writes the dead letter.
    async fn failed(&self, attempt: &Attempt, error: &str) -> Result<()> {
        let (now, count) = (now_ms(), attempt.signal.retry_count);
        let pause = 500 << count.min(10);
        println!("{} failed: {error}", attempt.signal.task_id);
        if count >= attempt.signal.max_retries.unwrap_or(MAX_RETRIES)
            || attempt.signal.deadline.is_some_and(|end| now + pause >= end)
        {
            let change = moves::fail(attempt.number, now, count, error, RETENTION, Some(now));
            return self.write(attempt, change).await.map(drop);
        }
        let change = moves::retry(attempt.number, now, now + pause, count + 1, error);
        self.wait_again(attempt, change, Duration::from_millis(pause)).await
    }

    /// Back to pending, and to the queue. If we die before the signal is sent, the sweeper sends it.
    async fn wait_again(&self, attempt: &Attempt, change: Move, pause: Duration) -> Result<()> {
        if self.write(attempt, change).await? {
            sleep(pause).await;
            if let Some(record) = self.engine.task(&attempt.keys).await?.filter(|one| one.state == TaskState::Pending) {
                let queue = self.names.queue(&self.task_type, record.priority);
                let signal = moves::signal_of(&record, now_ms()).encode()?;
                self.engine.send(&queue, signal, record.traceparent.as_deref()).await?;
            }
        }
        Ok(())
    }

    /// The end of an attempt; whether the task was still ours to write.
    async fn write(&self, attempt: &Attempt, change: Move) -> Result<bool> {
        let is_written = self.engine.apply(&attempt.keys, change.with_end_of(&attempt.signal, now_ms())).await?;
        let word = if is_written { "written" } else { "late write refused, it is no longer ours" };
        println!("{}: {word}", attempt.signal.task_id);
        Ok(is_written)
    }
}
