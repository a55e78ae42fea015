#!/bin/bash
# serving.sh - writes mk/static/serving_functions and serving_constants: the functions that the daemons run after their start, in the order of
# their code, and the constants that these use.
#
#   mk/static/serving.sh APART RELEASE LIBRARIES     two static builds with their debug information: of objects compiled each for itself, and
#                                                    as released; LIBRARIES: the directory with their libc.a
#
# In the release, functions have become parts of others, and have parts of their own; only the other build tells whose constants are needed.
# Needs root and valgrind. Not part of a build: run it when much code that serves calls is new (test/integration/test_static.py says so).
set -euo pipefail

root=$(cd "$(dirname "$0")/../.." && pwd)
apart=$(cd "$1" && pwd)
release=$(cd "$2" && pwd)
libraries=$3
work=$(mktemp -d /tmp/ssv.XXXXXX)
trap 'rm -rf "$work"' EXIT

# Stripped programs, and a link to their names, which valgrind follows.
mkdir "$work/runs" "$work/lists"
for build in "$apart" "$release"; do
    rm -rf "$work/bin"
    mkdir "$work/bin"
    cp "$apart/bin/secrets-store-bench" "$build"/bin/secrets-store-{driver,provider-azure} "$work/bin/"
    ln -s "$root/build/release/bin/vault-emulator" "$work/bin/vault-emulator"
    for program in secrets-store-driver secrets-store-provider-azure; do
        cp "$build/debug/$program.debug" "$work/bin/"
        (cd "$work/bin" && objcopy --add-gnu-debuglink="$program.debug" "$program")
    done
    CALLGRIND=$work/runs BUILD=$work "$root/test/bench/bench.sh" serving
done
"$root/mk/static/serving.py" "$libraries" "$apart" "$work/lists" "$work"/runs/*.1
mv "$work"/lists/* "$root/mk/static/"
