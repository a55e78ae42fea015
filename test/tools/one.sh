#!/bin/bash
# one.sh - builds and runs one test, or one file of them: `make test-one T=…`.
#
#   test/tools/one.sh test_rotation.py                         a file of a pytest suite
#   test/tools/one.sh test_rotation.py::test_a_republish_brings_the_new_value
#   test/tools/one.sh test_volume                              a unit test program
#   test/tools/one.sh test_volume_owner.c::bad_target_paths_are_refused
#   test/tools/one.sh fuzz_json                                the replay of a corpus
#
# Directories may be written in front. VARIANT: release, debug, asan or static. PYTEST_ADDOPTS reaches pytest.
set -euo pipefail

cd "$(dirname "$0")/../.."
variant=${VARIANT:-release}
file=${1%%::*}
name=${1#"$file"} name=${name#::}
base=${file##*/} base=${base%.c}
unset MAKEFLAGS MFLAGS MAKELEVEL
build() { make -s -j"$(nproc)" "VARIANT=$variant" "$@"; }
export ASAN_OPTIONS=detect_leaks=1:abort_on_error=0:strict_string_checks=1 UBSAN_OPTIONS=print_stacktrace=1:halt_on_error=1

sandbox=()
[ "$(id -u)" != 0 ] || sandbox=(test/tools/sandbox.py)

case $base in
'') echo "usage: make test-one T=<file[::test] or unit test program>" >&2; exit 2 ;;
*.py)
    mapfile -t found < <(compgen -G "$file" || compgen -G "test/$file" || compgen -G "test/*/$base")
    [ ${#found[@]} = 1 ] || { echo "one.sh: ${#found[@]} files are called $file${found[*]:+: ${found[*]}}" >&2; exit 2; }
    case $variant in
    static) make -s -j"$(nproc)" VARIANT=release emulator && build static-units ;; # which takes the release's emulator
    *) build programs emulator ;;
    esac
    runner=test/integration/run.sh
    case ${found[0]} in test/e2e/*) runner=test/e2e/run.sh ;; test/interop/*) runner=test/interop/run.sh ;; esac
    BUILD=build/$variant exec bash "$runner" "${found[0]}${name:+::$name}"
    ;;
fuzz_*)
    build "build/$variant/fuzz/$base"
    exec "${sandbox[@]}" "build/$variant/fuzz/$base" "test/fuzz/corpus/${base#fuzz_}"
    ;;
*)
    case $variant in static) build static-units ;; *) build "build/$variant/unit/$base" ;; esac
    [ -n "$name" ] || exec "${sandbox[@]}" "build/$variant/unit/$base"
    # Debian 12's cmocka runs all tests of a program or none: what the others say is left out
    "${sandbox[@]}" "build/$variant/unit/$base" 2>&1 |
        awk -v name="$name" '/^\[ RUN / { shown = $NF == name } shown { print } $NF == name && / OK \]/ { ok = 1 } END { exit !ok }'
    ;;
esac
