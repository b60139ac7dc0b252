//! Disks of nodes that can lose what was not synced: one process of `chaos-disk` each, steered by lines (`disk/steer.rs`). Never
//! here: which fault comes when.

use crate::ground::beside;
use crate::wires::Cannot;
use anyhow::{Context, bail};
use std::collections::BTreeMap;
use std::fs::DirBuilder;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

/// How long a disk may take to leave what it held.
const END_MAX: Duration = Duration::from_secs(20);

/// What is missing to mount such a disk here.
pub(crate) fn lacks() -> Option<&'static str> {
    if !rustix::process::geteuid().is_root() {
        Some("root, to mount disks that lose what was not synced")
    } else if !Path::new("/dev/fuse").exists() {
        Some("/dev/fuse, for disks that lose what was not synced")
    } else if beside(None, "chaos-disk", "").is_err() {
        Some("`chaos-disk` beside this program")
    } else {
        None
    }
}

/// The disk of one node. Dropping it unmounts it; what it held stands in its directory then.
#[derive(Debug)]
pub(crate) struct LossyDisk {
    at: PathBuf,
    child: Child,
    orders: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

impl LossyDisk {
    /// Mounts an empty one at `at`, which is made and lies on the file system that takes what is synced.
    pub(crate) fn mount(at: &Path, seed: u64) -> anyhow::Result<Self> {
        let program = beside(None, "chaos-disk", "nothing: it stands beside this program")?;
        let made = DirBuilder::new().recursive(true).mode(0o700).create(at);
        made.with_context(|| format!("cannot make {}", at.display()))?;
        let mut command = Command::new(&program);
        command.arg(at).arg(at.with_extension("objects")).args(["--seed", &seed.to_string()]);
        // A Ctrl-C at the terminal is for this program alone: the disk has to outlive the nodes on it.
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).process_group(0);
        let mut child = command.spawn().with_context(|| format!("cannot start {}", program.display()))?;
        let orders = child.stdin.take();
        let answers = BufReader::new(child.stdout.take().context("a disk without answers")?);
        let mut disk = Self { at: at.to_owned(), child, orders, answers };
        match disk.answer()?.as_str() {
            "ready" => Ok(disk),
            said => Err(Cannot::Refused { command: "chaos-disk".to_owned(), said: said.to_owned() }.into()),
        }
    }

    /// Gives an order; tells the numbers of the answer, by name.
    pub(crate) fn order(&mut self, line: &str) -> anyhow::Result<BTreeMap<String, u64>> {
        let orders = self.orders.as_mut().context("a disk that takes no orders")?;
        writeln!(orders, "{line}").and_then(|()| orders.flush()).context("a disk that takes no orders")?;
        let said = self.answer()?;
        let Some(told) = said.strip_prefix("ok") else {
            bail!("{line:?} to the disk at {}: {said}", self.at.display())
        };
        let words = told.split_ascii_whitespace().filter_map(|word| word.split_once('='));
        words.map(|(name, number)| Ok((name.to_owned(), number.parse()?))).collect()
    }

    fn answer(&mut self) -> anyhow::Result<String> {
        let mut line = String::new();
        self.answers.read_line(&mut line).context("a disk that does not answer")?;
        Ok(line.trim_end().to_owned())
    }
}

impl Drop for LossyDisk {
    fn drop(&mut self) {
        // It ends with its orders.
        self.orders = None;
        let until = Instant::now() + END_MAX;
        while matches!(self.child.try_wait(), Ok(None)) {
            if Instant::now() > until {
                // Somebody hangs on it: without it he gets an error.
                let _ = self.child.kill();
                let _ = self.child.wait();
                let _ = rustix::mount::unmount(&self.at, rustix::mount::UnmountFlags::DETACH);
                return;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}
