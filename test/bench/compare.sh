#!/bin/bash
# compare.sh - measures our programs and the Go programs they replace, one stack after the other, and prints a table in Markdown.
#
#   make bench-compare
#
# Needs root, etcd, and the Go module proxy for programs that are not built yet (test/interop/README.md). Also measures build/static if it exists.
# ROUNDS  measurements per latency (3); the table has medians
set -euo pipefail

root=$(cd "$(dirname "$0")/../.." && pwd)
PEERS_DIR=$("$root/test/interop/get-peers.sh")
KUBERNETES_DIR=$("$root/test/cluster/get-kubernetes.sh" kube-apiserver)
pb=$root/build/pytest/pb
mkdir -p "$pb"
protoc --proto_path="$root" --python_out="$pb" "$root"/proto/*.proto
scratch=$(mktemp -d /tmp/ssc.XXXXXX)
trap 'rmdir "$scratch"' EXIT
export PEERS_DIR KUBERNETES_DIR BUILD=$root/build/release TEST_SCRATCH=$scratch
export PYTHONPATH=$pb:$root/test/integration:$root/test PYTHONDONTWRITEBYTECODE=1 GRPC_VERBOSITY=NONE
unset http_proxy https_proxy HTTP_PROXY HTTPS_PROXY ALL_PROXY all_proxy
"$root/test/interop/network.sh" bash -c '
    mount -t tmpfs -o mode=0755 scratch "$TEST_SCRATCH"
    mount --make-shared "$TEST_SCRATCH"
    exec /usr/bin/python3 "$@"
' compare "$root/test/bench/compare.py" "$@"
