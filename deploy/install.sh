#!/usr/bin/env bash
# Installs Portcullis into a cluster, or brings what is installed up to date.
#
# Usage: deploy/install.sh [OPTION…]
#
#   --context CTX   the kubeconfig's context to use; default: the current one
#   --image IMG     the image to run, in place of the one in base/kustomization.yaml
#   --rules FILE    the rule set to enforce, in place of base/rules.yaml
#   --renew         make a new certificate; else the one in the cluster is kept
#   --no-wait       do not wait until the Deployment is available: it is registered at once, whether it answers or not
#   --no-probe      do not ask for verdicts in the end
#   --dry-run       print what would be applied, less the certificate, and change nothing
#
# Needs kubectl, and `portcullis` (or its path in PORTCULLIS) where a certificate has to be made; where it is there, it
# checks the rule set too, before anything is applied. A second run changes only what is different. The registration
# comes last: until then the cluster works as if nothing had happened.
set -euo pipefail

readonly NAMESPACE=portcullis SECRET=portcullis-tls CONFIGURATION=portcullis
here=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)

log() { printf '==> %s\n' "$*" >&2; }
fail() {
    printf 'install.sh: %s\n' "$*" >&2
    exit 1
}

context='' image='' rules='' renew='' wait=yes probe=yes dry_run=''
while (($#)); do
    case $1 in
        --context | --image | --rules)
            [[ -n ${2:-} ]] || fail "$1 needs a value"
            printf -v "${1#--}" %s "$2"
            shift
            ;;
        --renew) renew=yes ;;
        --no-wait) wait='' ;;
        --no-probe) probe='' ;;
        --dry-run) dry_run=yes ;;
        -h | --help)
            sed -n '/^# Usage/,/^set/ { s/^# \{0,1\}//p }' "${BASH_SOURCE[0]}"
            exit
            ;;
        *) fail "unknown argument $1; see --help" ;;
    esac
    shift
done

command -v kubectl >/dev/null || fail "no kubectl in PATH"
[[ -z $rules || -r $rules ]] || fail "cannot read the rule set $rules"

# A broken rule set would keep every replica from starting.
portcullis=${PORTCULLIS:-portcullis}
if command -v "$portcullis" >/dev/null; then
    "$portcullis" config check "${rules:-$here/base/rules.yaml}" >&2 || fail "the rule set is not applied: mend it first"
fi

umask 077
work=$(mktemp -d)
trap 'rm -rf -- "$work"' EXIT

kube() { kubectl ${context:+"--context=$context"} "$@"; }
encode() { base64 | tr -d '\n'; }
there() { [[ -n $(kube get "$@" --ignore-not-found -o name) ]]; }

# A patch of the objects of kind $1: put the value $3 at the path $2.
patch() { printf -- '- {target: {kind: %s}, patch: '\''[{"op": "add", "path": "%s", "value": "%s"}]'\''}\n' "$@"; }

# Renders everything with the CA bundle $1 (base64) into all.yaml.
render() {
    rm -rf -- "$work/deploy"
    cp -R -- "$here" "$work/deploy"
    [[ -z $rules ]] || cp -- "$rules" "$work/deploy/base/rules.yaml"
    {
        printf 'resources: [deploy]\npatches:\n'
        patch ValidatingWebhookConfiguration /webhooks/0/clientConfig/caBundle "$1"
        patch ValidatingWebhookConfiguration /webhooks/1/clientConfig/caBundle "$1"
        [[ -z $image ]] || patch Deployment /spec/template/spec/containers/0/image "$image"
    } >"$work/kustomization.yaml"
    kubectl kustomize "$work" >"$work/all.yaml"
}

# Applies the rendered objects that are, or are not, the registration.
apply() { kube apply -f "$work/all.yaml" -l "app.kubernetes.io/component$1registration" >&2; }

# The CA of the certificate in the cluster, base64; nothing without a certificate.
current_ca() { kube get secret "$SECRET" -n "$NAMESPACE" --ignore-not-found -o 'jsonpath={.data.ca\.crt}'; }

generate() {
    command -v "$portcullis" >/dev/null || fail "no $portcullis to make a certificate with; set PORTCULLIS to its path"
    "$portcullis" certs generate --out "$work/certs" \
        --dns "portcullis.$NAMESPACE.svc" --dns "portcullis.$NAMESPACE.svc.cluster.local" >&2
}

# Puts the new certificate into the cluster. The CA's key stays here, and goes with the temporary folder.
store() {
    kube create secret generic "$SECRET" -n "$NAMESPACE" --type=kubernetes.io/tls --dry-run=client -o yaml \
        --from-file="$work/certs/tls.crt" --from-file="$work/certs/tls.key" --from-file="$work/certs/ca.crt" |
        kubectl label --local -f - app.kubernetes.io/name=portcullis -o yaml |
        kube apply --server-side --force-conflicts -f - >&2
}

# A dry run of a NetworkPolicy named $1 with the spec $2; the API server's answer is printed.
ask() {
    printf '{"apiVersion":"networking.k8s.io/v1","kind":"NetworkPolicy","metadata":{"name":"%s","namespace":"default"},"spec":%s}' \
        "portcullis-probe-$1" "$2" | kube create --dry-run=server -f - 2>&1
}

# The API server goes by a new registration after a moment, so the bad policy is tried until it is judged.
prove() {
    local answer tries
    for ((tries = 0; tries < 30; tries++)); do
        answer=$(ask bad '{"podSelector":{},"policyTypes":["Ingress"],"ingress":[{}]}') || true
        case $answer in
            *'"validate.portcullis.dev" denied the request'* | *'Warning: [allow-all-ingress]'*)
                log "a policy that allows all: $answer"
                answer=$(ask good '{"podSelector":{},"policyTypes":["Ingress","Egress"]}') ||
                    fail "a policy that only isolates should be admitted, and is not: $answer"
                log "a policy that only isolates: $answer"
                return
                ;;
        esac
        sleep 1
    done
    fail "registered, but a policy that allows all is not denied (if that is what your rules say, use --no-probe): $answer"
}

if [[ -n $dry_run ]]; then
    render ''
    cat -- "$work/all.yaml"
    exit
fi

registered=''
if there validatingwebhookconfiguration "$CONFIGURATION"; then
    registered=yes
    if ! there namespace "$NAMESPACE"; then
        # The guard would refuse the namespace that its own server needs.
        log "removing a registration that nobody serves"
        kube delete validatingwebhookconfiguration "$CONFIGURATION" >&2
        registered=''
    fi
fi
ca=$(current_ca)
[[ -n $ca || -n $renew ]] || ! there secret "$SECRET" -n "$NAMESPACE" ||
    fail "Secret $NAMESPACE/$SECRET has no ca.crt to register: add it, or give --renew to have the certificate replaced"

log "applying everything but the registration"
render "$ca"
apply '!='
if [[ -n $ca && -z $renew ]]; then
    log "keeping the certificate in Secret $NAMESPACE/$SECRET"
else
    log "making a certificate"
    generate
    if [[ -n $registered ]]; then
        # Both CAs are trusted until every replica has the new certificate.
        render "$({ base64 -d <<<"$ca" && cat -- "$work/certs/ca.crt"; } | encode)"
        apply '='
    fi
    store
    [[ -z $registered ]] || kube rollout restart deployment/portcullis -n "$NAMESPACE" >&2
    [[ -n $registered && -z $wait ]] || render "$(encode <"$work/certs/ca.crt")"
fi

if [[ -n $wait ]]; then
    log "waiting until it is available"
    kube rollout status deployment/portcullis -n "$NAMESPACE" --timeout=180s >&2 ||
        fail "not available, so not registered; see: kubectl -n $NAMESPACE get pods,events"
fi
log "registering it"
apply '='
[[ -z $probe ]] || prove
log "installed"
