#!/bin/bash
# run.sh - runs the tests of test/interop: ours and the Go programs of others, side by side.
#
#   test/interop/run.sh [pytest arguments]        default: test/interop
#
# BUILD      where our programs are (build/release)
# PEERS_DIR  where theirs are (get-peers.sh)
set -euo pipefail

root=$(cd "$(dirname "$0")/../.." && pwd)
PEERS_DIR=$("$root/test/interop/get-peers.sh")
export PEERS_DIR
[ $# -gt 0 ] || set -- test/interop -q
exec "$root/test/interop/network.sh" "$root/test/integration/run.sh" "$@"
