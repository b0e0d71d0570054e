//! What the schemas say of one field beside its type.

use crate::ids::is_ulid;
use crate::invalid::{Invalid, Reason};
use crate::subjects::{check_subject, is_token};
use crate::traceparent::is_traceparent;

/// The patterns that the schemas have, by what they stand for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    Ulid,
    Token,
    Subject,
    Traceparent,
    Digits,
    Word,
}

impl Format {
    fn fits(self, text: &str) -> bool {
        match self {
            Self::Ulid => is_ulid(text),
            Self::Token => is_token(text),
            Self::Subject => check_subject(text).is_ok(),
            Self::Traceparent => is_traceparent(text),
            Self::Word => !text.is_empty() && !text.contains(' '),
            Self::Digits => !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()),
        }
    }

    fn words(self) -> &'static str {
        match self {
            Self::Ulid => "a ULID: 26 characters of Crockford's base32, the first at most 7",
            Self::Token => "letters, digits, _ and -",
            Self::Subject => "dot-separated tokens of letters, digits, _ and -",
            Self::Traceparent => "a W3C traceparent",
            Self::Digits => "decimal digits",
            Self::Word => "a text without spaces",
        }
    }
}

/// Bounds of numbers, lengths of texts in code points, and a pattern.
#[derive(Debug, Clone, Copy)]
pub struct Rule {
    least: u64,
    most: u64,
    shortest: usize,
    longest: usize,
    format: Option<Format>,
}

/// Nothing but the type.
pub const ANY: Rule = Rule { least: 0, most: u64::MAX, shortest: 0, longest: usize::MAX, format: None };

impl Rule {
    pub const fn range(self, least: u64, most: u64) -> Self {
        Self { least, most, ..self }
    }

    pub const fn length(self, shortest: usize, longest: usize) -> Self {
        Self { shortest, longest, ..self }
    }

    pub const fn format(self, format: Format) -> Self {
        Self { format: Some(format), ..self }
    }

    pub fn integer(&self, value: u64) -> Result<(), Invalid> {
        if value < self.least {
            return Err(Invalid::new(Reason::Bound, format!("expected at least {}", self.least)));
        }
        if value > self.most {
            return Err(Invalid::new(Reason::Bound, format!("expected at most {}", self.most)));
        }
        Ok(())
    }

    pub fn number(&self, value: f64) -> Result<(), Invalid> {
        // the bounds of the schemas are exact in a float
        if !value.is_finite() || value < self.least as f64 || value > self.most as f64 {
            return Err(Invalid::new(Reason::Bound, format!("expected a finite number, at least {}", self.least)));
        }
        Ok(())
    }

    pub fn text(&self, value: &str) -> Result<(), Invalid> {
        if self.shortest > 0 || self.longest < usize::MAX {
            let length = value.chars().count();
            if length < self.shortest {
                return Err(Invalid::new(Reason::Bound, format!("expected at least {} characters", self.shortest)));
            }
            if length > self.longest {
                return Err(Invalid::new(Reason::Bound, format!("expected at most {} characters", self.longest)));
            }
        }
        match self.format {
            Some(format) if !format.fits(value) => {
                Err(Invalid::new(Reason::Format, format!("expected {}", format.words())))
            }
            _ => Ok(()),
        }
    }
}
