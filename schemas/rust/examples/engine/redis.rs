//! Redis, alone or as a cluster, with redis-rs and the commands of `docs/redis.md`.

use std::time::Duration;

use gbe_schema::moves::Move;
use gbe_schema::state::{StateKeys, StateWrite, WRITE_SCRIPT};
use gbe_schema::subjects::{matches, SubjectKeys};
use gbe_schema::{Envelope, Fields, Ulid};
use redis::aio::MultiplexedConnection;
use redis::cluster::ClusterClient;
use redis::cluster_async::ClusterConnection;
use redis::{cmd, Cmd, FromRedisValue, Script};
use serde_json::Value;

use super::{Ack as Answer, Delivery, Result, ACK_TIMEOUT};

const RESPONSE_TIMEOUT: Duration = Duration::from_secs(10);
const BLOCK_MS: u64 = 1000;
/// All members of a group of gbe's share one consumer.
const CONSUMER: &str = "active";
const STREAMS: &str = "{gbe/streams}";
/// A stream goes when its newest message is too old.
const SPARE_MS: u64 = 60_000;

type Entries = Vec<(String, Option<Vec<(Vec<u8>, Vec<u8>)>>)>;

#[derive(Clone)]
enum Connection {
    Single(MultiplexedConnection),
    Cluster(ClusterConnection),
}

#[derive(Clone)]
pub struct Redis {
    url: String,
    connection: Connection,
}

pub struct Member {
    redis: Redis,
    reader: Connection,
    subject: String,
    stream: String,
    group: String,
}

pub struct Ack {
    redis: Redis,
    stream: String,
    group: String,
    entry_id: String,
}

impl Connection {
    async fn open(url: &str) -> Result<Self> {
        if let Some(hosts) = url.strip_prefix("redis+cluster://") {
            let (credentials, hosts) =
                hosts.rsplit_once('@').map_or((String::new(), hosts), |(who, hosts)| (format!("{who}@"), hosts));
            let nodes: Vec<String> = hosts.split(',').map(|host| format!("redis://{credentials}{host}")).collect();
            let client = ClusterClient::builder(nodes).response_timeout(RESPONSE_TIMEOUT).build()?;
            return Ok(Self::Cluster(client.get_async_connection().await?));
        }
        let config = redis::AsyncConnectionConfig::new().set_response_timeout(Some(RESPONSE_TIMEOUT));
        let client = redis::Client::open(url)?;
        Ok(Self::Single(client.get_multiplexed_async_connection_with_config(&config).await?))
    }

    async fn call<T: FromRedisValue>(&self, command: &Cmd) -> redis::RedisResult<T> {
        match self {
            Self::Single(connection) => command.query_async(&mut connection.clone()).await,
            Self::Cluster(connection) => command.query_async(&mut connection.clone()).await,
        }
    }
}

impl Redis {
    pub async fn connect(url: &str) -> Result<Self> {
        let connection = Connection::open(url).await.map_err(|fault| format!("{url}: {fault:?}"))?;
        Ok(Self { url: url.to_owned(), connection })
    }

    /// Name and `max_age` in milliseconds of the configured stream that stores a subject.
    async fn stream_of(&self, subject: &str) -> Result<(String, Option<u64>)> {
        let streams: Vec<(String, Vec<u8>)> = self.connection.call(cmd("HGETALL").arg(STREAMS)).await?;
        for (name, config) in streams {
            let config: Value = serde_json::from_slice(&config)?;
            let covers = |pattern: &Value| pattern.as_str().is_some_and(|pattern| matches(pattern, subject));
            if config["subjects"].as_array().is_some_and(|patterns| patterns.iter().any(covers)) {
                return Ok((name, config["max_age"].as_f64().map(|seconds| (seconds * 1000.0) as u64)));
            }
        }
        Err(format!("{subject} is not stored: no stream is configured for it; has gbe started with this namespace?")
            .into())
    }

    pub async fn publish(&self, envelope: &Envelope) -> Result<()> {
        let (subject, keys) = (&envelope.subject, SubjectKeys::of(&envelope.subject));
        let (name, age) = self.stream_of(subject).await?;
        let index = keys.index(&name);
        let (seconds, micros): (u64, u64) = self.connection.call(&cmd("TIME")).await?;
        let now = seconds * 1000 + micros / 1000;
        let _: i64 = self.connection.call(cmd("ZADD").arg(&index).arg("GT").arg(now).arg(subject)).await?;
        let entry = gbe_schema::redis::encode(envelope)?;
        let mut add = cmd("XADD");
        add.arg(&entry.key);
        if let Some(age) = age {
            add.arg("MINID").arg("~").arg(now.saturating_sub(age));
        }
        add.arg("*");
        for (name, value) in &entry.fields {
            add.arg(name).arg(value);
        }
        let id: String = self.connection.call(&add).await?;
        if let Some(age) = age {
            let _: i64 = self.connection.call(cmd("PEXPIRE").arg(&entry.key).arg(age + SPARE_MS)).await?;
        }
        for (channel, text) in [(keys.wake(), &id), (index, subject)] {
            let _: i64 = self.connection.call(cmd("SPUBLISH").arg(channel).arg(text)).await?;
        }
        Ok(())
    }

    pub async fn join(&self, subject: &str, group: &str) -> Result<Member> {
        let member = Member {
            redis: self.clone(),
            reader: Connection::open(&self.url).await?, // what blocks has a connection of its own
            subject: subject.to_owned(),
            stream: SubjectKeys::of(subject).stream,
            group: group.to_owned(),
        };
        member.create().await?;
        Ok(member)
    }

    pub async fn record(&self, keys: &StateKeys) -> Result<Option<Fields>> {
        let fields: Fields = self.connection.call(cmd("HGETALL").arg(keys.redis_record())).await?;
        Ok(Some(fields).filter(|fields| !fields.is_empty()))
    }

    pub async fn apply(&self, keys: &StateKeys, change: Move) -> Result<bool> {
        let call = StateWrite::new(keys.clone(), change).redis(&Ulid::new().to_string());
        let script = Script::new(WRITE_SCRIPT);
        let mut run = script.prepare_invoke();
        for key in &call.keys {
            run.key(key);
        }
        for argument in &call.arguments {
            run.arg(argument);
        }
        let answer: redis::Value = match &self.connection {
            Connection::Single(connection) => run.invoke_async(&mut connection.clone()).await?,
            Connection::Cluster(connection) => run.invoke_async(&mut connection.clone()).await?,
        };
        match answer {
            redis::Value::Int(written) => Ok(written == 1),
            other => Err(format!("{}: not written: {other:?}", keys.redis_record()).into()),
        }
    }
}

impl Member {
    async fn create(&self) -> Result<()> {
        let mut create = cmd("XGROUP");
        create.arg("CREATE").arg(&self.stream).arg(&self.group).arg("0").arg("MKSTREAM");
        match self.redis.connection.call::<()>(&create).await {
            Err(fault) if fault.code() != Some("BUSYGROUP") => Err(fault.into()),
            _ => Ok(()),
        }
    }

    pub async fn next(&mut self) -> Result<Option<Delivery>> {
        let mut read = cmd("XREADGROUP");
        read.arg("GROUP").arg(&self.group).arg(CONSUMER).arg("COUNT").arg(1).arg("BLOCK").arg(BLOCK_MS);
        read.arg("STREAMS").arg(&self.stream).arg(">");
        let found: Option<Vec<(String, Entries)>> = match self.reader.call(&read).await {
            Err(fault) if fault.code() == Some("NOGROUP") => {
                self.create().await?; // the stream had gone with its last message
                return Ok(None);
            }
            other => other?,
        };
        match found.and_then(|mut streams| streams.pop()).and_then(|(_, mut entries)| entries.pop()) {
            Some((id, Some(fields))) => Ok(Some(self.delivery(id, &fields, 1))),
            _ => self.returned().await,
        }
    }

    /// A message that a member did not answer in time.
    async fn returned(&self) -> Result<Option<Delivery>> {
        let mut pending = cmd("XPENDING");
        pending.arg(&self.stream).arg(&self.group).arg("IDLE").arg(ACK_TIMEOUT.as_millis() as u64);
        pending.arg("-").arg("+").arg(1).arg(CONSUMER);
        let held: Vec<(String, String, u64, u64)> = self.redis.connection.call(&pending).await?;
        let Some((id, _, _, count)) = held.into_iter().next() else { return Ok(None) };
        let mut claim = cmd("XCLAIM");
        claim.arg(&self.stream).arg(&self.group).arg(CONSUMER).arg(ACK_TIMEOUT.as_millis() as u64).arg(&id);
        claim.arg("RETRYCOUNT").arg(count + 1);
        let claimed: Entries = self.redis.connection.call(&claim).await?;
        Ok(match claimed.into_iter().next() {
            Some((id, Some(fields))) => Some(self.delivery(id, &fields, count + 1)),
            _ => None, // another member was faster, or the message is gone
        })
    }

    fn delivery(&self, entry_id: String, fields: &[(Vec<u8>, Vec<u8>)], count: u64) -> Delivery {
        let pairs = fields.iter().map(|(name, value)| (name.as_slice(), value.as_slice()));
        let envelope = gbe_schema::redis::decode(&self.subject, &entry_id, pairs);
        let (redis, stream, group) = (self.redis.clone(), self.stream.clone(), self.group.clone());
        Delivery { envelope, count, ack: Answer::Redis(Ack { redis, stream, group, entry_id }) }
    }
}

impl Ack {
    pub async fn send(self) -> Result<()> {
        let mut ack = cmd("XACK");
        ack.arg(&self.stream).arg(&self.group).arg(&self.entry_id);
        Ok(self.redis.connection.call(&ack).await?)
    }
}
