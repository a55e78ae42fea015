#!/bin/bash
# run.sh - runs the tests of test/interop: ours and the Go programs of others, side by side.
#
#   test/interop/run.sh [pytest arguments]        default: test/interop
#
# BUILD      where our programs are (build/release)
# PEERS_DIR  where theirs are (get-peers.sh); KUBERNETES_DIR: where kube-apiserver is
set -euo pipefail

root=$(cd "$(dirname "$0")/../.." && pwd)
PEERS_DIR=$("$root/test/interop/get-peers.sh")
# before the network is gone
PEERS_SOURCES=$("$root/test/interop/get-peers.sh" driver-source):$("$root/test/interop/get-peers.sh" azure-source)
KUBERNETES_DIR=$("$root/test/cluster/get-kubernetes.sh" kube-apiserver kube-controller-manager)
export PEERS_DIR PEERS_SOURCES KUBERNETES_DIR
[ $# -gt 0 ] || set -- test/interop -q
exec "$root/test/interop/network.sh" "$root/test/integration/run.sh" "$@"
