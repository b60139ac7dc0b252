//! `chaos-disk`: mounts one disk and obeys lines from its input until that ends. It prints `ready` once it is mounted.

use super::mount::Mounted;
use super::{Disk, steer};
use anyhow::{Context, bail};
use clap::Parser;
use rustix::mount::{UnmountFlags, unmount};
use std::io::{BufRead, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Threads that answer the kernel: a call that stalls takes one.
const THREADS: usize = 12;
/// How long requests that are under way may take to end.
const END_MAX: Duration = Duration::from_secs(5);

/// A disk for one node, steered by lines from its input.
#[derive(Debug, Parser)]
#[command(name = "chaos-disk", version, after_help = steer::ORDERS)]
struct Arguments {
    /// Where it is mounted; what it held stands there as plain files when it ends.
    mount: PathBuf,
    /// A directory for what is synced, made here, on the file system of MOUNT.
    objects: PathBuf,
    /// What decides which unsynced changes a power cut lets through.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

pub(crate) fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Whoever started it reads this line in place of `ready`.
            let _ = writeln!(std::io::stdout(), "no {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> anyhow::Result<()> {
    std::fs::create_dir(&arguments.objects).with_context(|| format!("cannot make {}", arguments.objects.display()))?;
    let disk = Arc::new(Disk::new(&arguments.objects, arguments.seed));
    let mut config = fuser::Config::default();
    config.mount_options = vec![fuser::MountOption::FSName("chaos-disk".to_owned())];
    config.n_threads = Some(THREADS);
    let session = fuser::Session::new(Mounted(Arc::clone(&disk)), &arguments.mount, &config)
        .with_context(|| format!("cannot mount at {}", arguments.mount.display()))?;
    let serving = std::thread::Builder::new().name("serve".to_owned()).spawn(move || session.run())?;
    say("ready")?;
    for line in std::io::stdin().lock().lines() {
        let Ok(line) = line else { break };
        if say(&disk.obey(&line)).is_err() {
            break;
        }
    }
    disk.obey("heal");
    unmount(&arguments.mount, UnmountFlags::DETACH).context("cannot unmount")?;
    let until = Instant::now() + END_MAX;
    while !serving.is_finished() {
        if Instant::now() > until {
            bail!("somebody still uses the disk");
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    let _ = serving.join();
    let Some(disk) = Arc::into_inner(disk) else { bail!("the disk is still in use") };
    disk.into_store().leave(&arguments.mount).context("cannot leave what it held")
}

fn say(line: &str) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}").and_then(|()| out.flush())
}
