#!/bin/bash
# get-promtool.sh - unpacks promtool, once per machine, and prints its path. In Debian 12 it is in the package prometheus, since Debian 13 in one
# of its own. Nothing is installed: prometheus would start a server.
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
        download() {
            local package=prometheus
            ! apt-cache show promtool > /dev/null 2>&1 || package=promtool
            apt-get download -qq -o APT::Sandbox::User=root "$package"
        }
        { download || { apt-get update -qq && download; }; } >&2
        dpkg-deb --extract ./*.deb package
        mkdir -p "$directory"
        mv package/usr/bin/promtool "$directory/promtool.new"
        mv "$directory/promtool.new" "$directory/promtool"
    fi
fi
echo "$directory/promtool"
