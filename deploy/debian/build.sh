#!/bin/sh
# Builds the packages plantaod and plantao into target/debian. Needs `cargo install cargo-deb` and, on Debian, dpkg-dev.
#   deploy/debian/build.sh           for this machine (amd64; arm64 on an arm64 machine)
#   deploy/debian/build.sh arm64     from amd64: rustup target add aarch64-unknown-linux-gnu; gcc-aarch64-linux-gnu, libc6-dev-arm64-cross
# What a debugger wants is in packages of its own (PROGRAM-dbgsym): with it a program is six times as large.
# With PLANTAO_BUILT=1 the programs in target/dist are taken as they are.
set -eu
cd "$(dirname "$0")/../.."
target=${CARGO_TARGET_DIR:-target}
triple=''
case ${1:-} in
    '') ;;
    arm64)
        triple=aarch64-unknown-linux-gnu
        export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=aarch64-linux-gnu-gcc
        export CC_aarch64_unknown_linux_gnu=aarch64-linux-gnu-gcc
        ;;
    *) echo "usage: $0 [arm64]" >&2; exit 2 ;;
esac
if [ -z "${PLANTAO_BUILT:-}" ]; then
    # Pages and completions come from the programs themselves, so they are built for this machine in any case.
    cargo build --profile dist --locked --workspace --bin plantaod --bin plantao
    if [ -n "$triple" ]; then
        cargo build --profile dist --locked --workspace --bin plantaod --bin plantao --target "$triple"
    fi
fi
manual=target/manual
rm -rf "$manual"
for program in plantao plantaod; do
    tool=$target/dist/$program
    pages=$manual/$program
    mkdir -p "$pages/completion"
    case $program in
        plantao)
            "$tool" man --out "$pages/en" --lang en >/dev/null
            "$tool" man --out "$pages/pt-br" --lang pt-br >/dev/null
            gzip -9n "$pages"/pt-br/*
            ;;
        plantaod) "$tool" man --out "$pages/en" ;;
    esac
    gzip -9n "$pages"/en/*
    "$tool" completion bash > "$pages/completion/$program"
    "$tool" completion zsh > "$pages/completion/_$program"
    "$tool" completion fish > "$pages/completion/$program.fish"
done
for package in plantao-node plantao-cli; do
    cargo deb --no-build --profile dist --locked --dbgsym --package "$package" ${triple:+--target "$triple"}
done
