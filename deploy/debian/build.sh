#!/bin/sh
# Builds the packages plantaod and plantao into target/debian. Needs `cargo install cargo-deb` and, on Debian, dpkg-dev.
#   deploy/debian/build.sh           for this machine (amd64; arm64 on an arm64 machine)
#   deploy/debian/build.sh arm64     from amd64: rustup target add aarch64-unknown-linux-gnu; gcc-aarch64-linux-gnu, libc6-dev-arm64-cross
# With PLANTAO_BUILT=1 the programs in target/release are taken as they are.
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
    # Pages and completions come from the tool itself, so it is built for this machine in any case.
    cargo build --release --locked --workspace --bin plantaod --bin plantao
    if [ -n "$triple" ]; then
        cargo build --release --locked --workspace --bin plantaod --bin plantao --target "$triple"
    fi
fi
tool=$target/release/plantao
manual=target/manual
rm -rf "$manual"
mkdir -p "$manual/completion"
"$tool" man --out "$manual/en" --lang en >/dev/null
"$tool" man --out "$manual/pt-br" --lang pt-br >/dev/null
gzip -9n "$manual"/en/* "$manual"/pt-br/*
"$tool" completion bash > "$manual/completion/plantao"
"$tool" completion zsh > "$manual/completion/_plantao"
"$tool" completion fish > "$manual/completion/plantao.fish"
for package in plantao-node plantao-cli; do
    cargo deb --no-build --locked --package "$package" ${triple:+--target "$triple"}
done
