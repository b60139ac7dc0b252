//! `plantaod probe`: whether the node on this machine runs, for a container without a shell, a supervisor or a script. It
//! reads the node's metrics, because the other listeners speak to certificates only, and a supervisor has none.

use super::ConfigArguments;
use crate::telemetry::metrics::RAFT_LEADER_KNOWN;
use anyhow::{Context, bail, ensure};
use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// For the whole answer: below what Docker and Kubernetes wait by default would be too little for a loaded machine.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(5);
/// A node's metrics are some ten kilobytes.
const ANSWER_BYTES_MAX: usize = 1024 * 1024;

/// Asks the metrics listener of the node on this machine.
#[derive(Debug, clap::Args)]
pub struct Probe {
    #[command(flatten)]
    config: ConfigArguments,
    /// Only when it knows a leader, so that it can take writes.
    #[arg(long)]
    leader: bool,
}

/// Runs it.
///
/// # Errors
/// The configuration is wrong, no listener is configured, or the node does not answer as it must.
pub fn run(arguments: &Probe) -> anyhow::Result<()> {
    let config = arguments.config.load()?;
    let listen =
        config.metrics_listen.context("listen.metrics is not set, and only that answers without a certificate")?;
    let answer = ask(reachable(listen))?;
    if arguments.leader && !knows_a_leader(&answer) {
        bail!("the node knows no leader: nothing can be written through it");
    }
    Ok(())
}

/// Where a listener is reached on the same machine.
fn reachable(listen: SocketAddr) -> SocketAddr {
    let loopback: IpAddr = if listen.is_ipv4() { Ipv4Addr::LOCALHOST.into() } else { Ipv6Addr::LOCALHOST.into() };
    if listen.ip().is_unspecified() { SocketAddr::new(loopback, listen.port()) } else { listen }
}

fn ask(address: SocketAddr) -> anyhow::Result<String> {
    let until = Instant::now() + ANSWER_TIME_MAX;
    let mut stream = TcpStream::connect_timeout(&address, ANSWER_TIME_MAX)
        .with_context(|| format!("nobody answers on {address}"))?;
    let request = format!("GET /metrics HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.set_write_timeout(Some(ANSWER_TIME_MAX)).context("a time limit cannot be set")?;
    stream.write_all(request.as_bytes()).context("the question cannot be sent")?;
    let (mut answer, mut piece) = (Vec::new(), [0; 16 * 1024]);
    loop {
        let left = until.saturating_duration_since(Instant::now());
        ensure!(!left.is_zero(), "no whole answer within {ANSWER_TIME_MAX:?}");
        stream.set_read_timeout(Some(left)).context("a time limit cannot be set")?;
        let count = stream.read(&mut piece).context("the answer cannot be read")?;
        if count == 0 {
            break;
        }
        answer.extend_from_slice(&piece[..count]);
        ensure!(answer.len() <= ANSWER_BYTES_MAX, "the answer is longer than that of a node");
    }
    let answer = String::from_utf8_lossy(&answer).into_owned();
    ensure!(answer.starts_with("HTTP/1.1 200 "), "what answers on {address} is no node in good order");
    Ok(answer)
}

fn knows_a_leader(answer: &str) -> bool {
    answer.lines().any(|line| line.strip_prefix(RAFT_LEADER_KNOWN).is_some_and(|value| value.trim() == "1"))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use std::net::TcpListener;

    /// One connection that reads a question and gives these bytes.
    fn answering(bytes: &'static [u8]) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut question = Vec::new();
            let mut byte = [0];
            while !question.ends_with(b"\r\n\r\n") {
                assert_eq!(stream.read(&mut byte).unwrap(), 1);
                question.push(byte[0]);
            }
            stream.write_all(bytes).unwrap();
        });
        address
    }

    #[test]
    fn only_a_node_in_good_order_is_one() {
        let good = ask(answering(b"HTTP/1.1 200 OK\r\n\r\nplantao_raft_leader_known 1\n")).unwrap();
        assert!(knows_a_leader(&good));
        let alone = ask(answering(b"HTTP/1.1 200 OK\r\n\r\nplantao_raft_leader_known 0\n")).unwrap();
        assert!(!knows_a_leader(&alone));
        for bad in [b"".as_slice(), b"HTTP/1.1 500 no\r\n\r\n", b"SSH-2.0-x\r\n", b"\xff\xfe"] {
            assert!(ask(answering(bad)).is_err(), "{bad:?}");
        }
        let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        assert!(ask(closed).is_err());
    }

    #[test]
    fn a_listener_on_every_address_is_asked_on_loopback() {
        let at = |text: &str| reachable(text.parse().unwrap()).to_string();
        assert_eq!(at("0.0.0.0:7403"), "127.0.0.1:7403");
        assert_eq!(at("[::]:7403"), "[::1]:7403");
        assert_eq!(at("10.0.0.1:7403"), "10.0.0.1:7403");
    }
}
