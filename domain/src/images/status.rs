//! How safe an image is, computed from receipts of current stores, and whether it may be read. A receipt says that the
//! bytes were durable when it was given; whether they still are is for the scrub of each node to say.

use super::{COPIES_WANTED, SITES_MIN};
use crate::command::Purpose;
use crate::consent;
use crate::id::{DiskId, NodeId, StoreIncarnation, UploadId};
use crate::outcome::Rejection;
use crate::rows::{self, ImageRow, PartOf, PartRow};
use crate::time::ClusterTime;
use crate::view::{View, ViewFault};
use std::collections::{BTreeMap, BTreeSet};

/// A node with a chunk store that counts.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Holder {
    /// Its directory.
    pub incarnation: StoreIncarnation,
    /// The disk below.
    pub disk: DiskId,
    /// What that disk is.
    pub medium: String,
    /// Where the node stands.
    pub site: String,
    /// In which country.
    pub country: String,
    /// Whether it is off-site: it never holds the root key.
    pub off_site: bool,
}

impl Holder {
    fn of(view: &dyn View, node: NodeId) -> Result<Option<Self>, ViewFault> {
        let Some((store, row)) = rows::live_store(view, node)?.zip(rows::node(view, node)?) else { return Ok(None) };
        let rows::StoreRow { incarnation, disk, medium, .. } = store;
        let description = row.description;
        let (site, country, off_site) = (description.site, description.country, !description.keyed);
        Ok(Some(Self { incarnation, disk, medium, site, country, off_site }))
    }
}

/// All holders, read once to look at many images.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct Holders(pub BTreeMap<NodeId, Holder>);

impl Holders {
    /// As they are now; at most [`rows::PAGE_ROWS_MAX`].
    pub fn read(view: &dyn View) -> Result<Self, ViewFault> {
        let mut holders = BTreeMap::new();
        for (node, _) in rows::stores(view, None, rows::PAGE_ROWS_MAX)? {
            if let Some(holder) = Holder::of(view, node)? {
                holders.insert(node, holder);
            }
        }
        Ok(Self(holders))
    }
}

/// How many copies there are, by receipts: for an image, of its weakest part each.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct Copies {
    /// Nodes that have all of it.
    pub nodes: BTreeSet<NodeId>,
    /// The fewest nodes that have a part.
    pub copies: u32,
    /// The fewest sites.
    pub sites: u32,
    /// Whether each part is on an off-site node.
    pub off_site: bool,
}

/// Copies of one part. Receipts of stores that are gone do not count, nor those from before a deletion.
pub(super) fn copies_of_part(view: &dyn View, of: PartOf, part: &PartRow) -> Result<Copies, ViewFault> {
    let receipts = rows::receipts(view, of)?;
    let mut holders = BTreeMap::new();
    for (node, _) in &receipts {
        if let Some(holder) = Holder::of(view, *node)? {
            holders.insert(*node, holder);
        }
    }
    Ok(count(&Holders(holders), part, &receipts))
}

fn count(holders: &Holders, part: &PartRow, receipts: &[(NodeId, rows::ReceiptRow)]) -> Copies {
    let counting = receipts.iter().filter_map(|(node, receipt)| {
        let holder = holders.0.get(node)?;
        let counts = holder.incarnation == receipt.incarnation && receipt.gc_epoch >= part.epoch;
        counts.then_some((*node, holder))
    });
    let found: BTreeMap<NodeId, &Holder> = counting.collect();
    // Bounded by the page of receipts.
    let number = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
    Copies {
        copies: number(found.len()),
        sites: number(found.values().map(|holder| &holder.site).collect::<BTreeSet<_>>().len()),
        off_site: found.values().any(|holder| holder.off_site),
        nodes: found.into_keys().collect(),
    }
}

impl Copies {
    /// Of an upload, or of the image that it became: its parts as they are there. None at all of one without parts.
    pub fn of(view: &dyn View, holders: &Holders, upload: UploadId) -> Result<Self, ViewFault> {
        let mut weakest: Option<Self> = None;
        for (part, held) in rows::parts(view, upload, None, rows::PAGE_ROWS_MAX)? {
            let found = count(holders, &held, &rows::receipts(view, PartOf { upload, part })?);
            weakest = Some(match weakest {
                None => found,
                Some(before) => Self {
                    nodes: before.nodes.intersection(&found.nodes).copied().collect(),
                    copies: before.copies.min(found.copies),
                    sites: before.sites.min(found.sites),
                    off_site: before.off_site && found.off_site,
                },
            });
        }
        Ok(weakest.unwrap_or_default())
    }

    /// What they come to for a committed image.
    pub fn status(&self, holders: &Holders) -> ImageStatus {
        let all = u32::try_from(holders.0.len()).unwrap_or(u32::MAX);
        if self.sites < SITES_MIN {
            ImageStatus::AtRisk
        } else if self.copies < COPIES_WANTED.min(all) {
            ImageStatus::Committed
        } else if !self.off_site {
            ImageStatus::Replicated
        } else {
            ImageStatus::Protected
        }
    }
}

/// How safe a committed image is (DESIGN section 8).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum ImageStatus {
    /// A store was lost since: fewer than two sites have it until it is repaired.
    AtRisk,
    /// On two sites.
    Committed,
    /// Three copies, or as many as there are nodes.
    Replicated,
    /// One of them off-site.
    Protected,
}

/// Whether a revoked consent blocks reading an image at an instant, and with what answer. A consent that ran out blocks
/// new images only: what was taken under it belongs to the record. A later consent of the same patient to clinical
/// images lifts the block.
pub fn read_block(view: &dyn View, image: &ImageRow, at: ClusterTime) -> Result<Option<Rejection>, ViewFault> {
    let linked = rows::consent(view, image.consent)?;
    if linked.is_some_and(|row| row.revoked_at.is_none_or(|revoked| at < revoked)) {
        return Ok(None);
    }
    let mut after = None;
    loop {
        let page = rows::consents_of_patient(view, image.patient, after, rows::PAGE_ROWS_MAX)?;
        if page.iter().any(|(_, row)| consent::covers(row, Purpose::ClinicalImages, at)) {
            return Ok(None);
        }
        match page.last() {
            Some((last, _)) if page.len() == rows::PAGE_ROWS_MAX => after = Some(*last),
            _ => return Ok(Some(Rejection::Revoked)),
        }
    }
}
