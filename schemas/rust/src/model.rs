//! How the generated types are read, checked and written: one list of fields each.

use std::collections::BTreeMap;

use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;

use crate::document::{check_depth, document};
use crate::invalid::{Invalid, Reason};
use crate::json::{Bytes, Json};
use crate::line::{Line, Ring};
use crate::rule::{Rule, ANY};

/// A record as the state store holds it: name of field to bytes.
pub type Fields = BTreeMap<String, Vec<u8>>;

/// A JSON payload of the contract.
pub trait Schema: Model {
    /// The file in `schemas/json`, without `.json`.
    const NAME: &'static str;
    /// What its producers write as `v` now.
    const VERSION: u64;
    /// The subjects that carry it, without the namespace.
    const SUBJECTS: &'static [&'static str];

    /// Read and check a payload. Unknown fields are skipped; of a key that occurs twice the last one counts.
    ///
    /// # Errors
    ///
    /// The first field that does not keep to the contract, with its path.
    fn decode(payload: &[u8]) -> Result<Self, Invalid> {
        Self::read(&Members::of(document(payload)?)?)
    }

    /// Whether every field keeps to the contract.
    ///
    /// # Errors
    ///
    /// The first field that does not, with its path.
    fn validate(&self) -> Result<(), Invalid> {
        self.visit(&mut Checker)
    }

    /// Check the payload and write it as JSON, without what is equal to its default.
    ///
    /// # Errors
    ///
    /// As [`Schema::validate`]; [`Reason::Syntax`] if it is nested deeper than [`MAX_DEPTH`](crate::MAX_DEPTH).
    fn encode(&self) -> Result<Vec<u8>, Invalid> {
        self.validate()?;
        let payload = serde_json::to_vec(self).map_err(|fault| Invalid::new(Reason::Type, fault.to_string()))?;
        check_depth(&payload)?; // what is free-form lies a level or more down
        Ok(payload)
    }
}

/// A record of the contract, which the state store holds as a map of name to bytes.
pub trait Record: Sized {
    /// The file in `schemas/json`, without `.json`.
    const NAME: &'static str;

    /// Read and check a record; fields that are not known are left alone.
    ///
    /// # Errors
    ///
    /// The first field that does not keep to the contract; [`Reason::Type`] also stands for text that is not UTF-8.
    fn from_fields(fields: &Fields) -> Result<Self, Invalid>;

    /// As the state store holds it. Who changes a record writes only the fields that it changes.
    fn to_fields(&self) -> Fields;

    /// Whether every field keeps to the contract.
    ///
    /// # Errors
    ///
    /// The first field that does not, with its path.
    fn validate(&self) -> Result<(), Invalid>;
}

/// What the generated types have in common.
pub trait Model: Sized + Serialize {
    #[doc(hidden)]
    fn read(members: &Members<'_>) -> Result<Self, Invalid>;
    #[doc(hidden)]
    fn visit<V: Visit>(&self, to: &mut V) -> Result<(), V::Error>;
}

/// The members of a JSON object.
pub struct Members<'a>(BTreeMap<String, &'a RawValue>);

impl<'a> Members<'a> {
    pub(crate) fn of(raw: &'a RawValue) -> Result<Self, Invalid> {
        if !raw.get().starts_with('{') {
            return Err(expected("an object", raw));
        }
        // a map keeps the last of equal keys
        serde_json::from_str(raw.get()).map(Self).map_err(|fault| Invalid::new(Reason::Syntax, fault.to_string()))
    }

    pub(crate) fn required<T: Value>(&self, name: &str, rule: Rule) -> Result<T, Invalid> {
        self.free(name, rule)?.ok_or_else(|| Invalid::new(Reason::Missing, "it is required").under(name))
    }

    /// What may be `null` has `null` as its default: both are absence.
    pub(crate) fn optional<T: Value>(&self, name: &str, rule: Rule) -> Result<Option<T>, Invalid> {
        match self.0.get(name) {
            Some(raw) if raw.get() == "null" => Ok(None),
            _ => self.free(name, rule),
        }
    }

    /// Where `null` is a value like any other.
    pub(crate) fn free<T: Value>(&self, name: &str, rule: Rule) -> Result<Option<T>, Invalid> {
        self.0.get(name).map(|raw| T::from_json(raw, rule)).transpose().map_err(|fault| fault.under(name))
    }

    pub(crate) fn or<T: Value>(&self, name: &str, rule: Rule, default: T) -> Result<T, Invalid> {
        Ok(self.free(name, rule)?.unwrap_or(default))
    }

    /// The members whose names are of a ring.
    pub(crate) fn ring<T: Value>(&self, ring: Ring) -> Result<BTreeMap<String, T>, Invalid> {
        let named = self.0.keys().filter(|name| ring.has(name));
        named.map(|name| Ok((name.clone(), self.required(name, ANY)?))).collect()
    }
}

/// Is shown every field of a value.
pub trait Visit {
    type Error;
    fn field<T: Value>(&mut self, name: &'static str, value: &T, rule: Rule) -> Result<(), Self::Error>;

    fn optional<T: Value>(&mut self, name: &'static str, value: &Option<T>, rule: Rule) -> Result<(), Self::Error> {
        value.as_ref().map_or(Ok(()), |value| self.field(name, value, rule))
    }

    /// A field that may be left out when it has its default.
    fn or<T: Value>(&mut self, name: &'static str, value: &T, rule: Rule, default: &T) -> Result<(), Self::Error> {
        if value == default {
            return Ok(());
        }
        self.field(name, value, rule)
    }

    /// Fields of a ring, under their names.
    fn ring<T: Value>(&mut self, fields: &BTreeMap<String, T>) -> Result<(), Self::Error>;
}

/// Finds what does not keep to the contract.
pub struct Checker;

impl Visit for Checker {
    type Error = Invalid;

    fn field<T: Value>(&mut self, name: &'static str, value: &T, rule: Rule) -> Result<(), Invalid> {
        value.check(rule).map_err(|fault| fault.under(name))
    }

    fn ring<T: Value>(&mut self, fields: &BTreeMap<String, T>) -> Result<(), Invalid> {
        fields.iter().try_for_each(|(name, value)| value.check(ANY).map_err(|fault| fault.under(name)))
    }
}

struct Writer<M>(M);

impl<M: SerializeMap> Visit for Writer<M> {
    type Error = M::Error;

    fn field<T: Value>(&mut self, name: &'static str, value: &T, _: Rule) -> Result<(), M::Error> {
        self.0.serialize_entry(name, value)
    }

    fn ring<T: Value>(&mut self, fields: &BTreeMap<String, T>) -> Result<(), M::Error> {
        fields.iter().try_for_each(|(name, value)| self.0.serialize_entry(name, value))
    }
}

/// `Serialize` of a generated type.
pub(crate) fn serialize<T: Model, S: Serializer>(value: &T, to: S) -> Result<S::Ok, S::Error> {
    let mut writer = Writer(to.serialize_map(None)?);
    value.visit(&mut writer)?;
    writer.0.end()
}

/// A type that a field may have.
pub trait Value: Sized + Serialize + PartialEq {
    fn from_json(raw: &RawValue, rule: Rule) -> Result<Self, Invalid>;
    fn check(&self, rule: Rule) -> Result<(), Invalid>;
}

fn expected(what: &str, raw: &RawValue) -> Invalid {
    let found = match raw.get().as_bytes().first() {
        Some(b'"') => "a text",
        Some(b'{') => "an object",
        Some(b'[') => "a list",
        Some(b't' | b'f') => "a boolean",
        Some(b'n') => "null",
        _ => "a number",
    };
    Invalid::new(Reason::Type, format!("expected {what}, got {found}"))
}

fn text(raw: &RawValue) -> Result<String, Invalid> {
    if !raw.get().starts_with('"') {
        return Err(expected("a text", raw));
    }
    // half of a surrogate pair is not found before
    serde_json::from_str(raw.get()).map_err(|fault| Invalid::new(Reason::Syntax, fault.to_string()))
}

fn is_number(raw: &RawValue) -> bool {
    raw.get().starts_with(|first: char| first == '-' || first.is_ascii_digit())
}

impl Value for String {
    fn from_json(raw: &RawValue, rule: Rule) -> Result<Self, Invalid> {
        let value = text(raw)?;
        rule.text(&value)?;
        Ok(value)
    }

    fn check(&self, rule: Rule) -> Result<(), Invalid> {
        rule.text(self)
    }
}

impl Value for u64 {
    fn from_json(raw: &RawValue, rule: Rule) -> Result<Self, Invalid> {
        let digits = raw.get();
        if !is_number(raw) || digits.contains(['.', 'e', 'E']) {
            return Err(expected("an integer, without fraction and exponent", raw));
        }
        let value = match digits {
            "-0" => 0,
            _ => digits
                .parse()
                .map_err(|_| Invalid::new(Reason::Bound, "expected an integer of 0 or more, of 64 bits"))?,
        };
        rule.integer(value)?;
        Ok(value)
    }

    fn check(&self, rule: Rule) -> Result<(), Invalid> {
        rule.integer(*self)
    }
}

impl Value for f64 {
    fn from_json(raw: &RawValue, rule: Rule) -> Result<Self, Invalid> {
        if !is_number(raw) {
            return Err(expected("a number", raw));
        }
        let value = raw.get().parse().map_err(|_| expected("a number", raw))?;
        rule.number(value)?;
        Ok(value)
    }

    fn check(&self, rule: Rule) -> Result<(), Invalid> {
        rule.number(*self)
    }
}

impl Value for bool {
    fn from_json(raw: &RawValue, _: Rule) -> Result<Self, Invalid> {
        match raw.get() {
            "true" => Ok(true),
            "false" => Ok(false),
            _ => Err(expected("a boolean", raw)),
        }
    }

    fn check(&self, _: Rule) -> Result<(), Invalid> {
        Ok(())
    }
}

impl Value for Bytes {
    fn from_json(raw: &RawValue, _: Rule) -> Result<Self, Invalid> {
        Self::from_base64(&text(raw)?)
    }

    fn check(&self, _: Rule) -> Result<(), Invalid> {
        Ok(())
    }
}

impl Value for Json {
    fn from_json(raw: &RawValue, _: Rule) -> Result<Self, Invalid> {
        Ok(Self::from_raw(raw))
    }

    fn check(&self, _: Rule) -> Result<(), Invalid> {
        check_depth(self.get().as_bytes()).map_err(|fault| Invalid { reason: Reason::Type, ..fault })
    }
}

impl<T: Value> Value for Vec<T> {
    fn from_json(raw: &RawValue, rule: Rule) -> Result<Self, Invalid> {
        if !raw.get().starts_with('[') {
            return Err(expected("a list", raw));
        }
        let items: Vec<&RawValue> = serde_json::from_str(raw.get()).map_err(|_| expected("a list", raw))?;
        items.into_iter().map(|item| T::from_json(item, rule)).collect()
    }

    fn check(&self, rule: Rule) -> Result<(), Invalid> {
        self.iter().try_for_each(|item| item.check(rule))
    }
}

/// The rule is that of the values.
impl<T: Value> Value for BTreeMap<String, T> {
    fn from_json(raw: &RawValue, rule: Rule) -> Result<Self, Invalid> {
        let members = Members::of(raw)?;
        members.0.into_iter().map(|(name, item)| Ok((name, T::from_json(item, rule)?))).collect()
    }

    fn check(&self, rule: Rule) -> Result<(), Invalid> {
        self.values().try_for_each(|item| item.check(rule))
    }
}

/// A type that a field of a record may have.
pub trait Stored: Value {
    fn from_bytes(bytes: &[u8], rule: Rule) -> Result<Self, Invalid>;
    fn to_bytes(&self) -> Vec<u8>;
}

fn utf8(bytes: &[u8]) -> Result<&str, Invalid> {
    std::str::from_utf8(bytes).map_err(|fault| Invalid::new(Reason::Type, fault.to_string()))
}

fn stored_json<T: Value>(bytes: &[u8], rule: Rule) -> Result<T, Invalid> {
    let raw = document(bytes).map_err(|fault| Invalid { reason: Reason::Type, ..fault })?;
    T::from_json(raw, rule)
}

fn json_bytes<T: Serialize>(value: &T) -> Vec<u8> {
    // a map of texts and a raw value always have a form in JSON
    serde_json::to_vec(value).unwrap_or_default()
}

impl Stored for String {
    fn from_bytes(bytes: &[u8], rule: Rule) -> Result<Self, Invalid> {
        let value = utf8(bytes)?;
        rule.text(value)?;
        Ok(value.to_owned())
    }

    fn to_bytes(&self) -> Vec<u8> {
        self.as_bytes().to_vec()
    }
}

impl Stored for u64 {
    fn from_bytes(bytes: &[u8], rule: Rule) -> Result<Self, Invalid> {
        let digits = utf8(bytes)?;
        if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(Invalid::new(Reason::Type, "expected decimal digits"));
        }
        let value = digits.parse().map_err(|_| Invalid::new(Reason::Bound, "expected an integer of 64 bits"))?;
        rule.integer(value)?;
        Ok(value)
    }

    fn to_bytes(&self) -> Vec<u8> {
        self.to_string().into_bytes()
    }
}

impl Stored for Bytes {
    fn from_bytes(bytes: &[u8], _: Rule) -> Result<Self, Invalid> {
        Ok(Self(bytes.to_vec()))
    }

    fn to_bytes(&self) -> Vec<u8> {
        self.0.clone()
    }
}

impl Stored for Json {
    fn from_bytes(bytes: &[u8], rule: Rule) -> Result<Self, Invalid> {
        stored_json(bytes, rule)
    }

    fn to_bytes(&self) -> Vec<u8> {
        self.get().as_bytes().to_vec()
    }
}

impl Stored for BTreeMap<String, String> {
    fn from_bytes(bytes: &[u8], rule: Rule) -> Result<Self, Invalid> {
        stored_json(bytes, rule)
    }

    fn to_bytes(&self) -> Vec<u8> {
        json_bytes(self)
    }
}

/// The fields of a record that is read.
pub(crate) struct Held<'a>(pub &'a Fields);

impl Held<'_> {
    pub fn optional<T: Stored>(&self, name: &str, rule: Rule) -> Result<Option<T>, Invalid> {
        self.0.get(name).map(|bytes| T::from_bytes(bytes, rule)).transpose().map_err(|fault| fault.under(name))
    }

    pub fn required<T: Stored>(&self, name: &str, rule: Rule) -> Result<T, Invalid> {
        self.optional(name, rule)?.ok_or_else(|| Invalid::new(Reason::Missing, "it is required").under(name))
    }

    pub fn or<T: Stored>(&self, name: &str, rule: Rule, default: T) -> Result<T, Invalid> {
        Ok(self.optional(name, rule)?.unwrap_or(default))
    }

    /// The fields of a ring; a line that cannot be read is left out.
    pub fn lines<T: Line>(&self, ring: Ring) -> Result<BTreeMap<String, T>, Invalid> {
        let read = |bytes: &Vec<u8>| std::str::from_utf8(bytes).ok().and_then(T::from_line);
        let named = self.0.iter().filter(|(name, _)| ring.has(name));
        Ok(named.filter_map(|(name, bytes)| Some((name.clone(), read(bytes)?))).collect())
    }
}

/// Puts a field of a record where it belongs.
pub(crate) fn store<T: Stored>(fields: &mut Fields, name: &str, value: &T) {
    fields.insert(name.to_owned(), value.to_bytes());
}

/// Checks one field of a record.
pub(crate) fn check<T: Stored>(name: &'static str, value: &T, rule: Rule) -> Result<(), Invalid> {
    Checker.field(name, value, rule)
}

macro_rules! serde_of {
    ($($name:ident),*) => { $(
        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
                $crate::model::serialize(self, to)
            }
        }

        /// From JSON alone: it is read as `Schema::decode` reads it, and refused with the path of the field.
        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                let text = Box::<serde_json::value::RawValue>::deserialize(from)?;
                $crate::document::document(text.get().as_bytes())
                    .and_then(|raw| $crate::model::Value::from_json(raw, $crate::rule::ANY))
                    .map_err(serde::de::Error::custom)
            }
        }

        impl $crate::model::Value for $name {
            fn from_json(raw: &serde_json::value::RawValue, _: $crate::rule::Rule) -> Result<Self, $crate::Invalid> {
                <Self as $crate::model::Model>::read(&$crate::model::Members::of(raw)?)
            }

            fn check(&self, _: $crate::rule::Rule) -> Result<(), $crate::Invalid> {
                $crate::model::Model::visit(self, &mut $crate::model::Checker)
            }
        }
    )* };
}

/// One of some words.
macro_rules! words {
    ($name:ident { $($variant:ident = $word:literal),* }) => {
        impl $name {
            /// Every value.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// As it is written.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word),* }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, to: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                to.write_str(self.as_str())
            }
        }

        impl std::str::FromStr for $name {
            type Err = $crate::Invalid;

            fn from_str(word: &str) -> Result<Self, $crate::Invalid> {
                match word {
                    $($word => Ok(Self::$variant),)*
                    _ => Err($crate::Invalid::new($crate::Reason::Enum, concat!("expected one of", $(" ", $word),*))),
                }
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
                to.serialize_str(self.as_str())
            }
        }

        impl $crate::model::Value for $name {
            fn from_json(raw: &serde_json::value::RawValue, _: $crate::rule::Rule) -> Result<Self, $crate::Invalid> {
                <String as $crate::model::Value>::from_json(raw, $crate::rule::ANY)?.parse()
            }

            fn check(&self, _: $crate::rule::Rule) -> Result<(), $crate::Invalid> {
                Ok(())
            }
        }

        impl $crate::model::Stored for $name {
            fn from_bytes(bytes: &[u8], _: $crate::rule::Rule) -> Result<Self, $crate::Invalid> {
                <String as $crate::model::Stored>::from_bytes(bytes, $crate::rule::ANY)?.parse()
            }

            fn to_bytes(&self) -> Vec<u8> {
                self.as_str().as_bytes().to_vec()
            }
        }
    };
}

pub(crate) use {serde_of, words};
