# go_program.sh - sourced: programs in Go that the tests bring along, built once per machine.

. "$(dirname "${BASH_SOURCE[0]}")/cache.sh"

build_go_program() { # NAME SOURCE: prints the path of the program that is built from the directory SOURCE
    local name=$1 source=$2 tools program work
    tools=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
    program=$cache/$name-$(cache_key "$(cat "$source"/*)")
    if [ ! -x "$program" ]; then
        cache_lock "$name"
        work=$(mktemp -d "$program.XXXXXX")
        cp "$source"/* "$work/"
        MODULE=$work CGO_ENABLED=0 nice bash "$tools/go.sh" build -mod=mod -trimpath -ldflags '-s -w' -o "$work/program" . >&2 ||
            { rm -rf "$work"; return 1; }
        mv "$work/program" "$program"
        rm -rf "$work"
    fi
    echo "$program"
}
