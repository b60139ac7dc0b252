//! The links between nodes, and scissors for them.
//!
//! All nodes share one machine, so a relay tells who calls by the process that owns the other end of the connection
//! (`/proc/net/tcp` gives the socket's inode, `/proc/<pid>/fd` its owner). Linux only, as the daemon is.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, SocketAddrV4, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

/// Which nodes there are, which links are cut, and what runs over them.
#[derive(Default)]
pub struct Links(Mutex<Inner>);

#[derive(Default)]
struct Inner {
    processes: BTreeMap<String, u32>,
    cut: BTreeSet<(String, String)>,
    open: Vec<(String, String, TcpStream, TcpStream)>,
}

impl Links {
    /// The process that is node `name` now.
    pub fn is(&self, name: &str, process: u32) {
        self.0.lock().unwrap().processes.insert(name.to_owned(), process);
    }

    /// Cuts the link between two nodes, both ways, and what runs over it.
    pub fn cut(&self, a: &str, b: &str) {
        let mut inner = self.0.lock().unwrap();
        let between = |from: &str, to: &str| (from == a && to == b) || (from == b && to == a);
        inner.cut.extend([(a.to_owned(), b.to_owned()), (b.to_owned(), a.to_owned())]);
        inner.open.retain(|(from, to, left, right)| {
            let cut = between(from, to);
            if cut {
                let _ = left.shutdown(Shutdown::Both);
                let _ = right.shutdown(Shutdown::Both);
            }
            !cut
        });
    }

    /// Mends every link.
    pub fn mend(&self) {
        self.0.lock().unwrap().cut.clear();
    }

    /// Connections that run now between two nodes.
    pub fn open_between(&self, a: &str, b: &str) -> usize {
        let inner = self.0.lock().unwrap();
        inner.open.iter().filter(|(from, to, ..)| (from == a && to == b) || (from == b && to == a)).count()
    }

    fn caller(&self, ours: SocketAddr, theirs: SocketAddr) -> String {
        let inode = socket_inode(theirs, ours);
        let processes = self.0.lock().unwrap().processes.clone();
        let of = |process: u32| inode.is_some_and(|inode| owns(process, inode));
        processes.into_iter().find(|(_, process)| of(*process)).map_or_else(String::new, |(name, _)| name)
    }

    /// Takes the connection over, unless the link is cut.
    fn admit(&self, from: &str, to: &str, left: &TcpStream, right: &TcpStream) -> bool {
        let mut inner = self.0.lock().unwrap();
        if inner.cut.contains(&(from.to_owned(), to.to_owned())) {
            return false;
        }
        inner.open.push((from.to_owned(), to.to_owned(), left.try_clone().unwrap(), right.try_clone().unwrap()));
        true
    }

    fn close(&self, left: SocketAddr) {
        self.0.lock().unwrap().open.retain(|(_, _, open, _)| open.peer_addr().is_ok_and(|address| address != left));
    }
}

/// Stands before one node's peer port for as long as the test runs.
#[derive(Debug)]
pub struct Relay;

impl Relay {
    /// Relays `from` to `to`, the peer port of node `name`. The thread ends with the process.
    pub fn start(links: &Arc<Links>, name: &str, from: SocketAddr, to: SocketAddr) {
        let listener = TcpListener::bind(from).unwrap_or_else(|error| panic!("relay on {from}: {error}"));
        let (links, name) = (Arc::clone(links), name.to_owned());
        thread::spawn(move || {
            for left in listener.incoming() {
                let Ok(left) = left else { continue };
                let (links, name) = (Arc::clone(&links), name.clone());
                thread::spawn(move || relay(&links, &name, left, to));
            }
        });
    }
}

fn relay(links: &Links, name: &str, left: TcpStream, to: SocketAddr) {
    let (Ok(ours), Ok(theirs)) = (left.local_addr(), left.peer_addr()) else { return };
    let from = links.caller(ours, theirs);
    let Ok(right) = TcpStream::connect(to) else { return };
    let _ = left.set_nodelay(true);
    let _ = right.set_nodelay(true);
    if !links.admit(&from, name, &left, &right) {
        return;
    }
    let back = (right.try_clone().unwrap(), left.try_clone().unwrap());
    let backwards = thread::spawn(move || pour(back.0, back.1));
    pour(left, right);
    let _ = backwards.join();
    links.close(theirs);
}

fn pour(mut from: TcpStream, mut to: TcpStream) {
    let mut buffer = vec![0; 64 << 10];
    while let Ok(count) = from.read(&mut buffer) {
        if count == 0 || to.write_all(&buffer[..count]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Both);
    let _ = from.shutdown(Shutdown::Both);
}

fn hex(address: SocketAddr) -> String {
    let SocketAddr::V4(address) = address else { return String::new() };
    format!("{:08X}:{:04X}", u32::from_le_bytes(address.ip().octets()), address.port())
}

fn socket_inode(local: SocketAddr, remote: SocketAddr) -> Option<u64> {
    let table = std::fs::read_to_string("/proc/net/tcp").ok()?;
    let (local, remote) = (hex(local), hex(remote));
    table.lines().find_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        (fields.get(1) == Some(&local.as_str()) && fields.get(2) == Some(&remote.as_str()))
            .then(|| fields.get(9)?.parse().ok())
            .flatten()
    })
}

fn owns(process: u32, inode: u64) -> bool {
    let wanted = format!("socket:[{inode}]");
    std::fs::read_dir(format!("/proc/{process}/fd"))
        .into_iter()
        .flatten()
        .flatten()
        .any(|entry| std::fs::read_link(entry.path()).is_ok_and(|target| target.to_str() == Some(wanted.as_str())))
}

/// An address of its own for the `nth` node that this process starts.
pub fn address(nth: u8, port: u16) -> SocketAddr {
    let process = std::process::id();
    let octet = |shift: u32| u8::try_from((process >> shift) & 0xff).unwrap();
    // 127.0.0.0/16 belongs to whoever types 127.0.0.1.
    SocketAddrV4::new(Ipv4Addr::new(127, 64 + (octet(8) & 0x3f), octet(0), nth), port).into()
}
