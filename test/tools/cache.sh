# cache.sh - sourced: where everything is kept that takes long to fetch or build and does not depend on our own sources.
#
# CACHE_DIR names the directory (${XDG_CACHE_HOME:-~/.cache}/secrets-store-csi). It lies outside the work tree, so that a second clone finds
# what the first one built. Every entry's name carries the version and a hash of how it was built; entries appear whole, by a rename, under a
# lock. It may be removed whenever nothing runs that uses it.

cache=${CACHE_DIR:-${XDG_CACHE_HOME:-${HOME:-/root}/.cache}/secrets-store-csi}
mkdir -p "$cache"

cache_key() { # TEXT...: twelve hex digits; the machine counts as well
    printf '%s\n' "$(uname -m)" "$@" | sha256sum | cut -c1-12
}

cache_lock() { # NAME: held until this program ends, and not by what it starts
    exec {cache_lock_fd}> "$cache/$1.lock"
    flock "$cache_lock_fd"
}
