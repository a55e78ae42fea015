#!/bin/bash
# get-promtool.sh - unpacks promtool from Debian's package prometheus, once per machine, and prints its path. Nothing is installed: the package
# would start a server.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
. "$here/cache.sh"
release=$(. /etc/os-release && echo "$VERSION_ID")
directory=$cache/promtool-$(cache_key "$release")
if [ ! -x "$directory/promtool" ]; then
    cache_lock promtool
    if [ ! -x "$directory/promtool" ]; then
        new=$(mktemp -d "$cache/new.XXXXXX")
        trap 'rm -rf "$new"' EXIT
        cd "$new"
        { apt-get download -qq -o APT::Sandbox::User=root prometheus || { apt-get update -qq && apt-get download -qq -o APT::Sandbox::User=root prometheus; }; } >&2
        dpkg-deb --extract prometheus_*.deb package
        mkdir -p "$directory"
        mv package/usr/bin/promtool "$directory/promtool.new"
        mv "$directory/promtool.new" "$directory/promtool"
    fi
fi
echo "$directory/promtool"
