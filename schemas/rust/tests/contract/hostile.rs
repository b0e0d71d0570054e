//! Whatever the bytes are, a decoder ends in a value or in its documented error, never in a panic.

use std::sync::LazyLock;

use gbe_schema::ids::is_ulid;
use gbe_schema::nats::{self, Place};
use gbe_schema::state::NatsRecord;
use gbe_schema::subjects::{check_pattern, check_subject, matches, SubjectKeys};
use gbe_schema::traceparent::is_traceparent;
use gbe_schema::{msgpack, redis, slot_of, Fields, Json};
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use proptest::sample::{select, Index};

use crate::files::vectors;
use crate::payloads;

static PAYLOADS: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
    vectors().iter().filter(|vector| vector.text("kind") == "payload").map(|vector| vector.payload()).collect()
});
const TOKENS: [&[u8]; 14] =
    [b"{", b"}", b"[", b"]", b"\"", b"\\u", b"\\ud800", b"1e999", b"-0", b"null", b"\x00", b"\xff", b":", b","];

/// A payload of a vector with some bytes changed, removed, doubled or replaced by what hurts.
fn mutated() -> impl Strategy<Value = Vec<u8>> {
    let change = (any::<Index>(), 0..12_usize, 0..4_u8, any::<[u8; 12]>(), select(TOKENS.to_vec()));
    (any::<Index>(), vec(change, 1..6)).prop_map(|(which, changes)| {
        let mut payload = PAYLOADS[which.index(PAYLOADS.len())].clone();
        for (at, length, kind, bytes, token) in changes {
            let from = at.index(payload.len() + 1);
            let to = (from + length).min(payload.len());
            let part = payload[from..to].to_vec();
            match kind {
                0 => payload.splice(from..to, bytes[..part.len()].iter().copied()).count(),
                1 => payload.drain(from..to).count(),
                2 => payload.splice(from..from, part).count(),
                _ => payload.splice(from..to, token.iter().copied()).count(),
            };
        }
        payload
    })
}

/// What was accepted is accepted again, and means the same.
fn decode_as_everything(payload: &[u8]) {
    for (name, again) in payloads::all() {
        if let Ok(encoded) = again(payload) {
            assert_eq!(again(&encoded).as_ref(), Ok(&encoded), "{name}");
        }
    }
    let _ = Json::parse(payload);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn payloads_of_random_bytes(payload in vec(any::<u8>(), 0..300)) {
        decode_as_everything(&payload);
    }

    #[test]
    fn payloads_of_vectors_that_are_damaged(payload in mutated()) {
        decode_as_everything(&payload);
    }

    #[test]
    fn headers_of_a_message_in_nats(
        headers in vec((prop_oneof![select(std::vec!["Gbe-Id", "Gbe-Timestamp", "traceparent"]).prop_map(String::from), any::<String>()], prop_oneof![any::<String>(), "[0-9]{0,40}"]), 0..6),
        body in vec(any::<u8>(), 0..50),
        sequence: u64,
        time_ms: u64,
    ) {
        let pairs = || headers.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        prop_assert_eq!(nats::decode("gbe.a", pairs(), &body, Place { sequence, time_ms }).payload.0, body.clone());
        NatsRecord::read(pairs(), &body, sequence);
    }

    #[test]
    fn fields_of_an_entry_in_redis(
        id in prop_oneof![any::<String>(), "[0-9]{1,25}-[0-9]{1,25}"],
        fields in vec((prop_oneof![select(std::vec!["id", "ts", "tp"]).prop_map(|name| name.as_bytes().to_vec()), vec(any::<u8>(), 0..20)], vec(any::<u8>(), 0..40)), 0..6),
    ) {
        let pairs = fields.iter().map(|(name, value)| (name.as_slice(), value.as_slice()));
        prop_assert_eq!(redis::decode("gbe.a", &id, pairs).subject, "gbe.a");
    }

    #[test]
    fn bodies_of_records_in_nats(body in vec(any::<u8>(), 0..200)) {
        if let Ok(fields) = msgpack::decode(&body) {
            prop_assert_eq!(msgpack::decode(&msgpack::encode(&fields)), Ok(fields));
        }
    }

    #[test]
    fn records_come_back_whole(fields in btree_map(any::<String>(), vec(any::<u8>(), 0..300), 0..20)) {
        prop_assert_eq!(msgpack::decode(&msgpack::encode(&fields)), Ok(fields));
    }

    #[test]
    fn fields_of_records(
        fields in btree_map(
            select(std::vec!["state", "attempt", "priority", "params", "worker", "chunks", "sizes", "runs", "rev", "task_type", "attempt_1_started", "attempt_31_ended"]).prop_map(String::from),
            prop_oneof![vec(any::<u8>(), 0..30), select(std::vec!["pending", "running", "high", "1", "{}", "99999999999999999999", "1 2 w -", "1 2 retried a  b", "1 2 failed"]).prop_map(|text| text.as_bytes().to_vec())],
            0..8,
        ),
    ) {
        let must = [("task_type", "a"), ("task_id", "01M8A2XBX214ZQTHTJFHP02E9D"), ("job_type", "a"), ("job_id", "01M8A2XBX214ZQTHTJFHP02E9D"), ("state", "failed")];
        let mut whole: Fields = must.iter().map(|(name, value)| ((*name).to_owned(), value.as_bytes().to_vec())).collect();
        whole.extend(fields.clone());
        for fields in [&fields, &whole] {
            for schema in ["tasks/record", "jobs/record"] {
                let _ = payloads::record_again(schema, fields);
            }
        }
    }

    #[test]
    fn texts(text: String, other in "[a-z.*>]{0,12}") {
        for text in [text.as_str(), other.as_str()] {
            let _ = (is_ulid(text), is_traceparent(text), check_subject(text), check_pattern(text));
            let _ = (matches(text, &other), matches(&other, text), SubjectKeys::of(text), slot_of(text.as_bytes()));
        }
    }
}

#[test]
fn what_is_nested_deeply_or_has_numbers_without_end() {
    let mut payloads: Vec<Vec<u8>> = vec![
        [b"{\"v\":1,\"x\":".as_slice(), &b"[".repeat(200_000)].concat(),
        [b"{\"a\":".repeat(100_000), b"1".to_vec(), b"}".repeat(100_000)].concat(),
        [b"{\"v\":".to_vec(), b"1".repeat(10_000), b",\"ts\":1,\"id\":\"a\"}".to_vec()].concat(),
        [b"{\"v\":1,\"ts\":-".to_vec(), b"9".repeat(400), b".5e99999,\"id\":\"a\"}".to_vec()].concat(),
    ];
    payloads.push([b"\x81\xa1a".to_vec(), b"\x91".repeat(100_000)].concat());
    for payload in &payloads {
        decode_as_everything(payload);
        let _ = msgpack::decode(payload);
    }
    assert!(msgpack::decode(b"\xdf\xff\xff\xff\xff").is_err());
}
