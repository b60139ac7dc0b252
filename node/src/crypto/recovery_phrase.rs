//! The paper passphrase: made here, never chosen, printed once by `plantaod init` and typed by a person years later.
//!
//! ```text
//! 17 random bytes | first 3 bytes of BLAKE3("plt1 recovery phrase" | the 17 bytes)  = 160 bits = 32 symbols
//! printed as eight groups of four: 4K7Q-0ZD2-…       symbols: 0-9 A-Z without I L O U (Crockford's base 32)
//! ```
//!
//! 136 bits are random. The last 24 tell a typing error from the wrong phrase: one in 17 million errors slips through.

use crate::entropy::{Entropy, random};
use std::fmt::Write as _;
use zeroize::{Zeroize, Zeroizing};

const SYMBOLS: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
const RANDOM_BYTES: usize = 17;
const SYMBOL_COUNT: usize = 32;
const GROUP_SYMBOLS: usize = 4;
const CHECK_LABEL: &[u8] = b"plt1 recovery phrase";
/// Longest text that is looked at: the symbols with generous spacing.
const TEXT_BYTES_MAX: usize = 1024;

/// Why a text is not a recovery phrase. All of these are typing errors: a phrase that parses and does not open the slot
/// is the wrong one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PhraseError {
    /// Groups are missing or doubled.
    #[error("a recovery phrase has 32 letters and digits, this one has {found}")]
    Length {
        /// How many there are, not counting spaces and hyphens.
        found: usize,
    },
    /// A character that no phrase has.
    #[error("group {group} of the recovery phrase has a character that is never in one")]
    Symbol {
        /// Which group of four, from 1.
        group: usize,
    },
    /// All characters are possible, together they are not.
    #[error("the recovery phrase has a typing error: its check does not match")]
    Check,
}

/// A recovery phrase. Wiped when dropped; no `Debug`.
pub struct RecoveryPhrase([u8; RANDOM_BYTES]);

impl Drop for RecoveryPhrase {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl RecoveryPhrase {
    /// A new one, of 136 random bits.
    pub fn generate(entropy: &dyn Entropy) -> Self {
        Self(random(entropy))
    }

    /// Eight groups of four, with hyphens: for the paper.
    pub fn to_text(&self) -> Zeroizing<String> {
        let mut bits = Zeroizing::new([0_u8; SYMBOL_COUNT * 5 / 8]);
        bits[..RANDOM_BYTES].copy_from_slice(&self.0);
        bits[RANDOM_BYTES..].copy_from_slice(&check(&self.0));
        let mut text = Zeroizing::new(String::with_capacity(SYMBOL_COUNT + SYMBOL_COUNT / GROUP_SYMBOLS));
        for position in 0..SYMBOL_COUNT {
            if position > 0 && position % GROUP_SYMBOLS == 0 {
                text.push('-');
            }
            let symbol = (0..5).fold(0_usize, |symbol, i| {
                let bit = position * 5 + i;
                symbol << 1 | usize::from(bits[bit / 8] >> (7 - bit % 8) & 1)
            });
            write!(text, "{}", char::from(SYMBOLS[symbol])).expect("writing to a string cannot fail");
        }
        text
    }

    /// Reads a typed phrase. Case, spaces and hyphens do not matter; `O` is read as `0`, `I` and `L` as `1`.
    pub fn parse(text: &str) -> Result<Self, PhraseError> {
        let mut bits = Zeroizing::new([0_u8; SYMBOL_COUNT * 5 / 8]);
        let mut count = 0_usize;
        let mut bad_group = None;
        for character in text.chars().take(TEXT_BYTES_MAX).filter(|c| !c.is_whitespace() && !is_hyphen(*c)) {
            match symbol_value(character) {
                Some(value) if count < SYMBOL_COUNT => {
                    for i in 0..5 {
                        let bit = count * 5 + i;
                        bits[bit / 8] |= (value >> (4 - i) & 1) << (7 - bit % 8);
                    }
                }
                Some(_) => {}
                None => bad_group = bad_group.or(Some(count / GROUP_SYMBOLS + 1)),
            }
            count += 1;
        }
        if let Some(group) = bad_group {
            return Err(PhraseError::Symbol { group });
        }
        if count != SYMBOL_COUNT {
            return Err(PhraseError::Length { found: count });
        }
        let mut phrase = Self([0; RANDOM_BYTES]);
        phrase.0.copy_from_slice(&bits[..RANDOM_BYTES]);
        if check(&phrase.0) == bits[RANDOM_BYTES..] { Ok(phrase) } else { Err(PhraseError::Check) }
    }

    /// What the slot's key is stretched from.
    pub(super) fn bytes(&self) -> &[u8; RANDOM_BYTES] {
        &self.0
    }
}

fn check(bytes: &[u8; RANDOM_BYTES]) -> [u8; 3] {
    let digest = blake3::Hasher::new().update(CHECK_LABEL).update(bytes).finalize();
    let [a, b, c, ..] = *digest.as_bytes();
    [a, b, c]
}

fn symbol_value(character: char) -> Option<u8> {
    let upper = match character.to_ascii_uppercase() {
        'O' => '0',
        'I' | 'L' => '1',
        other => other,
    };
    let byte = u8::try_from(upper).ok()?;
    SYMBOLS.iter().position(|symbol| *symbol == byte).and_then(|value| u8::try_from(value).ok())
}

/// Word processors turn hyphens into dashes.
fn is_hyphen(character: char) -> bool {
    matches!(character, '-' | '\u{2010}'..='\u{2015}' | '\u{2212}')
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::entropy::SystemEntropy;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_phrase_reads_back_however_it_is_spaced_and_cased(bytes: [u8; RANDOM_BYTES]) {
            let text = RecoveryPhrase(bytes).to_text();
            prop_assert_eq!(RecoveryPhrase::parse(&text).ok().map(|phrase| phrase.0), Some(bytes));
            let typed = text.to_lowercase().replace('-', " \t").replace('0', "o").replace('1', "l") + "\r\n";
            prop_assert_eq!(RecoveryPhrase::parse(&typed).ok().map(|phrase| phrase.0), Some(bytes));
            let dashes = text.replace('-', "\u{2013}");
            prop_assert_eq!(RecoveryPhrase::parse(&dashes).ok().map(|phrase| phrase.0), Some(bytes));
        }

        #[test]
        fn any_text_is_parsed_or_refused(text: String) {
            let _ = RecoveryPhrase::parse(&text);
        }
    }

    #[test]
    fn one_wrong_symbol_or_two_swapped_ones_are_typing_errors() {
        let text = RecoveryPhrase::generate(&SystemEntropy).to_text();
        let symbols: Vec<char> = text.chars().filter(|c| *c != '-').collect();
        for position in 0..SYMBOL_COUNT {
            for other in SYMBOLS.iter().map(|byte| char::from(*byte)).filter(|c| *c != symbols[position]) {
                let mut typed = symbols.clone();
                typed[position] = other;
                let typed: String = typed.into_iter().collect();
                assert_eq!(RecoveryPhrase::parse(&typed).err(), Some(PhraseError::Check));
            }
            if position > 0 && symbols[position] != symbols[position - 1] {
                let mut typed = symbols.clone();
                typed.swap(position, position - 1);
                let typed: String = typed.into_iter().collect();
                assert_eq!(RecoveryPhrase::parse(&typed).err(), Some(PhraseError::Check));
            }
        }
    }

    #[test]
    fn missing_doubled_and_impossible_symbols_are_named() {
        let text = RecoveryPhrase::generate(&SystemEntropy).to_text();
        assert_eq!(RecoveryPhrase::parse("").err(), Some(PhraseError::Length { found: 0 }));
        assert_eq!(RecoveryPhrase::parse(&text[5..]).err(), Some(PhraseError::Length { found: 28 }));
        let doubled = format!("{}{}", &text[..5], &*text);
        assert_eq!(RecoveryPhrase::parse(&doubled).err(), Some(PhraseError::Length { found: 36 }));
        let mut impossible = text.to_string();
        impossible.replace_range(12..13, "U");
        assert_eq!(RecoveryPhrase::parse(&impossible).err(), Some(PhraseError::Symbol { group: 3 }));
    }
}
