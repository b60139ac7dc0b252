//! Rows of the cluster, its keys, and the directory.

use super::{KeyRange, PAGE_ROWS_MAX, by_node, decode, key, last_id, prefix, read};
use crate::cluster::{ClusterRow, JoinTokenRow, NodeRow};
use crate::command::{KeyOwner, Sealed, Tag, WrappedKey};
use crate::id::*;
use crate::time::ClusterTime;
use crate::view::{Order, View, ViewFault};
use minicbor::{Decode, Encode};

/// A clinic.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub struct UnitRow {
    /// Its unique short name.
    #[n(0)]
    pub slug: String,
    /// When it was registered.
    #[n(1)]
    pub registered_at: ClusterTime,
    /// By whom.
    #[n(2)]
    pub registered_by: ActorId,
    /// Name, address; sealed under the unit's key.
    #[n(3)]
    pub content: Sealed,
}

/// A professional.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub struct PractitionerRow {
    /// Where they mainly work; they may be booked anywhere.
    #[n(0)]
    pub unit: UnitId,
    /// When they were registered.
    #[n(1)]
    pub registered_at: ClusterTime,
    /// By whom.
    #[n(2)]
    pub registered_by: ActorId,
    /// Name, council number; sealed under the unit's key.
    #[n(3)]
    pub content: Sealed,
}

/// A room.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub struct RoomRow {
    /// Where it is: only appointments of that unit may use it.
    #[n(0)]
    pub unit: UnitId,
    /// When it was registered.
    #[n(1)]
    pub registered_at: ClusterTime,
    /// By whom.
    #[n(2)]
    pub registered_by: ActorId,
    /// Its name; sealed under the unit's key.
    #[n(3)]
    pub content: Sealed,
}

/// Key of the cluster's row.
pub fn cluster_key() -> Vec<u8> {
    key(prefix::CLUSTER, &[])
}

/// The cluster; `None` before it is created.
pub fn cluster(view: &dyn View) -> Result<Option<ClusterRow>, ViewFault> {
    read(view, &cluster_key())
}

/// Key of the recovery slot.
pub fn recovery_slot_key() -> Vec<u8> {
    key(prefix::RECOVERY_SLOT, &[])
}

/// The root key wrapped by the paper passphrase.
pub fn recovery_slot(view: &dyn View) -> Result<Option<Sealed>, ViewFault> {
    read(view, &recovery_slot_key())
}

/// Key of an epoch's key row.
pub fn epoch_key_key(epoch: u32) -> Vec<u8> {
    key(prefix::EPOCH_KEY, &[&epoch.to_be_bytes()])
}

/// The key-encryption key of an epoch, wrapped by the root key.
pub fn epoch_key(view: &dyn View, epoch: u32) -> Result<Option<Sealed>, ViewFault> {
    read(view, &epoch_key_key(epoch))
}

/// Key of a data key's row.
pub fn data_key_key(owner: KeyOwner) -> Vec<u8> {
    let (kind, id) = match &owner {
        KeyOwner::Patient(id) => (0_u8, *id.as_bytes()),
        KeyOwner::Unit(id) => (1, *id.as_bytes()),
        KeyOwner::Search => (2, [0; 16]),
        KeyOwner::ContentTag => (3, [0; 16]),
    };
    key(prefix::DATA_KEY, &[&[kind], &id])
}

/// The wrapped data key of a patient or unit, or one of the cluster's own.
pub fn data_key(view: &dyn View, owner: KeyOwner) -> Result<Option<WrappedKey>, ViewFault> {
    read(view, &data_key_key(owner))
}

/// Key of a node's row.
pub fn node_key(id: NodeId) -> Vec<u8> {
    key(prefix::NODE, &[&id.0.to_be_bytes()])
}

/// A node that joined once; whether it still is a member is Raft's to say.
pub fn node(view: &dyn View, id: NodeId) -> Result<Option<NodeRow>, ViewFault> {
    read(view, &node_key(id))
}

/// Nodes in order of their number, after `after`, at most `limit` (and [`PAGE_ROWS_MAX`]).
pub fn nodes(view: &dyn View, after: Option<NodeId>, limit: usize) -> Result<Vec<(NodeId, NodeRow)>, ViewFault> {
    let mut range = KeyRange::with_start(key(prefix::NODE, &[]));
    if let Some(after) = after {
        range = range.after(&node_key(after));
    }
    let found = view.range(&range.from, &range.to, Order::Ascending, limit.min(PAGE_ROWS_MAX))?;
    found.iter().map(|(key, value)| by_node(key, value)).collect()
}

/// Key of a join token's row.
pub fn join_token_key(token: &Tag) -> Vec<u8> {
    key(prefix::JOIN_TOKEN, &[&token.0])
}

/// A join token that was not spent yet; it may be too old.
pub fn join_token(view: &dyn View, token: &Tag) -> Result<Option<JoinTokenRow>, ViewFault> {
    read(view, &join_token_key(token))
}

/// Join tokens that were not spent, in order of their digest, at most `limit` (and [`PAGE_ROWS_MAX`]).
pub fn join_tokens(view: &dyn View, limit: usize) -> Result<Vec<JoinTokenRow>, ViewFault> {
    let range = KeyRange::with_start(key(prefix::JOIN_TOKEN, &[]));
    let found = view.range(&range.from, &range.to, Order::Ascending, limit.min(PAGE_ROWS_MAX))?;
    found.iter().map(|(key, value)| decode(key, value)).collect()
}

/// Key of a unit's row.
pub fn unit_key(id: UnitId) -> Vec<u8> {
    key(prefix::UNIT, &[id.as_bytes()])
}

/// A unit.
pub fn unit(view: &dyn View, id: UnitId) -> Result<Option<UnitRow>, ViewFault> {
    read(view, &unit_key(id))
}

/// Key of the row that leads from a slug to its unit.
pub fn unit_slug_key(slug: &str) -> Vec<u8> {
    key(prefix::UNIT_SLUG, &[slug.as_bytes()])
}

/// The unit with this short name.
pub fn unit_by_slug(view: &dyn View, slug: &str) -> Result<Option<UnitId>, ViewFault> {
    read(view, &unit_slug_key(slug))
}

/// Units in order of their id, after `after`, at most `limit` (and [`PAGE_ROWS_MAX`]).
pub fn units(view: &dyn View, after: Option<UnitId>, limit: usize) -> Result<Vec<(UnitId, UnitRow)>, ViewFault> {
    let found = by_id(view, prefix::UNIT, after.map(|id| *id.as_bytes()), limit)?;
    found.into_iter().map(|(id, key, value)| Ok((UnitId::from_bytes(id), decode(&key, &value)?))).collect()
}

/// Key of a professional's row.
pub fn practitioner_key(id: PractitionerId) -> Vec<u8> {
    key(prefix::PRACTITIONER, &[id.as_bytes()])
}

/// A professional.
pub fn practitioner(view: &dyn View, id: PractitionerId) -> Result<Option<PractitionerRow>, ViewFault> {
    read(view, &practitioner_key(id))
}

/// Key of the mark of a professional in their unit.
pub fn practitioner_by_unit_key(unit: UnitId, id: PractitionerId) -> Vec<u8> {
    key(prefix::PRACTITIONER_BY_UNIT, &[unit.as_bytes(), id.as_bytes()])
}

/// Professionals in order of their id, of one unit or of all, after `after`, at most `limit` (and [`PAGE_ROWS_MAX`]).
pub fn practitioners(
    view: &dyn View,
    of: Option<UnitId>,
    after: Option<PractitionerId>,
    limit: usize,
) -> Result<Vec<(PractitionerId, PractitionerRow)>, ViewFault> {
    let after = after.map(|id| *id.as_bytes());
    let found = PRACTITIONERS.page(view, of, after, limit)?;
    found.into_iter().map(|(id, key, value)| Ok((PractitionerId::from_bytes(id), decode(&key, &value)?))).collect()
}

/// Key of a room's row.
pub fn room_key(id: RoomId) -> Vec<u8> {
    key(prefix::ROOM, &[id.as_bytes()])
}

/// A room.
pub fn room(view: &dyn View, id: RoomId) -> Result<Option<RoomRow>, ViewFault> {
    read(view, &room_key(id))
}

/// Key of the mark of a room in its unit.
pub fn room_by_unit_key(unit: UnitId, id: RoomId) -> Vec<u8> {
    key(prefix::ROOM_BY_UNIT, &[unit.as_bytes(), id.as_bytes()])
}

/// Rooms in order of their id, of one unit or of all, after `after`, at most `limit` (and [`PAGE_ROWS_MAX`]).
pub fn rooms(
    view: &dyn View,
    of: Option<UnitId>,
    after: Option<RoomId>,
    limit: usize,
) -> Result<Vec<(RoomId, RoomRow)>, ViewFault> {
    let after = after.map(|id| *id.as_bytes());
    let found = ROOMS.page(view, of, after, limit)?;
    found.into_iter().map(|(id, key, value)| Ok((RoomId::from_bytes(id), decode(&key, &value)?))).collect()
}

type Found = Vec<([u8; 16], Vec<u8>, Vec<u8>)>;

/// Rows `prefix | id[16]` after one of them.
pub(super) fn by_id(view: &dyn View, prefix: u8, after: Option<[u8; 16]>, limit: usize) -> Result<Found, ViewFault> {
    let mut range = KeyRange::with_start(key(prefix, &[]));
    if let Some(after) = after {
        range = range.after(&key(prefix, &[&after]));
    }
    let found = view.range(&range.from, &range.to, Order::Ascending, limit.min(PAGE_ROWS_MAX))?;
    found.into_iter().map(|(key, value)| Ok((last_id(&key)?, key, value))).collect()
}

/// Rows `rows | id[16]`, each with one mark `marks | unit[16] | id[16]`.
struct OfUnits {
    rows: u8,
    marks: u8,
}

const PRACTITIONERS: OfUnits = OfUnits { rows: prefix::PRACTITIONER, marks: prefix::PRACTITIONER_BY_UNIT };
const ROOMS: OfUnits = OfUnits { rows: prefix::ROOM, marks: prefix::ROOM_BY_UNIT };

impl OfUnits {
    /// Those of one unit or of all, in order of their id, after one of them.
    fn page(
        &self,
        view: &dyn View,
        of: Option<UnitId>,
        after: Option<[u8; 16]>,
        limit: usize,
    ) -> Result<Found, ViewFault> {
        let Some(unit) = of else { return by_id(view, self.rows, after, limit) };
        let mut range = KeyRange::with_start(key(self.marks, &[unit.as_bytes()]));
        if let Some(after) = after {
            range = range.after(&key(self.marks, &[unit.as_bytes(), &after]));
        }
        let found = view.range(&range.from, &range.to, Order::Ascending, limit.min(PAGE_ROWS_MAX))?;
        found
            .into_iter()
            .map(|(mark, _)| {
                let id = last_id(&mark)?;
                let row = key(self.rows, &[&id]);
                let value = view.get(&row)?.ok_or(ViewFault::Row { prefix: self.marks })?;
                Ok((id, row, value))
            })
            .collect()
    }
}
