#!/bin/bash
# get-sidecars.sh - builds the stand-ins for the upstream driver's sidecars (images/sidecars), once per machine, and prints the path of the program.
set -euo pipefail

root=$(cd "$(dirname "$0")/../.." && pwd)
. "$root/test/tools/go_program.sh"
build_go_program sidecars "$root/test/e2e/images/sidecars"
