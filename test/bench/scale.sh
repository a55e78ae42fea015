#!/bin/bash
# scale.sh - many providers and one vault: real ones and a model (scale/__main__.py has the arguments).
#
#   make bench-scale [SCALE="--cases cold --nodes 50"]
#
# Needs root for a mount and a network namespace of its own. GO_PROVIDER names the Go provider; by default the one that
# test/interop/get-peers.sh has built or can build; "none" leaves it out.
set -euo pipefail

root=$(cd "$(dirname "$0")/../.." && pwd)
build=${BUILD:-build/release}
case $build in /*) ;; *) build=$root/$build ;; esac
if [ -z "${GO_PROVIDER:-}" ]; then
    GO_PROVIDER=$("$root/test/interop/get-peers.sh" azure)/azure || GO_PROVIDER=
fi
[ "$GO_PROVIDER" != none ] || GO_PROVIDER=
scratch=$(mktemp -d /tmp/ssc.XXXXXX)
trap 'rmdir "$scratch"' EXIT
export BUILD=$build GO_PROVIDER TEST_SCRATCH=$scratch PYTHONDONTWRITEBYTECODE=1
export PYTHONPATH=$root/test/bench:$root/test/integration:$root/test
unset http_proxy https_proxy HTTP_PROXY HTTPS_PROXY ALL_PROXY all_proxy
"$root/test/interop/network.sh" bash -c '
    mount -t tmpfs -o mode=0755 scratch "$TEST_SCRATCH"
    ulimit -n 65536 2> /dev/null || true
    exec nice -n 10 "$@"
' scale "$root/build/bench/bin/python" -m scale "$@"
