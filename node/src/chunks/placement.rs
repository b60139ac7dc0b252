//! Where the copies of an image go: rendezvous hashing under constraints. Pure: the same candidates, rules and key give
//! the same places on every node, in any order.
//!
//! ```text
//! score(node) = first 8 bytes of BLAKE3("plantao place 1" | key | node id u64 BE), big-endian;  best first, then id
//! places      = the first set in that order, compared best member first, that keeps every rule:
//!               allowed countries │ off-site copies │ sites, as many as there can be │ media, likewise
//! ```
//! Choosing the first set, and not one member after the other, makes the choice independent of nodes that were not
//! chosen: one that leaves takes nothing along but its own copies. When a rule cannot be kept, the answer is the rule's
//! name and not fewer copies. Who is reachable is the caller's business: it leaves out whoever is not.

use plantao_domain::NodeId;
use std::collections::BTreeSet;

/// Most copies of one chunk; keeps the search small: 64 nodes have 635,376 sets of four.
pub const COPIES_MAX: usize = 4;
/// Most candidates.
pub const CANDIDATES_MAX: usize = 64;
/// Two sites must hold a chunk before anybody is told that it is safe.
pub const SITES_MIN: usize = 2;

/// A node that may hold copies.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Candidate {
    /// Its number.
    pub node: NodeId,
    /// Where it stands.
    pub site: String,
    /// ISO 3166-1 alpha-2.
    pub country: String,
    /// What its copies rest on.
    pub medium: String,
    /// Whether it is an off-site node: one that never holds the root key.
    pub is_off_site: bool,
}

/// What a placement must keep.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Rules {
    /// Copies, 2 to [`COPIES_MAX`]; all nodes when there are no more.
    pub copies: usize,
    /// How many of them are off-site at least.
    pub off_site_min: usize,
    /// Countries that may hold copies; empty: any.
    pub countries: BTreeSet<String>,
    /// How many media the copies spread over, if the candidates allow it.
    pub media: usize,
}

impl Default for Rules {
    /// 3-2-1: three copies on two media, one of them off-site; any country.
    fn default() -> Self {
        Self { copies: 3, off_site_min: 1, countries: BTreeSet::new(), media: 2 }
    }
}

/// The rule that cannot be kept.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The rules contradict themselves or the bounds.
    #[error("a placement has 2 to {COPIES_MAX} copies on at most {CANDIDATES_MAX} nodes, off-site ones among them")]
    Rules,
    /// Every node stands in a country that may hold no copies.
    #[error("no node stands in a country that may hold copies")]
    NoCountry,
    /// Fewer sites than anything may be acknowledged on.
    #[error("copies need {SITES_MIN} sites and there are {sites}")]
    TooFewSites {
        /// How many there are.
        sites: usize,
    },
    /// Not enough off-site nodes.
    #[error("{needed} off-site copies are needed and there are {nodes} off-site nodes")]
    TooFewOffSite {
        /// The rule.
        needed: usize,
        /// What there is.
        nodes: usize,
    },
}

/// The nodes that hold the copies of what `key` names, best first. Each candidate is there once.
///
/// # Errors
/// The rule that cannot be kept.
pub fn place(key: &[u8], candidates: &[Candidate], rules: &Rules) -> Result<Vec<NodeId>, Refusal> {
    let bounded = (SITES_MIN..=COPIES_MAX).contains(&rules.copies) && rules.off_site_min <= rules.copies;
    if !bounded || candidates.len() > CANDIDATES_MAX {
        return Err(Refusal::Rules);
    }
    let is_allowed = |country: &String| rules.countries.is_empty() || rules.countries.contains(country);
    let mut ranked: Vec<&Candidate> = candidates.iter().filter(|candidate| is_allowed(&candidate.country)).collect();
    if ranked.is_empty() {
        return Err(Refusal::NoCountry);
    }
    ranked.sort_by_key(|candidate| (std::cmp::Reverse(score(key, candidate.node)), candidate.node));
    let sites = ranked.iter().map(|candidate| &candidate.site).collect::<BTreeSet<_>>().len();
    if sites < SITES_MIN {
        return Err(Refusal::TooFewSites { sites });
    }
    let off_site = ranked.iter().filter(|candidate| candidate.is_off_site).count();
    if off_site < rules.off_site_min {
        return Err(Refusal::TooFewOffSite { needed: rules.off_site_min, nodes: off_site });
    }
    let copies = rules.copies.min(ranked.len());
    let media = ranked.iter().map(|candidate| &candidate.medium).collect::<BTreeSet<_>>().len();
    // Sites before media: two copies at one site burn together, two disks of one sort seldom fail together.
    for sites in (SITES_MIN..=sites.min(copies)).rev() {
        for media in (1..=media.min(rules.media).min(copies).max(1)).rev() {
            let wanted = Wanted { copies, sites, media, off_site: rules.off_site_min };
            if let Some(set) = first_set(&ranked, &wanted) {
                return Ok(set.iter().map(|candidate| candidate.node).collect());
            }
        }
    }
    // What is left: off-site nodes all stand at one site, and only they may be taken.
    Err(Refusal::TooFewSites { sites: 1 })
}

struct Wanted {
    copies: usize,
    sites: usize,
    media: usize,
    off_site: usize,
}

fn distinct<'a>(set: &[&'a Candidate], of: impl Fn(&'a Candidate) -> &'a String) -> usize {
    let mut seen: [Option<&String>; COPIES_MAX] = [None; COPIES_MAX];
    let mut count = 0;
    for value in set.iter().map(|candidate| of(candidate)) {
        if !seen[..count].contains(&Some(value)) {
            seen[count] = Some(value);
            count += 1;
        }
    }
    count
}

/// The first set in the order of the ranking that has what is wanted. Whatever cannot get there any more is not
/// followed.
fn first_set<'a>(ranked: &[&'a Candidate], wanted: &Wanted) -> Option<Vec<&'a Candidate>> {
    fn extend<'a>(set: &mut Vec<&'a Candidate>, rest: &[&'a Candidate], wanted: &Wanted) -> bool {
        let missing = wanted.copies - set.len();
        let off_site = set.iter().filter(|candidate| candidate.is_off_site).count();
        let can_still = off_site + missing >= wanted.off_site
            && distinct(set, |candidate| &candidate.site) + missing >= wanted.sites
            && distinct(set, |candidate| &candidate.medium) + missing >= wanted.media;
        if !can_still || rest.len() < missing {
            return false;
        }
        if missing == 0 {
            return true;
        }
        for (at, candidate) in rest.iter().enumerate() {
            set.push(candidate);
            if extend(set, &rest[at + 1..], wanted) {
                return true;
            }
            set.pop();
        }
        false
    }
    let mut set = Vec::with_capacity(wanted.copies);
    extend(&mut set, ranked, wanted).then_some(set)
}

fn score(key: &[u8], node: NodeId) -> u64 {
    let mut hasher = blake3::Hasher::new();
    hasher.update(b"plantao place 1");
    hasher.update(key);
    hasher.update(&node.0.to_be_bytes());
    let digest = hasher.finalize();
    u64::from_be_bytes(*digest.as_bytes().first_chunk().expect("32 bytes hold 8"))
}

#[cfg(test)]
#[path = "placement_tests.rs"]
mod tests;
