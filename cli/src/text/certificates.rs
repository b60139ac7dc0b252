//! Sentences of `plantao pki`, in both languages.

use super::Lang;

/// What is said while certificates are renewed, rotated or taken back.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum CertificateSay {
    /// Before taking one back.
    Revokes { identity: String, serial: String, until: String, node: bool },
    /// Taken back in the ledger only.
    NotPushed,
    /// Roots for which no list can be signed any more.
    RootsWithoutKey { count: usize },
    /// Before renewing on nodes.
    Renews { nodes: Vec<String> },
    /// No node needs it yet.
    NoneDue { next: String },
    /// Not at this hour.
    OutsideWindow { window: String },
    /// A new root is trusted by all nodes.
    RootAdded { bundle: String },
    /// Before the new root signs.
    Switches { nodes: Vec<String>, others: usize },
    /// After it does.
    Switched { others: usize },
    /// Before old roots are dropped.
    Finishes { others: usize },
    /// After that.
    Finished { bundle: String },
}

impl CertificateSay {
    /// The sentence.
    pub(crate) fn told(&self, lang: Lang) -> String {
        match lang {
            Lang::PtBr => self.portuguese(),
            Lang::En => self.english(),
        }
    }

    fn portuguese(&self) -> String {
        match self {
            Self::Revokes { identity, serial, until, node } => {
                let warning =
                    if *node { " · é um nó: ele fica fora da rede até ter outro certificado" } else { "" };
                format!("Revoga: {identity} · série {serial} · válido até {until}{warning}")
            }
            Self::NotPushed => "Os nós só ficam sabendo com uma nova lista → plantao pki crl --push".to_owned(),
            Self::RootsWithoutKey { count } => format!("Sem lista para {count} raiz(es): a chave não está mais aqui."),
            Self::Renews { nodes } => format!("Renova, um após o outro: {}", nodes.join(", ")),
            Self::NoneDue { next } => format!("Nenhum nó precisa de novo certificado antes de {next}."),
            Self::OutsideWindow { window } => format!("Fora da janela {window}: nada foi feito."),
            Self::RootAdded { bundle } => format!(
                "Todos os nós confiam também na nova raiz. Leve {bundle} a quem usa a rede, no lugar do ca.crt de cada um, \
                 e só então → plantao pki rotate-ca switch"
            ),
            Self::Switches { nodes, others } => format!(
                "A nova raiz passa a assinar, e estes nós recebem certificado dela, um após o outro: {}. Outros {others} \
                 certificados seguem valendo sob a raiz antiga até a renovação.",
                nodes.join(", ")
            ),
            Self::Switched { others } => format!(
                "Falta renovar {others} certificado(s) de pessoas e programas (plantao pki renew --now); depois → plantao \
                 pki rotate-ca finish"
            ),
            Self::Finishes { others } => {
                format!("A raiz antiga deixa de valer; {others} certificado(s) de pessoas e programas ficam sem valor.")
            }
            Self::Finished { bundle } => format!("Só a nova raiz vale. Leve {bundle} a quem usa a rede."),
        }
    }

    fn english(&self) -> String {
        match self {
            Self::Revokes { identity, serial, until, node } => {
                let warning = if *node { " · a node: it stays outside until it has another certificate" } else { "" };
                format!("Revokes: {identity} · serial {serial} · valid until {until}{warning}")
            }
            Self::NotPushed => "Nodes know of it from the next list on → plantao pki crl --push".to_owned(),
            Self::RootsWithoutKey { count } => {
                format!("No list for {count} root(s): their keys are not here any more.")
            }
            Self::Renews { nodes } => format!("Renews, one after the other: {}", nodes.join(", ")),
            Self::NoneDue { next } => format!("No node needs a new certificate before {next}."),
            Self::OutsideWindow { window } => format!("Outside the window {window}: nothing was done."),
            Self::RootAdded { bundle } => format!(
                "All nodes trust the new root as well. Take {bundle} to everybody who uses the network, in place of their \
                 ca.crt, and only then → plantao pki rotate-ca switch"
            ),
            Self::Switches { nodes, others } => format!(
                "The new root signs from now on, and these nodes get a certificate of it, one after the other: {}. {others} \
                 other certificates go on under the old root until they are renewed.",
                nodes.join(", ")
            ),
            Self::Switched { others } => format!(
                "{others} certificate(s) of people and programs are still to be renewed (plantao pki renew --now); then → \
                 plantao pki rotate-ca finish"
            ),
            Self::Finishes { others } => {
                format!(
                    "The old root is trusted no more; {others} certificate(s) of people and programs become worthless."
                )
            }
            Self::Finished { bundle } => format!("Only the new root counts. Take {bundle} to everybody."),
        }
    }
}
