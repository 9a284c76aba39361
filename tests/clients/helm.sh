#!/usr/bin/env bash
# Helm from the first install to the end of a release: hooks, CRDs, tests, history.
#
# usage: helm.sh HELM OUT   (KUBECONFIG names the cluster)
# A line a command: `ok NAME` or `not ok NAME: why`; what each printed is in OUT.
set -o nounset -o pipefail
helm=$1 out=$2
chart=$(cd "$(dirname "$0")" && pwd)/chart
home=$(mktemp -d)
trap 'rm -rf "$home"' EXIT
export HELM_CACHE_HOME=$home/cache HELM_CONFIG_HOME=$home/config HELM_DATA_HOME=$home/data
run=("$helm" --namespace boats)

# check NAME TEXT WORDS...: helm succeeds, and what it prints holds the text (an extended regular expression).
check() {
    local name=$1 text=$2 log=$out/$1.log
    shift 2
    if ! "${run[@]}" "$@" >"$log" 2>&1; then
        echo "not ok $name: $(grep -a Error "$log" | tail -n 1)"
    elif ! tr '\n\t' '  ' <"$log" | grep -qE -- "$text"; then
        echo "not ok $name: what it printed does not hold $text"
    else
        echo "ok $name"
    fi
}
# refuse NAME TEXT WORDS...: helm fails, and says so.
refuse() {
    local name=$1 text=$2 log=$out/$1.log
    shift 2
    if "${run[@]}" "$@" >"$log" 2>&1; then
        echo "not ok $name: it succeeded"
    elif ! grep -qE -- "$text" "$log"; then
        echo "not ok $name: $(tail -n 1 "$log")"
    else
        echo "ok $name"
    fi
}

check lint '0 chart\(s\) failed' lint "$chart"
check template 'kind: Boat' template one "$chart" --validate --include-crds --create-namespace
check dry-run 'STATUS: pending-install' install one "$chart" --dry-run=server --create-namespace
check install 'STATUS: deployed' install one "$chart" --create-namespace --wait --timeout 2m
refuse install-again 'cannot re-use a name' install one "$chart"
check list 'one +boats +1 .*deployed +harbour-1.0.0' list
check list-json '"name":"one","namespace":"boats","revision":"1"' list -A -o json
check status 'post-install' status one --show-resources -o json
check get-all 'kind: Deployment' get all one
check get-values 'replicas: 1' get values one --all
check get-hooks 'helm.sh/hook: pre-install' get hooks one
check get-manifest 'seen: "nothing"' get manifest one
check test 'Phase: +Succeeded' test one --logs --timeout 2m
check upgrade 'REVISION: 2' upgrade one "$chart" --set greeting=ahoy,replicas=2 --wait --timeout 2m
check lookup 'seen: "hello"' get manifest one
check test-upgraded 'Phase: +Succeeded' test one --timeout 2m
refuse upgrade-with-a-failing-hook 'pre-upgrade hooks failed' upgrade one "$chart" --set greeting=broken --timeout 1m
check history '2 .*deployed.* 3 .*failed' history one
refuse upgrade-that-is-refused 'spec.replicas' upgrade one "$chart" --set replicas=-1
check rollback 'Rollback was a success' rollback one 1 --wait --timeout 2m
check after-rollback 'greeting: "hello"' get manifest one
check upgrade-atomic-install 'STATUS: deployed' upgrade --install two "$chart" --atomic --timeout 2m
check test-rolled-back 'Phase: +Succeeded' test one --timeout 2m
check uninstall-keeping 'release "two" uninstalled' uninstall two --keep-history --wait
check history-kept 'uninstalled' history two
check uninstall 'release "one" uninstalled' uninstall one --wait --timeout 2m
check list-empty 'NAME' list
refuse status-of-none 'not found' status one
