//! What copies come to: 3, 2 and 1. Pure.

use plantao_domain::{DiskId, NodeId};
use std::collections::{BTreeMap, BTreeSet};

/// Copies that are wanted.
const COPIES: u32 = 3;
/// Kinds of media that are wanted.
const MEDIA: u32 = 2;
/// Copies off-site that are wanted.
const OFF_SITE: u32 = 1;

/// Where a copy lies.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Place {
    /// The node.
    pub node: NodeId,
    /// The disk below, as the node found it.
    pub disk: DiskId,
    /// The node declares that this disk counts as one of its own, whatever was found.
    pub simulated: bool,
    /// What the disk is, as declared.
    pub medium: String,
    /// Whether the node can open nothing, and stands elsewhere.
    pub off_site: bool,
}

/// How many copies an object has.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct Safety {
    /// Distinct disks.
    pub copies: u32,
    /// Kinds of these disks.
    pub media: u32,
    /// Of these disks, those that are off-site.
    pub off_site: u32,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Disk {
    Found(DiskId),
    Declared(NodeId),
}

impl Safety {
    /// Of copies at these places; with `declared`, disks that nodes declare are taken for real.
    pub fn of<'a>(places: impl IntoIterator<Item = &'a Place>, declared: bool) -> Self {
        let mut disks: BTreeMap<Disk, &Place> = BTreeMap::new();
        for place in places {
            let disk = match place.simulated && declared {
                true => Disk::Declared(place.node),
                false => Disk::Found(place.disk),
            };
            let first = disks.entry(disk).or_insert(place);
            // A disk that is declared twice, once off-site, stands in one place only: the nearer one.
            if first.off_site && !place.off_site {
                *first = place;
            }
        }
        let number = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        Self {
            copies: number(disks.len()),
            media: number(disks.values().map(|place| place.medium.as_str()).collect::<BTreeSet<_>>().len()),
            off_site: number(disks.values().filter(|place| place.off_site).count()),
        }
    }

    /// Whether there are three copies.
    pub fn three(self) -> bool {
        self.copies >= COPIES
    }

    /// Whether they are on two media.
    pub fn two(self) -> bool {
        self.media >= MEDIA
    }

    /// Whether one is off-site.
    pub fn one(self) -> bool {
        self.off_site >= OFF_SITE
    }

    /// All three.
    pub fn holds(self) -> bool {
        self.three() && self.two() && self.one()
    }

    /// Of each the smaller.
    #[must_use]
    pub fn least(self, other: Self) -> Self {
        Self {
            copies: self.copies.min(other.copies),
            media: self.media.min(other.media),
            off_site: self.off_site.min(other.off_site),
        }
    }
}

/// What it comes to.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Verdict {
    /// 3, 2, 1 and no error.
    Holds,
    /// Likewise, but only because nodes declare simulated media.
    HoldsSimulated,
    /// Something is missing.
    DoesNotHold,
}

impl Verdict {
    /// Of what was found, of what nodes declare, and of errors.
    pub fn of(found: Safety, declared: Safety, errors: u64) -> Self {
        if errors > 0 || !declared.holds() {
            Self::DoesNotHold
        } else if found.holds() {
            Self::Holds
        } else {
            Self::HoldsSimulated
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(node: u64, disk: u8, medium: &str, off_site: bool) -> Place {
        let disk = DiskId::from_bytes([disk; 32]);
        Place { node: NodeId(node), disk, simulated: false, medium: medium.to_owned(), off_site }
    }

    fn of(places: &[Place]) -> (u32, u32, u32) {
        let Safety { copies, media, off_site } = Safety::of(places, true);
        (copies, media, off_site)
    }

    #[test]
    fn copies_on_one_disk_are_one_copy() {
        let three = [place(1, 1, "ssd", false), place(2, 2, "ssd", false), place(3, 3, "hdd", true)];
        assert_eq!(of(&three), (3, 2, 1));
        let shared = [place(1, 1, "ssd", false), place(2, 1, "hdd", false), place(3, 3, "hdd", true)];
        assert_eq!(of(&shared), (2, 2, 1));
        // What is declared off-site but lies on a disk of the unit is not off-site.
        let nearby = [place(1, 1, "ssd", false), place(2, 2, "hdd", false), place(3, 1, "tape", true)];
        assert_eq!(of(&nearby), (2, 2, 0));
        assert_eq!(of(&[three[2].clone(), three[2].clone()]), (1, 1, 1));
        assert_eq!(of(&[]), (0, 0, 0));
    }

    #[test]
    fn what_is_simulated_holds_by_that_name_only() {
        let mut places = vec![place(1, 1, "ssd", false), place(2, 1, "ssd", false), place(3, 1, "hdd", true)];
        let verdict =
            |places: &[Place], errors| Verdict::of(Safety::of(places, false), Safety::of(places, true), errors);
        assert_eq!(verdict(&places, 0), Verdict::DoesNotHold);
        places.iter_mut().for_each(|place| place.simulated = true);
        assert_eq!(verdict(&places, 0), Verdict::HoldsSimulated);
        assert_eq!(verdict(&places, 1), Verdict::DoesNotHold);
        // One that does not declare it shares its disk still.
        places[1].simulated = false;
        assert_eq!(Safety::of(&places, true).copies, 3, "a declared disk and the one found below it are two");
        let real = [place(1, 1, "ssd", false), place(2, 2, "ssd", false), place(3, 3, "hdd", true)];
        assert_eq!(verdict(&real, 0), Verdict::Holds);
        assert_eq!(verdict(&real[..2], 0), Verdict::DoesNotHold);
        let alike: Vec<Place> = real.iter().map(|place| Place { medium: "ssd".to_owned(), ..place.clone() }).collect();
        assert_eq!(verdict(&alike, 0), Verdict::DoesNotHold, "one kind of media");
    }
}
