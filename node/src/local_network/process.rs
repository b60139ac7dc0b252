//! Processes of `plantaod`: start, the line that says they are ready, signals, and how they end.

use super::layout::NodeFiles;
use super::{Error, NODE_TIME_MAX};
use rustix::process::{Pid, Signal, kill_process};
use std::fs::{self, File, OpenOptions};
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};
use tokio::time::timeout;

/// How much of a log's end an error shows.
const TAIL_BYTES: u64 = 2 << 10;

/// Most lines that are kept of what `init`, `join` or a stopping node says.
const LINES_MAX: usize = 200;

/// What a node says once it listens.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Ready {
    /// Its Raft number.
    pub node: u64,
    /// `host:port` for programs.
    pub public: String,
    /// `host:port` for operators.
    pub admin: String,
    /// `host:port` for nodes.
    pub peer: String,
}

/// Reads `ready node=N public=ADDR admin=ADDR peer=ADDR`; further words are passed over.
pub fn parse_ready(line: &str) -> Option<Ready> {
    let mut words = line.split_ascii_whitespace();
    if words.next() != Some("ready") {
        return None;
    }
    let (mut node, mut public, mut admin, mut peer) = (None, None, None, None);
    for (key, value) in words.filter_map(|word| word.split_once('=')) {
        match key {
            "node" => node = value.parse().ok(),
            "public" => public = Some(value.to_owned()),
            "admin" => admin = Some(value.to_owned()),
            "peer" => peer = Some(value.to_owned()),
            _ => {}
        }
    }
    Some(Ready { node: node?, public: public?, admin: admin?, peer: peer? })
}

/// How long the end of a killed process is waited for where nothing else can be done meanwhile.
const DROP_TIME_MAX: Duration = Duration::from_secs(5);

/// A `plantaod run`. Dropping it kills the process and sees it gone, so that its directory can be removed.
#[derive(Debug)]
pub(super) struct Running {
    node: String,
    log: PathBuf,
    child: Child,
    /// `None` once it was handed to the reader that keeps the pipe empty.
    lines: Option<Lines<BufReader<ChildStdout>>>,
    started: Instant,
}

/// What is started for a node.
#[derive(Clone, Debug)]
pub(super) struct Program {
    pub(super) path: PathBuf,
    /// Words before it that become it, as `ip netns exec NAME`; none: it is started itself.
    pub(super) through: Vec<String>,
}

impl Program {
    fn command(&self) -> Command {
        match self.through.split_first() {
            None => Command::new(&self.path),
            Some((first, rest)) => {
                let mut command = Command::new(first);
                command.args(rest).arg(&self.path);
                command
            }
        }
    }
}

fn command(program: &Program, files: &NodeFiles, command: &'static str) -> Result<Command, Error> {
    let log = OpenOptions::new().create(true).append(true).mode(0o600).open(&files.log);
    let log = log.map_err(Error::file("open", &files.log))?;
    let mut process = program.command();
    process.arg(command).arg("--config").arg(&files.config);
    // What the caller's own environment says is not meant for these nodes.
    for (name, _) in std::env::vars_os() {
        if name.to_str().is_some_and(|name| name.starts_with("PLANTAO_")) {
            process.env_remove(name);
        }
    }
    process.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log).kill_on_drop(true);
    // A Ctrl-C at the terminal is for the caller alone, who stops the nodes in order.
    process.process_group(0);
    Ok(process)
}

impl Running {
    pub(super) fn spawn(program: &Program, node: &str, files: &NodeFiles, settings: &[String]) -> Result<Self, Error> {
        let mut process = command(program, files, "run")?;
        for setting in settings {
            process.arg("--set").arg(setting);
        }
        let started = Instant::now();
        let mut child = process.spawn().map_err(|source| Error::Spawn { program: program.path.clone(), source })?;
        let lines = child.stdout.take().map(|stdout| BufReader::new(stdout).lines());
        Ok(Self { node: node.to_owned(), log: files.log.clone(), child, lines, started })
    }

    pub(super) fn pid(&self) -> Option<u32> {
        self.child.id()
    }

    /// Whether it has not ended.
    pub(super) fn runs(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Waits for the ready line; gives the time since the start.
    pub(super) async fn ready(&mut self) -> Result<Duration, Error> {
        let Some(mut lines) = self.lines.take() else { return Ok(Duration::ZERO) };
        let left = NODE_TIME_MAX.saturating_sub(self.started.elapsed());
        let line = match timeout(left, lines.next_line()).await {
            Ok(line) => line.ok().flatten(),
            Err(_) => {
                let what = format!("{} to be ready; its log: {}", self.node, self.log.display());
                return Err(Error::TimedOut { what, waited: NODE_TIME_MAX });
            }
        };
        let Some(line) = line else { return Err(self.ended("run").await) };
        let took = self.started.elapsed();
        if parse_ready(&line).is_none() {
            return Err(Error::Said { node: self.node.clone(), command: "run", line });
        }
        // Ends with the process. What it says later is in its log as well; an unread pipe would block it.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        Ok(took)
    }

    async fn ended(&mut self, command: &'static str) -> Error {
        match timeout(NODE_TIME_MAX, self.child.wait()).await {
            Ok(Ok(status)) => Error::Ended { node: self.node.clone(), command, status, tail: tail(&self.log) },
            _ => Error::Said { node: self.node.clone(), command, line: String::new() },
        }
    }

    pub(super) async fn stop(mut self) -> Result<(), Error> {
        self.signal(Signal::TERM)?;
        match timeout(NODE_TIME_MAX, self.child.wait()).await {
            Ok(Ok(status)) if status.success() => Ok(()),
            Ok(_) => Err(self.ended("run").await),
            Err(_) => {
                let what = format!("the end of {}; it was killed", self.node);
                self.kill().await?;
                Err(Error::TimedOut { what, waited: NODE_TIME_MAX })
            }
        }
    }

    pub(super) fn send_kill(&mut self) -> Result<(), Error> {
        self.signal(Signal::KILL)
    }

    pub(super) async fn kill(mut self) -> Result<(), Error> {
        self.send_kill()?;
        match timeout(NODE_TIME_MAX, self.child.wait()).await {
            Ok(_) => Ok(()),
            Err(_) => Err(Error::TimedOut { what: format!("the end of {}", self.node), waited: NODE_TIME_MAX }),
        }
    }

    /// To this process only. One that has ended and was waited for has no number any more.
    fn signal(&self, signal: Signal) -> Result<(), Error> {
        let pid = self.child.id().and_then(|pid| i32::try_from(pid).ok()).and_then(Pid::from_raw);
        let Some(pid) = pid else { return Ok(()) };
        kill_process(pid, signal).map_err(|source| Error::File {
            what: "signal the process of",
            path: PathBuf::from(&self.node),
            source: source.into(),
        })
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // One that has ended is not there to be killed.
        let _ = self.child.start_kill();
        let deadline = Instant::now() + DROP_TIME_MAX;
        while matches!(self.child.try_wait(), Ok(None)) && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

/// Runs `init` or `join` to its end and gives what it said, the last lines.
pub(super) async fn run_once(
    program: &Program,
    node: &str,
    files: &NodeFiles,
    name: &'static str,
    arguments: &[&str],
) -> Result<Vec<String>, Error> {
    let mut process = command(program, files, name)?;
    process.args(arguments);
    let mut child = process.spawn().map_err(|source| Error::Spawn { program: program.path.clone(), source })?;
    let mut said = Vec::new();
    let running = async {
        if let Some(stdout) = child.stdout.take() {
            let mut lines = BufReader::new(stdout).lines();
            while let Ok(Some(line)) = lines.next_line().await {
                if said.len() == LINES_MAX {
                    said.remove(0);
                }
                said.push(line);
            }
        }
        child.wait().await
    };
    match timeout(NODE_TIME_MAX, running).await {
        Ok(Ok(status)) if status.success() => Ok(said),
        Ok(Ok(status)) => Err(Error::Ended { node: node.to_owned(), command: name, status, tail: tail(&files.log) }),
        Ok(Err(source)) => Err(Error::Spawn { program: program.path.clone(), source }),
        Err(_) => Err(Error::TimedOut { what: format!("`plantaod {name}` of {node}"), waited: NODE_TIME_MAX }),
    }
}

/// The end of a log, for an error.
fn tail(log: &Path) -> String {
    let read = || -> std::io::Result<String> {
        let mut file = File::open(log)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(TAIL_BYTES)))?;
        let mut bytes = Vec::new();
        file.take(TAIL_BYTES).read_to_end(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    };
    read().unwrap_or_default()
}

/// `VmRSS` of a process.
pub(super) fn resident_bytes(pid: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(1 << 10)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_ready_line_is_read_and_anything_else_is_not() {
        let ready = parse_ready("ready node=2 public=127.0.0.1:1 admin=127.0.0.1:2 peer=127.0.0.1:3 more=x").unwrap();
        assert_eq!((ready.node, ready.peer.as_str()), (2, "127.0.0.1:3"));
        for bad in ["", "ready", "ready node=x public=a admin=b peer=c", "node=1 public=a admin=b peer=c ready"] {
            assert_eq!(parse_ready(bad), None, "{bad}");
        }
    }

    /// A program that behaves as `script` says. The shell reads it: to be started itself, nobody may have it open for
    /// writing, and a child that another test has just forked may still have.
    fn stand_in(dir: &Path, script: &str) -> (Program, NodeFiles) {
        let program = dir.join("program");
        fs::write(&program, format!("{script}\n")).unwrap();
        let files = NodeFiles::of(dir, "centro");
        fs::create_dir_all(&files.directory).unwrap();
        (Program { path: program, through: vec!["sh".to_owned()] }, files)
    }

    // Whoever puts a node elsewhere does it with words before the program; signals must reach the node all the same.
    #[tokio::test]
    async fn words_before_the_program_become_it() {
        let dir = tempfile::tempdir().unwrap();
        let script = format!(
            "test \"$PLACE $1\" = 'there run' || exit 1; trap 'exit 0' TERM; {READY}; while :; do sleep 0.05; done"
        );
        let (mut program, files) = stand_in(dir.path(), &script);
        program.through = ["env", "PLACE=there", "sh"].map(ToOwned::to_owned).to_vec();
        let mut running = Running::spawn(&program, "centro", &files, &[]).unwrap();
        running.ready().await.unwrap();
        running.stop().await.unwrap();
    }

    const READY: &str = "echo ready node=1 public=a:1 admin=a:2 peer=a:3";

    #[tokio::test]
    async fn a_process_that_ends_before_it_is_ready_shows_the_end_of_its_log() {
        let dir = tempfile::tempdir().unwrap();
        let (program, files) = stand_in(dir.path(), "echo damaged >&2; exit 3");
        let mut running = Running::spawn(&program, "centro", &files, &[]).unwrap();
        match running.ready().await {
            Err(Error::Ended { status, tail, .. }) => {
                assert_eq!(status.code(), Some(3));
                assert_eq!(tail, "damaged\n");
            }
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test]
    async fn a_stop_waits_for_a_clean_end_and_a_drop_leaves_no_process() {
        let dir = tempfile::tempdir().unwrap();
        let script = format!("trap 'exit 0' TERM; {READY}; while :; do sleep 0.05; done");
        let (program, files) = stand_in(dir.path(), &script);
        let mut running = Running::spawn(&program, "centro", &files, &[]).unwrap();
        running.ready().await.unwrap();
        assert!(running.runs());
        assert!(resident_bytes(running.pid().unwrap()).unwrap() > 0);
        running.stop().await.unwrap();

        let mut running = Running::spawn(&program, "centro", &files, &[]).unwrap();
        running.ready().await.unwrap();
        let pid = running.pid().unwrap();
        drop(running);
        let deadline = Instant::now() + Duration::from_secs(30);
        while fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z ")) {
            assert!(Instant::now() < deadline, "the process outlives its handle");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    #[tokio::test]
    async fn an_end_with_another_code_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let (program, files) = stand_in(dir.path(), "echo node 2; exit 1");
        let ended = run_once(&program, "centro", &files, "join", &["--peer", "x"]).await;
        assert!(matches!(ended, Err(Error::Ended { command: "join", .. })));
        let (program, files) = stand_in(dir.path(), "echo node 2; test \"$1 $4\" = 'join --peer'");
        let said = run_once(&program, "centro", &files, "join", &["--peer", "x"]).await.unwrap();
        assert_eq!(said, ["node 2"]);
    }
}
