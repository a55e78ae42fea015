#!/bin/bash
# get-registry.sh - builds a container registry, once per machine, and prints its path.
exec "$(dirname "$0")/../tools/go-install.sh" registry v3.0.0 github.com/distribution/distribution/v3/cmd/registry
