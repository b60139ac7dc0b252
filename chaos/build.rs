//! `chaos-sim` replaces the entropy of libc. Some libraries look it up by name while they run, so the name has to be exported.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rustc-link-arg-bin=chaos-sim=-Wl,--export-dynamic-symbol=getrandom");
    println!("cargo::rustc-link-arg-bin=chaos-sim=-Wl,--export-dynamic-symbol=getentropy");
}
