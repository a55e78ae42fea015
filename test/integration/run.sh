#!/bin/bash
# run.sh - runs the pytest suites against real programs.
#
#   test/integration/run.sh [pytest arguments]        default: test/integration and test/sanity
#
# BUILD  where the programs are (build/release)
# JUNIT  junit file to write (none)
#
# Everything happens in a mount namespace of its own below one tmpfs, so that whatever a test leaves mounted is gone at the end.
set -euo pipefail

root=$(cd "$(dirname "$0")/../.." && pwd)
cd "$root"
export BUILD=${BUILD:-build/release}
case $BUILD in /*) ;; *) BUILD=$root/$BUILD ;; esac

pb=$root/build/pytest/pb
mkdir -p "$pb"
protoc --proto_path="$root" --python_out="$pb" "$root"/proto/*.proto

arguments=("$@")
[ ${#arguments[@]} -gt 0 ] || arguments=(test/integration test/sanity)
[ -z "${JUNIT:-}" ] || arguments+=("--junit-xml=$JUNIT")

scratch=$(mktemp -d /tmp/sst.XXXXXX) # short: socket paths have to fit into 107 bytes
trap 'rmdir "$scratch"' EXIT
export TEST_SCRATCH=$scratch PYTHONPATH=$pb:$root/test/integration:$root/test PYTHONDONTWRITEBYTECODE=1 GRPC_VERBOSITY=NONE GRPC_ENABLE_FORK_SUPPORT=0
# no proxy of the machine between the programs and the emulator
unset http_proxy https_proxy HTTP_PROXY HTTPS_PROXY ALL_PROXY all_proxy
status=0
unshare --mount --propagation private bash -c '
    set -e
    mount -t tmpfs -o mode=0755 scratch "$TEST_SCRATCH"
    mount --make-shared "$TEST_SCRATCH"
    exec timeout --kill-after=10 2700 /usr/bin/python3 -m pytest -p no:cacheprovider "$@"
' pytest "${arguments[@]}" || status=$?
exit $status
