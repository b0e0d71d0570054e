//! What is one JSON document of the contract, whatever it means.

use serde_json::value::RawValue;

use crate::invalid::{Invalid, Reason};

/// How deep lists and objects may be nested, the outermost included: `x-max-depth` of `schemas/json/payload.json`.
pub const MAX_DEPTH: usize = 512;

/// The one value that a JSON text is.
///
/// # Errors
///
/// [`Reason::Syntax`]: not one JSON document in UTF-8, or nested deeper than [`MAX_DEPTH`].
pub(crate) fn document(bytes: &[u8]) -> Result<&RawValue, Invalid> {
    // first what is not looked at again where a value is skipped: the encoding, the depth, and halves of surrogate pairs
    let text = std::str::from_utf8(bytes).map_err(wrong)?;
    check_depth(bytes)?;
    let raw = serde_json::from_str(text).map_err(wrong)?;
    if has_lone_surrogate(bytes) {
        return Err(wrong("half of a surrogate pair"));
    }
    Ok(raw)
}

/// # Errors
///
/// [`Reason::Syntax`]: nested deeper than [`MAX_DEPTH`].
pub(crate) fn check_depth(bytes: &[u8]) -> Result<(), Invalid> {
    if depth(bytes) > MAX_DEPTH {
        return Err(wrong(format!("nested deeper than {MAX_DEPTH}")));
    }
    Ok(())
}

fn wrong(detail: impl ToString) -> Invalid {
    Invalid::new(Reason::Syntax, detail.to_string())
}

/// Brackets outside of texts; of what is not JSON it may be anything.
pub(crate) fn depth(bytes: &[u8]) -> usize {
    let (mut now, mut most) = (0_usize, 0);
    let mut rest = bytes.iter();
    while let Some(byte) = rest.next() {
        match byte {
            b'"' => skip_text(&mut rest),
            b'[' | b'{' => {
                now += 1;
                most = most.max(now);
            }
            b']' | b'}' => now = now.saturating_sub(1),
            _ => {}
        }
    }
    most
}

fn skip_text(rest: &mut std::slice::Iter<'_, u8>) {
    while let Some(byte) = rest.next() {
        match byte {
            b'\\' => {
                rest.next();
            }
            b'"' => return,
            _ => {}
        }
    }
}

/// Whether a JSON document escapes a high half that no low one follows, or a low one alone.
fn has_lone_surrogate(json: &[u8]) -> bool {
    let mut at = 0;
    while let Some(found) = json[at..].iter().position(|byte| *byte == b'\\') {
        at += found;
        match unit(&json[at..]) {
            None => at += 2,
            Some(0xd800..=0xdbff) if matches!(unit(&json[at + 6..]), Some(0xdc00..=0xdfff)) => at += 12,
            Some(0xd800..=0xdfff) => return true,
            Some(_) => at += 6,
        }
    }
    false
}

/// The number of an escape that the bytes begin with.
fn unit(bytes: &[u8]) -> Option<u32> {
    let digits = bytes.strip_prefix(b"\\u")?.get(..4)?;
    u32::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bound_is_that_of_the_schemas() {
        let schema = include_str!("../../json/payload.json");
        assert!(schema.contains(&format!("\"x-max-depth\": {MAX_DEPTH},")));
    }

    #[test]
    fn depth_is_counted_outside_of_texts() {
        for (text, expected) in [("1", 0), ("[]", 1), ("[{},{\"[[\\\"[\":[]}]", 3), ("[[[", 3), ("]]]", 0), ("\"[", 0)]
        {
            assert_eq!(depth(text.as_bytes()), expected, "{text}");
        }
        let nested = |levels: usize| ["[".repeat(levels), "]".repeat(levels)].concat();
        assert!(document(nested(MAX_DEPTH).as_bytes()).is_ok());
        assert_eq!(document(nested(MAX_DEPTH + 1).as_bytes()).unwrap_err().reason, Reason::Syntax);
    }

    #[test]
    fn halves_of_surrogate_pairs_are_found_wherever_they_are() {
        for text in [r#""\ud83d\ude00""#, r#""\\ud800""#, r#"{"\u00e9":"\ud83d\ude00\\"}"#, r#""\uD83D\uDE00""#] {
            assert!(document(text.as_bytes()).is_ok(), "{text}");
        }
        for text in [r#""\ud800""#, r#""\udc00""#, r#"{"\ud800":1}"#, r#""\ud800\ud800""#, r#"[{"a":["\ud800x"]}]"#] {
            assert_eq!(document(text.as_bytes()).unwrap_err().reason, Reason::Syntax, "{text}");
        }
    }
}
