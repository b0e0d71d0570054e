//! NATS JetStream with async-nats.

use std::time::Duration;

use async_nats::jetstream::consumer::pull;
use async_nats::jetstream::consumer::{AckPolicy, DeliverPolicy};
use async_nats::jetstream::stream::DirectGetErrorKind;
use async_nats::{header::HeaderMap, jetstream, Client};
use futures_util::StreamExt;
use gbe_schema::moves::Move;
use gbe_schema::nats::{durable_name, Place};
use gbe_schema::state::{NatsRecord, StateKeys, StateWrite};
use gbe_schema::{now_ms, Envelope, Ulid};
use serde_json::Value;

use super::{Ack, Delivery, Result, ACK_TIMEOUT};

const SOMEBODY_ELSE_WROTE: [u64; 2] = [10071, 10164];
const TRIES: usize = 20;

#[derive(Clone)]
pub struct Nats {
    client: Client,
    jetstream: jetstream::Context,
}

pub struct Member(jetstream::consumer::PullConsumer);

impl Nats {
    pub async fn connect(url: &str) -> Result<Self> {
        let client = async_nats::connect(url).await.map_err(|fault| format!("{url}: {fault}"))?;
        Ok(Self { jetstream: jetstream::new(client.clone()), client })
    }

    pub async fn publish(&self, envelope: &Envelope) -> Result<()> {
        let message = gbe_schema::nats::encode(envelope, None)?;
        match self.store(message.subject, message.headers, message.body).await? {
            Some(code) => Err(format!("the engine does not store it: {code}").into()),
            None => Ok(()),
        }
    }

    /// The `err_code` of a refusal; `None` if it is stored.
    async fn store(&self, subject: String, headers: Vec<(String, String)>, body: Vec<u8>) -> Result<Option<u64>> {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.insert(name, value);
        }
        let reply = self.client.request_with_headers(subject.clone(), map, body.into()).await;
        let reply = reply.map_err(|fault| format!("{}: {fault}", no_stream(&subject)))?;
        let answer: Value = serde_json::from_slice(&reply.payload)?;
        Ok(answer.get("error").map(|error| error["err_code"].as_u64().unwrap_or_default()))
    }

    pub async fn join(&self, subject: &str, group: &str) -> Result<Member> {
        let name = durable_name(group, subject);
        let found = self.jetstream.stream_by_subject(subject).await;
        let found = found.map_err(|fault| format!("{}: {fault}", no_stream(subject)))?;
        let stream = self.jetstream.get_stream(found).await?;
        let metadata = [("gbe-group", group), ("gbe-pattern", subject)];
        let wanted = pull::Config {
            durable_name: Some(name.clone()),
            description: Some(format!("group {group}, {subject}")),
            deliver_policy: DeliverPolicy::All,
            ack_policy: AckPolicy::Explicit,
            ack_wait: ACK_TIMEOUT,
            filter_subject: subject.to_owned(),
            max_deliver: -1,
            max_ack_pending: -1,
            metadata: metadata.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
            ..pull::Config::default()
        };
        // one that is there is left as it is: it is gbe's own
        Ok(Member(stream.get_or_create_consumer(&name, wanted).await?))
    }

    pub async fn read(&self, keys: &StateKeys) -> Result<NatsRecord> {
        let stream = self.jetstream.get_stream_no_info(keys.nats_stream()).await?;
        match stream.direct_get_last_for_subject(keys.nats_record()).await {
            Ok(message) => Ok(NatsRecord::read(pairs(&message.headers), &message.payload, message.sequence)),
            Err(fault) if fault.kind() == DirectGetErrorKind::NotFound => Ok(NatsRecord::default()),
            Err(fault) => Err(fault.into()),
        }
    }

    /// Read, decide, and write if nobody wrote meanwhile; else again.
    pub async fn apply(&self, keys: &StateKeys, change: Move) -> Result<bool> {
        let write = StateWrite::new(keys.clone(), change);
        let mut refusal = None;
        for _ in 0..TRIES {
            let Some(message) = write.nats(&self.read(keys).await?, &Ulid::new().to_string(), now_ms()) else {
                return Ok(false);
            };
            for entry in message.entries {
                // one that is there already will do
                self.store(entry, Vec::new(), Vec::new()).await?;
            }
            refusal = self.store(message.subject, message.headers, message.body).await?;
            match refusal {
                None => return Ok(true),
                Some(code) if SOMEBODY_ELSE_WROTE.contains(&code) => {}
                Some(_) => break,
            }
        }
        Err(format!("{}: not written: {refusal:?}", keys.nats_record()).into())
    }
}

impl Member {
    pub async fn next(&mut self) -> Result<Option<Delivery>> {
        let mut found = self.0.fetch().max_messages(1).expires(Duration::from_secs(1)).messages().await?;
        let Some(message) = found.next().await.transpose()? else { return Ok(None) };
        let info = message.info()?;
        let time_ms = u64::try_from(info.published.unix_timestamp_nanos() / 1_000_000)?;
        let place = Place { sequence: info.stream_sequence, time_ms };
        let count = u64::try_from(info.delivered)?;
        let headers = message.headers.clone().unwrap_or_default();
        let envelope = gbe_schema::nats::decode(&message.subject, pairs(&headers), &message.payload, place);
        Ok(Some(Delivery { envelope, count, ack: Ack::Nats(message) }))
    }
}

fn pairs(headers: &HeaderMap) -> Vec<(&str, &str)> {
    headers.iter().filter_map(|(name, values)| Some((name.as_ref(), values.last()?.as_str()))).collect()
}

fn no_stream(subject: &str) -> String {
    format!("{subject} is not stored; has gbe started with this namespace?")
}
