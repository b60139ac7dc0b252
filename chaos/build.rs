//! `chaos-sim` replaces the entropy of libc. Some libraries look it up by name while they run, so the name has to be exported.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    for program in ["chaos-sim", "chaos-planted"] {
        for name in ["getrandom", "getentropy"] {
            println!("cargo::rustc-link-arg-bin={program}=-Wl,--export-dynamic-symbol={name}");
        }
    }
}
