//! Every vector, as `schemas/README.md` says how to run it.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::time::Duration;

use gbe_schema::ids::{is_ulid, job_id_of_key, task_id_of_job, task_id_of_key};
use gbe_schema::moves::{self, Changes, Move};
use gbe_schema::names::{JobNames, TaskNames};
use gbe_schema::nats::{self, Place};
use gbe_schema::state::{NatsRecord, StateKeys, StateWrite};
use gbe_schema::subjects::{check_pattern, check_subject, deadletter_subject, matches, subject_of, SubjectKeys};
use gbe_schema::tasks::{TaskPriority, TaskRecord, TaskState};
use gbe_schema::traceparent::is_traceparent;
use gbe_schema::{msgpack, redis, slot_of, Envelope, Fields, Json, Record, Ulid};
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::{json, Value};

use crate::compare::{same, without_defaults};
use crate::files::{in_bytes, schemas, vectors, Vector};
use crate::payloads;

#[test]
fn every_vector_passes() {
    let mut kinds: BTreeMap<String, usize> = BTreeMap::new();
    for vector in vectors() {
        let kind = vector.text("kind");
        println!("{}", vector.name); // shown of the one that fails
        match kind.as_str() {
            "payload" => payload(&vector),
            "record" => record(&vector),
            "nats-message" => nats_message(&vector),
            "redis-entry" => redis_entry(&vector),
            "subject" => assert_eq!(check_subject(&vector.text("subject")).is_ok(), vector.json("valid")),
            "pattern" => pattern(&vector),
            "ulid" => ulid(&vector),
            "traceparent" => assert_eq!(is_traceparent(&vector.text("traceparent")), vector.json("valid")),
            "task-id-of-key" | "job-id-of-key" | "task-id-of-job" => computed_id(&vector, &kind),
            "subject-keys" => subject_keys(&vector),
            "state-keys" => state_keys(&vector),
            "task-names" => task_names(&vector),
            "job-names" => job_names(&vector),
            "deadletter-subject" => {
                assert_eq!(deadletter_subject(&vector.text("subject")), vector.text("deadletter"));
            }
            "move" => moved(&vector),
            "state-write" => state_write(&vector),
            _ => panic!("{}: a kind that is not known: {kind}", vector.name),
        }
        *kinds.entry(kind).or_default() += 1;
    }
    println!("{kinds:?}");
    assert_eq!(kinds.len(), 18);
}

fn schema(name: &str) -> Value {
    serde_json::from_slice(&fs::read(schemas().join("json").join(format!("{name}.json"))).unwrap()).unwrap()
}

fn payload(vector: &Vector) {
    let name = vector.text("schema");
    let found = payloads::of(&name)(&vector.payload());
    if vector.text("case") == "invalid" {
        if vector.is_released {
            return; // what was refused may be accepted later
        }
        let fault = found.expect_err("it is invalid");
        assert_eq!((fault.reason.word(), fault.path.as_str()), (&*vector.text("reason"), &*vector.text("path")));
        return;
    }
    let again: Value = Json::parse(&found.expect("it is valid")).unwrap().to().unwrap();
    let (schema, encoded) = (schema(&name), vector.encoded());
    assert!(same(&without_defaults(&again, &schema), &without_defaults(&encoded, &schema)), "{again}");
}

fn fields_of(value: &Value) -> Fields {
    value.as_object().unwrap().iter().map(|(name, value)| (name.clone(), in_bytes(value))).collect()
}

fn record(vector: &Vector) {
    let (name, fields) = (vector.text("schema"), fields_of(&vector.json("fields")));
    assert_eq!(msgpack::decode(&msgpack::encode(&fields)).as_ref(), Ok(&fields));
    let found = payloads::record_again(&name, &fields);
    if vector.text("case") == "invalid" {
        if !vector.is_released {
            let fault = found.expect_err("it is invalid");
            assert_eq!((fault.reason.word(), fault.path.as_str()), (&*vector.text("reason"), &*vector.text("path")));
        }
        return;
    }
    let again = found.expect("it is valid");
    let (schema, stated) = (schema(&name), vector.json("record"));
    let meant = payloads::record_json(&name, &fields).unwrap();
    let stated_less = without_defaults(&stated, &schema);
    assert!(same(&without_defaults(&meant, &schema), &stated_less), "{meant}");
    for field in stated.as_object().unwrap().keys() {
        assert_eq!(again.get(field), fields.get(field), "{field}");
    }
    assert!(again
        .keys()
        .all(|field| fields.contains_key(field) || schema["properties"][field].get("default").is_some()));
}

fn envelope(vector: &Vector) -> Envelope {
    let stated = vector.json("envelope");
    let text = |name: &str| stated[name].as_str().unwrap();
    let envelope =
        Envelope::new(text("id"), text("subject"), stated["timestamp"].as_u64().unwrap(), in_bytes(&stated["payload"]));
    match stated["traceparent"].as_str() {
        Some(trace) => envelope.with_traceparent(trace),
        None => envelope,
    }
}

fn nats_message(vector: &Vector) {
    let (envelope, message) = (envelope(vector), vector.json("message"));
    let (subject, body) = (message["subject"].as_str().unwrap(), in_bytes(&message["body"]));
    let headers: Vec<(String, String)> = serde_json::from_value(message["headers"].clone()).unwrap();
    if vector.text("case") == "publish" {
        let key = vector.json("idempotency_key");
        let made = nats::encode(&envelope, key.as_str()).unwrap();
        assert_eq!((made.subject.as_str(), &made.headers, &made.body), (subject, &headers, &body));
    }
    let stored = vector.json("stored");
    let place =
        Place { sequence: stored["sequence"].as_u64().unwrap_or(1), time_ms: stored["time_ms"].as_u64().unwrap_or(1) };
    let pairs = headers.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    assert_eq!(nats::decode(subject, pairs, &body, place), envelope);
}

fn redis_entry(vector: &Vector) {
    let (envelope, entry) = (envelope(vector), vector.json("entry"));
    let fields: Vec<(String, Vec<u8>)> = entry["fields"]
        .as_array()
        .unwrap()
        .iter()
        .map(|pair| (pair[0].as_str().unwrap().to_owned(), in_bytes(&pair[1])))
        .collect();
    if vector.text("case") == "publish" {
        let made = redis::encode(&envelope).unwrap();
        assert_eq!((made.key.as_str(), &made.fields), (entry["key"].as_str().unwrap(), &fields));
    }
    assert_eq!(subject_of(entry["key"].as_str().unwrap()), envelope.subject);
    let pairs = fields.iter().map(|(name, value)| (name.as_bytes(), value.as_slice()));
    let id = entry["id"].as_str().unwrap_or("1-1");
    assert_eq!(redis::decode(&envelope.subject, id, pairs), envelope);
}

fn pattern(vector: &Vector) {
    let pattern = vector.text("pattern");
    assert_eq!(check_pattern(&pattern).is_ok(), vector.json("valid"));
    for (part, is_covered) in [("matches", true), ("does_not_match", false)] {
        for subject in vector.json(part).as_array().into_iter().flatten() {
            assert_eq!(matches(&pattern, subject.as_str().unwrap()), is_covered, "{subject}");
        }
    }
}

fn ulid(vector: &Vector) {
    let text = vector.text("ulid");
    assert_eq!(is_ulid(&text), vector.json("valid"));
    if let Ok(found) = text.parse::<Ulid>() {
        let stated = (vector.number("time_ms"), u128::from_str_radix(&vector.text("randomness"), 16).unwrap());
        assert_eq!((found.time_ms(), found.randomness()), stated);
        assert_eq!(Ulid::from_parts(stated.0, stated.1).to_string(), text);
    }
}

fn computed_id(vector: &Vector, kind: &str) {
    let (found, stated) = match kind {
        "task-id-of-key" => (task_id_of_key(&vector.text("task_type"), &vector.text("idempotency_key")), "task_id"),
        "job-id-of-key" => (job_id_of_key(&vector.text("job_type"), &vector.text("idempotency_key")), "job_id"),
        _ => {
            let [node, item, run] = ["node", "item", "run"].map(|name| vector.number(name));
            (task_id_of_job(&vector.text("job_id"), node as u16, item as u32, run as u8), "task_id")
        }
    };
    assert_eq!(found.to_string(), vector.text(stated));
}

fn subject_keys(vector: &Vector) {
    let keys = SubjectKeys::of(&vector.text("subject"));
    let companions = json!({
        "delayed": keys.delayed(),
        "later": keys.later(),
        "wake": keys.wake(),
        "seen_id": keys.seen_id(&vector.text("id")),
        "seen_key": keys.seen_key(&vector.text("idempotency_key")),
        "waiting": keys.waiting(&vector.text("group")),
    });
    assert_eq!(companions, vector.json("companions"));
    for key in companions.as_object().unwrap().values() {
        assert_eq!(slot_of(key.as_str().unwrap().as_bytes()), keys.slot);
    }
    assert_eq!(keys.stream, vector.text("stream"));
    let numbers = [u64::from(keys.slot), u64::from(keys.bucket), u64::from(keys.mark)];
    assert_eq!(numbers, ["slot", "bucket", "mark"].map(|name| vector.number(name)));
}

fn state_keys(vector: &Vector) {
    let keys = StateKeys::of(&vector.text("store"), &vector.text("key"));
    let index = vector.text("index");
    let redis = json!({
        "bucket": keys.bucket,
        "record": keys.redis_record(),
        "slot": keys.slot(),
        "keys": keys.redis("keys"),
        "due": keys.redis(&format!("due:{index}")),
        "ends": keys.redis("ends"),
        "seq": keys.redis("seq"),
        "log": keys.redis("log"),
        "changes": keys.redis("changes"),
    });
    assert_eq!(redis, vector.json("redis"));
    let nats = json!({
        "stream": keys.nats_stream(),
        "record": keys.nats_record(),
        "entry": keys.nats_entry(&index, vector.number("deadline")),
    });
    assert_eq!(nats, vector.json("nats"));
}

fn task_names(vector: &Vector) {
    let names = TaskNames::new(vector.text("namespace"));
    let (kind, reply) = (vector.text("task_type"), names.reply(&vector.text("client_id")));
    assert!(names.is_reply(&reply));
    let found = json!({
        "state_prefix": names.state_prefix(),
        "queue": names.queue(&kind, TaskPriority::Normal),
        "queue_high": names.queue(&kind, TaskPriority::High),
        "queue_low": names.queue(&kind, TaskPriority::Low),
        "progress": names.progress(&kind),
        "terminal": names.terminal(&kind),
        "group": names.group(&kind),
        "record": names.record(&kind, &vector.text("task_id")),
        "reply": reply,
        "dead_letters": names.dead_letters(),
    });
    assert_eq!(found, vector.json("names"));
    if let Some(consumer) = vector.json("nats_consumer").as_str() {
        let queue = names.queue(&kind, TaskPriority::Normal);
        assert_eq!(nats::durable_name(&names.group(&kind), &queue), consumer);
    }
}

fn job_names(vector: &Vector) {
    let names = JobNames::new(vector.text("namespace"));
    let (kind, id) = (vector.text("job_type"), vector.text("job_id"));
    let found = json!({
        "created": names.event(&kind, "created"),
        "completed": names.event(&kind, "completed"),
        "failed": names.event(&kind, "failed"),
        "cancelled": names.event(&kind, "cancelled"),
        "record": names.record(&id),
        "plan": names.plan(&id),
        "items": names.items(&id, vector.number("node") as u16, vector.number("chunk") as u32),
    });
    assert_eq!(found, vector.json("names"));
}

/// A JSON object with its members in their order, which counts in the arguments of a script.
struct Ordered(Vec<(String, Json)>);

impl<'de> Deserialize<'de> for Ordered {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Members;
        impl<'de> Visitor<'de> for Members {
            type Value = Ordered;

            fn expecting(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
                to.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut from: A) -> Result<Ordered, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = from.next_entry()? {
                    members.push(member);
                }
                Ok(Ordered(members))
            }
        }
        from.deserialize_map(Members)
    }
}

fn changes(vector: &Vector, name: &str) -> Changes {
    let Ordered(members) = vector.get(name).unwrap().to().unwrap();
    let bytes = |value: Json| match value.get() {
        "null" => None,
        _ => Some(in_bytes(&value.to().unwrap())),
    };
    members.into_iter().map(|(name, value)| (name, bytes(value))).collect()
}

fn ttl(vector: &Vector) -> Option<Duration> {
    vector.json("ttl").as_f64().map(Duration::from_secs_f64)
}

fn moved(vector: &Vector) {
    let arguments = vector.json("arguments");
    let number = |name: &str| arguments[name].as_u64().unwrap_or_else(|| panic!("{name}"));
    let text = |name: &str| arguments[name].as_str().unwrap();
    let maybe = |name: &str| arguments[name].as_u64();
    let (attempt, now) = (maybe("attempt").unwrap_or_default(), maybe("now").unwrap_or_default());
    let stated = Move { expected: changes(vector, "expected"), changes: changes(vector, "changes"), ttl: ttl(vector) };
    let before = vector.get("record").map(|_| moved_record(vector, &stated));
    let retention = || Duration::from_secs_f64(arguments["retention"].as_f64().unwrap());
    let found = match vector.text("move").as_str() {
        "claim" => moves::claim(
            attempt,
            text("worker"),
            now,
            number("timeout_at"),
            number("max_retries"),
            arguments["trace"].as_str(),
        ),
        "renew" => moves::renew(attempt, now, number("timeout_at")),
        "complete" => {
            let result = arguments["result"].as_object().map(|_| in_bytes(&arguments["result"]));
            moves::complete(attempt, now, result.as_deref(), retention(), maybe("announce_at"))
        }
        "fail" => moves::fail(attempt, now, number("retry_count"), text("error"), retention(), maybe("announce_at")),
        "retry" => moves::retry(attempt, now, number("run_at"), number("retry_count"), text("error")),
        "hand_back" => moves::hand_back(attempt, now),
        "cancel" => {
            moves::cancel(&before.expect("a record"), now, text("reason"), retention()).expect("it has not ended")
        }
        "announce_later" => moves::announce_later(&before.expect("a record"), number("announce_at")).expect("it has"),
        "announced" => moves::announced(text("state").parse::<TaskState>().unwrap(), attempt, number("announce_at")),
        "resignal" | "lose" | "expire" => return, // the sweeper's; its records are read and written as they are
        other => panic!("a move that is not known: {other}"),
    };
    let found = match vector.json("of_job").as_bool() {
        Some(true) if vector.text("move") == "claim" => {
            found.with_start(attempt + 1, now, text("worker"), arguments["traceparent"].as_str())
        }
        Some(true) => found.with_end(attempt, now),
        _ => found,
    };
    assert_eq!(found, stated);
}

/// The record of a move: as it was and as it is then it is read and written without loss, and the one is the other
/// with the changes.
fn moved_record(vector: &Vector, change: &Move) -> TaskRecord {
    let [mut before, after] = ["record", "after"].map(|name| fields_of(&vector.json(name)));
    for fields in [&before, &after] {
        let again = payloads::record_again(TaskRecord::NAME, fields).expect("it is valid");
        for (name, value) in fields {
            assert_eq!(again.get(name), Some(value), "{name}");
        }
    }
    let record = TaskRecord::from_fields(&before).unwrap();
    for (name, value) in &change.expected {
        assert_eq!(before.get(name), value.as_ref(), "{name}");
    }
    for (name, value) in change.changes.clone() {
        match value {
            Some(value) => before.insert(name, value),
            None => before.remove(&name),
        };
    }
    assert_eq!(before, after);
    record
}

fn state_write(vector: &Vector) {
    let change = Move { expected: changes(vector, "expected"), changes: changes(vector, "changes"), ttl: ttl(vector) };
    let indexes: Vec<String> = serde_json::from_value(vector.json("indexes")).unwrap();
    let keys = StateKeys::of(&vector.text("store"), &vector.text("key"));
    let write = StateWrite::new(keys.clone(), change).with_indexes(indexes);
    let (before, after) = (fields_of(&vector.json("before")), fields_of(&vector.json("after")));

    let stated = vector.json("redis");
    let mark = stated["keys"][1].as_str().unwrap().strip_prefix(&keys.redis("w:")).unwrap().to_owned();
    let call = write.redis(&mark);
    assert_eq!(json!(call.keys), stated["keys"]);
    let arguments: Vec<Vec<u8>> = stated["arguments"].as_array().unwrap().iter().map(in_bytes).collect();
    assert_eq!(call.arguments, arguments);

    let current = NatsRecord::read([], &msgpack::encode(&before), 17);
    let made = write.nats(&current, "w-1", 1).expect("it is as expected");
    assert_eq!(json!({"record": made.subject, "entries": made.entries}), vector.json("nats"));
    assert_eq!(msgpack::decode(&made.body), Ok(after));
    assert_eq!(made.headers[0], ("Nats-Expected-Last-Subject-Sequence".to_owned(), "17".to_owned()));
    assert_eq!(made.headers.iter().any(|(name, _)| name == "Nats-TTL"), ttl(vector).is_some());
    let nobody = NatsRecord::read([("KV-Operation", "DEL")], b"", 18);
    assert_eq!(write.nats(&nobody, "w-1", 1), None);
}
