//! What is wrong with a value that does not keep to the contract.

use std::error::Error;
use std::fmt;

/// The class of an error; `schemas/README.md` has the same words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reason {
    /// Not one JSON document in UTF-8, or nested deeper than [`MAX_DEPTH`](crate::MAX_DEPTH).
    Syntax,
    /// A value of another type; of a record's field also bytes that are no text, no digits or no JSON.
    Type,
    /// A required field is not there.
    Missing,
    /// A number too small or too large, a text too short or too long.
    Bound,
    /// Not one of the values.
    Enum,
    /// Does not match the pattern, or is not base64.
    Format,
}

impl Reason {
    /// The word of the contract: `syntax`, `type`, `missing`, `bound`, `enum` or `format`.
    pub fn word(self) -> &'static str {
        match self {
            Self::Syntax => "syntax",
            Self::Type => "type",
            Self::Missing => "missing",
            Self::Bound => "bound",
            Self::Enum => "enum",
            Self::Format => "format",
        }
    }
}

/// A value that does not keep to the contract.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Invalid {
    /// The field: names joined by dots, without indexes of lists and keys of maps; empty for the document as a whole.
    pub path: String,
    /// The class of the error.
    pub reason: Reason,
    /// What was expected.
    pub detail: String,
}

impl Invalid {
    pub(crate) fn new(reason: Reason, detail: impl Into<String>) -> Self {
        Self { path: String::new(), reason, detail: detail.into() }
    }

    /// The same, one level further out. What is no document at all has no fields.
    pub(crate) fn under(mut self, name: &str) -> Self {
        if self.reason != Reason::Syntax {
            self.path = if self.path.is_empty() { name.to_owned() } else { format!("{name}.{}", self.path) };
        }
        self
    }
}

impl fmt::Display for Invalid {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.path.is_empty() {
            write!(to, "{}: ", self.path)?;
        }
        write!(to, "{}: {}", self.reason.word(), self.detail)
    }
}

impl Error for Invalid {}
