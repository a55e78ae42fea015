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
DISTRIBUTION=$("$root/test/tools/go-install.sh" registry v3.0.0 github.com/distribution/distribution/v3/cmd/registry)
export HELM DISTRIBUTION
exec "$root/test/integration/run.sh" "$root/test/release" -q "$@"
