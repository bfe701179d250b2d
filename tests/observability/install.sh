#!/usr/bin/env bash
# Puts a real prometheus and promtool where the tests of metrics, alerts and dashboard look for them.
#
# Usage: tests/observability/install.sh
#
#   PORTCULLIS_PROMETHEUS  a folder with prometheus and promtool; default ~/.cache/portcullis/prometheus, filled on
#                          Debian from its package
#
# The package is unpacked, not installed: it would start a service. A second run does nothing.
set -euo pipefail

log() { printf '[prometheus] %s\n' "$*" >&2; }
fail() {
    printf 'tests/observability/install.sh: %s; set PORTCULLIS_PROMETHEUS to a folder with prometheus and promtool\n' "$*" >&2
    exit 1
}

all_run() {
    local tool
    for tool in prometheus promtool; do
        [[ -x $1/$tool ]] && "$1/$tool" --version >/dev/null 2>&1 </dev/null || return 1
    done
}

# The machine's package lists name the version to download; old ones name one that is no longer there.
apt_update() {
    local root=()
    if ((EUID != 0)); then
        command -v sudo >/dev/null || fail "not root, and there is no sudo for apt-get update"
        root=(sudo --)
    fi
    "${root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get update -qq </dev/null
}

target=${PORTCULLIS_PROMETHEUS:-${HOME:?}/.cache/portcullis/prometheus}
if all_run "$target"; then
    log "all there: $target"
    exit
fi
[[ -z ${PORTCULLIS_PROMETHEUS:-} ]] || fail "no runnable prometheus and promtool in $target"
command -v apt-get >/dev/null && command -v dpkg-deb >/dev/null || fail "this is not Debian (no apt-get)"

mkdir -p "$target"
# Two runs at once: the second one waits, then finds it done.
exec 9>"$target/.lock"
flock 9
all_run "$target" && exit
work=$(mktemp -d "${TMPDIR:-/tmp}/portcullis-prometheus.XXXXXX")
trap 'rm -rf "$work" "$target"/*.new.$$' EXIT
apt_update
log "unpack prometheus and promtool from the package prometheus"
(cd "$work" && apt-get -qq -o APT::Sandbox::User=root download prometheus </dev/null && dpkg-deb -x prometheus_*.deb .)
for tool in prometheus promtool; do
    # In one step, so that an interrupted run leaves no half of a binary.
    install -m 0755 "$work/usr/bin/$tool" "$target/$tool.new.$$"
    mv -f "$target/$tool.new.$$" "$target/$tool"
done
all_run "$target" || fail "what was just unpacked does not start ($target)"
log "done: $target, $("$target/prometheus" --version 2>&1 | head -n 1)"
