#!/bin/bash
# growth.sh - what grows with the number of volumes, objects, classes and identities, and with the size of values, and how (growth/__main__.py has
# the arguments).
#
#   make bench-growth [GROWTH="--only volumes --quick"]
#
# --page writes docs/growth.md and its plots from the results. Needs root for a mount namespace of its own, in which 10,000 volumes are mounted below /tmp.
set -euo pipefail

root=$(cd "$(dirname "$0")/../.." && pwd)
build=${BUILD:-build/release}
case $build in /*) ;; *) build=$root/$build ;; esac
page=
arguments=()
for word in "$@"; do
    if [ "$word" = --page ]; then page=1; else arguments+=("$word"); fi
done
export BUILD=$build PYTHONDONTWRITEBYTECODE=1 PYTHONPATH=$root/test/bench:$root/test/integration
unset http_proxy https_proxy HTTP_PROXY HTTPS_PROXY ALL_PROXY all_proxy
python=$root/build/bench/bin/python
status=0
"$root/test/tools/sandbox.py" "$python" -m growth "${arguments[@]}" || status=$?
[ -z "$page" ] || "$python" -m growth.page
exit $status
