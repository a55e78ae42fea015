#!/bin/bash
# executables.sh - prints the directory of the static executables of an architecture: amd64 or arm64.
host=$([ "$(uname -m)" = aarch64 ] && echo arm64 || echo amd64)
[ "$1" = "$host" ] && echo build/static/bin || echo "build/static-$1/bin"
