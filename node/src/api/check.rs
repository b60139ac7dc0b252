//! The form of what people type: bounds and alphabets, checked once at the edge. What passes is trusted inside.

use crate::gateway::Error;

/// Largest document of a record or a consent, of demographics.
pub(super) const DOCUMENT_BYTES_MAX: usize = 48 << 10;
/// Largest document of an appointment.
pub(super) const APPOINTMENT_DOCUMENT_BYTES_MAX: usize = 16 << 10;
/// Longest name.
pub(super) const NAME_CHARS_MAX: usize = 200;
/// Longest reason.
pub(super) const REASON_CHARS_MAX: usize = 500;

fn invalid(field: &'static str, why: &'static str) -> Error {
    Error::Invalid { field, why }
}

/// Characters that would let a text pretend to be another: controls, direction marks, what has no width.
fn is_deceptive(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}')
}

/// A line of text of `least` to `most` characters.
pub(super) fn line(field: &'static str, text: &str, least: usize, most: usize) -> Result<String, Error> {
    let chars = text.chars().count();
    if chars < least || (least > 0 && text.trim().is_empty()) {
        return Err(invalid(field, "must not be empty"));
    }
    if chars > most {
        return Err(invalid(field, "is too long"));
    }
    if text.chars().any(is_deceptive) {
        return Err(invalid(field, "has control, direction or zero-width characters"));
    }
    Ok(text.to_string())
}

/// A document within its bound.
pub(super) fn document(field: &'static str, bytes: &[u8], least: usize, most: usize) -> Result<Vec<u8>, Error> {
    if bytes.len() < least {
        return Err(invalid(field, "must not be empty"));
    }
    if bytes.len() > most {
        return Err(invalid(field, "is too large; larger ones are sent as attachments"));
    }
    Ok(bytes.to_vec())
}

/// 11 digits with valid check digits (Receita Federal), punctuation allowed; empty stays empty.
pub(super) fn cpf(field: &'static str, text: &str) -> Result<String, Error> {
    if text.is_empty() {
        return Ok(String::new());
    }
    if text.len() > 20 || !text.chars().all(|c| c.is_ascii_digit() || matches!(c, '.' | '-' | ' ')) {
        return Err(invalid(field, "is no CPF: 11 digits"));
    }
    let digits: Vec<u32> = text.chars().filter_map(|c| c.to_digit(10)).collect();
    let check = |count: usize| {
        let sum: u32 = digits.iter().take(count).zip((2..=count as u32 + 1).rev()).map(|(d, w)| d * w).sum();
        sum * 10 % 11 % 10
    };
    let repeated = digits.windows(2).all(|pair| pair.first() == pair.last());
    if digits.len() != 11 || repeated || digits.get(9) != Some(&check(9)) || digits.get(10) != Some(&check(10)) {
        return Err(invalid(field, "is no CPF: its check digits do not fit"));
    }
    Ok(digits.iter().filter_map(|d| char::from_digit(*d, 10)).collect())
}

/// 8 to 15 digits, punctuation allowed.
pub(super) fn phone(field: &'static str, text: &str) -> Result<String, Error> {
    let fits =
        text.len() <= 32 && text.chars().all(|c| c.is_ascii_digit() || matches!(c, '+' | '-' | '(' | ')' | ' ' | '.'));
    let digits: String = text.chars().filter(char::is_ascii_digit).collect();
    if !fits || !(8..=15).contains(&digits.len()) {
        return Err(invalid(field, "is no telephone number: 8 to 15 digits"));
    }
    Ok(digits)
}

/// `YYYY-MM-DD`, a day that exists, 1900 to 2200; empty stays empty.
pub(super) fn date(field: &'static str, text: &str) -> Result<String, Error> {
    if text.is_empty() {
        return Ok(String::new());
    }
    let parts: Vec<&str> = text.split('-').collect();
    let valid = match parts.as_slice() {
        [year, month, day] if (year.len(), month.len(), day.len()) == (4, 2, 2) => {
            match (year.parse::<u32>(), month.parse::<u32>(), day.parse::<u32>()) {
                (Ok(year), Ok(month), Ok(day)) => {
                    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
                    let days = match month {
                        2 => 28 + u32::from(leap),
                        4 | 6 | 9 | 11 => 30,
                        _ => 31,
                    };
                    (1900..=2200).contains(&year) && (1..=12).contains(&month) && (1..=days).contains(&day)
                }
                _ => false,
            }
        }
        _ => false,
    };
    if valid { Ok(text.to_string()) } else { Err(invalid(field, "is no day as YYYY-MM-DD")) }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_cpf_needs_its_check_digits() {
        assert_eq!(cpf("cpf", "462.587.539-06").unwrap(), "46258753906");
        assert_eq!(cpf("cpf", "").unwrap(), "");
        for bad in ["46258753907", "4625875390", "111.111.111-11", "462587539061", "abc", "４６２58753906"] {
            assert!(cpf("cpf", bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn text_that_deceives_is_refused() {
        assert!(line("name", "Antônia d'Ávila", 1, 200).is_ok());
        for bad in ["", "  ", "a\0b", "a\u{202e}b", "a\u{200b}b", "a\nb", "\u{feff}a"] {
            assert!(line("name", bad, 1, 200).is_err(), "{bad:?}");
        }
        assert!(line("name", &"x".repeat(201), 1, 200).is_err());
    }

    #[test]
    fn days_must_exist() {
        for good in ["1981-01-25", "2000-02-29", ""] {
            assert!(date("d", good).is_ok(), "{good}");
        }
        for bad in ["1981-13-01", "1900-02-29", "81-01-25", "1981-1-25", "1981-01-32", "0000-01-01", "1981-01-25T00:00"]
        {
            assert!(date("d", bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn telephone_numbers_are_digits_with_punctuation() {
        assert_eq!(phone("p", "+55 (48) 98753-9766").unwrap(), "5548987539766");
        for bad in ["", "1234", "12345678901234567", "98753x9766"] {
            assert!(phone("p", bad).is_err(), "{bad}");
        }
    }
}
