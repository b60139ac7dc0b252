//! What does not pass between nodes, or passes late; the first as rules of nftables for each node: what comes in is looked at, so a cut has a direction.
//! Programs and operators reach every node all the while.

use crate::faults::Fault;
use std::collections::BTreeSet;
use std::fmt::Write;
use std::net::Ipv4Addr;

/// Everything that is cut now.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Cuts {
    /// From the first to the second.
    pub(crate) pairs: BTreeSet<(usize, usize)>,
    /// Of a hundred packets.
    pub(crate) loss_percent: u32,
    /// Of a thousand packets.
    pub(crate) reset_per_mille: u32,
    pub(crate) no_connections: bool,
    /// So many milliseconds late is what passes, at least and at most: for relays, not for filters.
    pub(crate) late_ms: [u64; 2],
}

impl Cuts {
    /// Cuts a node off from all others.
    pub(crate) fn isolate(&mut self, node: usize, count: usize) {
        for other in (0..count).filter(|other| *other != node) {
            self.pairs.extend([(node, other), (other, node)]);
        }
    }

    /// Adds what a fault cuts among `count` nodes, of which it meets `met`; most faults cut nothing.
    pub(crate) fn add(&mut self, fault: &Fault, met: &[usize], count: usize) {
        match *fault {
            Fault::Isolate(_) | Fault::Flap { .. } => met.iter().for_each(|node| self.isolate(*node, count)),
            Fault::OneWay { from, to } => drop(self.pairs.insert((from, to))),
            Fault::Cut { one, other } => self.pairs.extend([(one, other), (other, one)]),
            Fault::Loss { percent } => self.loss_percent = self.loss_percent.max(percent),
            Fault::Reset { per_mille } => self.reset_per_mille = self.reset_per_mille.max(per_mille),
            Fault::NoConnections => self.no_connections = true,
            Fault::Delay { least_ms, most_ms } => self.late_ms = self.late_ms.max([least_ms, most_ms]),
            _ => {}
        }
    }

    /// The rules of the node at position `at`, in place of whatever was there; `addresses` are those of all nodes.
    pub(crate) fn rules(&self, at: usize, addresses: &[Ipv4Addr]) -> String {
        let mut rules = String::from("table inet chaos\ndelete table inet chaos\ntable inet chaos {\n");
        rules.push_str("  chain input {\n    type filter hook input priority 0;\n");
        // Writing into a string does not fail.
        for (from, address) in addresses.iter().enumerate().filter(|(from, _)| *from != at) {
            if self.pairs.contains(&(from, at)) {
                let _ = writeln!(rules, "    ip saddr {address} drop");
            }
            if self.no_connections {
                let _ = writeln!(rules, "    ip saddr {address} tcp flags & (syn | ack) == syn drop");
            }
            if self.loss_percent > 0 {
                let percent = self.loss_percent;
                let _ = writeln!(rules, "    ip saddr {address} numgen random mod 100 < {percent} drop");
            }
            if self.reset_per_mille > 0 {
                let (part, protocol) = (self.reset_per_mille, "meta l4proto tcp");
                let end = "reject with tcp reset";
                let _ = writeln!(rules, "    ip saddr {address} {protocol} numgen random mod 1000 < {part} {end}");
            }
        }
        rules.push_str("  }\n}\n");
        rules
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ADDRESSES: [Ipv4Addr; 3] =
        [Ipv4Addr::new(198, 18, 0, 1), Ipv4Addr::new(198, 18, 0, 2), Ipv4Addr::new(198, 18, 0, 3)];

    #[test]
    fn a_one_way_cut_is_at_its_end_only() {
        let cuts = Cuts { pairs: [(0, 1)].into(), ..Cuts::default() };
        let drops = |at| cuts.rules(at, &ADDRESSES).matches("drop").count();
        assert_eq!([0, 1, 2].map(drops), [0, 1, 0]);
        assert!(cuts.rules(1, &ADDRESSES).contains("ip saddr 198.18.0.1 drop"));
    }

    #[test]
    fn isolation_is_in_both_directions_and_nothing_leaves_no_rule() {
        let mut cuts = Cuts::default();
        assert_eq!(cuts.rules(0, &ADDRESSES).matches("saddr").count(), 0);
        cuts.isolate(2, 3);
        let drops = |at| cuts.rules(at, &ADDRESSES).matches("drop").count();
        assert_eq!([0, 1, 2].map(drops), [1, 1, 2]);
    }

    #[test]
    fn a_fault_adds_what_it_cuts_and_a_kill_nothing() {
        use crate::faults::Whom;
        let of = |faults: &[Fault]| {
            let mut cuts = Cuts::default();
            faults.iter().for_each(|fault| cuts.add(fault, &[1], 3));
            cuts
        };
        assert_eq!(of(&[Fault::Kill(Whom::Node(1))]), Cuts::default());
        assert_eq!(of(&[Fault::OneWay { from: 2, to: 0 }]).pairs, [(2, 0)].into());
        assert_eq!(of(&[Fault::Isolate(Whom::Node(1))]).pairs, [(0, 1), (1, 0), (1, 2), (2, 1)].into());
        let (light, heavy) = (Fault::Loss { percent: 2 }, Fault::Loss { percent: 30 });
        assert_eq!(of(&[heavy, light]).loss_percent, 30);
        let (near, far) = (Fault::Delay { least_ms: 5, most_ms: 20 }, Fault::Delay { least_ms: 50, most_ms: 200 });
        assert_eq!(of(&[far, near]).late_ms, [50, 200]);
    }

    #[test]
    fn loss_and_ends_of_connections_meet_other_nodes_only() {
        let cuts = Cuts { loss_percent: 7, reset_per_mille: 3, no_connections: true, ..Cuts::default() };
        let rules = cuts.rules(0, &ADDRESSES);
        assert!(!rules.contains("198.18.0.1"), "{rules}");
        assert_eq!((rules.matches("< 7 drop").count(), rules.matches("< 3 reject").count()), (2, 2));
    }
}
