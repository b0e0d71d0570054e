//! The contract's files.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use base64::engine::general_purpose::STANDARD;
use base64::Engine as _;
use gbe_schema::Json;
use serde_json::Value;

/// A JSON file: its members as they are written.
pub struct Vector {
    pub name: String,
    pub is_released: bool,
    members: BTreeMap<String, Json>,
}

impl Vector {
    pub fn get(&self, name: &str) -> Option<&Json> {
        self.members.get(name)
    }

    pub fn json(&self, name: &str) -> Value {
        self.get(name).map_or(Value::Null, |member| member.to().expect("JSON"))
    }

    pub fn text(&self, name: &str) -> String {
        self.json(name).as_str().unwrap_or_else(|| panic!("{}: {name} is no text", self.name)).to_owned()
    }

    pub fn number(&self, name: &str) -> u64 {
        self.json(name).as_u64().unwrap_or_else(|| panic!("{}: {name} is no number", self.name))
    }

    /// What a valid payload is, encoded again: `encoded`, or the text of it where that is nested too deep.
    pub fn encoded(&self) -> Value {
        match self.get("encoded_text") {
            Some(_) => Json::parse(self.text("encoded_text").as_bytes()).unwrap().to().unwrap(),
            None => self.json("encoded"),
        }
    }

    /// `{"text": …}` or `{"base64": …}`, or `json` byte by byte as the file has it.
    pub fn payload(&self) -> Vec<u8> {
        match self.get("json") {
            Some(document) => document.get().as_bytes().to_vec(),
            None => in_bytes(&serde_json::json!({"text": self.json("text"), "base64": self.json("base64")})),
        }
    }
}

pub fn in_bytes(value: &Value) -> Vec<u8> {
    match (&value["text"], &value["base64"]) {
        (Value::String(text), Value::Null) => text.clone().into_bytes(),
        (Value::Null, Value::String(encoded)) => STANDARD.decode(encoded).expect("base64"),
        _ => panic!("neither text nor base64: {value}"),
    }
}

pub fn schemas() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Every vector, now and of every release.
pub fn vectors() -> Vec<Vector> {
    let mut folders = vec![schemas().join("vectors")];
    let mut releases: Vec<_> =
        fs::read_dir(schemas().join("released")).unwrap().map(|entry| entry.unwrap().path()).collect();
    releases.sort();
    folders.extend(releases.into_iter().map(|release| release.join("vectors")));
    let mut found = Vec::new();
    for (number, folder) in folders.iter().enumerate() {
        for file in files(folder) {
            found.push(Vector {
                name: file.strip_prefix(schemas()).unwrap().display().to_string(),
                is_released: number > 0,
                members: serde_json::from_slice(&fs::read(&file).unwrap()).expect("a JSON object"),
            });
        }
    }
    assert!(found.len() > 300, "only {} vectors", found.len());
    found
}

pub fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap_or_else(|fault| panic!("{}: {fault}", folder.display())) {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else if path.extension().is_some_and(|extension| extension == "json") {
            found.push(path);
        }
    }
    found.sort();
    found
}
