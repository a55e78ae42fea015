#!/bin/bash
# get-docker-env.sh - builds the reader of docker's env files (test/integration/peers/docker_env), once per machine, and prints the path of the program.
set -euo pipefail

root=$(cd "$(dirname "$0")/../.." && pwd)
. "$root/test/tools/go_program.sh"
build_go_program docker-env "$root/test/integration/peers/docker_env"
