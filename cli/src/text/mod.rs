//! What people read, in two languages. Codes and JSON keys are never here: they are the same in every language.
//!
//! Words and messages are enums, and each language answers all of them in one `match`: a missing text does not compile.

pub(crate) mod alerts;
mod certificates;
pub(crate) mod codes;
pub(crate) mod doctor;
mod en;
pub(crate) mod examples;
pub(crate) mod faults;
mod help_pt_br;
mod lead;
pub(crate) mod members;
mod pt_br;
pub(crate) mod quorum;
pub(crate) mod see;
pub(crate) mod upgrade;

pub(crate) use certificates::CertificateSay;
pub(crate) use lead::{LeadSay, LeadWord};

use crate::failure::Failure;
use plantao_client::error::Refusal;
use plantao_proto::admin::v1::FindingKind;
use plantao_proto::public::v1::ResourceKind;

/// A language of tables and messages.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, clap::ValueEnum)]
pub(crate) enum Lang {
    /// Portuguese of Brazil.
    #[default]
    #[value(name = "pt-br", alias = "pt")]
    PtBr,
    /// English.
    #[value(name = "en")]
    En,
}

/// A column, a field, a state: one or two words.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Word {
    Action,
    Actor,
    Address,
    AdminCertificate,
    AdminEndpoints,
    AdminKey,
    Applied,
    Appointment,
    At,
    Attention,
    Author,
    Authored,
    BirthDate,
    Certificate,
    Chain,
    Cluster,
    Code,
    Committed,
    Consent,
    Contact,
    Content,
    Context,
    Count,
    Country,
    Cpf,
    Document,
    Email,
    Encaixe,
    End,
    Endpoints,
    Engine,
    Errors,
    Exit,
    Failed,
    Fingerprint,
    Fix,
    Head,
    Id,
    Identity,
    Index,
    Key,
    Kind,
    Label,
    Levels,
    Lag,
    Max,
    Medium,
    Module,
    Name,
    NewOnes,
    No,
    Answers,
    WouldLose,
    NoQuorum,
    Node,
    NotAfter,
    Object,
    Ok,
    OpsPerSecond,
    Operations,
    Outcome,
    P50,
    P99,
    P999,
    Patient,
    Phones,
    Practitioner,
    Purposes,
    Read,
    Reason,
    Record,
    Refusal,
    Refused,
    Request,
    Revoked,
    Role,
    Room,
    Roots,
    Rows,
    Seconds,
    Sequence,
    Serial,
    Site,
    Slug,
    Start,
    State,
    Term,
    Token,
    Unchanged,
    Unit,
    UnknownOutcomes,
    Until,
    ValidFrom,
    Value,
    Version,
    What,
    Whole,
    Written,
    Yes,
    // Copies and proofs.
    Checked,
    Disk,
    DoesNotHold,
    Holds,
    HoldsSimulated,
    Missing,
    NoStore,
    Nodes,
    Proved,
    PublicKey,
    Refuted,
    SameState,
    ThreeTwoOne,
    // Roles and states of nodes.
    RoleCandidate,
    RoleLeader,
    RoleLearner,
    RoleUnknown,
    RoleVoter,
    StateActive,
    StateBehind,
    StateNoLeader,
    StateSealed,
    StateSilent,
    StateUpToDate,
    // States of appointments.
    Arrived,
    Booked,
    Cancelled,
    Closed,
    NoShow,
    // Purposes of consents.
    ClinicalImages,
    Marketing,
    Research,
    Sharing,
    Treatment,
    // Images.
    AwaitsSite,
    Chunks,
    Copies,
    Damaged,
    File,
    Image,
    ImageAtRisk,
    ImageCommitted,
    ImageProtected,
    ImageReplicated,
    MediaType,
    MegabytesPerSecond,
    NotAsked,
    NotStored,
    OffSite,
    Placed,
    Proven,
    Receipt,
    Remarks,
    Sha256,
    Sites,
    Size,
    Stored,
    Taken,
    Visit,
    // Outcomes.
    AlreadySo,
    Confirmed,
    // Of `health`, `doctor`, `events`.
    See(see::SeeWord),
    Lead(LeadWord),
}

/// The copies of images on one node.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct CopiesOfNode {
    pub(crate) node: String,
    pub(crate) medium: String,
    /// Chunks that are there, of those that should be.
    pub(crate) received: u64,
    pub(crate) expected: u64,
    /// Bytes that it still lacks, and how long they take, where that is known.
    pub(crate) missing_bytes: u64,
    pub(crate) missing_ms: Option<u64>,
    /// Since the oldest check of a copy.
    pub(crate) checked_ms: Option<u64>,
    /// Bad copies found since its start.
    pub(crate) bad: Option<u64>,
}

impl CopiesOfNode {
    /// What is missing: an amount, and a time.
    fn missing(&self) -> (String, Option<String>) {
        (amount(self.missing_bytes), self.missing_ms.map(span))
    }
}

/// Bytes in the largest decimal unit that leaves a whole number above nine, or kilobytes.
fn amount(bytes: u64) -> String {
    match bytes {
        0..10_000_000 => format!("{} kB", bytes.div_ceil(1_000)),
        10_000_000..10_000_000_000 => format!("{} MB", bytes / 1_000_000),
        _ => format!("{} GB", bytes / 1_000_000_000),
    }
}

/// A time in the largest unit that leaves more than one.
pub(crate) fn span(milliseconds: u64) -> String {
    let seconds = milliseconds.div_ceil(1_000);
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7_200 => format!("{} min", seconds / 60),
        7_200..172_800 => format!("{} h", seconds / 3_600),
        _ => format!("{} d", seconds / 86_400),
    }
}

/// A sentence for people, with its values.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Say {
    NothingFound,
    See(see::See),
    Situation { word: Word, voters: usize, alive: usize, spare: Option<usize> },
    NodeSilent { node: String, why: String },
    NodeBehind { node: String, entries: u64 },
    LinkCut(CutLink),
    NodeSealed { node: String },
    Copies(CopiesOfNode),
    NoLeader,
    ServerWarning { node: String, code: u32, message: String, help: String },
    Plan { from: String, to: String, behind: Option<u64> },
    AnyVoter,
    Ask { label: String },
    TypeName { of: Named, name: String, label: String },
    Before,
    After,
    DigestsEqual { nodes: usize, index: u64 },
    DigestsNotCompared { nodes: usize },
    DigestMissing { node: String, why: String },
    QuorumThere { answering: usize, voters: usize },
    QuorumLost { answering: usize, voters: usize, latest: String },
    TrailWhole { entries: u64 },
    TokenOnce,
    ContextAdded { name: String },
    ContextUsed { name: String },
    ContextRemoved { name: String },
    NotDue { due: String },
    Certificates(CertificateSay),
    RootMade { directory: String },
    NothingChanged,
    ImportDone { issues: u64 },
    ImportStopped { why: String },
    Issue { place: String, code: Option<u32>, why: String, help: String },
    ReadBack { endpoint: String, records: u64 },
    Watching { from: u64 },
    MorePatients,
    ReportWritten { file: String, signed: bool },
    ProofObjects { images: bool, objects: u64, copies: u32, media: u32, off_site: u32, short: u64 },
    ProofFinding { kind: FindingKind, node: String, image: Option<String>, count: u64 },
    MoreFindings { count: u64 },
    SeeStatus,
    NotSet { setting: &'static str },
    AddFlag { flag: &'static str },
    HowToCheck { request_id: String, not_after: String, over: bool },
    HeldBy { holder: String },
    ImagesPut { images: u64, unchanged: u64, rate: u64 },
    ImagesReadBack { endpoint: String, images: u64 },
    NoImage { path: String },
    OffSiteAwaited { waited_ms: u64, late: bool },
    ImageWhole,
    ImageNotWhole,
    Lead(LeadSay),
    Members(members::MembersSay),
    Upgrade(upgrade::UpgradeSay),
    Quorum(quorum::QuorumSay),
}

/// What has a name that is typed before it changes for good.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Named {
    Node,
    Network,
}

/// Two nodes that are up, and a link between them that is not.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct CutLink {
    /// Who does not reach the other, and whether it leads.
    pub(crate) from: (String, bool),
    /// The other.
    pub(crate) to: (String, bool),
    /// Neither reaches the other.
    pub(crate) both: bool,
    /// Since when.
    pub(crate) since: String,
    /// Where the other listens for nodes.
    pub(crate) address: String,
}

impl CutLink {
    /// The pair, and the command that tries the link, with the node to run it on.
    fn told(&self, leader: &str) -> (String, String) {
        let named = |(name, leads): &(String, bool)| if *leads { format!("{name} ({leader})") } else { name.clone() };
        let arrow = if self.both { '⇄' } else { '→' };
        let pair = format!("{} {arrow} {}", named(&self.from), named(&self.to));
        (pair, format!("{}: {}", self.from.0, try_listener(&self.address)))
    }
}

/// The command that tries a listener from another computer. An address that is more than one goes into no command line:
/// somebody will paste it.
fn try_listener(address: &str) -> String {
    let plain = |host: &str| host.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | ':'));
    match address.rsplit_once(':').map(|(host, port)| (host.trim_matches(['[', ']']), port)) {
        Some((host, port)) if plain(host) && plain(port) => format!("nc -vz {host} {port}"),
        _ => "plantao status -o wide".to_owned(),
    }
}

/// How a failure is told: what, why, what now.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Told {
    /// What happened.
    pub(crate) what: String,
    /// Why, when it is known.
    pub(crate) why: Option<String>,
    /// What to do: a command or a setting.
    pub(crate) now: String,
}

impl Lang {
    /// The word.
    pub(crate) const fn word(self, word: Word) -> &'static str {
        match self {
            Self::PtBr => pt_br::word(word),
            Self::En => en::word(word),
        }
    }

    /// The sentence.
    pub(crate) fn say(self, say: &Say) -> String {
        match self {
            Self::PtBr => pt_br::say(say),
            Self::En => en::say(say),
        }
    }

    /// The failure: what its code says, with what is known of this case.
    pub(crate) fn tell(self, failure: &Failure) -> Told {
        let (mut what, mut now) = match codes::find(failure.code()) {
            Some(code) => {
                let (what, fix) = code.told(self);
                (what.to_owned(), fix.to_owned())
            }
            // A refusal of a newer cluster: it brings its own words.
            None => (failure.to_string(), self.say(&Say::SeeStatus)),
        };
        let mut why = None;
        match failure {
            Failure::Rejected(refusal) => {
                if codes::find(refusal.code).is_none() {
                    (what, now) = (refusal.message.clone(), refusal.help.clone());
                } else if self == Self::En {
                    what.clone_from(&refusal.message);
                }
                why = self.refusal(refusal);
            }
            Failure::NoContext { missing } => why = Some(self.say(&Say::NotSet { setting: missing })),
            Failure::UnknownContext { name: text }
            | Failure::BadTime { text }
            | Failure::BadZone { text }
            | Failure::UnknownCode { text } => what = format!("{what}: “{text}”"),
            Failure::BadId { what: kind, text } | Failure::NotFound { what: kind, text } => {
                what = format!("{what}: {} “{text}”", self.word(*kind));
            }
            Failure::AmbiguousId { what: kind, text, matches } => {
                what = format!("{what}: {} “{text}”", self.word(*kind));
                why = Some(matches.join(", "));
            }
            Failure::Guard { why: clause, help, .. } => {
                why = Some(clause.clone());
                if let Some(help) = help.clone().filter(|_| self == Self::En) {
                    now = help;
                }
            }
            Failure::NeedsConfirmation { flag } => now = self.say(&Say::AddFlag { flag }),
            Failure::BadValue { field, why: clause } => {
                what = format!("{what}: {field}");
                why = Some(clause.clone());
            }
            Failure::ReadFile { path, source } | Failure::WriteFile { path, source } => {
                what = format!("{what}: {}", path.display());
                why = Some(source.to_string());
            }
            Failure::RequestOver { request_id } => what = format!("{what}: {request_id}"),
            Failure::Unknown { request_id, not_after_ms, why: clause } => {
                why = Some(clause.clone());
                let not_after = crate::when::rfc3339(*not_after_ms).unwrap_or_default();
                now = self.say(&Say::HowToCheck {
                    request_id: request_id.clone(),
                    over: *not_after_ms <= crate::when::now_ms(),
                    not_after,
                });
            }
            Failure::Conflict { holder } => why = Some(self.say(&Say::HeldBy { holder: holder.clone() })),
            Failure::OtherLeader { expected, actual }
            | Failure::OtherName { expected, actual }
            | Failure::OtherNetwork { expected, actual } => {
                why = Some(format!("{expected} ≠ {actual}"));
            }
            Failure::DigestsDiffer { index } => what = format!("{what}: {index}"),
            Failure::TrailBroken { sequence } => what = format!("{what}: {sequence}"),
            Failure::ReadBackDiffers { count } => what = format!("{what}: {count}"),
            Failure::Compacted { list_from_index } => {
                now = format!("{now}: plantao watch --from {list_from_index}");
            }
            Failure::ContextFile { why: clause }
            | Failure::Credentials { why: clause }
            | Failure::NotThere { why: clause }
            | Failure::Connect { why: clause }
            | Failure::Denied { why: clause }
            | Failure::Unavailable { why: clause }
            | Failure::Invalid { why: clause }
            | Failure::BadAnswer { why: clause }
            | Failure::Authority { why: clause }
            | Failure::NotNow { why: clause }
            | Failure::NotAllNodes { why: clause }
            | Failure::NotThisStep { why: clause }
            | Failure::NotSafeYet { why: clause }
            | Failure::ImageDamaged { why: clause }
            | Failure::MembersUnderWay { why: clause }
            | Failure::Work { why: clause } => why = Some(clause.clone()),
            Failure::Output(source) => why = Some(source.to_string()),
            Failure::Declined
            | Failure::NeedsReason
            | Failure::RecoveryUnderWay
            | Failure::NeedsTerminal
            | Failure::NoLeader
            | Failure::OutputClosed
            | Failure::Interrupted => {}
        }
        Told { what, why, now }
    }

    /// What a refusal names: who holds the slot, which version there is.
    fn refusal(self, refusal: &Refusal) -> Option<String> {
        if let Some(held) = refusal.held {
            let kind = match held.kind {
                ResourceKind::Practitioner => self.word(Word::Practitioner),
                ResourceKind::Room => self.word(Word::Room),
                ResourceKind::Patient => self.word(Word::Patient),
                ResourceKind::Unspecified => "?",
            };
            let holder = self.say(&Say::HeldBy { holder: held.holder.to_string() });
            return Some(format!("{kind} {}: {holder}", held.id));
        }
        if let Some(version) = refusal.current_version {
            return Some(format!("{}: {version}", self.word(Word::Version)));
        }
        refusal.existing_patient.map(|id| format!("{}: {id}", self.word(Word::Patient)))
    }

    /// A help text in this language, by its English. `None`: not translated yet.
    pub(crate) fn help(self, english: &str) -> Option<&str> {
        match self {
            Self::PtBr => self.translated(english),
            Self::En => Some(english),
        }
    }

    /// The translation of an English help text; `None` also for English itself.
    pub(crate) fn translated(self, english: &str) -> Option<&'static str> {
        match self {
            Self::PtBr => help_pt_br::HELP
                .iter()
                .chain(see::HELP)
                .chain(upgrade::HELP)
                .chain(quorum::HELP)
                .find(|(from, _)| *from == english)
                .map(|(_, to)| *to),
            Self::En => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::try_listener;

    #[test]
    fn only_an_address_goes_into_a_command() {
        assert_eq!(try_listener("10.0.0.2:7402"), "nc -vz 10.0.0.2 7402");
        assert_eq!(try_listener("[fd00::2]:7402"), "nc -vz fd00::2 7402");
        for bad in ["", "10.0.0.2", "x;reboot:1", "$(reboot):1", "x:1 2"] {
            assert_eq!(try_listener(bad), "plantao status -o wide", "{bad}");
        }
    }
}
