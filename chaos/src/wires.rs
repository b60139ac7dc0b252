//! Wires between the nodes of a network on one machine: a network namespace for each node, all on one bridge, and the last one
//! behind a thin line where that is wanted. Needs Linux, `ip` and `tc` of iproute2, and the rights of root. Never here: nodes.
//!
//! ```text
//! this program 198.18.N.254 ── veth ──┐ namespace of its own: bridge
//!       │                             ├─ veth ── namespace of node 1   198.18.N.1
//!       │                             ├─ veth ── namespace of node 2   198.18.N.2
//!       │                             └─ veth ── namespace of node 3   198.18.N.3    tc tbf on both ends
//!       └──────── 198.19.N.1 ── veth ─────────── the same   198.19.N.2    open: what is asked loads no line
//! ```
//! The bridge has a namespace because a computer that runs containers filters what its own bridges forward.
//! These addresses are those of benchmarks (RFC 2544). Names carry the number of this process, and all of it is removed with
//! the value, whatever happened.

use plantao_node::local_network::Endpoints;
use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::process::{Command, Stdio};

/// Why there are no wires.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Cannot {
    /// The program is not here.
    #[error("`{program}` cannot be started: install iproute2")]
    NoProgram {
        /// Which.
        program: &'static str,
        #[source]
        source: io::Error,
    },
    /// It did not do it.
    #[error(
        "`{command}` failed: {said}; namespaces and shaped lines need root (or CAP_NET_ADMIN and CAP_SYS_ADMIN) and a kernel \
         with veth, bridge and sch_tbf"
    )]
    Refused {
        /// With its arguments.
        command: String,
        /// Its own words.
        said: String,
    },
}

/// A line that is thin: what `tc tbf` is told, on both of its ends.
#[derive(Clone, Debug)]
pub(crate) struct Line {
    /// As `1mbit`.
    pub(crate) rate: String,
    /// As `16kb`: what may pass at once.
    pub(crate) burst: String,
    /// As `400ms`: how long a packet may wait in the queue before it is dropped.
    pub(crate) latency: String,
}

/// The wires of one network.
pub(crate) struct Wires {
    /// Namespace of the bridge, and this computer's end of the wire to it.
    hub: String,
    /// Third number of its addresses.
    net: u8,
    /// By node; of those that were made.
    namespaces: Vec<String>,
    management: String,
    /// Whether the last node is behind a thin line.
    is_thin: bool,
    is_laid: bool,
}

const BRIDGE: &str = "hub";

/// Ports of each node; each has an address of its own.
const PUBLIC: u16 = 7_400;
const ADMIN: u16 = 7_401;
const PEER: u16 = 7_402;
const METRICS: u16 = 7_403;

impl Wires {
    /// Wires for `count` nodes (at most 250), the last one behind `line` if there is one. `nth` (0 or 1) tells networks of one
    /// process apart.
    pub(crate) fn lay(nth: u8, count: u8, line: Option<&Line>) -> Result<Self, Cannot> {
        let pid = std::process::id();
        let net = u8::try_from(pid % 120).unwrap_or(0) * 2 + nth % 2;
        let prefix = format!("plt{pid}{}", char::from(b'a' + nth % 26));
        let mut wires = Self {
            hub: prefix.clone(),
            net,
            namespaces: Vec::new(),
            management: format!("{prefix}m"),
            is_thin: line.is_some(),
            is_laid: false,
        };
        ip(&["netns", "add", &prefix])?;
        wires.is_laid = true;
        ip(&["-n", &prefix, "link", "add", BRIDGE, "type", "bridge"])?;
        ip(&["-n", &prefix, "link", "set", BRIDGE, "up"])?;
        ip(&["link", "add", &prefix, "type", "veth", "peer", "name", "out", "netns", &prefix])?;
        ip(&["-n", &prefix, "link", "set", "out", "master", BRIDGE, "up"])?;
        ip(&["address", "add", &format!("198.18.{net}.254/24"), "dev", &prefix])?;
        ip(&["link", "set", &prefix, "up"])?;
        for node in 1..=count {
            let (namespace, outer) = (format!("{prefix}{node}"), format!("node{node}"));
            ip(&["netns", "add", &namespace])?;
            wires.namespaces.push(namespace.clone());
            ip(&["-n", &prefix, "link", "add", &outer, "type", "veth", "peer", "name", "eth0", "netns", &namespace])?;
            ip(&["-n", &prefix, "link", "set", &outer, "master", BRIDGE, "up"])?;
            let address = format!("198.18.{net}.{node}/24");
            ip(&["-n", &namespace, "address", "add", &address, "dev", "eth0"])?;
            ip(&["-n", &namespace, "link", "set", "eth0", "up"])?;
            ip(&["-n", &namespace, "link", "set", "lo", "up"])?;
            if let Some(line) = line.filter(|_| node == count) {
                let shape = ["root", "tbf", "rate", &line.rate, "burst", &line.burst, "latency", &line.latency];
                tc(&[&["-n", &prefix, "qdisc", "add", "dev", &outer][..], &shape].concat())?;
                tc(&[&["-n", &namespace, "qdisc", "add", "dev", "eth0"][..], &shape].concat())?;
                wires.lay_management(&namespace)?;
            }
        }
        Ok(wires)
    }

    /// A wire of its own for questions, off the bridge, so that neither end answers for the other's address there.
    fn lay_management(&self, namespace: &str) -> Result<(), Cannot> {
        let outer = &self.management;
        ip(&["link", "add", outer, "type", "veth", "peer", "name", "mgmt", "netns", namespace])?;
        ip(&["address", "add", &format!("198.19.{}.1/30", self.net), "dev", outer])?;
        ip(&["link", "set", outer, "up"])?;
        ip(&["-n", namespace, "address", "add", &format!("198.19.{}.2/30", self.net), "dev", "mgmt"])?;
        ip(&["-n", namespace, "link", "set", "mgmt", "up"])
    }

    /// Where the node at position `at` listens.
    pub(crate) fn endpoints(&self, at: usize) -> Endpoints {
        let is_thin = self.is_thin && at + 1 == self.namespaces.len();
        let own = IpAddr::V4(self.address(at));
        let asked = if is_thin { IpAddr::V4(Ipv4Addr::new(198, 19, self.net, 2)) } else { own };
        let peer = SocketAddr::new(own, PEER);
        Endpoints {
            public: SocketAddr::new(own, PUBLIC),
            admin: SocketAddr::new(asked, ADMIN),
            peer,
            metrics: SocketAddr::new(asked, METRICS),
            called_at: peer,
        }
    }

    /// Address of the node at position `at` on the bridge.
    pub(crate) fn address(&self, at: usize) -> Ipv4Addr {
        Ipv4Addr::new(198, 18, self.net, u8::try_from(at + 1).unwrap_or(u8::MAX))
    }

    /// What starts a program in the namespace of the node at position `at`.
    pub(crate) fn words(&self, at: usize) -> Vec<String> {
        let namespace = self.namespaces.get(at).cloned().unwrap_or_default();
        ["ip".to_owned(), "netns".to_owned(), "exec".to_owned(), namespace].to_vec()
    }
}

impl Wires {
    /// Gives the node at position `at` these rules of nftables, in place of those it had.
    pub(crate) fn filter(&self, at: usize, rules: &str) -> Result<(), Cannot> {
        let namespace = self.namespaces.get(at).map(String::as_str).unwrap_or_default();
        run("ip", &["netns", "exec", namespace, "nft", "-f", "-"], rules)
    }

    /// What the node at position `at` sends passes a line of so many kilobits a second; `None`: as much as it likes.
    pub(crate) fn thin(&self, at: usize, kbit: Option<u32>) -> Result<(), Cannot> {
        let namespace = self.namespaces.get(at).map(String::as_str).unwrap_or_default();
        match kbit {
            Some(kbit) => {
                let rate = format!("{kbit}kbit");
                let shape = ["root", "tbf", "rate", &rate, "burst", "16kb", "latency", "400ms"];
                tc(&[&["-n", namespace, "qdisc", "replace", "dev", "eth0"][..], &shape].concat())
            }
            None => tc(&["-n", namespace, "qdisc", "delete", "dev", "eth0", "root"]),
        }
    }
}

impl Drop for Wires {
    fn drop(&mut self) {
        // A pair of veth goes with either end. What cannot be removed here has nobody else to be told to.
        for namespace in &self.namespaces {
            let _ = ip(&["netns", "delete", namespace]);
        }
        if self.is_laid {
            let _ = ip(&["netns", "delete", &self.hub]);
        }
    }
}

fn ip(arguments: &[&str]) -> Result<(), Cannot> {
    run("ip", arguments, "")
}

fn tc(arguments: &[&str]) -> Result<(), Cannot> {
    run("tc", arguments, "")
}

/// Runs a program to its end; it reads `input`, which is small.
fn run(program: &'static str, arguments: &[&str], input: &str) -> Result<(), Cannot> {
    let running = || {
        let mut process = Command::new(program);
        process.args(arguments).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut process = process.spawn()?;
        // One that ended without reading says why.
        let _ = process.stdin.take().map(|mut stdin| stdin.write_all(input.as_bytes()));
        process.wait_with_output()
    };
    let output = running().map_err(|source| Cannot::NoProgram { program, source })?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr).trim().replace('\n', "; ");
    Err(Cannot::Refused { command: format!("{program} {}", arguments.join(" ")), said })
}
