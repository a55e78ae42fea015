#!/bin/bash
# run.sh - tests what `make release` has built, as somebody who downloads and installs it.
#
#   test/release/run.sh DIRECTORY VERSION [pytest arguments]
set -euo pipefail

root=$(cd "$(dirname "$0")/../.." && pwd)
RELEASE=$(cd "$1" && pwd)
export RELEASE VERSION=$2
shift 2
HELM=$("$root/test/charts/get-helm.sh")
export HELM
"$root/test/release/get-registry.sh" > /dev/null
exec "$root/test/integration/run.sh" "$root/test/release" -q "$@"
