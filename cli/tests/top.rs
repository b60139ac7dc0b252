//! `plantao top` as a terminal sees it: what it draws though no node answers, and that the terminal is as it was
//! afterwards, however it ends.
#![allow(clippy::unwrap_used, reason = "tests")]

use rustix::fs::{Mode, OFlags};
use rustix::process::{Pid, Signal};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Termios, Winsize, tcgetattr, tcsetwinsize};
use std::fs::File;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Longer than a busy machine needs for anything here.
const PATIENCE: Duration = Duration::from_secs(90);

fn plantao(home: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_plantao"));
    command.env_clear().env("HOME", home).env("TERM", "xterm").stdin(Stdio::null()).current_dir(home);
    command
}

/// A context whose only node does not answer.
fn network() -> TempDir {
    let home = tempfile::tempdir().unwrap();
    let run = |arguments: &[&str]| assert!(plantao(home.path()).args(arguments).output().unwrap().status.success());
    run(&["pki", "init", "--dir", "ca", "--network", "demo"]);
    run(&["pki", "issue", "--dir", "ca", "--out", "op", "--name", "op", "--role", "operator"]);
    // A port that was free a moment ago.
    let deaf = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let files = ["--ca", "op/ca.crt", "--cert", "op/op.crt", "--key", "op/op.key"];
    let add = ["context", "add", "demo", "--cluster", "demo", "--endpoint", &deaf, "--admin-endpoint", &deaf];
    run(&[add.as_slice(), &files].concat());
    home
}

/// The tool in a terminal of 100 by 30.
struct Shown {
    child: Child,
    keys: File,
    terminal: File,
    before: Termios,
    written: Receiver<Vec<u8>>,
    seen: String,
}

impl Shown {
    fn start(home: &Path) -> Self {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let name = ptsname(&master, Vec::new()).unwrap();
        let terminal = File::from(rustix::fs::open(&*name, OFlags::RDWR | OFlags::NOCTTY, Mode::empty()).unwrap());
        tcsetwinsize(&terminal, Winsize { ws_row: 30, ws_col: 100, ws_xpixel: 0, ws_ypixel: 0 }).unwrap();
        let before = tcgetattr(&terminal).unwrap();
        let end = || Stdio::from(terminal.try_clone().unwrap());
        let child =
            plantao(home).args(["top", "--lang", "en"]).stdin(end()).stdout(end()).stderr(end()).spawn().unwrap();
        let keys = File::from(master);
        let mut reading = keys.try_clone().unwrap();
        let (sender, written) = channel();
        std::thread::spawn(move || {
            let mut bytes = [0; 4_096];
            while let Ok(count @ 1..) = reading.read(&mut bytes) {
                if sender.send(bytes[..count].to_vec()).is_err() {
                    return;
                }
            }
        });
        Self { child, keys, terminal, before, written, seen: String::new() }
    }

    /// Reads until the terminal was sent `text`.
    fn sees(&mut self, text: &str) {
        let until = Instant::now() + PATIENCE;
        while !self.seen.contains(text) {
            let left = until.saturating_duration_since(Instant::now());
            let Ok(bytes) = self.written.recv_timeout(left) else {
                panic!("the terminal never saw {text:?}, but {:?}", self.seen);
            };
            self.seen.push_str(&String::from_utf8_lossy(&bytes));
        }
    }

    /// Waits for the end and holds the terminal against how it was.
    fn ends(mut self, code: i32) {
        let until = Instant::now() + PATIENCE;
        let ended = loop {
            match self.child.try_wait().unwrap() {
                Some(ended) => break ended,
                None if Instant::now() > until => panic!("it does not end: {:?}", self.seen),
                None => std::thread::sleep(Duration::from_millis(20)),
            }
        };
        assert_eq!(ended.code(), Some(code), "{:?}", self.seen);
        // Alternate screen off, cursor on.
        self.sees("\u{1b}[?1049l");
        self.sees("\u{1b}[?25h");
        let after = tcgetattr(&self.terminal).unwrap();
        let modes = |of: &Termios| (of.input_modes, of.output_modes, of.control_modes, of.local_modes);
        assert_eq!(modes(&after), modes(&self.before));
    }
}

impl Drop for Shown {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn the_terminal_is_given_back_however_it_ends() {
    let home = network();
    let quit = |end: &dyn Fn(&mut Shown), code| {
        let mut shown = Shown::start(home.path());
        shown.sees("\u{1b}[?1049h");
        // Nobody answers there: that is drawn, and keys are heard all the same.
        shown.sees("situation");
        shown.sees("127.0.0.1");
        end(&mut shown);
        shown.ends(code);
    };
    quit(&|shown| shown.keys.write_all(b"q").unwrap(), 0);
    quit(&|shown| shown.keys.write_all(b"\x03").unwrap(), 130);
    let terminate = |shown: &mut Shown| {
        let child = Pid::from_raw(i32::try_from(shown.child.id()).unwrap()).unwrap();
        rustix::process::kill_process(child, Signal::TERM).unwrap();
    };
    quit(&terminate, 130);
}

#[test]
fn without_a_terminal_it_says_what_to_use_instead() {
    let home = network();
    let output = plantao(home.path()).args(["top", "--lang", "en"]).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("PLT-9060") && said.contains("status -W") && said.contains("-o json"), "{said}");
    assert!(output.stdout.is_empty());
}
