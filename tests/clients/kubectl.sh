#!/usr/bin/env bash
# Runs Kubernetes' own suite of kubectl commands (test/cmd of its module) against a server that is already there.
#
# usage: kubectl.sh MODULE PROGRAMS OUT [NAME...]
#   MODULE    folder of k8s.io/kubernetes, as Go's module cache holds it
#   PROGRAMS  folder with kubectl and kubectl-convert
#   OUT       folder for what each command printed
#   NAME      only these, e.g. run_pod_tests
# SECURE_API_PORT is the server's port on 127.0.0.1; it believes the token of hack/testdata/auth-tokens.csv.
#
# Each of the suite's functions is one line of output: `ok NAME` or `not ok NAME: why`. The suite itself is not changed: what
# builds and starts programs is replaced, and what records a result.
set -o errexit -o nounset -o pipefail
# Names of the suite's own variables are no names here.
clients_module=$1 clients_programs=$2 clients_out=$3
shift 3
clients_only=("$@")
clients_work=$(mktemp -d)
trap 'rm -rf "$clients_work"' EXIT

# The module cache is read-only, and the suite writes beside its own files.
mkdir -p "$clients_work/third_party/forked" "$clients_work/_output" "$clients_out"
cp -r "$clients_module/hack" "$clients_work/hack"
mkdir -p "$clients_work/test"
cp -r "$clients_module/test/cmd" "$clients_module/test/fixtures" "$clients_work/test/"
cp -r "$clients_module/third_party/forked/shell2junit" "$clients_work/third_party/forked/"
chmod -R u+w "$clients_work"
ln -s "$clients_programs" "$clients_work/_output/bin"
cd "$clients_work"
export TERM=${TERM:-xterm} TMPDIR=$clients_work/tmp KUBE_TEMP=$clients_work/kube LANG=C
[ "$TERM" = dumb ] && TERM=xterm
mkdir -p "$TMPDIR" "$KUBE_TEMP"
export KUBE_JUNIT_REPORT_DIR=$clients_out/junit
# skiff's version is told with its own name behind upstream's.
export ALLOW_SKEW=1
exec 3>&1 >"$clients_out/suite.log" 2>&1

source hack/lib/init.sh
source hack/lib/test.sh
source test/cmd/legacy-script.sh
make() { :; }
kube::etcd::start() { :; }
kube::etcd::cleanup() { :; }

# The certificate that kube-apiserver makes for itself, where the suite looks for it.
openssl s_client -connect "127.0.0.1:$SECURE_API_PORT" -showcerts </dev/null 2>/dev/null |
    sed -n '/BEGIN CERT/,/END CERT/p' >"$TMPDIR/apiserver.crt"

eval "upstream_$(declare -f record_command)"
record_command() {
    local name=$1 log=$clients_out/$1.log since=$SECONDS before=$foundError
    upstream_record_command "$@" >"$log" 2>&1
    # The shell has neither option inside of a function that upstream's turned off.
    if [ "$foundError" = "$before" ]; then
        echo "ok $name ($((SECONDS - since))s)" >&3
    else
        echo "not ok $name: $(why "$log")" >&3
    fi
}
why() {
    local line
    line=$(grep -aE 'FAIL|^E[0-9]|rror:|rror from|expected|Timeout|!!! ' "$1" | grep -av 'Waiting for' | tail -n 1 | sed 's/\x1b[^m]*m//g')
    echo "${line:-see $1}"
}

setup
kubectl create -f - <<'NODE'
{"kind": "Node", "apiVersion": "v1", "metadata": {"name": "127.0.0.1", "annotations": {"save-managers": "true"}},
 "status": {"capacity": {"memory": "1Gi"}}}
NODE
export SUPPORTED_RESOURCES=("*")
cleanup() { stop-proxy; }
export WHAT=
for name in "${clients_only[@]}"; do
    name=${name#run_}
    WHAT="$WHAT ${name%_tests}"
done
# What stands between the suite's functions ends the whole run where it fails.
if (runTests); then
    echo "ok runTests" >&3
else
    grep -q '^FAILED TESTS' "$clients_out/suite.log" && exit 0
    echo "not ok runTests: $(why "$clients_out/suite.log")" >&3
fi
