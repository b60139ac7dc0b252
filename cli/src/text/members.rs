//! What is said of members: their standing, the steps to it, and what to do next.

use super::Lang;

/// What a decision about a node still waits for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Waits {
    Next,
    CatchingUp(u64),
    Silent,
    Unsafe,
    Later,
    NoSuccessor,
}

/// What a node is to be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Rank {
    Voter,
    Learner,
    Removed,
}

/// A sentence about members.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum MembersSay {
    /// The state of a node in one cell.
    Rank(Rank),
    Waits {
        to: Rank,
        waits: Waits,
    },
    Voters {
        voters: usize,
        may_lose: usize,
        version: u32,
    },
    Becomes {
        voters: (usize, usize),
        may_lose: (usize, usize),
        sites: (usize, usize),
    },
    Even {
        voters: usize,
    },
    Few {
        voters: usize,
    },
    Staged {
        changes: usize,
    },
    Next {
        command: String,
    },
    NothingStaged,
    Plan {
        name: String,
        from: Rank,
        to: Rank,
    },
    PlanReplace {
        old: String,
        new: String,
    },
    PlanToken {
        old: String,
    },
    Forecast {
        voters: u32,
        answering: u32,
        may_lose: u32,
    },
    Accepted {
        version: u32,
    },
    Done {
        version: u32,
    },
    Join {
        command: String,
    },
    OldStays {
        old: String,
    },
    StandIn {
        after: String,
    },
}

impl Rank {
    /// In a cell.
    pub(crate) const fn word(self, lang: Lang) -> &'static str {
        match (lang, self) {
            (Lang::PtBr, Self::Voter) => "votante",
            (Lang::PtBr, Self::Learner) => "aprendiz",
            (Lang::PtBr, Self::Removed) => "removido",
            (Lang::En, Self::Voter) => "voter",
            (Lang::En, Self::Learner) => "learner",
            (Lang::En, Self::Removed) => "removed",
        }
    }
}

fn waits(lang: Lang, waits: Waits) -> String {
    match (lang, waits) {
        (Lang::PtBr, Waits::Next) => "em andamento".to_owned(),
        (Lang::PtBr, Waits::CatchingUp(lag)) => format!("faltam {lag} entradas"),
        (Lang::PtBr, Waits::Silent) => "o nó não responde".to_owned(),
        (Lang::PtBr, Waits::Unsafe) => "poucos votantes respondem".to_owned(),
        (Lang::PtBr, Waits::Later) => "outro passo vem antes".to_owned(),
        (Lang::PtBr, Waits::NoSuccessor) => "ninguém pode assumir a liderança".to_owned(),
        (Lang::En, Waits::Next) => "under way".to_owned(),
        (Lang::En, Waits::CatchingUp(lag)) => format!("{lag} entries behind"),
        (Lang::En, Waits::Silent) => "the node does not answer".to_owned(),
        (Lang::En, Waits::Unsafe) => "too few voters answer".to_owned(),
        (Lang::En, Waits::Later) => "another step comes first".to_owned(),
        (Lang::En, Waits::NoSuccessor) => "nobody can take the lead".to_owned(),
    }
}

impl MembersSay {
    /// In a language.
    pub(super) fn say(&self, lang: Lang) -> String {
        match lang {
            Lang::PtBr => self.pt_br(),
            Lang::En => self.en(),
        }
    }

    fn pt_br(&self) -> String {
        let lang = Lang::PtBr;
        match self {
            Self::Rank(rank) => rank.word(lang).to_owned(),
            Self::Waits { to, waits: state } => format!("→ {} ({})", to.word(lang), waits(lang, *state)),
            Self::Voters { voters, may_lose, version } => {
                format!("{voters} votantes, suporta perder {may_lose} · versão {version}")
            }
            Self::Becomes { voters, may_lose, sites } => format!(
                "Votantes: {} → {} · suporta perder: {} → {} · locais com voto: {} → {}",
                voters.0, voters.1, may_lose.0, may_lose.1, sites.0, sites.1
            ),
            Self::Even { voters } => {
                format!("▲ {voters} votantes é um número par: não suporta perder mais do que {} suportam", voters - 1)
            }
            Self::Few { voters } => {
                format!("▲ {voters} votantes não suportam perder nenhum: só com --allow-fewer-voters")
            }
            Self::Staged { changes } => format!("{changes} mudanças preparadas, ainda não aplicadas"),
            Self::Next { command } => format!("→ {command}"),
            Self::NothingStaged => "Nada preparado → plantao member stage promote NÓ".to_owned(),
            Self::Plan { name, from, to } => format!("Plano: {name}: {} → {}", from.word(lang), to.word(lang)),
            Self::PlanReplace { old, new } => format!("Plano: {new} toma o lugar de {old}, que sai para sempre"),
            Self::PlanToken { old } => {
                format!("Plano: um nó novo entra com um token; quando estiver em dia, {old} sai para sempre")
            }
            Self::Forecast { voters, answering, may_lose } => {
                format!("Depois: {voters} votantes, {answering} respondem agora, suporta perder {may_lose}")
            }
            Self::Accepted { version } => format!("Aceito, versão {version}. Um passo por vez; Ctrl-C não desfaz."),
            Self::Done { version } => format!("feito, versão {version}"),
            Self::Join { command } => format!("No computador novo: {command}"),
            Self::OldStays { old } => {
                format!(
                    "{old} fica até o novo estar em dia → plantao member diff; a identidade antiga é recusada depois"
                )
            }
            Self::StandIn { after } => format!("votante calado por {after} cede o voto a um aprendiz em dia"),
        }
    }

    fn en(&self) -> String {
        let lang = Lang::En;
        match self {
            Self::Rank(rank) => rank.word(lang).to_owned(),
            Self::Waits { to, waits: state } => format!("→ {} ({})", to.word(lang), waits(lang, *state)),
            Self::Voters { voters, may_lose, version } => {
                format!("{voters} voters, {may_lose} may be lost · version {version}")
            }
            Self::Becomes { voters, may_lose, sites } => format!(
                "Voters: {} → {} · may be lost: {} → {} · sites with a vote: {} → {}",
                voters.0, voters.1, may_lose.0, may_lose.1, sites.0, sites.1
            ),
            Self::Even { voters } => {
                format!("▲ {voters} voters are an even number: they bear no more losses than {}", voters - 1)
            }
            Self::Few { voters } => format!("▲ {voters} voters bear no loss at all: only with --allow-fewer-voters"),
            Self::Staged { changes } => format!("{changes} changes staged, not applied yet"),
            Self::Next { command } => format!("→ {command}"),
            Self::NothingStaged => "Nothing is staged → plantao member stage promote NODE".to_owned(),
            Self::Plan { name, from, to } => format!("Plan: {name}: {} → {}", from.word(lang), to.word(lang)),
            Self::PlanReplace { old, new } => format!("Plan: {new} takes the place of {old}, which goes for good"),
            Self::PlanToken { old } => {
                format!("Plan: a new node joins with a token; once it has caught up, {old} goes for good")
            }
            Self::Forecast { voters, answering, may_lose } => {
                format!("Afterwards: {voters} voters, {answering} answer now, {may_lose} may be lost")
            }
            Self::Accepted { version } => {
                format!("Accepted, version {version}. One step at a time; Ctrl-C undoes nothing.")
            }
            Self::Done { version } => format!("done, version {version}"),
            Self::Join { command } => format!("On the new computer: {command}"),
            Self::OldStays { old } => {
                format!(
                    "{old} stays until the new one has caught up → plantao member diff; its identity is refused then"
                )
            }
            Self::StandIn { after } => format!("a voter that is silent for {after} gives its vote to a learner"),
        }
    }
}
