//! What the strings of JSON say.

use std::borrow::Cow;

/// What a JSON string says, given with its quotes. Half a surrogate pair becomes U+FFFD.
pub(crate) fn unquote(string: &[u8]) -> Cow<'_, str> {
    let inner = string.get(1..string.len().saturating_sub(1)).unwrap_or_default();
    if memchr::memchr(b'\\', inner).is_none() {
        return String::from_utf8_lossy(inner);
    }
    // As bytes, for as text half a pair would be an error.
    let bytes: Result<serde_bytes::ByteBuf, _> = serde_json::from_slice(string);
    let bytes = bytes.map(serde_bytes::ByteBuf::into_vec).unwrap_or_default();
    Cow::Owned(String::from_utf8(bytes).unwrap_or_else(|error| with_replacements(error.as_bytes())))
}

/// Half a surrogate pair takes three bytes that are no UTF-8, and becomes one replacement.
fn with_replacements(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some(chunk) = rest.utf8_chunks().next() {
        text.push_str(chunk.valid());
        rest = &rest[chunk.valid().len()..];
        if !rest.is_empty() {
            text.push(char::REPLACEMENT_CHARACTER);
            rest = &rest[rest.len().min(3)..];
        }
    }
    text
}
