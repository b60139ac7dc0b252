#!/bin/sh
# Builds the static programs and the image plantao:VERSION from them. Needs a Rust toolchain and Docker (or CONTAINER=podman).
#   x86_64   rustup target add x86_64-unknown-linux-musl; Debian: musl-tools
#   aarch64  rustup target add aarch64-unknown-linux-musl; a C compiler for musl on arm64, named by CC_aarch64_unknown_linux_musl,
#            or a build on an arm64 machine, which needs musl-tools only
# With PLANTAO_BIN=DIR the programs in DIR are taken, without what a debugger reads. STRIP names the tool that takes it away.
set -eu
cd "$(dirname "$0")/../.."
machine=${1:-x86_64}
target=$machine-unknown-linux-musl
version=$(sed -n 's/^version = "\(.*\)"$/\1/p' Cargo.toml | head -n 1)
case $machine in
    x86_64) platform=linux/amd64 strip=${STRIP:-strip} ;;
    aarch64) platform=linux/arm64 strip=${STRIP:-aarch64-linux-gnu-strip} ;;
    *) echo "usage: $0 [x86_64|aarch64]" >&2; exit 2 ;;
esac

if [ -z "${PLANTAO_BIN:-}" ]; then
    if [ "$machine" = x86_64 ]; then
        export CC_x86_64_unknown_linux_musl="${CC_x86_64_unknown_linux_musl:-musl-gcc}"
    else
        : "${CC_aarch64_unknown_linux_musl:?a C compiler for musl on arm64}"
        export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_MUSL_LINKER="${CC_aarch64_unknown_linux_musl}"
    fi
    cargo build --profile dist --locked --workspace --bin plantaod --bin plantao --target "$target"
    PLANTAO_BIN=${CARGO_TARGET_DIR:-target}/$target/dist
fi

context=$(mktemp -d)
trap 'rm -rf "$context"' EXIT
mkdir "$context/empty"
for program in plantaod plantao; do
    install -m 0755 "$PLANTAO_BIN/$program" "$context/$program"
    # What a debugger reads is five times the program.
    "$strip" --strip-debug "$context/$program"
    # A program that wants a loader would not start in an empty image.
    if readelf -l "$context/$program" | grep -q INTERP; then
        echo "$program is not static: build it for $target" >&2
        exit 1
    fi
done
${CONTAINER:-docker} build --platform "$platform" --tag "plantao:$version" --file deploy/container/Dockerfile "$context"
