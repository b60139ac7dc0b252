//! The log of a stopped node, for commands that read or continue it without Raft: which membership it has, and the payloads
//! that a recovered quorum appends. Whether one may is decided by the caller (`recovery`).

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use bytes::Bytes;

use super::log_store::{self, DecodeEntryError};
use super::types::{EntryPayload, Member, Membership, Proposal, StoredMembership};

/// One node of a membership.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct OfflineMember {
    /// Its number.
    pub id: u64,
    /// What the membership says of it.
    pub member: Member,
    /// Whether it votes, in any of the configurations.
    pub voter: bool,
}

/// Who belongs to the group, as a log or a state has it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct OfflineMembership {
    /// All members by number.
    pub members: Vec<OfflineMember>,
    /// The voters of each configuration: one, or two in the middle of a change. A majority of each decides.
    pub configurations: Vec<BTreeSet<u64>>,
}

impl OfflineMembership {
    fn of(membership: &Membership) -> Self {
        let voters: BTreeSet<u64> = membership.voter_ids().collect();
        let members = membership.nodes().map(|(id, member)| OfflineMember {
            id: *id,
            member: member.clone(),
            voter: voters.contains(id),
        });
        Self { members: members.collect(), configurations: membership.get_joint_config().clone() }
    }

    /// The member with this number.
    pub fn member(&self, id: u64) -> Option<&OfflineMember> {
        self.members.iter().find(|member| member.id == id)
    }

    /// The numbers of all voters.
    pub fn voters(&self) -> BTreeSet<u64> {
        self.configurations.iter().flatten().copied().collect()
    }

    /// Whether these nodes can elect a leader and commit entries.
    pub fn is_quorum(&self, nodes: &BTreeSet<u64>) -> bool {
        let has = |voters: &BTreeSet<u64>| voters.intersection(nodes).count() * 2 > voters.len();
        !self.configurations.is_empty() && self.configurations.iter().all(has)
    }
}

/// The membership that a state was written with; `None` for a state that had none yet.
///
/// # Errors
/// Another version wrote it.
pub fn membership_of_state(bytes: &[u8]) -> Result<Option<OfflineMembership>, serde_json::Error> {
    if bytes.is_empty() {
        return Ok(None);
    }
    let stored: StoredMembership = serde_json::from_slice(bytes)?;
    Ok(Some(OfflineMembership::of(stored.membership())))
}

/// The membership in an entry's payload, if it is one.
///
/// # Errors
/// The payload is none of ours.
pub fn membership_of(payload: &Bytes) -> Result<Option<OfflineMembership>, DecodeEntryError> {
    Ok(match log_store::decode(payload)? {
        EntryPayload::Membership(membership) => Some(OfflineMembership::of(&membership)),
        EntryPayload::Blank | EntryPayload::Normal(_) => None,
    })
}

/// The payload of an entry after which `node` alone votes, and is alone.
///
/// # Errors
/// Never for a member that was read from a membership.
pub fn alone(node: u64, member: &Member) -> io::Result<Bytes> {
    let nodes = BTreeMap::from([(node, member.clone())]);
    let membership = Membership::new(vec![BTreeSet::from([node])], nodes).map_err(io::Error::other)?;
    log_store::encode(&EntryPayload::Membership(membership))
}

/// The payload of an entry with this encoded envelope.
///
/// # Errors
/// Never: an envelope needs no encoding.
pub fn proposal(envelope: Bytes) -> io::Result<Bytes> {
    log_store::encode(&EntryPayload::Normal(Proposal { payload: envelope }))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn member(name: &str) -> Member {
        Member { name: name.to_owned(), peer_address: format!("{name}:7402"), keyed: true }
    }

    #[test]
    fn a_majority_of_each_configuration_decides() {
        let nodes = (1..=4).map(|id| (id, member("centro"))).collect::<BTreeMap<_, _>>();
        let joint = vec![BTreeSet::from([1, 2, 3]), BTreeSet::from([1, 2, 4])];
        let payload = log_store::encode(&EntryPayload::Membership(Membership::new(joint, nodes).unwrap())).unwrap();
        let found = membership_of(&payload).unwrap().unwrap();
        assert_eq!(found.voters(), BTreeSet::from([1, 2, 3, 4]));
        for (kept, quorum) in
            [(&[1, 2][..], true), (&[1, 3], false), (&[1, 3, 4], true), (&[3, 4], false), (&[], false)]
        {
            assert_eq!(found.is_quorum(&kept.iter().copied().collect()), quorum, "{kept:?}");
        }
        assert!(!OfflineMembership::default().is_quorum(&BTreeSet::from([1])));
    }

    #[test]
    fn the_appended_membership_has_one_voter_and_nobody_else() {
        let found = membership_of(&alone(3, &member("cofre")).unwrap()).unwrap().unwrap();
        assert_eq!(found.members, [OfflineMember { id: 3, member: member("cofre"), voter: true }]);
        assert_eq!(found.configurations, [BTreeSet::from([3])]);
        assert!(found.is_quorum(&BTreeSet::from([3])));
        assert_eq!(membership_of(&proposal(Bytes::from_static(b"x")).unwrap()).unwrap(), None);
        assert!(membership_of(&Bytes::from_static(&[1, 2, b'{'])).is_err());
        assert_eq!(membership_of_state(b"").unwrap(), None);
        assert!(membership_of_state(b"{").is_err());
    }
}
