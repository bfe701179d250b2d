#!/usr/bin/env bash
# Tries to make the webhook the reason why a cluster is stuck: faults under load, slow and greedy clients, overload,
# deleted namespaces; on the real binary and a real API server, which it installs first.
#
# Usage: tests/chaos.sh [--quick] [NAME…]
#
#   --quick   short phases (under three minutes on two idle cores; all of it: under eight)
#   NAME      only what bears this in its name: faults, slow, much, namespaces
#
# Exit code: 0 all held, 1 something did not (the summary and the message above it say what), 2 bad usage.
set -euo pipefail

usage() {
    sed -n '/^# Usage/,/^# Exit/ s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" >&2
    exit 2
}

length=full
names=()
for argument in "$@"; do
    case $argument in
        --quick) length=quick ;;
        -*) usage ;;
        *) names+=("$argument") ;;
    esac
done

cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.."
exec </dev/null
# Where rustup puts cargo; a shell that is not a login shell may not know.
[[ -n ${HOME:-} && -d $HOME/.cargo/bin ]] && PATH=$PATH:$HOME/.cargo/bin

tests/cluster/install.sh
cargo test --locked --test chaos --no-run

summary=$(mktemp)
trap 'rm -f "$summary"' EXIT
status=0
start=$SECONDS
# One after the other: they measure. The test bed's own tests are those of the target `cluster`.
PORTCULLIS_CHAOS=$length PORTCULLIS_CHAOS_SUMMARY=$summary \
    cargo test --locked --test chaos -- --nocapture --test-threads=1 --skip harness:: "${names[@]}" || status=1

printf '\n=== Summary (%s, %d s)\n' "$length" "$((SECONDS - start))"
cat "$summary"
[[ -s $summary ]] || { printf "nothing was run: no test bears the name %s\n" "${names[*]}" >&2; exit 2; }
if ((status != 0)); then
    printf '\nFAILED: see above\n'
    exit 1
fi
printf '\nAll held.\n'
