#!/bin/bash
# emulated.sh - suites against the executables of another architecture, which qemu runs.
#
#   test/integration/emulated.sh STATIC_BUILD QEMU EMULATOR      build/static-arm64 qemu-aarch64 build/release/bin/vault-emulator
#
# Chosen so that all of both daemons and of secrets-store-ctl is seen working: TLS, JSON, gRPC, mounts, watches. qemu passes on the system
# calls it knows; fsopen() is none of them, so volumes are mounted in the way of old kernels, and checks of the new way alone are left out.
set -euo pipefail

static=$(realpath "$1")
qemu=$(command -v "$2")
emulator=$(realpath "$3")
root=$(cd "$(dirname "$0")/../.." && pwd)
cd "$root"

export BUILD=$root/build/emulated
mkdir -p "$BUILD/bin"
for program in "$static"/bin/secrets-store-{driver,provider-azure,ctl}; do
    printf '#!/bin/sh\nexec %s %s "$@"\n' "$qemu" "$program" > "$BUILD/bin/${program##*/}"
    chmod +x "$BUILD/bin/${program##*/}"
done
ln -sfn "$emulator" "$BUILD/bin/vault-emulator"
bash test/integration/run.sh test/integration/test_{azure,publish,provider_protocol,rotation,sync,kube_classes,trust,ctl}.py -q \
    -m 'not slow and not release_only' \
    --deselect test/integration/test_publish.py::test_the_mount_is_a_read_only_hardened_and_bounded_tmpfs
