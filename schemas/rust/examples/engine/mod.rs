//! An engine behind the few operations that the examples need, by the rules of `schemas/README.md`.

// a program has a few of them, and each only once
#![allow(clippy::large_enum_variant)]

pub mod nats;
pub mod redis;

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt;
use std::time::Duration;

use gbe_schema::moves::Move;
use gbe_schema::state::StateKeys;
use gbe_schema::subjects::deadletter_subject;
use gbe_schema::tasks::TaskRecord;
use gbe_schema::{now_ms, DeadLetter, DeadLetterOriginal, Envelope, Fields, Record, Schema, Ulid};

/// Whatever goes wrong: the examples end with it, and say it in words.
pub struct Fault(Box<dyn Error + Send + Sync>);

pub type Result<T, E = Fault> = std::result::Result<T, E>;

impl<E: Into<Box<dyn Error + Send + Sync>>> From<E> for Fault {
    fn from(fault: E) -> Self {
        Self(fault.into())
    }
}

/// What `main` prints of an error.
impl fmt::Debug for Fault {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(to, "{}", self.0)
    }
}

/// How long a member of a group may hold a message before another one gets it.
pub const ACK_TIMEOUT: Duration = Duration::from_secs(5);

/// The name of the configured stream (`{namespace}-…`) is looked up, never guessed.
#[derive(Clone)]
pub enum Engine {
    Nats(nats::Nats),
    Redis(redis::Redis),
}

/// A place in a consumer group of one subject: each message goes to one member.
pub enum Member {
    Nats(nats::Member),
    Redis(redis::Member),
}

/// A message in hand. Without an answer it comes back, to this member or to another one.
pub struct Delivery {
    pub envelope: Envelope,
    pub count: u64,
    ack: Ack,
}

enum Ack {
    Nats(async_nats::jetstream::Message),
    Redis(redis::Ack),
}

impl Engine {
    /// By `--engine nats` or `--engine redis`, and `--url`; a cluster of Redis is `redis+cluster://host:port,host:port`.
    pub async fn connect(named: &Named) -> Result<Self> {
        match argument(named, "engine", "nats") {
            "nats" => Ok(Self::Nats(nats::Nats::connect(argument(named, "url", "nats://127.0.0.1:4222")).await?)),
            "redis" => Ok(Self::Redis(redis::Redis::connect(argument(named, "url", "redis://127.0.0.1:6379")).await?)),
            other => Err(format!("--engine is {other}; expected nats or redis").into()),
        }
    }

    /// Store a message; returns once the engine has it.
    pub async fn publish(&self, envelope: &Envelope) -> Result<()> {
        match self {
            Self::Nats(engine) => engine.publish(envelope).await,
            Self::Redis(engine) => engine.publish(envelope).await,
        }
    }

    /// Store a payload, with the trace of what it belongs to.
    pub async fn send(&self, subject: &str, payload: Vec<u8>, traceparent: Option<&str>) -> Result<()> {
        let mut envelope = Envelope::new(Ulid::new().to_string(), subject, now_ms(), payload);
        envelope.traceparent = traceparent.map(str::to_owned);
        self.publish(&envelope).await
    }

    /// Store a dead letter of a message that nobody can handle, then let go of it.
    pub async fn bury(&self, delivery: Delivery, group: &str, reason: String) -> Result<()> {
        let found = &delivery.envelope;
        let original = DeadLetterOriginal::new(&found.id, &found.subject, found.timestamp, found.payload.clone());
        let letter = DeadLetter::new(reason, group, delivery.count, original).with_id(format!("{}.{group}", found.id));
        self.send(&deadletter_subject(&found.subject), letter.encode()?, None).await?;
        delivery.ack().await
    }

    /// Join a group of a subject; one that is new begins with the first message that is stored.
    pub async fn join(&self, subject: &str, group: &str) -> Result<Member> {
        Ok(match self {
            Self::Nats(engine) => Member::Nats(engine.join(subject, group).await?),
            Self::Redis(engine) => Member::Redis(engine.join(subject, group).await?),
        })
    }

    /// A task, unless it is kept no longer.
    pub async fn task(&self, keys: &StateKeys) -> Result<Option<TaskRecord>> {
        let fields = self.record(keys).await?;
        Ok(fields.map(|fields| TaskRecord::from_fields(&fields)).transpose()?)
    }

    /// A record of the state store.
    pub async fn record(&self, keys: &StateKeys) -> Result<Option<Fields>> {
        match self {
            Self::Nats(engine) => Ok(engine.read(keys).await?.fields),
            Self::Redis(engine) => engine.record(keys).await,
        }
    }

    /// Write a record if it is as the move expects; whether it was.
    pub async fn apply(&self, keys: &StateKeys, change: Move) -> Result<bool> {
        match self {
            Self::Nats(engine) => engine.apply(keys, change).await,
            Self::Redis(engine) => engine.apply(keys, change).await,
        }
    }
}

impl Member {
    /// The next message; `None` if there was none within about a second.
    pub async fn next(&mut self) -> Result<Option<Delivery>> {
        match self {
            Self::Nats(member) => member.next().await,
            Self::Redis(member) => member.next().await,
        }
    }
}

impl Delivery {
    /// It is done, and does not come back.
    pub async fn ack(self) -> Result<()> {
        match self.ack {
            Ack::Nats(message) => Ok(message.ack().await?),
            Ack::Redis(ack) => ack.send().await,
        }
    }
}

/// `--name value` pairs of a command line.
pub type Named = BTreeMap<String, String>;

/// The pairs of the command line, and what else is on it.
pub fn arguments() -> Result<(Named, Vec<String>)> {
    let (mut named, mut rest) = (BTreeMap::new(), Vec::new());
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        match word.strip_prefix("--") {
            Some(name) => {
                let value = words.next().ok_or_else(|| format!("{word}: a value is missing"))?;
                named.insert(name.to_owned(), value);
            }
            None => rest.push(word),
        }
    }
    Ok((named, rest))
}

/// The argument, or a text instead of it.
pub fn argument<'a>(named: &'a Named, name: &str, default: &'a str) -> &'a str {
    named.get(name).map_or(default, String::as_str)
}

/// Seconds, above 0.
pub fn seconds(named: &Named, name: &str, default: &str) -> Result<Duration> {
    let given = argument(named, name, default).parse().map(Duration::try_from_secs_f64);
    match given {
        Ok(Ok(time)) if !time.is_zero() => Ok(time),
        _ => Err(format!("--{name}: expected seconds, above 0").into()),
    }
}
