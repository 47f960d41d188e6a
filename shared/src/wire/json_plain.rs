//! Sees at a glance that a text is JSON, where it is of the plain kind that nearly all data are. What it does not see is
//! left to the parser that decides ([`super::json_check`]); it must never see more than that one.
//!
//! Every event is checked when it is published and again when it is read, as anybody may `XADD`.

/// Containers in one another at the most, one bit each.
const DEPTH_MAX: u32 = 64;
/// Digits of a number at the most, before the point and behind it: no parser finds these hard.
const DIGITS_MAX: usize = 15;

/// Whether `text`, which is UTF-8, is one JSON value of the plain kind: nested up to 64 levels, numbers without an
/// exponent and not long, no `\u` escapes. `false` says nothing.
pub(super) fn is_plain(text: &str) -> bool {
    let mut glance = Glance::at_start(text);
    glance.value().is_some() && glance.is_over()
}

pub(super) struct Glance<'a> {
    text: &'a [u8],
    pub(super) at: usize,
}

impl<'a> Glance<'a> {
    pub(super) fn at_start(text: &'a str) -> Self {
        Self {
            text: text.as_bytes(),
            at: 0,
        }
    }

    /// Whether nothing but white space follows.
    pub(super) fn is_over(&mut self) -> bool {
        self.next().is_none()
    }

    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    pub(super) fn eat(&mut self, byte: u8) -> Option<()> {
        (self.peek()? == byte).then(|| self.at += 1)
    }

    /// The next byte behind white space.
    pub(super) fn next(&mut self) -> Option<u8> {
        loop {
            match self.peek()? {
                b' ' | b'\t' | b'\n' | b'\r' => self.at += 1,
                byte => return Some(byte),
            }
        }
    }

    /// One value, and white space before it.
    pub(super) fn value(&mut self) -> Option<()> {
        // The containers that are open, innermost in the lowest bit: set for an object.
        let (mut open, mut depth) = (0u64, 0u32);
        loop {
            // A value begins here.
            let byte = self.next()?;
            match byte {
                b'{' | b'[' => {
                    self.at += 1;
                    let object = byte == b'{';
                    let end = if object { b'}' } else { b']' };
                    // Even an empty one counts as a level.
                    if depth == DEPTH_MAX {
                        return None;
                    }
                    if self.next()? == end {
                        self.at += 1;
                    } else {
                        depth += 1;
                        open = open << 1 | u64::from(object);
                        if object {
                            self.key()?;
                        }
                        continue;
                    }
                }
                b'"' => self.string()?,
                b'-' | b'0'..=b'9' => self.number()?,
                b't' => self.word(b"true")?,
                b'f' => self.word(b"false")?,
                b'n' => self.word(b"null")?,
                _ => return None,
            }
            // A value has ended here.
            loop {
                if depth == 0 {
                    return Some(());
                }
                let object = open & 1 == 1;
                match self.next()? {
                    b',' => {
                        self.at += 1;
                        if object {
                            self.key()?;
                        }
                        break;
                    }
                    b'}' if object => {}
                    b']' if !object => {}
                    _ => return None,
                }
                self.at += 1;
                depth -= 1;
                open >>= 1;
            }
        }
    }

    /// A key and its colon.
    fn key(&mut self) -> Option<()> {
        self.next()?;
        self.string()?;
        self.next()?;
        self.eat(b':')
    }

    fn word(&mut self, word: &[u8]) -> Option<()> {
        self.text
            .get(self.at..)?
            .starts_with(word)
            .then(|| self.at += word.len())
    }

    pub(super) fn string(&mut self) -> Option<()> {
        self.eat(b'"')?;
        loop {
            self.at += plain_bytes(&self.text[self.at..]);
            match self.peek()? {
                b'"' => {
                    self.at += 1;
                    return Some(());
                }
                b'\\' => match self.text.get(self.at + 1)? {
                    b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => self.at += 2,
                    _ => return None,
                },
                0..0x20 => return None,
                _ => self.at += 1,
            }
        }
    }

    fn number(&mut self) -> Option<()> {
        let _ = self.eat(b'-');
        if self.eat(b'0').is_none() {
            self.digits()?;
        }
        if self.eat(b'.').is_some() {
            self.digits()?;
        }
        // Whatever goes on with it makes it another kind of number, or none.
        (!matches!(self.peek(), Some(b'0'..=b'9' | b'e' | b'E' | b'.' | b'+' | b'-'))).then_some(())
    }

    fn digits(&mut self) -> Option<()> {
        let from = self.text.get(self.at..)?;
        let count = from.iter().take_while(|byte| byte.is_ascii_digit()).count();
        (1..=DIGITS_MAX).contains(&count).then(|| self.at += count)
    }
}

/// How many bytes from the start certainly stand for themselves within a JSON string: looked at eight at a time.
pub fn plain_bytes(text: &[u8]) -> usize {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGHS: u64 = ONES << 7;
    // The high bit of each byte that is zero, and perhaps of some above it.
    let zeros = |word: u64| word.wrapping_sub(ONES) & !word & HIGHS;
    let mut plain = 0;
    for chunk in text.as_chunks::<8>().0 {
        let word = u64::from_le_bytes(*chunk);
        let quotes = zeros(word ^ (ONES * u64::from(b'"')));
        let backslashes = zeros(word ^ (ONES * u64::from(b'\\')));
        let controls = word.wrapping_sub(ONES * 0x20) & !word & HIGHS;
        let special = quotes | backslashes | controls;
        if special != 0 {
            // The lowest is right; only those above it may not be.
            return plain + special.trailing_zeros() as usize / 8;
        }
        plain += 8;
    }
    plain
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::json_check::parses;
    use super::*;

    #[test]
    fn ordinary_data_are_plain() {
        for text in [
            "null",
            " true ",
            "-0.5",
            "123456789012345",
            "\"a text of more than eight bytes, with \\n and \\\"quotes\\\" and é 漢 😀\"",
            "{}",
            "[ ]",
            r#"{"at": 3, "insert": "x", "deep": [[1, {"a": null}], -7, 0.25, false]}"#,
            "{\n\t\"a\" :\r\n [1 , 2]\n}",
        ] {
            assert!(is_plain(text), "{text}");
            assert!(parses(text), "{text}");
        }
        assert!(is_plain(&format!("{}{}", "[".repeat(64), "]".repeat(64))));
    }

    #[test]
    fn what_is_no_json_is_not_plain() {
        for text in [
            "",
            " ",
            "{",
            "[1,]",
            "[,1]",
            "{\"a\"}",
            "{\"a\":}",
            "{\"a\":1,}",
            "{1:2}",
            "01",
            "-",
            "1.",
            ".5",
            "+1",
            "1e5",
            "tru",
            "nulll",
            "\"",
            "\"\\\"",
            "\"\\x\"",
            "\"\\u0041\"",
            "\"a\tb\"",
            "[1}",
            "{\"a\":1]",
            "1 2",
            "[1 2]",
            "\"a\" \"b\"",
            "]",
            "[[]",
            "1-2",
            "1.5.5",
            "--1",
            "0x1",
            "{\"a\" 1}",
            "[\"a\\",
        ] {
            assert!(!is_plain(text), "{text}");
        }
        assert!(!is_plain(&format!("{}{}", "[".repeat(65), "]".repeat(65))));
    }

    /// Texts that are nearly JSON.
    fn nearly() -> impl Strategy<Value = String> {
        let tokens = [
            "{",
            "}",
            "[",
            "]",
            ",",
            ":",
            "\"",
            "\\",
            "\"a\"",
            "\"ab cdefghij\"",
            "0",
            "1",
            "-",
            ".",
            "e",
            "12.5",
            "null",
            "true",
            "false",
            " ",
            "\n",
            "\u{1}",
            "é",
            "\\\"",
            "\\n",
            "\\u",
            "1234567890123456",
        ];
        proptest::collection::vec(proptest::sample::select(tokens.to_vec()), 0..12)
            .prop_map(|tokens| tokens.concat())
    }

    /// JSON, as a value that was written out, and then one byte of it changed.
    fn damaged() -> impl Strategy<Value = String> {
        let leaf = prop_oneof![
            Just("null".to_owned()),
            any::<i64>().prop_map(|n| n.to_string()),
            (-1e6..1e6f64).prop_map(|n| n.to_string()),
            ".*".prop_map(|text| serde_json::to_string(&text).unwrap_or_default()),
        ];
        let value = leaf.prop_recursive(5, 40, 5, |inner| {
            let items = proptest::collection::vec(inner, 0..5);
            (items, any::<bool>()).prop_map(|(items, object)| match object {
                true => {
                    let pair = |(index, item): (usize, &String)| format!("\"k{index}\": {item}");
                    let pairs: Vec<String> = items.iter().enumerate().map(pair).collect();
                    format!("{{{}}}", pairs.join(","))
                }
                false => format!("[{}]", items.join(", ")),
            })
        });
        (
            value,
            any::<proptest::sample::Index>(),
            proptest::option::of(32u8..127),
        )
            .prop_map(|(text, place, byte)| match byte {
                Some(byte) if !text.is_empty() => {
                    let mut bytes = text.clone().into_bytes();
                    let place = place.index(bytes.len());
                    bytes[place] = byte;
                    String::from_utf8(bytes).unwrap_or(text)
                }
                _ => text,
            })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4096))]

        #[test]
        fn nothing_is_plain_that_does_not_parse(text in prop_oneof![nearly(), damaged(), ".*"]) {
            prop_assert!(!is_plain(&text) || parses(&text), "{}", text);
        }
    }
}
