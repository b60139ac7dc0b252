//! Generates code for every .proto file, with a compiler in Rust, so that a bare machine builds.

use prost::Message as _;
use std::{env, fs, path::PathBuf};

const FILES: [&str; 9] = [
    "plantao/admin/v1/cluster.proto",
    "plantao/peer/v1/peer.proto",
    "plantao/public/v1/agenda.proto",
    "plantao/public/v1/audit.proto",
    "plantao/public/v1/common.proto",
    "plantao/public/v1/consents.proto",
    "plantao/public/v1/directory.proto",
    "plantao/public/v1/patients.proto",
    "plantao/public/v1/records.proto",
];

fn main() {
    for file in FILES {
        println!("cargo:rerun-if-changed={file}");
    }
    let descriptors = protox::compile(FILES, ["."]).expect("the .proto files compile");
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));
    fs::write(out.join("descriptors.binpb"), descriptors.encode_to_vec()).expect("OUT_DIR can be written");
    tonic_prost_build::configure().bytes(".").compile_fds(descriptors).expect("code is generated");
}
