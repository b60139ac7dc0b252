//! What a terminal must never receive from a patient's name or a server's message: characters that move the cursor,
//! change colours, or reorder text.

use std::fmt::Write;

/// Whether `c` acts on a terminal or on the order of text instead of being seen.
fn acts(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}'
        )
}

/// `text` with every such character written out, as `\n` or `\u{1b}`.
pub(crate) fn shown(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if acts(c) => {
                // Writing to a string cannot fail.
                let _ = write!(out, "\\u{{{:x}}}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out
}

/// As [`shown`], for each line of a text of several.
pub(crate) fn lines(text: &str) -> String {
    text.split('\n').map(shown).collect::<Vec<_>>().join("\n")
}

/// Serialised JSON with the same characters as `\u001b`. In a document without line breaks they occur inside strings
/// only, so it keeps its meaning.
pub(crate) fn json(document: &str) -> String {
    let mut out = String::with_capacity(document.len());
    for c in document.chars() {
        if acts(c) {
            let _ = write!(out, "\\u{:04x}", u32::from(c));
        } else {
            out.push(c);
        }
    }
    out
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_acts_gets_through() {
        for value in 0..=0x10_ffff {
            let Some(c) = char::from_u32(value) else { continue };
            assert!(!shown(&c.to_string()).chars().any(acts), "U+{value:04X}");
        }
        assert_eq!(shown("Ana\u{1b}[31m\u{202e}\r\n"), "Ana\\u{1b}[31m\\u{202e}\\r\\n");
        assert_eq!(shown("João d'Ávila ç 漢"), "João d'Ávila ç 漢");
    }

    #[test]
    fn json_keeps_its_meaning() {
        let value = serde_json::json!({"name": "a\u{1b}\u{7f}\u{85}\u{202e}\nb\"\\"});
        let text = json(&value.to_string());
        assert!(!text.chars().any(acts));
        assert_eq!(serde_json::from_str::<serde_json::Value>(&text).unwrap(), value);
    }
}
