//! Ids: ULIDs (github.com/ulid/spec), and those that are computed, so that one write decides who made a thing.

use std::fmt;
use std::str::FromStr;

use blake2::digest::consts::{U11, U16};
use blake2::{Blake2b, Digest};

use crate::clock::now_ms;
use crate::invalid::{Invalid, Reason};

const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
const LENGTH: usize = 26;
const RANDOM_BITS: u32 = 80;
const RANDOM_MASK: u128 = (1 << RANDOM_BITS) - 1;
const MOST_MS: u64 = (1 << 48) - 1;

/// 48 bits of unix milliseconds, then 80 random bits: ids sort by the time they were made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ulid(u128);

impl Ulid {
    /// A new one of this moment.
    ///
    /// # Panics
    ///
    /// The operating system has no randomness to give.
    // two are never equal, so there is no default
    #[allow(clippy::new_without_default)]
    pub fn new() -> Self {
        let mut bytes = [0; 16];
        getrandom::fill(&mut bytes).expect("the operating system gives randomness");
        Self::from_parts(now_ms(), u128::from_be_bytes(bytes))
    }

    /// The ULID of a moment (unix milliseconds, the lowest 48 bits count) and of 80 bits of randomness.
    pub fn from_parts(time_ms: u64, randomness: u128) -> Self {
        Self(u128::from(time_ms & MOST_MS) << RANDOM_BITS | randomness & RANDOM_MASK)
    }

    /// The moment that it names, unix milliseconds.
    pub fn time_ms(self) -> u64 {
        // 48 bits are left
        (self.0 >> RANDOM_BITS) as u64
    }

    /// Its 80 random bits.
    pub fn randomness(self) -> u128 {
        self.0 & RANDOM_MASK
    }

    fn of_digest(digest: &[u8]) -> Self {
        Self(digest.iter().fold(0, |value, byte| value << 8 | u128::from(*byte)))
    }
}

impl fmt::Display for Ulid {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = String::with_capacity(LENGTH);
        for place in (0..LENGTH).rev() {
            text.push(char::from(ALPHABET[(self.0 >> (5 * place)) as usize & 31]));
        }
        to.write_str(&text)
    }
}

impl FromStr for Ulid {
    type Err = Invalid;

    /// Reads the canonical spelling, in capitals.
    fn from_str(text: &str) -> Result<Self, Invalid> {
        let wrong = || Invalid::new(Reason::Format, "expected a ULID: 26 characters of Crockford's base32");
        if text.len() != LENGTH || text.as_bytes()[0] > b'7' {
            return Err(wrong());
        }
        let mut value = 0;
        for byte in text.bytes() {
            let digit = ALPHABET.iter().position(|character| *character == byte).ok_or_else(wrong)?;
            value = value << 5 | digit as u128;
        }
        Ok(Self(value))
    }
}

/// Whether a text is a ULID in its canonical spelling.
pub fn is_ulid(text: &str) -> bool {
    text.parse::<Ulid>().is_ok()
}

/// The id of the one task of a type with an idempotency key.
pub fn task_id_of_key(task_type: &str, idempotency_key: &str) -> Ulid {
    Ulid::of_digest(&Blake2b::<U16>::digest(format!("{task_type}\n{idempotency_key}")))
}

/// The id of the one job of a type with an idempotency key.
pub fn job_id_of_key(job_type: &str, idempotency_key: &str) -> Ulid {
    Ulid::of_digest(&Blake2b::<U16>::digest(format!("job\n{job_type}\n{idempotency_key}")))
}

/// The id of a task of a job, whoever submits it.
///
/// `node` is its number in the job (12 bits count), `item` that of a fan-out's item (20 bits), `run` that of the run.
pub fn task_id_of_job(job_id: &str, node: u16, item: u32, run: u8) -> Ulid {
    let Ulid(digest) = Ulid::of_digest(&Blake2b::<U11>::digest(job_id));
    Ulid(digest << 40 | u128::from(node & 0xfff) << 28 | u128::from(item & 0xf_ffff) << 8 | u128::from(run))
}
