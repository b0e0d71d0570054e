//! The types of the crate by the names of their schemas.

use gbe_schema::{events, jobs, notify, tasks, DeadLetter, Fields, Invalid, Json, Payload, Record, Schema};
use serde::Serialize;
use serde_json::Value;

/// Decode, validate, encode.
pub type Again = fn(&[u8]) -> Result<Vec<u8>, Invalid>;

fn again<T: Schema>(payload: &[u8]) -> Result<Vec<u8>, Invalid> {
    let value = T::decode(payload)?;
    assert_eq!(value.validate(), Ok(()), "what is read is valid");
    value.encode()
}

fn named<T: Schema>() -> (&'static str, Again) {
    (T::NAME, again::<T>)
}

pub fn all() -> Vec<(&'static str, Again)> {
    vec![
        named::<Payload>(),
        named::<DeadLetter>(),
        named::<events::ApiError>(),
        named::<events::ApiRequest>(),
        named::<events::AuditAccess>(),
        named::<events::AuditChange>(),
        named::<events::AuditRecord>(),
        named::<events::AuthFailure>(),
        named::<events::AuthLogin>(),
        named::<events::AuthLogout>(),
        named::<events::Lifecycle>(),
        named::<events::ArchiveReport>(),
        named::<events::SystemDeploy>(),
        named::<events::SystemFault>(),
        named::<events::SystemHealth>(),
        named::<events::SystemRecord>(),
        named::<events::SweepReport>(),
        named::<jobs::JobEvent>(),
        named::<notify::Notification>(),
        named::<tasks::TaskOutcome>(),
        named::<tasks::TaskProgress>(),
        named::<tasks::TaskSignal>(),
    ]
}

pub fn of(schema: &str) -> Again {
    all().iter().find(|(name, _)| *name == schema).unwrap_or_else(|| panic!("no type of {schema}")).1
}

/// Read, validate, and write a record again.
pub fn record_again(schema: &str, fields: &Fields) -> Result<Fields, Invalid> {
    fn again<T: Record>(fields: &Fields) -> Result<Fields, Invalid> {
        let record = T::from_fields(fields)?;
        assert_eq!(record.validate(), Ok(()), "what is read is valid");
        Ok(record.to_fields())
    }
    match schema {
        tasks::TaskRecord::NAME => again::<tasks::TaskRecord>(fields),
        jobs::JobRecord::NAME => again::<jobs::JobRecord>(fields),
        _ => panic!("no record of {schema}"),
    }
}

/// What a record means, as JSON.
pub fn record_json(schema: &str, fields: &Fields) -> Result<Value, Invalid> {
    fn json<T: Record + Serialize>(fields: &Fields) -> Result<Value, Invalid> {
        let text = serde_json::to_vec(&T::from_fields(fields)?).unwrap();
        Ok(Json::parse(&text)?.to().unwrap())
    }
    match schema {
        tasks::TaskRecord::NAME => json::<tasks::TaskRecord>(fields),
        jobs::JobRecord::NAME => json::<jobs::JobRecord>(fields),
        _ => panic!("no record of {schema}"),
    }
}
