//! What is generated is what the schemas say now.

use std::process::Command;

use crate::{files, payloads};

#[test]
fn the_types_are_those_that_the_generator_writes() {
    let program = files::schemas().join("rust").join("generate.py");
    match Command::new("python3").arg(program).arg("--check").output() {
        Ok(run) => assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr)),
        Err(fault) => println!("skipped: python3 is not here ({fault})"),
    }
}

#[test]
fn every_schema_of_a_payload_has_its_type_here() {
    let folder = files::schemas().join("json");
    let mut expected: Vec<String> = files::files(&folder)
        .iter()
        .map(|file| file.strip_prefix(&folder).unwrap().with_extension("").display().to_string())
        .filter(|name| name != "envelope" && !name.ends_with("record") || name.starts_with("events/"))
        .collect();
    let mut found: Vec<String> = payloads::all().iter().map(|(name, _)| (*name).to_owned()).collect();
    expected.sort();
    found.sort();
    assert_eq!(found, expected);
}
