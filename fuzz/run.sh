#!/usr/bin/env bash
# Fuzzes for a bounded time, from any folder. Installs cargo-fuzz where it is missing.
#
# Usage: fuzz/run.sh [TARGET [SECONDS]]
#
#   TARGET    review or policy; `all` (the default) is one after the other
#   SECONDS   how long each runs (default 60)
#
# What is found lies in fuzz/artifacts/TARGET; `fuzz/run.sh` prints the command that runs it again.
set -euo pipefail

usage() {
    sed -n '/^# Usage/,/^# What/ { /^# What/d; s/^# \{0,1\}//p }' "${BASH_SOURCE[0]}" >&2
    exit 2
}

(($# <= 2)) || usage
case ${1:-all} in
    all) targets=(review policy) ;;
    review | policy) targets=("$1") ;;
    *) usage ;;
esac
seconds=${2:-60}
[[ $seconds =~ ^[1-9][0-9]{0,5}$ ]] || usage

cd -- "$(dirname -- "${BASH_SOURCE[0]}")"
exec </dev/null
[[ -n ${HOME:-} && -d $HOME/.cargo/bin ]] && PATH=$PATH:$HOME/.cargo/bin

install_tools() {
    # libFuzzer is C++.
    if ! command -v c++ >/dev/null; then
        local root=()
        ((EUID == 0)) || root=(sudo --)
        "${root[@]}" apt-get update -qq
        "${root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends g++
    fi
    command -v cargo-fuzz >/dev/null || cargo install --locked cargo-fuzz
}

# Stable Rust builds everything but the sanitizers. They look for misuse of memory, and there is no unsafe code here to
# commit it; panics, broken invariants, hangs and memory growth are found without.
fuzz() {
    local target=$1
    mkdir -p "corpus/$target"
    echo "=== $target, $seconds seconds" >&2
    # The first folder takes what is found to be new; the seeds are only read.
    cargo fuzz run --sanitizer none "$target" "corpus/$target" "seeds/$target" -- \
        -max_total_time="$seconds" -dict=json.dict -max_len=8192 -timeout=10 -rss_limit_mb=1024 -print_final_stats=1
}

install_tools
for target in "${targets[@]}"; do
    fuzz "$target"
done
