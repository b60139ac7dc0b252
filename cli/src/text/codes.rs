//! Every `PLT-nnnn` that this tool prints or explains: what happened and what to do, in both languages. Numbers up to
//! 8999 belong to the cluster and never change meaning; from 9001 on they are this tool's.

mod nodes;
mod refusals;
mod tool;

use super::Lang;
use crate::exit::Exit;

/// One code.
#[derive(Debug)]
pub(crate) struct Code {
    /// The number in `PLT-nnnn`.
    pub(crate) number: u32,
    exit: Option<Exit>,
    pt_br: (&'static str, &'static str),
    en: (&'static str, &'static str),
}

impl Code {
    /// What happened, and what to do.
    pub(crate) const fn told(&self, lang: Lang) -> (&'static str, &'static str) {
        match lang {
            Lang::PtBr => self.pt_br,
            Lang::En => self.en,
        }
    }

    /// What a command ends with that meets it.
    pub(crate) const fn exit(&self) -> Exit {
        match self.exit {
            Some(exit) => exit,
            None => Exit::of_rejection(self.number),
        }
    }
}

/// A code of the cluster: what a command ends with follows from the number.
const fn theirs(number: u32, pt_br: (&'static str, &'static str), en: (&'static str, &'static str)) -> Code {
    Code { number, exit: None, pt_br, en }
}

/// The code with this number.
pub(crate) fn find(number: u32) -> Option<&'static Code> {
    all().find(|code| code.number == number)
}

/// Every code, in order.
fn all() -> impl Iterator<Item = &'static Code> {
    refusals::CODES.iter().chain(nodes::CODES).chain(tool::CODES)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_in_order_and_say_what_to_do() {
        assert!(all().is_sorted_by(|one, next| one.number < next.number));
        for code in all() {
            for lang in [Lang::PtBr, Lang::En] {
                let (what, fix) = code.told(lang);
                assert!(!what.is_empty() && !fix.is_empty() && !what.ends_with('.'), "{}", code.number);
            }
            assert_ne!(code.exit(), Exit::Done, "{}", code.number);
        }
    }
}
