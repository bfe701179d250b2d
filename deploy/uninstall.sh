#!/usr/bin/env bash
# Removes Portcullis from a cluster: the registration first, so that nothing waits for a webhook that is gone.
#
# Usage: deploy/uninstall.sh [--context CTX] [--no-wait]
#
#   --context CTX   the kubeconfig's context to use; default: the current one
#   --no-wait       do not wait until the objects have vanished
#
# NetworkPolicies stay and are enforced as before; nobody judges changes to them any more.
set -euo pipefail

readonly NAMESPACE=portcullis

fail() {
    printf 'uninstall.sh: %s\n' "$*" >&2
    exit 1
}

context='' wait=true
while (($#)); do
    case $1 in
        --context)
            [[ -n ${2:-} ]] || fail "$1 needs a value"
            context=$2
            shift
            ;;
        --no-wait) wait=false ;;
        -h | --help)
            sed -n '/^# Usage/,/^set/ { s/^# \{0,1\}//p }' "${BASH_SOURCE[0]}"
            exit
            ;;
        *) fail "unknown argument $1; see --help" ;;
    esac
    shift
done

command -v kubectl >/dev/null || fail "no kubectl in PATH"
remove() { kubectl ${context:+"--context=$context"} delete --ignore-not-found "$@"; }

# This one is always waited for: the server must not go before it.
remove validatingwebhookconfiguration portcullis
remove -n "$NAMESPACE" --wait="$wait" -l app.kubernetes.io/name=portcullis \
    deployment,service,poddisruptionbudget,networkpolicy,configmap,secret,resourcequota,serviceaccount
remove clusterrolebinding portcullis portcullis-certificates
remove clusterrole portcullis portcullis-certificates
remove namespace "$NAMESPACE" --wait="$wait"
