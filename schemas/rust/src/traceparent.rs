//! W3C Trace Context, section 3.2.2.

/// Whether a text is a `traceparent`: version, trace id, parent id and flags in lower-case hexadecimal digits. Ids of
/// zeros are invalid, and so is version `ff`.
pub fn is_traceparent(text: &str) -> bool {
    let parts: Vec<&str> = text.split('-').collect();
    let [version, trace, parent, flags] = parts[..] else { return false };
    let is_hex = |part: &str, digits: usize| {
        part.len() == digits && part.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    };
    let has_value = |part: &str| part.bytes().any(|byte| byte != b'0');
    is_hex(version, 2)
        && is_hex(trace, 32)
        && is_hex(parent, 16)
        && is_hex(flags, 2)
        && version != "ff"
        && has_value(trace)
        && has_value(parent)
}
