#!/bin/bash
# run.sh - runs the end-to-end tests on a single-node Kubernetes of their own.
#
#   test/e2e/run.sh [pytest arguments]        default: test/e2e
#
# BUILD   where the emulator is (build/release)
# IMAGES  where the images of both daemons are (build/images); see images.py
# JUNIT   junit file to write (none)
#
# Everything runs in namespaces of its own (mounts, network, processes, cgroups, host name), see sandbox.sh: nothing reaches the network, and
# whatever happens, the end of this program is the end of every process, mount and address it made. Only its cgroups have to be removed by hand.
# The machine's own files are read-only (test/tools/sandbox.py).
set -euo pipefail

root=$(cd "$(dirname "$0")/../.." && pwd)
cd "$root"
[ "$(id -u)" = 0 ] || { echo "test/e2e/run.sh needs root" >&2; exit 1; }
export BUILD=${BUILD:-build/release}
case $BUILD in /*) ;; *) BUILD=$root/$BUILD ;; esac

pb=$root/build/pytest/pb
mkdir -p "$pb"
protoc --proto_path="$root" --python_out="$pb" "$root"/proto/*.proto

arguments=("$@")
[ ${#arguments[@]} -gt 0 ] || arguments=(test/e2e)
[ -z "${JUNIT:-}" ] || arguments+=("--junit-xml=$JUNIT")

scratch=$(mktemp -d /tmp/sse.XXXXXX)
group=secrets-store-e2e-$$
export TEST_SCRATCH=$scratch E2E_LOGS=${E2E_LOGS:-$root/build/e2e/logs}
export PYTHONPATH=$pb:$root/test/integration:$root/test:$root/test/tools PYTEST_PLUGINS=results PYTHONDONTWRITEBYTECODE=1 GRPC_VERBOSITY=NONE GRPC_ENABLE_FORK_SUPPORT=0
unset http_proxy https_proxy HTTP_PROXY HTTPS_PROXY ALL_PROXY all_proxy

if [ "$(stat -f -c %T /sys/fs/cgroup)" = cgroup2fs ]; then
    hierarchies=(/sys/fs/cgroup)
else
    mapfile -t hierarchies < <(awk '$3 == "cgroup" || $3 == "cgroup2" { print $2 }' /proc/self/mounts | sort -u)
fi

enter() { # moves this process into a cgroup of its own in every hierarchy
    local hierarchy file
    for hierarchy in "${hierarchies[@]}"; do
        mkdir "$hierarchy/$group" 2>/dev/null || continue
        for file in cpuset.cpus cpuset.mems; do
            [ ! -e "$hierarchy/tasks" ] || [ ! -e "$hierarchy/$file" ] || cat "$hierarchy/$file" > "$hierarchy/$group/$file"
        done
        echo "$BASHPID" > "$hierarchy/$group/cgroup.procs"
    done
}

leave() {
    local hierarchy try
    for hierarchy in "${hierarchies[@]}"; do
        for try in $(seq 50); do # processes that were just killed are still in there for a moment
            [ -d "$hierarchy/$group" ] || break
            find "$hierarchy/$group" -depth -type d -exec rmdir {} + 2>/dev/null && break
            sleep 0.1
        done
    done
    rmdir "$scratch" 2>/dev/null || true
}
trap leave EXIT

status=0
(
    enter
    exec unshare --mount --propagation private --net --pid --fork --kill-child --cgroup --uts --ipc \
        /usr/bin/python3 "$root/test/tools/sandbox.py" bash "$root/test/e2e/sandbox.sh" "${arguments[@]}"
) || status=$?
exit $status
