#!/usr/bin/env bash
# Installs what the tests need and runs them all, from any folder.
#
# Usage: tests/run.sh [--no-cluster]
#
#   --no-cluster   leave out the tests against a real API server (tests/cluster, whose install.sh builds one, once; tests/chaos.sh)
#
# A new stage is one line at the end: `stage NAME COMMAND…`.
set -euo pipefail

usage() {
    sed -n '/^# Usage/,/^# A new/ { /^# A new/d; s/^# \{0,1\}//p }' "${BASH_SOURCE[0]}" >&2
    exit 2
}

cluster=yes
for argument in "$@"; do
    case $argument in
        --no-cluster) cluster=no ;;
        *) usage ;;
    esac
done

cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.."
# Nothing here may ask a question.
exec </dev/null
# Where rustup puts cargo; a shell that is not a login shell may not know.
[[ -n ${HOME:-} && -d $HOME/.cargo/bin ]] && PATH=$PATH:$HOME/.cargo/bin

summary=()

# Runs a command as a stage of this name; the first one that fails ends the run.
stage() {
    local name=$1 start=$SECONDS status
    shift
    printf '\n=== %s\n' "$name" >&2
    # Not in a condition: bash would ignore `set -e` inside of it.
    set +e
    (
        set -e
        "$@"
    )
    status=$?
    set -e
    summary+=("$(printf '%5ds  %s' "$((SECONDS - start))" "$name")")
    if ((status != 0)); then
        summarize
        printf '\nFAILED: %s (exit code %d)\n' "$name" "$status" >&2
        exit 1
    fi
}

summarize() {
    printf '\n' >&2
    printf '%s\n' "${summary[@]}" >&2
}

# The C compiler is for aws-lc (which needs no cmake), the C++ compiler for libFuzzer, openssl for the keys of the test
# cluster.
install_tools() {
    local packages=()
    command -v cc >/dev/null || packages+=(gcc libc6-dev)
    command -v c++ >/dev/null || packages+=(g++)
    command -v openssl >/dev/null || packages+=(openssl)
    [[ -e /etc/ssl/certs/ca-certificates.crt ]] || packages+=(ca-certificates)
    if ((${#packages[@]})); then
        local root=()
        ((EUID == 0)) || root=(sudo --)
        command -v apt-get >/dev/null || {
            echo "install what the Debian packages ${packages[*]} have, then run this again" >&2
            return 1
        }
        "${root[@]}" apt-get update -qq
        "${root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends "${packages[@]}"
    fi
    command -v cargo >/dev/null || {
        echo "no cargo: install Rust, with clippy and rustfmt (rust-version in Cargo.toml says which)" >&2
        return 1
    }
    cargo --version
}

# Everything that `cargo test` runs by itself, less the documentation's tests and those that want a cluster or
# Prometheus.
test_by_itself() {
    local targets=(--lib --bins --examples) path name
    for path in tests/*.rs tests/*/main.rs; do
        [[ -e $path ]] || continue
        name=$(basename "${path%/main.rs}" .rs)
        [[ $name == cluster || $name == chaos || $name == observability ]] || targets+=(--test "$name")
    done
    cargo test --locked "${targets[@]}"
}

stage tools install_tools
stage format cargo fmt --check
stage clippy cargo clippy --all-targets --locked -- -D warnings
# The fuzz targets are a workspace of their own, which the others do not build. Running them is up to fuzz/run.sh.
stage fuzz-targets cargo clippy --manifest-path fuzz/Cargo.toml --locked --target-dir "${CARGO_TARGET_DIR:-target}" -- -D warnings
stage tests test_by_itself
stage documentation-tests cargo test --locked --doc
stage observability-install tests/observability/install.sh
# Metrics, alerts and dashboard, with a real Prometheus; no API server.
stage observability-tests cargo test --locked --test observability
if [[ $cluster == yes ]]; then
    stage cluster-install tests/cluster/install.sh
    # Each test has an API server of its own, and that alone keeps a core busy while it starts.
    stage cluster-tests cargo test --locked --test cluster -- --test-threads=2
    stage chaos tests/chaos.sh --quick
fi

summarize
printf '\nAll stages passed in %d seconds.\n' "$SECONDS" >&2
