//! `chaos-planted`: `chaos-sim` with mistakes on purpose built in, of which `--bug` turns one on (decision 0029). Built with the
//! feature `planted` alone; `chaos mutants` starts it.

#[allow(dead_code, unused_imports, reason = "the other world uses the rest")]
mod checks;
#[allow(dead_code, unused_imports, reason = "the other world uses the rest")]
mod faults;
#[allow(dead_code, unused_imports, reason = "the other world uses the rest")]
mod history;
#[allow(dead_code, unused_imports, reason = "the other world uses the rest")]
mod model;
mod rot;
#[allow(dead_code, unused_imports, reason = "the other world uses the rest")]
mod seed;
mod sim;
#[allow(dead_code, unused_imports, reason = "the other world uses the rest")]
mod workload;

fn main() -> std::process::ExitCode {
    sim::program::main()
}
