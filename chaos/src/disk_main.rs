//! `chaos-disk`: the disk of one node, in a process of its own, so that a node that hangs on it hangs nobody else.

mod disk;
#[allow(dead_code, reason = "other programs use the rest")]
mod seed;

fn main() -> std::process::ExitCode {
    disk::program::main()
}
