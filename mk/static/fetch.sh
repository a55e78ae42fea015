#!/bin/bash
# fetch.sh - the source packages of mk/static/sources, verified and unpacked with Debian's patches applied.
#
#   mk/static/fetch.sh DIRECTORY      writes DIRECTORY/src/<package>/ and DIRECTORY/packages (name, version, SHA-256 of the .dsc)
#
# DIRECTORY/sources says what it holds: with it, nothing is fetched again.
# The sources are the same whatever Debian release builds. An apt of its own below DIRECTORY uses the mirrors of this machine's apt, for the
# releases named in mk/static/sources. It checks release files with the keys of debian-archive-keyring, and everything else with the release
# files. There is one apt per archive, because an index can be newer than its mirror while the other archive has the file.
set -euo pipefail

root=$(cd "$(dirname "$0")/../.." && pwd)
list=$root/mk/static/sources
out=$(mkdir -p "$1" && cd "$1" && pwd)
[ ! -e "$out/packages" ] || ! cmp -s "$list" "$out/sources" || exit 0

keyring=
for file in /usr/share/keyrings/debian-archive-keyring.{pgp,gpg}; do [ ! -e "$file" ] || keyring=$file; done
[ -n "$keyring" ] || { echo "fetch.sh: the package debian-archive-keyring is missing" >&2; exit 1; }

# "URI suffix" of this machine's own Debian archives, the suffix being what follows the code name in the release: "-security", "-updates", none
host=$(. /etc/os-release && echo "$VERSION_CODENAME")
archives=$(apt-get indextargets --format '$(REPO_URI) $(RELEASE)' 'Created-By: Packages' | sort -u |
    awk -v host="$host" '$2 == host || $2 == host "-security" || $2 == host "-updates" { print $1, substr($2, length(host) + 1) }')
[ -n "$archives" ] || { echo "fetch.sh: this machine's apt has no source for '$host'" >&2; exit 1; }

apt_options() { # NAME: the options of one archive's apt
    local dir=$out/apt/$1
    options=(-o Dir::Etc::SourceList="$dir/sources.list" -o Dir::Etc::SourceParts="$dir/none" -o Dir::State="$dir" -o Dir::Cache="$dir"
        -o Dir::State::Status="$dir/status" -o Dir::Etc::Preferences="$dir/none" -o Dir::Etc::PreferencesParts="$dir/none"
        -o Dir::Etc::Trusted="$keyring" -o Dir::Etc::TrustedParts="$dir/none" -o APT::Sandbox::User=root
        -o APT::Get::AllowUnauthenticated=false -o Acquire::Languages=none -o Acquire::Retries=3)
}

names=()
for dist in $(sed -n 's/^distributions //p' "$list"); do
    while read -r uri suffix; do
        name=$dist$suffix
        names+=("$name")
        mkdir -p "$out/apt/$name/lists/partial" "$out/apt/$name/archives/partial"
        : > "$out/apt/$name/status"
        printf 'deb-src [signed-by=%s] %s %s main\n' "$keyring" "$uri" "$name" > "$out/apt/$name/sources.list"
        apt_options "$name"
        apt-get "${options[@]}" -qq update
    done <<< "$archives"
done

offers() { # PACKAGE UPSTREAM: "version archive", newest first
    local name
    for name in "${names[@]}"; do
        apt_options "$name"
        apt-cache "${options[@]}" showsrc --only-source "$1" 2>/dev/null | awk -v archive="$name" -v upstream="$2" '
            $1 == "Version:" { bare = $2; sub(/^[0-9]+:/, "", bare) }
            $1 == "Version:" && index(bare, upstream) == 1 && substr(bare, length(upstream) + 1, 1) ~ /[-.+~]/ { print $2, archive }'
    done | sort -k1,1rV | awk '!seen[$0]++'
}

mkdir -p "$out/download" "$out/src"
cd "$out/download"
: > "$out/packages.new"
while read -r package upstreams; do
    case $package in '' | '#'* | distributions) continue ;; esac
    found=
    for upstream in $upstreams; do
        while [ -z "$found" ] && read -r version archive; do
            apt_options "$archive"
            if apt-get "${options[@]}" -qq source --download-only "$package=$version" > "$package.log" 2>&1; then
                found=$version
            else
                echo "  skipped  $package $version: not to be had from $archive" >&2
            fi
        done < <(offers "$package" "$upstream")
    done
    [ -n "$found" ] || { cat "$package.log" >&2; echo "fetch.sh: no source of $package $upstreams" >&2; exit 1; }
    dsc=${package}_${found#*:}.dsc
    rm -rf "${out:?}/src/$package"
    dpkg-source --no-check -x "$dsc" "$out/src/$package" > "$package.log" 2>&1 || { cat "$package.log" >&2; exit 1; }
    printf '%s %s %s\n' "$package" "$found" "$(sha256sum "$dsc" | cut -d' ' -f1)" >> "$out/packages.new"
    printf '  SOURCE   %s %s\n' "$package" "$found"
done < "$list"
mv "$out/packages.new" "$out/packages"
cp "$list" "$out/sources"
