//! Payloads as JSON values, without what is equal to its default.

use serde_json::{Map, Value};

/// Equal as JSON: numbers by value, whether they are written with a fraction or not.
pub fn same(left: &Value, right: &Value) -> bool {
    match (left, right) {
        (Value::Number(one), Value::Number(other)) => {
            one == other || (one.is_f64() || other.is_f64()) && one.as_f64() == other.as_f64()
        }
        (Value::Array(some), Value::Array(others)) => {
            some.len() == others.len() && some.iter().zip(others).all(|(one, other)| same(one, other))
        }
        (Value::Object(some), Value::Object(others)) => {
            some.len() == others.len()
                && some.iter().all(|(name, one)| others.get(name).is_some_and(|other| same(one, other)))
        }
        _ => left == right,
    }
}

/// At every depth that the schema describes.
pub fn without_defaults(value: &Value, schema: &Value) -> Value {
    match value {
        Value::Object(members) => Value::Object(kept(members, schema)),
        Value::Array(items) => items.iter().map(|item| without_defaults(item, &schema["items"])).collect(),
        other => other.clone(),
    }
}

fn kept(members: &Map<String, Value>, schema: &Value) -> Map<String, Value> {
    let properties = &schema["properties"];
    let is_default = |name: &str, value: &Value| {
        properties.get(name).and_then(|inner| inner.get("default")).is_some_and(|default| same(default, value))
    };
    members
        .iter()
        .map(|(name, value)| (name.clone(), without_defaults(value, &properties[name.as_str()])))
        .filter(|(name, value)| !is_default(name, value))
        .collect()
}
