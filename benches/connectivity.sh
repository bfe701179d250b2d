#!/usr/bin/env bash
# Measures `explain` and `diff` on a made-up cluster of 1,000 namespaces, 10,000 pods and 10,000 policies, and on the same
# with ten policies changed.
#
# Usage: benches/connectivity.sh [--quick]
#
#   --quick   a tenth of the size, to see that it works
#
# First in one process, step by step (connectivity.rs); then the program as a user runs it.
set -euo pipefail

size=(1000 10000 10000)
case ${1:-} in
    '') ;;
    --quick) size=(100 1000 1000) ;;
    *)
        sed -n '/^# Usage/,/^# First/ { /^# First/d; s/^# \{0,1\}//p }' "${BASH_SOURCE[0]}" >&2
        exit 2
        ;;
esac

cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.."
cargo build --release --quiet --bin portcullis --example generate_cluster --example connectivity
built=${CARGO_TARGET_DIR:-target}/release

work=$(mktemp -d)
trap 'rm -rf -- "$work"' EXIT
"$built/examples/generate_cluster" "$work/before" "${size[@]}"
"$built/examples/generate_cluster" "$work/after" "${size[@]}" 10
"$built/examples/connectivity" "$work/before" "$work/after"

# As many questions as lines: from every namespace to its neighbour and to an address.
for ((i = 0; i < 5000; i++)); do
    printf '{"id":%d,"from":"ns-%04d/web-0","to":"ns-%04d/api-1","port":8081}\n' "$i" $((i % size[0])) $(((i + i / size[0]) % size[0]))
done >"$work/questions"
head -n 1 "$work/questions" >"$work/question"

TIMEFORMAT='%R s'
printf '%-34s' 'explain, 1 question'
time "$built/portcullis" explain --queries "$work/question" "$work/before" >"$work/answer"
printf '%-34s' 'explain, 5,000 questions'
time "$built/portcullis" explain --queries "$work/questions" "$work/before" >"$work/answers"
printf '%-34s' 'diff'
time "$built/portcullis" diff "$work/before" "$work/after" >"$work/difference"
printf '%-34s%s\n' 'answers' "$(wc -l <"$work/answers"), $(grep -c '"verdict":"allow"' "$work/answers") of them allow"
printf '%-34s%s\n' 'lines of the difference' "$(wc -l <"$work/difference")"
