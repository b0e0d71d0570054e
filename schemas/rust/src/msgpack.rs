//! The body of a record in NATS: a MessagePack map of str to bin (github.com/msgpack/msgpack/blob/master/spec.md).

use crate::invalid::{Invalid, Reason};
use crate::model::Fields;

/// A map of str to bin.
pub fn encode(fields: &Fields) -> Vec<u8> {
    let size = fields.iter().map(|(name, value)| name.len() + value.len() + 10).sum::<usize>();
    let mut to = Vec::with_capacity(size + 5);
    head(&mut to, fields.len(), &[(15, 0x80)], &[0xde, 0xdf]);
    for (name, value) in fields {
        head(&mut to, name.len(), &[(31, 0xa0)], &[0xd9, 0xda, 0xdb]);
        to.extend_from_slice(name.as_bytes());
        head(&mut to, value.len(), &[], &[0xc4, 0xc5, 0xc6]);
        to.extend_from_slice(value);
    }
    to
}

/// The shortest head: a length within the first byte, else the first of the marks (the last ones are for 1, 2 and 4
/// bytes of length) that has room.
fn head(to: &mut Vec<u8>, length: usize, short: &[(usize, u8)], marks: &[u8]) {
    if let Some((_, base)) = short.iter().find(|(most, _)| length <= *most) {
        to.push(base | length as u8);
        return;
    }
    let bytes = (length as u32).to_be_bytes();
    let width = if length <= 0xff && marks.len() == 3 {
        1
    } else if length <= 0xffff {
        2
    } else {
        4
    };
    to.push(marks[marks.len() - [4, 2, 1].iter().position(|one| *one == width).unwrap_or(0) - 1]);
    to.extend_from_slice(&bytes[4 - width..]);
}

/// What [`encode`] wrote. Of a name that occurs twice the last one counts.
///
/// # Errors
///
/// [`Reason::Syntax`]: what somebody else put into the bucket.
pub fn decode(body: &[u8]) -> Result<Fields, Invalid> {
    let mut from = Reader(body);
    let count = from.length(0x80, 15, &[None, Some(0xde), Some(0xdf)])?;
    let mut fields = Fields::new();
    for _ in 0..count {
        let length = from.length(0xa0, 31, &[Some(0xd9), Some(0xda), Some(0xdb)])?;
        let name = std::str::from_utf8(from.take(length)?).map_err(|_| wrong())?;
        let length = from.length(0, 0, &[Some(0xc4), Some(0xc5), Some(0xc6)])?;
        fields.insert(name.to_owned(), from.take(length)?.to_vec());
    }
    if from.0.is_empty() {
        Ok(fields)
    } else {
        Err(wrong())
    }
}

fn wrong() -> Invalid {
    Invalid::new(Reason::Syntax, "expected a MessagePack map of str to bin")
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, length: usize) -> Result<&'a [u8], Invalid> {
        if length > self.0.len() {
            return Err(wrong());
        }
        let (taken, rest) = self.0.split_at(length);
        self.0 = rest;
        Ok(taken)
    }

    /// A length: within the first byte (`base` to `base + most`), or in 1, 2 or 4 bytes behind a mark.
    fn length(&mut self, base: u8, most: u8, marks: &[Option<u8>; 3]) -> Result<usize, Invalid> {
        let first = self.take(1)?[0];
        if most > 0 && (base..=base + most).contains(&first) {
            return Ok(usize::from(first - base));
        }
        let at = marks.iter().position(|mark| *mark == Some(first)).ok_or_else(wrong)?;
        Ok(self.take(1 << at)?.iter().fold(0, |length, byte| length << 8 | usize::from(*byte)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_of_every_width_come_back() {
        for length in [0, 1, 31, 32, 255, 256, 65_535, 65_536] {
            let mut fields = Fields::from([("n".repeat(length), vec![7; length])]);
            assert_eq!(decode(&encode(&fields)), Ok(fields.clone()));
            fields.extend((0..length.min(70_000)).map(|number| (number.to_string(), Vec::new())));
            assert_eq!(decode(&encode(&fields)), Ok(fields));
        }
    }

    #[test]
    fn heads_are_the_shortest() {
        let of = |name: usize, value: usize| encode(&Fields::from([("n".repeat(name), vec![7; value])]));
        assert_eq!(of(31, 255)[..2], [0x81, 0xbf]);
        assert_eq!(of(32, 0)[..3], [0x81, 0xd9, 32]);
        assert_eq!(of(0, 255)[..4], [0x81, 0xa0, 0xc4, 255]);
        assert_eq!(of(0, 256)[..5], [0x81, 0xa0, 0xc5, 1, 0]);
        assert_eq!(of(0, 65_536)[..7], [0x81, 0xa0, 0xc6, 0, 1, 0, 0]);
    }
}
