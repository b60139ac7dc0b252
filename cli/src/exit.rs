//! What the shell learns from us: the one table of exit codes. Nothing else in this crate names a number.
//!
//! A code that is not in the table has to be treated as a failure by scripts.

use crate::text::Lang;
use std::process::ExitCode;

/// How a command ended.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Exit {
    /// Everything was done.
    Done,
    /// Failed for a reason that the message gives.
    Failed,
    /// The command line or a value is wrong, or an answer was needed and nobody could be asked.
    Usage,
    /// Some items failed.
    Partial,
    /// `status --check`: works, but something needs attention.
    Degraded,
    /// No quorum or no leader.
    NoLeader,
    /// A guard said no: a stale version, another leader than expected, a used request id.
    Refused,
    /// No such thing, or more than one.
    NotFound,
    /// The identity has not the right.
    Denied,
    /// Copies differ or the trail is broken.
    Integrity,
    /// Ran, but the goal was not met.
    GoalNotMet,
    /// Somebody else holds it: a slot, an id, a CPF.
    Busy,
    /// No connection.
    Connect,
    /// The time was over and **the outcome is unknown**: it may have been done.
    Unknown,
    /// Interrupted from the keyboard.
    Interrupted,
}

impl Exit {
    /// Every code, in the order of the table.
    pub(crate) const ALL: [Self; 15] = [
        Self::Done,
        Self::Failed,
        Self::Usage,
        Self::Partial,
        Self::Degraded,
        Self::NoLeader,
        Self::Refused,
        Self::NotFound,
        Self::Denied,
        Self::Integrity,
        Self::GoalNotMet,
        Self::Busy,
        Self::Connect,
        Self::Unknown,
        Self::Interrupted,
    ];

    /// The number. It never changes meaning.
    pub(crate) const fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Failed => 1,
            Self::Usage => 2,
            Self::Partial => 3,
            Self::Degraded => 4,
            Self::NoLeader => 5,
            Self::Refused => 6,
            Self::NotFound => 7,
            Self::Denied => 8,
            Self::Integrity => 9,
            Self::GoalNotMet => 10,
            Self::Busy => 11,
            Self::Connect => 12,
            Self::Unknown => 124,
            Self::Interrupted => 130,
        }
    }

    /// What a refusal of the cluster (`PLT-nnnn`) means for a script.
    pub(crate) const fn of_rejection(code: u32) -> Self {
        match code {
            1001 | 1002 | 1502 => Self::Denied,
            1102 | 1203 | 1209 | 1210 | 1301 | 1302 | 1501 | 1601..=1607 | 1609 | 1620..=1627 | 1701 | 1703 | 1704 => {
                Self::Refused
            }
            // A planned change of leader that a check refused; out of time, nobody may lead.
            2601..=2605 | 2608..=2619 => Self::Refused,
            1721..=1723 | 1731..=1733 | 2621 | 2623 | 2624 | 2631 | 2632 | 2641..=2644 => Self::Refused,
            1724 | 2622 => Self::Busy,
            1103 | 1702 | 1205..=1208 | 1401..=1403 => Self::Usage,
            1201 | 1628 => Self::NotFound,
            1202 | 1204 | 1211 | 1608 | 2402 | 2403 => Self::Busy,
            2104 => Self::Unknown,
            2301..=2305 | 2661 | 2662 => Self::Degraded,
            2671..=2675 => Self::Refused,
            // One node cannot, now: what a command ends with when no other could either.
            2001..=3999 => Self::NoLeader,
            _ => Self::Failed,
        }
    }

    /// One clause for help pages.
    pub(crate) const fn meaning(self, lang: Lang) -> &'static str {
        let (pt_br, en) = match self {
            Self::Done => ("feito", "done"),
            Self::Failed => ("falhou, veja a mensagem", "failed, see the message"),
            Self::Usage => ("uso incorreto, ou faltou confirmar", "wrong usage, or nobody to confirm"),
            Self::Partial => ("parte dos itens falhou", "some items failed"),
            Self::Degraded => ("rede degradada", "cluster degraded"),
            Self::NoLeader => ("sem quórum ou sem líder", "no quorum or no leader"),
            Self::Refused => ("recusado por uma trava de segurança", "refused by a safety gate"),
            Self::NotFound => ("não encontrado ou ambíguo", "not found or ambiguous"),
            Self::Denied => ("sem permissão", "denied"),
            Self::Integrity => ("falha de integridade", "integrity failure found"),
            Self::GoalNotMet => ("rodou, mas a meta não foi cumprida", "ran fine, goal not met"),
            Self::Busy => ("ocupado: outro já o detém", "busy: somebody else holds it"),
            Self::Connect => ("sem conexão", "cannot connect"),
            Self::Unknown => ("resultado desconhecido: pode ter sido feito", "outcome unknown: it may have been done"),
            Self::Interrupted => ("interrompido", "interrupted"),
        };
        match lang {
            Lang::PtBr => pt_br,
            Lang::En => en,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scripts rely on each number; two meanings under one would be worse than none.
    #[test]
    fn the_numbers_are_those_of_the_table() {
        let numbers: Vec<u8> = Exit::ALL.iter().map(|exit| exit.code()).collect();
        assert_eq!(numbers, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 124, 130]);
    }

    #[test]
    fn a_refusal_never_looks_like_success() {
        for code in 0..10_000 {
            assert_ne!(Exit::of_rejection(code), Exit::Done, "PLT-{code:04}");
        }
        assert_eq!(Exit::of_rejection(1204), Exit::Busy);
        assert_eq!(Exit::of_rejection(1203), Exit::Refused);
    }
}
