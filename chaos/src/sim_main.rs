//! `chaos-sim`: one seed of the simulated world, in a process of its own, because it replaces the clocks and the entropy of its
//! whole program. `chaos run --world sim` starts one for each seed.

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
