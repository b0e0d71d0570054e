//! Fields of a record that are lines: values with a space between, for each number of a ring one.

use std::collections::BTreeMap;

use crate::invalid::{Invalid, Reason};
use crate::model::{Checker, Fields, Stored, Value, Visit};
use crate::rule::Rule;

/// How many numbers there are: the name of what is numbered higher begins anew.
pub(crate) const RING: u64 = 32;

/// Names with a number between two texts, from 0 to [`RING`] - 1.
#[derive(Debug, Clone, Copy)]
pub struct Ring {
    pub before: &'static str,
    pub after: &'static str,
}

impl Ring {
    pub fn has(self, name: &str) -> bool {
        let number = name.strip_prefix(self.before).and_then(|rest| rest.strip_suffix(self.after));
        number.and_then(|text| Some((text, text.parse::<u64>().ok()?))).is_some_and(|(text, number)| {
            number < RING && text == number.to_string() // no sign, no zeros in front
        })
    }
}

/// A value that a line is.
pub trait Line: Value {
    /// `None`: it does not read so.
    fn from_line(line: &str) -> Option<Self>;
    fn to_line(&self) -> String;
}

/// The parts of a line; the last one is the rest, with its spaces.
pub struct Parts<'a>(std::str::SplitN<'a, char>);

impl<'a> Parts<'a> {
    pub fn of(line: &'a str, count: usize) -> Self {
        Self(line.splitn(count, ' '))
    }

    pub fn next<T: Stored>(&mut self, rule: Rule) -> Option<T> {
        T::from_bytes(self.0.next()?.as_bytes(), rule).ok()
    }

    /// The same where a word says that there is none.
    pub fn next_unless<T: Stored>(&mut self, absent: &str, rule: Rule) -> Option<Option<T>> {
        match self.0.next()? {
            text if text == absent => Some(None),
            text => T::from_bytes(text.as_bytes(), rule).ok().map(Some),
        }
    }
}

/// A line of values; only the last one may have spaces.
pub fn join<const N: usize>(values: [String; N]) -> String {
    let last = N.saturating_sub(1);
    let parts = values.into_iter().enumerate();
    parts.map(|(at, text)| if at < last { text.replace(' ', "_") } else { text }).collect::<Vec<_>>().join(" ")
}

/// Puts the fields of a ring where they belong.
pub(crate) fn store_lines<T: Line>(fields: &mut Fields, lines: &BTreeMap<String, T>) {
    fields.extend(lines.iter().map(|(name, line)| (name.clone(), line.to_line().into_bytes())));
}

/// Checks the fields of a ring.
pub(crate) fn check_lines<T: Line>(lines: &BTreeMap<String, T>, ring: Ring) -> Result<(), Invalid> {
    if let Some(name) = lines.keys().find(|name| !ring.has(name)) {
        return Err(Invalid::new(Reason::Format, "it is no such name").under(name));
    }
    Checker.ring(lines)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_a_ring() {
        let ring = Ring { before: "attempt_", after: "_ended" };
        for name in ["attempt_0_ended", "attempt_9_ended", "attempt_31_ended"] {
            assert!(ring.has(name), "{name}");
        }
        for name in ["attempt__ended", "attempt_32_ended", "attempt_01_ended", "attempt_+1_ended", "attempt_1_ended "] {
            assert!(!ring.has(name), "{name}");
        }
    }
}
