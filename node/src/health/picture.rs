//! What a node sees of its network at one moment, as far as events are made of it, and what happened between two such
//! moments. Pure; where pictures come from is `events`'.

use std::collections::{BTreeMap, BTreeSet};

/// What happened.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) enum Kind {
    /// The node began to watch.
    #[default]
    Started,
    LeaderChanged,
    LeaderLost,
    MemberJoined,
    MemberLeft,
    MemberRole,
    NodeSilent,
    NodeBack,
    LinkCut,
    LinkMended,
    WarningRaised,
    WarningCleared,
    CertificateReloaded,
    Sealed,
    Unsealed,
    CopiesBad,
}

/// One thing that happened. What does not belong to its kind is empty.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Event {
    pub(super) kind: Kind,
    /// Whom it is about: number and name.
    pub(super) node: (u64, String),
    /// The other end of a link, the leader before.
    pub(super) other: (u64, String),
    /// Of the leader.
    pub(super) term: u64,
    /// What a member is now.
    pub(super) voter: bool,
    /// Of a warning.
    pub(super) code: u32,
    /// Of a warning.
    pub(super) message: String,
    /// Copies that were found bad.
    pub(super) count: u64,
}

/// A member.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Seen {
    pub(super) name: String,
    pub(super) voter: bool,
}

/// One moment.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Picture {
    /// This node.
    pub(super) us: u64,
    pub(super) term: u64,
    pub(super) leader: Option<u64>,
    /// The leader known last, this one included.
    pub(super) leader_last: Option<u64>,
    pub(super) members: BTreeMap<u64, Seen>,
    /// Nodes that have not answered this one for some seconds.
    pub(super) silent: BTreeSet<u64>,
    /// From, to.
    pub(super) cut: BTreeSet<(u64, u64)>,
    /// `None`: a node that is to have no root key.
    pub(super) sealed: Option<bool>,
    /// Times that new certificates were taken.
    pub(super) certificates: u64,
    /// Bad copies found since the start.
    pub(super) bad: u64,
    /// By number and sentence without its figures, which move from second to second.
    pub(super) warnings: BTreeMap<(u32, String), String>,
}

impl Picture {
    fn named(&self, id: u64) -> (u64, String) {
        (id, self.members.get(&id).map_or_else(|| id.to_string(), |seen| seen.name.clone()))
    }

    /// The key under which a warning is the same one as a second ago.
    pub(super) fn warning_key(code: u32, message: &str) -> (u32, String) {
        (code, message.chars().filter(|c| !c.is_ascii_digit()).collect())
    }
}

/// Everything that happened from one picture to the next, in a fixed order.
pub(super) fn changes(before: &Picture, now: &Picture) -> Vec<Event> {
    let mut events = Vec::new();
    let about = |kind, node| Event { kind, node, ..Event::default() };
    for (id, seen) in &now.members {
        match before.members.get(id) {
            None => events.push(Event { voter: seen.voter, ..about(Kind::MemberJoined, now.named(*id)) }),
            Some(known) if known.voter != seen.voter => {
                events.push(Event { voter: seen.voter, ..about(Kind::MemberRole, now.named(*id)) });
            }
            Some(_) => {}
        }
    }
    for id in before.members.keys().filter(|id| !now.members.contains_key(id)) {
        events.push(about(Kind::MemberLeft, before.named(*id)));
    }
    match now.leader {
        Some(leader) if now.leader != before.leader || now.term != before.term => {
            let other = before.leader_last.map(|id| before.named(id)).unwrap_or_default();
            events.push(Event { other, term: now.term, ..about(Kind::LeaderChanged, now.named(leader)) });
        }
        None if before.leader.is_some() => {
            let other = before.leader.map(|id| before.named(id)).unwrap_or_default();
            events.push(Event { other, term: now.term, ..about(Kind::LeaderLost, (0, String::new())) });
        }
        _ => {}
    }
    let stays = |id: &&u64| now.members.contains_key(*id);
    events.extend(now.silent.difference(&before.silent).map(|id| about(Kind::NodeSilent, now.named(*id))));
    events.extend(before.silent.difference(&now.silent).filter(stays).map(|id| about(Kind::NodeBack, now.named(*id))));
    let link = |kind, (from, to): &(u64, u64)| Event { other: now.named(*to), ..about(kind, now.named(*from)) };
    events.extend(now.cut.difference(&before.cut).map(|ends| link(Kind::LinkCut, ends)));
    events.extend(before.cut.difference(&now.cut).map(|ends| link(Kind::LinkMended, ends)));
    match (before.sealed, now.sealed) {
        (Some(false), Some(true)) => events.push(about(Kind::Sealed, now.named(now.us))),
        (Some(true), Some(false)) => events.push(about(Kind::Unsealed, now.named(now.us))),
        _ => {}
    }
    if now.certificates > before.certificates {
        events.push(about(Kind::CertificateReloaded, now.named(now.us)));
    }
    if now.bad > before.bad {
        events.push(Event { count: now.bad - before.bad, ..about(Kind::CopiesBad, now.named(now.us)) });
    }
    let warning =
        |kind, code: u32, message: &str| Event { code, message: message.to_owned(), ..about(kind, now.named(now.us)) };
    for (key, message) in now.warnings.iter().filter(|(key, _)| !before.warnings.contains_key(key)) {
        events.push(warning(Kind::WarningRaised, key.0, message));
    }
    for (key, message) in before.warnings.iter().filter(|(key, _)| !now.warnings.contains_key(key)) {
        events.push(warning(Kind::WarningCleared, key.0, message));
    }
    events
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picture() -> Picture {
        let seen = |name: &str| Seen { name: name.to_owned(), voter: true };
        Picture {
            us: 1,
            term: 4,
            leader: Some(1),
            leader_last: Some(1),
            members: BTreeMap::from([(1, seen("centro")), (2, seen("jardins")), (3, seen("cofre"))]),
            sealed: Some(false),
            ..Picture::default()
        }
    }

    fn told(before: &Picture, now: &Picture) -> Vec<(Kind, String, String)> {
        changes(before, now).into_iter().map(|event| (event.kind, event.node.1, event.other.1)).collect()
    }

    fn one(kind: Kind, node: &str, other: &str) -> Vec<(Kind, String, String)> {
        vec![(kind, node.to_owned(), other.to_owned())]
    }

    #[test]
    fn each_change_is_told_once_and_in_both_directions() {
        assert_eq!(told(&picture(), &picture()), []);
        let mut now = picture();
        now.members.get_mut(&3).into_iter().for_each(|seen| seen.voter = false);
        assert_eq!(told(&picture(), &now), one(Kind::MemberRole, "cofre", ""));
        let mut now = picture();
        now.members.insert(4, Seen { name: "moema".to_owned(), voter: false });
        assert_eq!(told(&picture(), &now), one(Kind::MemberJoined, "moema", ""));
        assert_eq!(told(&now, &picture()), one(Kind::MemberLeft, "moema", ""));
        let mut now = picture();
        now.silent.insert(2);
        assert_eq!(told(&picture(), &now), one(Kind::NodeSilent, "jardins", ""));
        assert_eq!(told(&now, &picture()), one(Kind::NodeBack, "jardins", ""));
        let mut now = picture();
        now.cut.insert((1, 2));
        assert_eq!(told(&picture(), &now), one(Kind::LinkCut, "centro", "jardins"));
        assert_eq!(told(&now, &picture()), one(Kind::LinkMended, "centro", "jardins"));
        let now = Picture { sealed: Some(true), ..picture() };
        assert_eq!(told(&picture(), &now), one(Kind::Sealed, "centro", ""));
        assert_eq!(told(&now, &picture()), one(Kind::Unsealed, "centro", ""));
        let now = Picture { certificates: 1, ..picture() };
        assert_eq!(told(&picture(), &now), one(Kind::CertificateReloaded, "centro", ""));
        let now = Picture { bad: 3, ..picture() };
        assert_eq!(told(&picture(), &now), one(Kind::CopiesBad, "centro", ""));
        assert_eq!(told(&now, &picture()), [], "a count that fell is a new process");
    }

    #[test]
    fn a_lost_leader_is_named_with_the_one_that_follows() {
        let lost = Picture { leader: None, term: 5, ..picture() };
        assert_eq!(told(&picture(), &lost), one(Kind::LeaderLost, "", "centro"));
        let next = Picture { leader: Some(2), leader_last: Some(2), term: 6, ..picture() };
        assert_eq!(told(&lost, &next), one(Kind::LeaderChanged, "jardins", "centro"));
        assert_eq!(told(&picture(), &next), one(Kind::LeaderChanged, "jardins", "centro"));
        // The same one, elected again.
        let again = Picture { term: 6, ..picture() };
        assert_eq!(told(&picture(), &again), one(Kind::LeaderChanged, "centro", "centro"));
    }

    #[test]
    fn a_warning_whose_figures_move_is_one_warning() {
        let with = |message: &str| {
            let key = Picture::warning_key(2304, message);
            Picture { warnings: BTreeMap::from([(key, message.to_owned())]), ..picture() }
        };
        let (first, later) = (with("cofre is 1200 entries behind"), with("cofre is 900 entries behind"));
        assert_eq!(told(&picture(), &first), one(Kind::WarningRaised, "centro", ""));
        assert_eq!(told(&first, &later), []);
        assert_eq!(told(&later, &picture()), one(Kind::WarningCleared, "centro", ""));
    }
}
