//! Free-form JSON and bytes, as fields of payloads have them.

use std::collections::BTreeMap;
use std::fmt;

use base64::engine::general_purpose::STANDARD;
use base64::Engine as _;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;

use crate::document::document;
use crate::invalid::{Invalid, Reason};

/// One JSON value as it is written: numbers keep all of their digits.
#[derive(Clone)]
pub struct Json(Box<RawValue>);

/// A JSON object whose members may be anything.
pub type JsonObject = BTreeMap<String, Json>;

impl Json {
    /// The value that serde makes of something.
    ///
    /// # Errors
    ///
    /// It has no form in JSON, such as a map whose keys are no texts.
    pub fn of<T: Serialize + ?Sized>(value: &T) -> Result<Self, serde_json::Error> {
        serde_json::value::to_raw_value(value).map(Self)
    }

    /// A text as JSON.
    ///
    /// # Errors
    ///
    /// [`Reason::Syntax`]: not one JSON document in UTF-8, or nested deeper than [`MAX_DEPTH`](crate::MAX_DEPTH).
    pub fn parse(text: &[u8]) -> Result<Self, Invalid> {
        let raw: &RawValue = document(text)?;
        Ok(Self(raw.to_owned()))
    }

    /// The text, without white space around it.
    pub fn get(&self) -> &str {
        self.0.get()
    }

    /// The value as a type of yours.
    ///
    /// # Errors
    ///
    /// It has another form.
    pub fn to<T: DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        let mut from = serde_json::Deserializer::from_str(self.get());
        // serde_json stops at 128 levels; the contract has a bound of its own, which was looked after
        from.disable_recursion_limit();
        T::deserialize(&mut from)
    }

    pub(crate) fn from_raw(raw: &RawValue) -> Self {
        Self(raw.to_owned())
    }
}

impl fmt::Debug for Json {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str(self.get())
    }
}

/// By the text.
impl PartialEq for Json {
    fn eq(&self, other: &Self) -> bool {
        self.get() == other.get()
    }
}

impl Serialize for Json {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(to)
    }
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let raw = Box::<RawValue>::deserialize(from)?;
        document(raw.get().as_bytes()).map_err(serde::de::Error::custom)?;
        Ok(Self(raw))
    }
}

/// Bytes; in JSON they are base64 (RFC 4648 section 4, with padding).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Bytes(pub Vec<u8>);

impl Bytes {
    pub(crate) fn from_base64(text: &str) -> Result<Self, Invalid> {
        STANDARD.decode(text).map(Self).map_err(|_| Invalid::new(Reason::Format, "expected base64 with padding"))
    }
}

impl<T: Into<Vec<u8>>> From<T> for Bytes {
    fn from(bytes: T) -> Self {
        Self(bytes.into())
    }
}

impl Serialize for Bytes {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&STANDARD.encode(&self.0))
    }
}
