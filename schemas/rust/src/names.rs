//! Subjects, groups and record keys of tasks and jobs.

use crate::ids::is_ulid;
use crate::schema::tasks::TaskPriority;

/// The names of the tasks of one namespace, `gbe` unless it is configured otherwise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskNames {
    namespace: String,
}

impl TaskNames {
    /// Of a namespace, which is a token.
    pub fn new(namespace: impl Into<String>) -> Self {
        Self { namespace: namespace.into() }
    }

    /// Where the signals of pending tasks go.
    pub fn queue(&self, task_type: &str, priority: TaskPriority) -> String {
        let base = self.of_type(task_type, "queue");
        match priority {
            TaskPriority::Normal => base,
            other => format!("{base}.{other}"),
        }
    }

    /// The consumer group of the workers of a type.
    pub fn group(&self, task_type: &str) -> String {
        format!("{task_type}-workers")
    }

    /// Where progress goes.
    pub fn progress(&self, task_type: &str) -> String {
        self.of_type(task_type, "progress")
    }

    /// Where outcomes go.
    pub fn terminal(&self, task_type: &str) -> String {
        self.of_type(task_type, "terminal")
    }

    /// Where one client hears of the ends of its tasks; nothing is stored there.
    pub fn reply(&self, client_id: &str) -> String {
        format!("{}.tasks._reply.{client_id}", self.namespace)
    }

    /// Whether a subject, read from a message, is where some client listens.
    pub fn is_reply(&self, subject: &str) -> bool {
        subject.strip_prefix(&self.reply("")).is_some_and(is_ulid)
    }

    /// The key that the records of all tasks begin with.
    pub fn state_prefix(&self) -> String {
        format!("{}.state.tasks", self.namespace)
    }

    /// The key of a task's record.
    pub fn record(&self, task_type: &str, task_id: &str) -> String {
        format!("{}.{task_type}.{task_id}", self.state_prefix())
    }

    /// Where the dead letters of tasks go.
    pub fn dead_letters(&self) -> String {
        format!("{}._deadletter.tasks", self.namespace)
    }

    fn of_type(&self, task_type: &str, word: &str) -> String {
        format!("{}.tasks.{task_type}.{word}", self.namespace)
    }
}

/// The names of the jobs of one namespace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobNames {
    namespace: String,
}

impl JobNames {
    /// Of a namespace, which is a token.
    pub fn new(namespace: impl Into<String>) -> Self {
        Self { namespace: namespace.into() }
    }

    /// Where the life of jobs is told; `word` is `created`, `completed`, `failed` or `cancelled`.
    pub fn event(&self, job_type: &str, word: &str) -> String {
        format!("{}.jobs.{job_type}.{word}", self.namespace)
    }

    /// The record of a job.
    pub fn record(&self, job_id: &str) -> String {
        format!("{}.state.jobs.{job_id}", self.namespace)
    }

    /// What a job never changes: its definition and parameters.
    pub fn plan(&self, job_id: &str) -> String {
        format!("{}.state.jobplans.{job_id}", self.namespace)
    }

    /// The states of some items of a fan-out.
    pub fn items(&self, job_id: &str, node: u16, chunk: u32) -> String {
        format!("{}.state.jobitems.{job_id}.{node}.{chunk}", self.namespace)
    }
}
