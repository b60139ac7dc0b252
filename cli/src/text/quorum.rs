//! What is said while a survivor is told to go on alone.

use super::Lang;

/// A sentence about a recovered quorum.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum QuorumSay {
    Plan { keep: String, incarnation: u32 },
    Silent { names: Vec<String> },
    Loss { index: u64, at: String },
    WouldDo,
    Accepted,
    Done { incarnation: u32 },
    Next,
}

impl QuorumSay {
    /// In a language.
    pub(super) fn say(&self, lang: Lang) -> String {
        match lang {
            Lang::PtBr => self.pt_br(),
            Lang::En => self.en(),
        }
    }

    fn pt_br(&self) -> String {
        match self {
            Self::Plan { keep, incarnation } => format!(
                "Plano: a rede segue só com {keep}, como encarnação {incarnation}; todo outro nó é recusado para sempre e \
                 entra como novo"
            ),
            Self::Silent { names } => {
                format!("■ Não respondem: {} → desligue o que resta deles antes de continuar", names.join(", "))
            }
            Self::Loss { index, at } => format!(
                "Nada se perde até a entrada {index}; o que só os outros tinham depois dela, sim. Nada confirmado antes de \
                 {at} se perde"
            ),
            Self::WouldDo => "seria aceito agora; nada foi feito".to_owned(),
            Self::Accepted => "Aceito. O nó para, refaz seu diretório e volta sozinho.".to_owned(),
            Self::Done { incarnation } => format!("recuperada, encarnação {incarnation}"),
            Self::Next => {
                "Nada está redundante agora → plantao token create, e plantaod join em cada computador novo".to_owned()
            }
        }
    }

    fn en(&self) -> String {
        match self {
            Self::Plan { keep, incarnation } => format!(
                "Plan: the network goes on with {keep} alone, as incarnation {incarnation}; every other node is refused for \
                 good and joins as a new one"
            ),
            Self::Silent { names } => {
                format!("■ They do not answer: {} → switch off what is left of them before you go on", names.join(", "))
            }
            Self::Loss { index, at } => format!(
                "Nothing up to entry {index} is lost; what only the others had after it is. Nothing that was acknowledged \
                 before {at} is lost"
            ),
            Self::WouldDo => "it would be accepted now; nothing was done".to_owned(),
            Self::Accepted => "Accepted. The node stops, rewrites its directory and comes back by itself.".to_owned(),
            Self::Done { incarnation } => format!("recovered, incarnation {incarnation}"),
            Self::Next => {
                "Nothing is redundant now → plantao token create, and plantaod join on each new computer".to_owned()
            }
        }
    }
}

/// Translations of help pages.
pub(super) const HELP: &[(&str, &str)] = &[
    (
        "Have a survivor that runs go on alone: a majority is gone for good",
        "Faz um sobrevivente seguir sozinho: a maioria se perdeu para sempre",
    ),
    (
        "The node that goes on, by name or number; every other one joins as a new one",
        "O nó que segue, por nome ou número; todo outro entra como novo",
    ),
    (
        "Why; its digest goes into the audit trail, so name no patient",
        "Por quê; o resumo criptográfico vai para a trilha: não cite paciente",
    ),
];
