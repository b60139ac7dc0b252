//! A relay before the peer port of one node, in that node's namespace: what passes, in either direction, comes late by as much as it is
//! told. Bytes of one connection keep their order; those of two do not, as on a line whose delay changes.
//!
//! ```text
//! other node ──► called at [ relay: due = now + chance ] ──► peer port of the node
//! ```
//! The relay is this program in a process of its own (`chaos relay`), steered by lines: `delay LEAST MOST`, in milliseconds.

use crate::ground::say;
use crate::seed::Chance;
use anyhow::{Context, bail};
use bytes::{Bytes, BytesMut};
use std::io::{BufRead, Write};
use std::net::SocketAddr;
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitCode, Stdio};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::time::Instant;

/// Connections at once; more wait to be accepted.
const CONNECTIONS_MAX: usize = 256;
/// What is read at once, and how many of these wait in one direction of a connection: one megabyte.
const READ_BYTES: usize = 16 << 10;
const WAITING_MAX: usize = 64;

/// Least and most.
type Late = [Duration; 2];

/// Where it stands.
#[derive(Debug, clap::Args)]
pub(crate) struct Serve {
    /// Where it is called.
    #[arg(long)]
    listen: SocketAddr,
    /// What it stands before.
    #[arg(long)]
    to: SocketAddr,
    /// Decides how late.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

/// Serves until its input ends.
pub(crate) async fn serve(arguments: &Serve) -> anyhow::Result<ExitCode> {
    let listener =
        TcpListener::bind(arguments.listen).await.with_context(|| format!("cannot listen on {}", arguments.listen))?;
    let (tell, late) = watch::channel([Duration::ZERO; 2]);
    tokio::spawn(accept(listener, arguments.to, late, Chance::of(arguments.seed, 0)));
    say("ready");
    let mut lines = tokio::io::BufReader::new(tokio::io::stdin()).lines();
    while let Some(line) = lines.next_line().await? {
        match parse(&line) {
            Some(late) => {
                tell.send_replace(late);
                say("ok");
            }
            None => say(&format!("{line:?} is no order: delay LEAST MOST, in milliseconds")),
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn parse(line: &str) -> Option<Late> {
    let (least, most) = line.strip_prefix("delay ")?.split_once(' ')?;
    let millis = |text: &str| text.parse().ok().map(Duration::from_millis);
    Some([millis(least)?, millis(most)?]).filter(|[least, most]| least <= most)
}

async fn accept(listener: TcpListener, to: SocketAddr, late: watch::Receiver<Late>, mut chance: Chance) {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        let Ok((caller, _)) = listener.accept().await else { continue };
        let (there, back) = (Chance::of(chance.word(), 0), Chance::of(chance.word(), 1));
        let late = late.clone();
        tokio::spawn(async move {
            // A node that is down answers nobody: the caller's connection ends.
            if let Ok(node) = TcpStream::connect(to).await {
                let _ = (caller.set_nodelay(true), node.set_nodelay(true));
                let ((from_caller, to_caller), (from_node, to_node)) = (caller.into_split(), node.into_split());
                tokio::join!(pump(from_caller, to_node, late.clone(), there), pump(from_node, to_caller, late, back));
            }
            drop(place);
        });
    }
}

/// One direction, until its end; what was read before the end still arrives.
async fn pump(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    late: watch::Receiver<Late>,
    mut chance: Chance,
) {
    let (send, mut waiting) = mpsc::channel::<(Instant, Bytes)>(WAITING_MAX);
    let reading = async move {
        let mut due = Instant::now();
        let mut buffer = BytesMut::new();
        loop {
            buffer.reserve(READ_BYTES);
            if !matches!(from.read_buf(&mut buffer).await, Ok(1..)) {
                return;
            }
            let [least, most] = *late.borrow();
            // Never before what was read earlier.
            due = due.max(Instant::now() + chance.between(least, most));
            if send.send((due, buffer.split().freeze())).await.is_err() {
                return;
            }
        }
    };
    let writing = async move {
        while let Some((due, bytes)) = waiting.recv().await {
            tokio::time::sleep_until(due).await;
            if to.write_all(&bytes).await.is_err() {
                return;
            }
        }
        // The other end may be gone already.
        let _ = to.shutdown().await;
    };
    tokio::join!(reading, writing);
}

/// A relay that runs. Dropping it ends it, and every connection through it.
#[derive(Debug)]
pub(crate) struct Relay {
    child: Child,
    orders: ChildStdin,
    answers: std::io::BufReader<ChildStdout>,
}

impl Relay {
    /// Starts one by way of `words` (as `ip netns exec NAME`), and waits until it listens.
    pub(crate) fn start(words: &[String], listen: SocketAddr, to: SocketAddr, seed: u64) -> anyhow::Result<Self> {
        let program = std::env::current_exe().context("cannot find this program's own file")?;
        let (first, rest) = words.split_first().context("no namespace")?;
        let mut command = Command::new(first);
        command.args(rest).arg(program).args(["relay", "--listen", &listen.to_string(), "--to", &to.to_string()]);
        command.args(["--seed", &seed.to_string()]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().with_context(|| format!("cannot start `{first}`"))?;
        let orders = child.stdin.take().context("a relay without orders")?;
        let answers = std::io::BufReader::new(child.stdout.take().context("a relay without answers")?);
        let mut relay = Self { child, orders, answers };
        relay.answer("ready")?;
        Ok(relay)
    }

    /// So late is what passes from now on: at least and at most, in milliseconds.
    pub(crate) fn delay(&mut self, [least, most]: [u64; 2]) -> anyhow::Result<()> {
        writeln!(self.orders, "delay {least} {most}").context("a relay takes no order")?;
        self.answer("ok")
    }

    fn answer(&mut self, expected: &str) -> anyhow::Result<()> {
        let mut said = String::new();
        self.answers.read_line(&mut said).context("a relay does not answer")?;
        if said.trim_end() != expected {
            bail!("a relay said {said:?} instead of {expected:?}");
        }
        Ok(())
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        // One that has ended already has nobody else to be told to.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn an_order_has_two_numbers_the_smaller_one_first() {
        assert_eq!(parse("delay 5 20"), Some([Duration::from_millis(5), Duration::from_millis(20)]));
        for line in ["", "delay", "delay 5", "delay 20 5", "delay a b", "delay -1 5", "late 1 2"] {
            assert_eq!(parse(line), None, "{line}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_passes_is_late_whole_and_in_order() {
        let (mut one, from) = tokio::io::duplex(1 << 16);
        let (to, mut other) = tokio::io::duplex(1 << 16);
        let late = Duration::from_millis(50)..=Duration::from_millis(400);
        let (_tell, told) = watch::channel([*late.start(), *late.end()]);
        tokio::spawn(pump(from, to, told, Chance::of(7, 0)));
        let began = Instant::now();
        // Fewer than may wait: what is read late is late for longer.
        for nth in 0..50_u8 {
            one.write_all(&[nth; 100]).await.unwrap();
            tokio::task::yield_now().await;
        }
        let sent = Instant::now();
        drop(one);
        let mut all = Vec::new();
        other.read_to_end(&mut all).await.unwrap();
        assert!(began.elapsed() >= *late.start(), "{:?}", began.elapsed());
        assert!(sent.elapsed() <= *late.end(), "{:?}", sent.elapsed());
        let expected: Vec<u8> = (0..50).flat_map(|nth| [nth; 100]).collect();
        assert_eq!(all, expected);
    }
}
