//! What is said of upgrades: the format level, what keeps it where it is, and the next command.

use super::Lang;

/// A sentence about an upgrade.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum UpgradeSay {
    /// Whether one node reads the next level.
    Ready,
    /// It does not answer.
    Silent,
    /// It reads up to this level only.
    ReadsUpTo(u32),
    /// The level, and the newest that every node reads.
    Level {
        level: u32,
        common: Option<u32>,
    },
    /// Some node cannot yet: an older program still works here.
    GoesOn {
        waiting: Vec<String>,
    },
    /// Every node reads a newer level.
    CanEnd {
        to: u32,
    },
    /// Nothing newer is read by any node.
    Nothing,
    Plan {
        from: u32,
        to: u32,
    },
    NoWayBack {
        to: u32,
    },
    WouldDo,
    Done {
        level: u32,
    },
    AlreadySo {
        level: u32,
    },
}

impl UpgradeSay {
    /// In a language.
    pub(super) fn say(&self, lang: Lang) -> String {
        match lang {
            Lang::PtBr => self.pt_br(),
            Lang::En => self.en(),
        }
    }

    fn pt_br(&self) -> String {
        match self {
            Self::Ready => "pronto".to_owned(),
            Self::Silent => "não responde".to_owned(),
            Self::ReadsUpTo(level) => format!("lê só até o nível {level}"),
            Self::Level { level, common: Some(common) } => {
                format!("Nível de formato: {level} · todos os nós leem até o nível {common}")
            }
            Self::Level { level, common: None } => {
                format!("Nível de formato: {level} · nem todos os nós respondem")
            }
            Self::GoesOn { waiting } => {
                format!("▲ Falta: {} → instale a versão nova lá e reinicie, um nó por vez", waiting.join(", "))
            }
            Self::CanEnd { to } => format!(
                "Todos os nós leem o nível {to}. Até concluir, a versão antiga ainda pode voltar → plantao upgrade \
                 finalize --reason TEXTO"
            ),
            Self::Nothing => "Nenhuma atualização em andamento".to_owned(),
            Self::Plan { from, to } => format!("Plano: nível de formato {from} → {to}, em todos os nós"),
            Self::NoWayBack { to } => {
                format!(
                    "Depois disso nenhum programa que não leia o nível {to} funciona nesta rede, nem seus diretórios"
                )
            }
            Self::WouldDo => "Seria aceito agora. Nada foi feito.".to_owned(),
            Self::Done { level } => format!("concluída, nível {level}"),
            Self::AlreadySo { level } => format!("já estava no nível {level}"),
        }
    }

    fn en(&self) -> String {
        match self {
            Self::Ready => "ready".to_owned(),
            Self::Silent => "does not answer".to_owned(),
            Self::ReadsUpTo(level) => format!("reads up to level {level} only"),
            Self::Level { level, common: Some(common) } => {
                format!("Format level: {level} · every node reads up to level {common}")
            }
            Self::Level { level, common: None } => format!("Format level: {level} · not every node answers"),
            Self::GoesOn { waiting } => {
                format!(
                    "▲ Missing: {} → install the new version there and restart, one node at a time",
                    waiting.join(", ")
                )
            }
            Self::CanEnd { to } => format!(
                "Every node reads level {to}. Until it is finalized the old version can still come back → plantao \
                 upgrade finalize --reason TEXT"
            ),
            Self::Nothing => "No upgrade is under way".to_owned(),
            Self::Plan { from, to } => format!("Plan: format level {from} → {to}, on every node"),
            Self::NoWayBack { to } => {
                format!(
                    "After this no program that does not read level {to} works in this network or on its directories"
                )
            }
            Self::WouldDo => "It would be accepted now. Nothing was done.".to_owned(),
            Self::Done { level } => format!("finalized, level {level}"),
            Self::AlreadySo { level } => format!("it was at level {level} already"),
        }
    }
}

/// Translations of help pages.
pub(super) const HELP: &[(&str, &str)] = &[
    (
        "Rolling upgrades: what each node runs and reads, and the end of one",
        "Atualizações: o que cada nó roda e lê, e o fim de uma",
    ),
    (
        "Show the version and format levels of each node, what is missing, and the next command",
        "Mostra a versão e os níveis de formato de cada nó, o que falta e o próximo comando",
    ),
    (
        "Raise the format level, for good: older programs do not come back",
        "Sobe o nível de formato, para sempre: programas antigos não voltam",
    ),
    (
        "The level to raise to; default: the newest that every node reads",
        "Nível a alcançar; padrão: o mais novo que todos os nós leem",
    ),
    ("Say whether it would be accepted, and do nothing", "Diz se seria aceito, e não faz nada"),
    ("Do not ask: the network's name once more", "Não pergunta: o nome da rede outra vez"),
    ("LEVEL", "NÍVEL"),
];
