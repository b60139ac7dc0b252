//! Who a certificate speaks for: one SPIFFE URI, parsed once at the edge and trusted from there on.
//!
//! ```text
//! spiffe://<cluster>/node/<number>               a node, by its Raft number
//! spiffe://<cluster>/node/new/<name>             a node that has no number yet: it may only ask to join
//! spiffe://<cluster>/unit/<unit>/<kind>/<name>   a person or a program of a unit, or of the whole network (`rede`)
//! ```
//! Each part is a slug: `[a-z0-9-]`, 1 to 64 characters. Whoever issues certificates chooses them and puts no personal
//! datum in one, because identities appear in logs, file names and the audit trail. What an identity may *do* is not
//! decided here: the planes are in the node's transport, the rights of each kind in `domain::access`.

use std::fmt;
use std::str::FromStr;

/// Longest part of an identity, in characters.
pub const SLUG_CHARS_MAX: usize = 64;

/// Longest identity: the scheme, four slugs, the word `unit` and what separates them. A longer text is refused unread.
pub const URI_BYTES_MAX: usize = 320;

/// The unit name that stands for the whole network; no unit can be called so.
pub const WHOLE_NETWORK: &str = "rede";

const SCHEME: &str = "spiffe://";

/// Why a text is no identity. The text itself is never repeated: it came from outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ParseIdentityError {
    /// More than [`URI_BYTES_MAX`].
    #[error("the identity is longer than {URI_BYTES_MAX} bytes")]
    TooLong,
    /// Another scheme, or none.
    #[error("the identity does not start with spiffe://")]
    Scheme,
    /// The first part is no slug.
    #[error("the cluster name in the identity {0}")]
    Cluster(ParseSlugError),
    /// The path is neither `node/…` nor `unit/…`, or has too few or too many parts.
    #[error("the identity is neither node/<number>, node/new/<name> nor unit/<unit>/<kind>/<name>")]
    Shape,
    /// Not a decimal number from 1, without sign or leading zero.
    #[error("the node number in the identity is not a decimal number from 1 on")]
    NodeNumber,
    /// The unit is no slug.
    #[error("the unit in the identity {0}")]
    Unit(ParseSlugError),
    /// Not one of [`Kind::ALL`].
    #[error("the kind in the identity is not one of the known ones")]
    Kind,
    /// The last part is no slug.
    #[error("the name in the identity {0}")]
    Name(ParseSlugError),
}

/// Why a text is no slug.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ParseSlugError {
    /// No character at all.
    #[error("is empty")]
    Empty,
    /// More than [`SLUG_CHARS_MAX`].
    #[error("is longer than {SLUG_CHARS_MAX} characters")]
    TooLong,
    /// Something other than lowercase letters, digits and hyphens.
    #[error("has a character other than a-z, 0-9 and the hyphen")]
    Character,
}

/// `[a-z0-9-]`, 1 to 64 characters: safe in a URI, a file name and a log.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Slug(String);

impl Slug {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Slug {
    type Err = ParseSlugError;

    fn from_str(text: &str) -> Result<Self, ParseSlugError> {
        if text.is_empty() {
            return Err(ParseSlugError::Empty);
        }
        if text.len() > SLUG_CHARS_MAX {
            return Err(ParseSlugError::TooLong);
        }
        if !text.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-')) {
            return Err(ParseSlugError::Character);
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for Slug {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Slug {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What a person or a program is; the role its rights follow from.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Kind {
    /// Books and registers.
    Reception,
    /// Reads and writes records.
    Clinician,
    /// Reads the agenda.
    Finance,
    /// Runs a unit.
    Manager,
    /// Runs the cluster.
    Operator,
    /// Reads the audit trail.
    Auditor,
    /// The data protection officer.
    Dpo,
    /// Clinic software.
    Integration,
}

impl Kind {
    /// Every kind, in the order of the roles.
    pub const ALL: [Self; 8] = [
        Self::Reception,
        Self::Clinician,
        Self::Finance,
        Self::Manager,
        Self::Operator,
        Self::Auditor,
        Self::Dpo,
        Self::Integration,
    ];

    /// The word in the URI.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Reception => "reception",
            Self::Clinician => "clinician",
            Self::Finance => "finance",
            Self::Manager => "manager",
            Self::Operator => "operator",
            Self::Auditor => "auditor",
            Self::Dpo => "dpo",
            Self::Integration => "integration",
        }
    }
}

impl FromStr for Kind {
    type Err = ParseIdentityError;

    fn from_str(text: &str) -> Result<Self, ParseIdentityError> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text).ok_or(ParseIdentityError::Kind)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Where a person or a program belongs.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Scope {
    /// Every unit: `rede` in the URI.
    Network,
    /// One unit, by its short name; never `rede` when it was parsed.
    Unit(Slug),
}

impl Scope {
    /// The word in the URI.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Network => WHOLE_NETWORK,
            Self::Unit(slug) => slug.as_str(),
        }
    }
}

impl FromStr for Scope {
    type Err = ParseSlugError;

    fn from_str(text: &str) -> Result<Self, ParseSlugError> {
        if text == WHOLE_NETWORK { Ok(Self::Network) } else { text.parse().map(Self::Unit) }
    }
}

/// Whom a certificate speaks for.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Identity {
    /// A node with its Raft number.
    Node {
        /// Short name of the cluster.
        cluster: Slug,
        /// From 1; never used twice.
        id: u64,
    },
    /// A node that is not a member yet.
    NewNode {
        /// Short name of the cluster.
        cluster: Slug,
        /// The name that its operator chose.
        name: Slug,
    },
    /// A person or a program.
    Unit {
        /// Short name of the cluster.
        cluster: Slug,
        /// One unit or the whole network.
        unit: Scope,
        /// Its role.
        kind: Kind,
        /// A name that is no personal datum, e.g. `balcao-1`.
        name: Slug,
    },
}

impl Identity {
    /// Short name of the cluster it belongs to.
    pub fn cluster(&self) -> &Slug {
        match self {
            Self::Node { cluster, .. } | Self::NewNode { cluster, .. } | Self::Unit { cluster, .. } => cluster,
        }
    }

    /// The Raft number, when it has one.
    pub fn node_id(&self) -> Option<u64> {
        match self {
            Self::Node { id, .. } => Some(*id),
            Self::NewNode { .. } | Self::Unit { .. } => None,
        }
    }

    /// Whether it is a node's, numbered or new.
    pub fn is_node(&self) -> bool {
        matches!(self, Self::Node { .. } | Self::NewNode { .. })
    }

    /// The role, for people and programs.
    pub fn kind(&self) -> Option<Kind> {
        match self {
            Self::Unit { kind, .. } => Some(*kind),
            Self::Node { .. } | Self::NewNode { .. } => None,
        }
    }

    /// Who acted, in the log and in the audit trail: `BLAKE3("plantao actor" | uri)`, its first 16 bytes.
    pub fn actor_id(&self) -> [u8; 16] {
        let mut hasher = blake3::Hasher::new();
        hasher.update(b"plantao actor");
        hasher.update(self.to_string().as_bytes());
        let mut id = [0; 16];
        hasher.finalize_xof().fill(&mut id);
        id
    }
}

impl FromStr for Identity {
    type Err = ParseIdentityError;

    fn from_str(text: &str) -> Result<Self, ParseIdentityError> {
        if text.len() > URI_BYTES_MAX {
            return Err(ParseIdentityError::TooLong);
        }
        let rest = text.strip_prefix(SCHEME).ok_or(ParseIdentityError::Scheme)?;
        let parts: Vec<&str> = rest.split('/').collect();
        let (first, path) = parts.split_first().ok_or(ParseIdentityError::Shape)?;
        let cluster: Slug = first.parse().map_err(ParseIdentityError::Cluster)?;
        match path {
            ["node", "new", name] => {
                Ok(Self::NewNode { cluster, name: name.parse().map_err(ParseIdentityError::Name)? })
            }
            ["node", number] => Ok(Self::Node { cluster, id: node_number(number)? }),
            ["unit", unit, kind, name] => Ok(Self::Unit {
                cluster,
                unit: unit.parse().map_err(ParseIdentityError::Unit)?,
                kind: kind.parse()?,
                name: name.parse().map_err(ParseIdentityError::Name)?,
            }),
            _ => Err(ParseIdentityError::Shape),
        }
    }
}

/// `u64::from_str` also takes `+1` and `01`, which would give one node several spellings.
fn node_number(text: &str) -> Result<u64, ParseIdentityError> {
    match text.as_bytes() {
        [b'1'..=b'9', rest @ ..] if rest.iter().all(u8::is_ascii_digit) => {
            text.parse().map_err(|_| ParseIdentityError::NodeNumber)
        }
        _ => Err(ParseIdentityError::NodeNumber),
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Node { cluster, id } => write!(f, "{SCHEME}{cluster}/node/{id}"),
            Self::NewNode { cluster, name } => write!(f, "{SCHEME}{cluster}/node/new/{name}"),
            Self::Unit { cluster, unit, kind, name } => {
                write!(f, "{SCHEME}{cluster}/unit/{}/{kind}/{name}", unit.as_str())
            }
        }
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_parses_back_to_itself() {
        let mut texts = vec![
            "spiffe://clinica/node/1".to_owned(),
            "spiffe://clinica/node/18446744073709551615".to_owned(),
            "spiffe://clinica/node/new/cofre".to_owned(),
            "spiffe://clinica/unit/rede/operator/plantonista".to_owned(),
            format!("spiffe://{0}/unit/{0}/integration/{0}", "a".repeat(SLUG_CHARS_MAX)),
        ];
        texts.extend(Kind::ALL.map(|kind| format!("spiffe://c-1/unit/centro/{kind}/balcao-1")));
        for text in texts {
            assert_eq!(text.parse::<Identity>().unwrap().to_string(), text);
        }
        assert!(matches!(
            "spiffe://c/unit/rede/dpo/x".parse::<Identity>().unwrap(),
            Identity::Unit { unit: Scope::Network, .. }
        ));
    }

    #[test]
    fn every_other_spelling_is_refused_with_its_reason() {
        use ParseIdentityError as E;
        let long = "a".repeat(SLUG_CHARS_MAX + 1);
        for (text, error) in [
            ("", E::Scheme),
            ("https://c/node/1", E::Scheme),
            ("SPIFFE://c/node/1", E::Scheme),
            (" spiffe://c/node/1", E::Scheme),
            ("spiffe://", E::Cluster(ParseSlugError::Empty)),
            ("spiffe:///node/1", E::Cluster(ParseSlugError::Empty)),
            ("spiffe://C/node/1", E::Cluster(ParseSlugError::Character)),
            ("spiffe://c.d/node/1", E::Cluster(ParseSlugError::Character)),
            ("spiffe://c:443/node/1", E::Cluster(ParseSlugError::Character)),
            (&format!("spiffe://{long}/node/1"), E::Cluster(ParseSlugError::TooLong)),
            ("spiffe://c", E::Shape),
            ("spiffe://c/", E::Shape),
            ("spiffe://c/node", E::Shape),
            ("spiffe://c/node/1/", E::Shape),
            ("spiffe://c/node/1/2/3", E::Shape),
            ("spiffe://c//node/1", E::Shape),
            ("spiffe://c/Node/1", E::Shape),
            ("spiffe://c/node/", E::NodeNumber),
            ("spiffe://c/node/0", E::NodeNumber),
            ("spiffe://c/node/01", E::NodeNumber),
            ("spiffe://c/node/+1", E::NodeNumber),
            ("spiffe://c/node/-1", E::NodeNumber),
            ("spiffe://c/node/1?x", E::NodeNumber),
            ("spiffe://c/node/18446744073709551616", E::NodeNumber),
            ("spiffe://c/node/new", E::NodeNumber),
            ("spiffe://c/node/new/", E::Name(ParseSlugError::Empty)),
            ("spiffe://c/unit/a/reception", E::Shape),
            ("spiffe://c/unit/a/reception/x/y", E::Shape),
            ("spiffe://c/unit//reception/x", E::Unit(ParseSlugError::Empty)),
            ("spiffe://c/unit/a/owner/x", E::Kind),
            ("spiffe://c/unit/a/reception/", E::Name(ParseSlugError::Empty)),
            ("spiffe://c/unit/a/reception/../x", E::Shape),
            ("spiffe://c/unit/a/reception/é", E::Name(ParseSlugError::Character)),
            ("spiffe://c/unit/a/reception/x%2e", E::Name(ParseSlugError::Character)),
            ("spiffe://c/unit/a/reception/x\0", E::Name(ParseSlugError::Character)),
            (&format!("spiffe://c/{}", "a".repeat(URI_BYTES_MAX)), E::TooLong),
        ] {
            assert_eq!(text.parse::<Identity>(), Err(error), "{text:?}");
        }
    }

    #[test]
    fn the_actor_is_a_digest_of_the_uri() {
        let identity: Identity = "spiffe://c/unit/centro/clinician/consultorio-2".parse().unwrap();
        let expected = blake3::hash(b"plantao actorspiffe://c/unit/centro/clinician/consultorio-2");
        assert_eq!(identity.actor_id(), expected.as_bytes()[..16]);
        let other: Identity = "spiffe://c/unit/centro/clinician/consultorio-3".parse().unwrap();
        assert_ne!(identity.actor_id(), other.actor_id());
    }
}
