#!/bin/bash
# serving.sh - writes mk/static/serving_functions and serving_constants: the functions that the daemons run after their start, in the order of
# their code, and the constants that these use.
#
#   mk/static/serving.sh BUILD LIBRARIES     BUILD: a static build with its debug information; LIBRARIES: the directory with its libc.a
#
# Needs root and valgrind. Not part of a build: run it when much code that serves calls is new (test/integration/test_static.py says so).
set -euo pipefail

root=$(cd "$(dirname "$0")/../.." && pwd)
build=$(cd "$1" && pwd)
libraries=$2
work=$(mktemp -d /tmp/ssv.XXXXXX)
trap 'rm -rf "$work"' EXIT

# Stripped programs, and a link to their names, which valgrind follows.
mkdir "$work/bin" "$work/runs"
cp -P "$build"/bin/* "$work/bin/"
ln -sfn "$root/build/release/bin/vault-emulator" "$work/bin/vault-emulator"
for program in secrets-store-driver secrets-store-provider-azure; do
    cp "$build/debug/$program.debug" "$work/bin/"
    (cd "$work/bin" && objcopy --add-gnu-debuglink="$program.debug" "$program")
done
CALLGRIND=$work/runs BUILD=$work "$root/test/bench/bench.sh" serving
mkdir "$work/lists"
"$root/mk/static/serving.py" "$libraries" "$build" "$work/lists" "$work"/runs/*.1
mv "$work"/lists/* "$root/mk/static/"
