#!/bin/bash
# run.sh - runs the pytest suites against real programs.
#
#   test/integration/run.sh [pytest arguments]        default: test/integration and test/sanity
#
# BUILD    where the programs are (build/release)
# JUNIT    junit file to write (none)
# WORKERS  how many tests run at a time (1)
#
# Everything happens in test/tools/sandbox.py: whatever a test leaves mounted is gone at the end, and the machine's own files are read-only.
set -euo pipefail

root=$(cd "$(dirname "$0")/../.." && pwd)
cd "$root"
export BUILD=${BUILD:-build/release} WORKERS=${WORKERS:-1}
case $BUILD in /*) ;; *) BUILD=$root/$BUILD ;; esac

# generated whole, because several runs may start at the same time
pb=$root/build/pytest/pb
mkdir -p "$pb"
new=$(mktemp -d "$pb/new.XXXXXX")
protoc --proto_path="$root" --python_out="$new" "$root"/proto/*.proto
mkdir -p "$pb/proto"
mv "$new"/proto/* "$pb/proto/"
rm -r "$new"

arguments=("$@")
[ ${#arguments[@]} -gt 0 ] || arguments=(test/integration test/sanity)
collected=("${arguments[@]}")
[ -z "${JUNIT:-}" ] || arguments+=("--junit-xml=$JUNIT")
[ "$WORKERS" = 1 ] || arguments+=(-n "$WORKERS" --dist loadgroup)

export TEST_SCRATCH=/tmp # short: socket paths have to fit into 107 bytes
export PYTHONPATH=$pb:$root/test/integration:$root/test:$root/test/tools PYTEST_PLUGINS=workers,results
# compiling the tests again in each worker costs more than collecting them
unset PYTHONDONTWRITEBYTECODE
export PYTHONPYCACHEPREFIX=$root/build/pytest/pycache GRPC_VERBOSITY=NONE GRPC_ENABLE_FORK_SUPPORT=0
# no proxy of the machine between the programs and the emulator
unset http_proxy https_proxy HTTP_PROXY HTTPS_PROXY ALL_PROXY all_proxy
if [ "$WORKERS" != 1 ] && [ ! -d "$PYTHONPYCACHEPREFIX" ]; then # once, and not by all workers at the same time
    WORKERS=1 /usr/bin/python3 test/tools/sandbox.py /usr/bin/python3 -m pytest -p no:cacheprovider --collect-only -q "${collected[@]}" > /dev/null || true
fi
exec timeout --kill-after=10 2700 /usr/bin/python3 test/tools/sandbox.py /usr/bin/python3 -m pytest -p no:cacheprovider "${arguments[@]}"
