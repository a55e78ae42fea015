#!/bin/bash
# bench.sh - measures start, CPU time, latency, throughput, memory and request counts, and prints them next to the targets.
#
#   test/bench/bench.sh [SECTION...]     default: all of start floors cpu latency rate burst memory rotation
#
# Needs root. Everything runs on this machine, in a mount namespace and directory of its own. Not a test: numbers depend on the machine.
# What depends on it less is the multiple of the floor: what the kernel alone needs for the same volume (floor_volume.c), what TLS and the
# sockets alone need for the same secret (floor_get.c), measured in the same run.
# BUILD names the programs (build/release). CALLGRIND names a directory: valgrind writes there which functions the daemons run once they have
# started (mk/static/serving.sh); the section "serving" is for that alone.
set -euo pipefail

root=$(cd "$(dirname "$0")/../.." && pwd)
build=${BUILD:-build/release}
case $build in /*) ;; *) build=$root/$build ;; esac
bin=$build/bin

[ "$(id -u)" = 0 ] || { echo "bench.sh needs root" >&2; exit 1; }
if [ -z "${BENCH_INSIDE:-}" ]; then
    BENCH_INSIDE=1 exec unshare --mount --propagation private bash "$0" "$@"
fi
unset http_proxy https_proxy HTTP_PROXY HTTPS_PROXY ALL_PROXY all_proxy

work=$(mktemp -d /tmp/ssb.XXXXXX)
# In memory, because on ext4 a new directory searches past all that were deleted within the last five seconds: thousands here, few on a node.
mount -t tmpfs -o mode=0755 bench "$work"
pids=()
cleanup() {
    trap - EXIT INT TERM
    for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; done
    for pid in "${pids[@]}"; do wait "$pid" 2>/dev/null || true; done
    [ -z "${cgroup:-}" ] || rmdir "$cgroup" 2>/dev/null || true
    umount --lazy "$work" 2>/dev/null || true
    rm -rf "$work" 2>/dev/null || true
}
trap cleanup EXIT
trap 'exit 130' INT TERM

now_us() { echo "${EPOCHREALTIME/[.,]/}"; }
rss_mib() { awk '/^VmRSS/ { printf "%.1f", $2 / 1024 }' "/proc/$1/status"; }
fds() { find "/proc/$1/fd" -mindepth 1 | wc -l; }
wait_for() { local i; for ((i = 0; i < 10000; i++)); do [ ! -e "$1" ] || return 0; sleep 0.001; done; return 1; }
control() { # METHOD PATH [BODY]; prints the body of the response
    local body=${3:-}
    exec 3<> "/dev/tcp/127.0.0.1/$control_port"
    printf '%s %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s' "$1" "$2" "${#body}" "$body" >&3
    sed '1,/^\r*$/d' <&3
    exec 3>&-
}
counted() { control GET /counters | grep -o "\"$1\":[0-9]*" | head -1 | cut -d: -f2; }
word() { tr ' ' '\n' <<< "$1" | sed -n "s/^$2=//p"; } # whole names: unpublish_p50_us ends with publish_p50_us
row() { printf '  %-66s %15s %10s %9s  %s\n' "$1" "$2" "$3" "$4" "$5"; } # WHAT MEASURED MULTIPLE TARGET RESULT
multiple() { awk -v value="$1" -v floor="$2" 'BEGIN { printf "%.1f x", value / floor }'; }
calc() { awk "BEGIN { printf \"%.${2:-2}f\", $1 }"; }
cpu_us() { awk -v hz="$(getconf CLK_TCK)" '{ sub(/.*\) /, ""); print ($12 + $13) * 1000000 / hz }' "/proc/$1/stat"; } # of all threads
sections=" ${*:-start floors cpu latency rate burst memory rotation} "
wanted() { [[ $sections == *" $1 "* ]]; }
rating() { awk -v value="$1" -v op="$2" -v target="$3" 'BEGIN { ok = op == "<=" ? value <= target : value >= target; print ok ? "ok" : "MISSED" }'; }

# ---- the cloud, classes ----

"$bin/vault-emulator" --dir "$work/vault" > "$work/vault.log" 2>&1 &
pids+=($!)
wait_for "$work/vault/ready"
control_port=$(sed 's/.*"control":\([0-9]*\).*/\1/' "$work/vault/ports.json")
tls_port=$(sed 's/.*"tls":\([0-9]*\).*/\1/' "$work/vault/ports.json")
control POST /entra/apps '{"tenant":"bench","client_id":"bench","client_secret":"bench-secret"}' > /dev/null
control PUT /vaults/benchvault '{"tenant":"bench"}' > /dev/null
control PUT /vaults/benchvault/policies '{"client_id":"bench","permissions":["get"]}' > /dev/null
printf bench > "$work/clientid"
printf bench-secret > "$work/clientsecret"
mkdir -p "$work/classes" "$work/providers" "$work/kubelet/pods" "$work/floor"
secret_name() { [ "$1" = 0 ] && echo "s$2" || echo "p$1-$2"; } # POD NUMBER; pod 0: what all pods share
make_class() { # NAME POD OBJECTS
    local i
    printf 'apiVersion: secrets-store.csi.x-k8s.io/v1\nkind: SecretProviderClass\nmetadata:\n  name: %s\n  namespace: default\nspec:\n' "$1"
    printf '  provider: azure\n  parameters:\n    keyvaultName: benchvault\n    tenantId: bench\n    objects: |\n      array:\n'
    for ((i = 0; i < $3; i++)); do
        printf '        - |\n          objectName: %s\n          objectType: secret\n' "$(secret_name "$2" "$i")"
    done
}
put_secrets() { # POD OBJECTS
    local i
    for ((i = 0; i < $2; i++)); do
        control PUT "/vaults/benchvault/secrets/$(secret_name "$1" "$i")" "{\"value\":\"value of secret number $i\"}" > /dev/null
    done
}
put_secrets 0 50
# One at a time: to find a class, the driver reads the files in order.
use_class() { rm -f "$work/classes"/*; make_class "c$1" 0 "$1" > "$work/classes/c$1.yaml"; }
use_class 10

callgrind=() unsandboxed=()
if [ -n "${CALLGRIND:-}" ]; then
    callgrind=(valgrind --quiet --tool=callgrind --compress-strings=no --zero-before=start_pages_give_back --dump-before=on_stop
        --callgrind-out-file="$CALLGRIND/%p")
    unsandboxed=(--sandbox=off)
fi
start_provider() {
    rm -f "$work/providers/azure.sock"
    AZURE_ENVIRONMENT_FILEPATH=$work/vault/cloud.json SSL_CERT_FILE=$work/vault/ca.pem \
        "${callgrind[@]}" "$bin/secrets-store-provider-azure" "${unsandboxed[@]}" --endpoint="unix://$work/providers/azure.sock" --cloud-name=AzureStackCloud --healthz-port=0 --prometheus-port=0 "$@" \
        >> "$work/provider.log" 2>&1 &
    provider=$!
    wait_for "$work/providers/azure.sock"
}
# A memory cgroup for the driver: what a container's limit counts is more than what is resident, because the pages and inodes of the volumes
# are charged, too. None where the machine gives none.
make_cgroup() {
    local parent
    for parent in /sys/fs/cgroup/memory /sys/fs/cgroup; do
        cgroup=$parent/$(basename "$work")
        if mkdir "$cgroup" 2>/dev/null && [ -e "$cgroup/memory.stat" ]; then return; fi
        rmdir "$cgroup" 2>/dev/null || true
    done
    cgroup=
}
charged_mib() { # the whole charge of the cgroup
    { cat "$cgroup/memory.current" "$cgroup/memory.usage_in_bytes" 2>/dev/null || true; } | awk '{ printf "%.1f", $1 / 1048576 }'
}
cgroup=
start_driver() {
    rm -f "$work/csi.sock"
    wrapped "${callgrind[@]}" "$bin/secrets-store-driver" "${unsandboxed[@]}" --endpoint="unix://$work/csi.sock" --nodeid=bench --class-dir="$work/classes" \
        --provider-volume="$work/providers" --additional-provider-volume-paths= --metrics-addr=0 --health-addr=0 \
        --enable-secret-rotation=true --rotation-poll-interval=1h --registration-dir= "$@" >> "$work/driver.log" 2>&1 &
    driver=$!
    wait_for "$work/csi.sock"
}
wrapped() { # runs a program, in the cgroup if there is one
    [ -z "$cgroup" ] || echo "$BASHPID" > "$cgroup/cgroup.procs"
    exec "$@"
}
median_start() { # FUNCTION PIDVAR: the median of nine starts, in ms
    local i start
    for ((i = 0; i < 9; i++)); do
        start=$(now_us)
        "$1"
        echo $(($(now_us) - start)) >> "$work/$1.us"
        kill "${!2}"
        wait "${!2}" 2>/dev/null || true
    done
    sort -n "$work/$1.us" | awk '{ v[NR] = $1 } END { printf "%.1f", v[int((NR + 1) / 2)] / 1000 }'
}
restart_provider() { kill "$provider"; wait "$provider" 2>/dev/null || true; start_provider "$@"; pids+=("$provider"); }
bench() {
    "$bin/secrets-store-bench" --endpoint="$work/csi.sock" --kubelet-dir="$work/kubelet" --clientid-file="$work/clientid" \
        --clientsecret-file="$work/clientsecret" "$@"
}


speak() { control PUT /http "{\"protocols\":[\"$1\"]}" > /dev/null; } # h2 or http/1.1, on new connections
far_away() { # MS: the vault
    control DELETE /faults > /dev/null
    [ "$1" = 0 ] || control POST /faults "{\"kind\":\"latency\",\"service\":\"vault\",\"latency_ms\":$1}" > /dev/null
}

echo "Programs: $build"
row what measured "of floor" target ''
row "$(printf -- '-%.0s' {1..58})" ------- -------- ------ ''

if wanted start; then
    value=$(median_start start_provider provider)
    row "provider: start to serving (median of 9), ms" "$value" "" "<= 20" "$(rating "$value" '<=' 20)"
    value=$(median_start start_driver driver)
    row "driver: start to serving (median of 9), ms" "$value" "" "<= 20" "$(rating "$value" '<=' 20)"
fi

start_provider; pids+=("$provider")
start_driver; pids+=("$driver")
sleep 0.2

# ---- floors ----

# What the kernel puts off in the first half second (it frees inodes and mounts by RCU, in batches), a process that goes on pays for afterwards:
# 22 us for a volume in a burst of 200, 36 from 20,000 on. And the first hundreds of calls cost the driver half as much again, until the virtual
# machine has learned that waiting is short. So both are measured for about a second, after as long a time that does not count; and by turns,
# because what else runs on the machine's processors changes within seconds: a multiple is the median of those of three turns.
turns=3
volumes_of() { case $1 in 1) echo 2400 ;; 10) echo 1800 ;; *) echo 800 ;; esac; }       # FILES
floor_rounds_of() { case $1 in 1) echo 20000 ;; 10) echo 8000 ;; *) echo 2700 ;; esac; } # FILES
median() { sort -n | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }'; }
median_word() { while read -r line; do word "$line" "$2"; done < "$1" | median; } # FILE NAME
declare -A floor
floor_turn_of_volumes() { # FILES
    "$bin/floor-volume" "$work/floor" "$1" "$(floor_rounds_of "$1")" > /dev/null
    "$bin/floor-volume" "$work/floor" "$1" "$(floor_rounds_of "$1")" >> "$work/floor-$1"
    floor[cpu$1]=$(median_word "$work/floor-$1" cpu_us)
    floor[wall$1]=$(median_word "$work/floor-$1" wall_us)
}
floor_get() { # ROUNDS HANDSHAKES; the vault speaks HTTP/1.1
    "$bin/floor-get" "$work/vault/ca.pem" benchvault.vault.localhost "$tls_port" /bench/oauth2/v2.0/token \
        "grant_type=client_credentials&client_id=bench&client_secret=bench-secret&scope=https%3A%2F%2Fvault.localhost%3A$tls_port%2F.default" \
        "/secrets/s0?api-version=7.4" "$@"
}
floor_turn_of_gets() {
    local name
    floor_get 5000 50 >> "$work/floor-get"
    for name in cpu_us wall_us handshake_cpu_us handshake_wall_us; do
        floor[$name]=$(median_word "$work/floor-get" "$name")
    done
}
# After each pause the processor has to find everything again, and its clock may wake it late.
floor_far_away() {
    speak http/1.1
    far_away 20
    floor[far_us]=$(word "$(floor_get 100 1)" wall_us)
    far_away 0
}
latest() { word "$(tail -1 "$work/$1")" "$2"; } # FLOOR NAME: of the last turn
floor_row_of_volumes() { # FILES
    row "floor: the system calls of a volume of $1 files, CPU / time, us" "${floor[cpu$1]} / ${floor[wall$1]}" "" "" ""
}
floor_rows_of_gets() {
    row "floor: a bare GET on a kept connection, CPU / time, us" "${floor[cpu_us]} / ${floor[wall_us]}" "" "" ""
    row "floor: a connection with a full TLS handshake, CPU / time, us" "${floor[handshake_cpu_us]} / ${floor[handshake_wall_us]}" "" "" ""
    row "floor: a bare GET on a kept connection, vault 20 ms away: time, ms" "$(calc "${floor[far_us]} / 1000")" "" "" ""
}
if wanted floors && ! wanted cpu; then # with CPU times, they take turns with them
    for n in 1 10 50; do
        for ((turn = 0; turn < turns; turn++)); do floor_turn_of_volumes "$n"; done
        floor_row_of_volumes "$n"
    done
    for ((turn = 0; turn < turns; turn++)); do floor_turn_of_gets; done
    floor_far_away
    floor_rows_of_gets
    speak h2
fi
of_floor() { [ -z "${floor[cpu1]:-}" ] || multiple "$1" "$(calc "$2" 4)"; } # VALUE EXPRESSION

# ---- CPU time ----

# Each turn adds a line "us=... floor=..." to a file; without floors, floor=0.
cpu_turn() { # FILE PID COUNT FLOOR: since $before
    echo "us=$(calc "($(cpu_us "$2") - $before) / $3" 2) floor=$4" >> "$work/$1"
}
cpu_row() { # FILE PROGRAM TEXT TARGET
    local ratio
    ratio=$(awk '{ split($1, us, "="); split($2, floor, "="); if (floor[2] > 0) print us[2] / floor[2] }' "$work/$1" | median)
    row "$2: CPU per $3, us" "$(calc "$(median_word "$work/$1" us)" 0)" "${ratio:+$(multiple "$ratio" 1)}" "$4" \
        "$([ -z "$ratio" ] || [ -z "$4" ] || rating "$ratio" '<=' "${4//[!0-9.]/}")"
}
if wanted cpu; then
    declare -A cpu_targets=([1]='<= 5 x' [10]='<= 4 x' [50]='<= 3 x')
    for n in 1 10 50; do
        use_class "$n"
        volumes=$(volumes_of "$n")
        for ((turn = 0; turn < turns; turn++)); do
            ! wanted floors || floor_turn_of_volumes "$n"
            bench --class="c$n" --volumes="$volumes" --prefix="cpuwarm$n-$turn" > /dev/null
            before=$(cpu_us "$driver")
            bench --class="c$n" --volumes="$volumes" --prefix="cpu$n-$turn" > /dev/null
            cpu_turn "cpu-$n" "$driver" "$volumes" "$(! wanted floors && echo 0 || latest "floor-$n" cpu_us)"
        done
        ! wanted floors || floor_row_of_volumes "$n"
        cpu_row "cpu-$n" driver "publish + unpublish of $n" "${cpu_targets[$n]}"
    done
    for ((turn = 0; turn < turns; turn++)); do
        speak http/1.1
        ! wanted floors || floor_turn_of_gets
        for protocol in h2 http/1.1; do
            speak "$protocol"
            restart_provider
            bench --class=c50 --volumes=10 --prefix="cpuwarm-${protocol%/*}-$turn" > /dev/null
            before=$(cpu_us "$provider")
            bench --class=c50 --volumes=200 --prefix="cpus-${protocol%/*}-$turn" > /dev/null
            cpu_turn "cpus-${protocol%/*}" "$provider" 10000 "$(! wanted floors && echo 0 || latest floor-get cpu_us)"
        done
    done
    if wanted floors; then
        floor_far_away
        floor_rows_of_gets
    fi
    for protocol in h2 http/1.1; do cpu_row "cpus-${protocol%/*}" provider "secret, mounts of 50 over $protocol" "<= 2 x"; done
    use_class 1
    control POST /faults '{"kind":"close-after","service":"vault"}' > /dev/null # each request has a connection of its own
    before=$(cpu_us "$provider")
    bench --class=c1 --volumes=300 --prefix=handshakes > /dev/null
    cpu_turn cpus-handshakes "$provider" 300 "${floor[handshake_cpu_us]:-0}"
    cpu_row cpus-handshakes provider "mount of 1 that makes new connections" ""
    far_away 0
    use_class 50
    for protocol in h2 http/1.1; do
        speak "$protocol"
        restart_provider
        control POST /counters/reset > /dev/null
        bench --class=c50 --volumes=1 --prefix="cold-${protocol%/*}" > /dev/null
        value=$(control GET /connections | grep -o '"protocol":"[^}]*"resumed":false[^}]*"requests":[1-9]' | grep -c . || true)
        row "full TLS handshakes for a first mount of 50, over $protocol" "$value" "" "<= 4" "$(rating "$value" '<=' 4)"
    done
fi

# ---- latency ----

if wanted latency; then
    declare -A latency_targets=([0-1]=0.5 [0-10]=1.1 [0-50]=4 [20-10]=21.2 [20-50]=27)
    for protocol in h2 http/1.1; do
        speak "$protocol"
        restart_provider
        for latency in 0 20; do
            far_away "$latency"
            for n in 1 10 50; do
                use_class "$n"
                bench --class="c$n" --volumes=20 --prefix="warm$latency-$n-${protocol%/*}" > /dev/null
                result=$(bench --class="c$n" --volumes=$((latency == 0 ? 300 : 60)) --prefix="lat$latency-$n-${protocol%/*}")
                p50=$(calc "$(word "$result" publish_p50_us) / 1000")
                p99=$(calc "$(word "$result" publish_p99_us) / 1000")
                target=${latency_targets[$latency-$n]:-}
                ok=$([ -z "$target" ] || rating "$p50" '<=' "$target")
                awk -v p50="$p50" -v floor="$latency" 'BEGIN { exit p50 < floor }' || ok='NOT MEASURED'
                waits=${floor[wall_us]:-0}
                [ "$latency" = 0 ] || waits=${floor[far_us]:-0}
                floors="(${floor[wall$n]:-0} + $n * ${floor[cpu_us]:-0} + $waits) / 1000"
                row "mount of $n secrets over $protocol, vault $latency ms away: p50 / p99, ms" "$p50 / $p99" "$(of_floor "$p50" "$floors")" \
                    "${target:+<= $target}" "$ok"
            done
        done
        far_away 0
    done
    speak h2
    restart_provider
fi

# ---- throughput ----

if wanted rate; then
    declare -A rate_targets=([1]=2000 [8]=4000 [32]=1000)
    use_class 1
    for concurrency in 1 8 32; do
        result=$(bench --class=c1 --volumes=3000 --concurrency="$concurrency" --prefix="rate$concurrency")
        value=$(word "$result" rate)
        row "publish + unpublish of 1 secret, $concurrency in flight, per second" "$value" \
            "$(of_floor "$(calc "1000000 / $value")" "${floor[wall1]:-1} + ${floor[wall_us]:-1}")" ">= ${rate_targets[$concurrency]}" \
            "$(rating "$value" '>=' "${rate_targets[$concurrency]}")"
    done
fi

# ---- bursts of pods with secrets of their own, and classes from the API: nothing can be shared ----

class_json() { # NAME POD OBJECTS
    local i objects='array:\n'
    for ((i = 0; i < $3; i++)); do objects+="  - |\n    objectName: $(secret_name "$2" "$i")\n    objectType: secret\n"; done
    printf '{"apiVersion":"secrets-store.csi.x-k8s.io/v1","kind":"SecretProviderClass","metadata":{"name":"%s","namespace":"default"},' "$1"
    printf '"spec":{"provider":"azure","parameters":{"keyvaultName":"benchvault","tenantId":"bench","objects":"%s"}}}' "$objects"
}
use_classes_of_the_api_server() { # COUNT: classes burst-0 and on, with ten secrets of their own each; the driver reads them there from now on
    local pod
    for ((pod = 1; pod <= $1; pod++)); do
        control PUT "/kube/secretproviderclasses/default/burst-$((pod - 1))" "$(class_json "burst-$((pod - 1))" "$pod" 10)" > /dev/null
        put_secrets "$pod" 10
    done
    kill "$driver"; wait "$driver" 2>/dev/null || true
    start_driver --class-dir= --kubeconfig="$work/vault/kubeconfig"; pids+=("$driver")
}
if wanted burst; then
    use_classes_of_the_api_server 200
    for protocol in h2 http/1.1; do
        for pods in 20 100 200; do
            speak "$protocol"
            restart_provider
            far_away 5
            before=$(cpu_us "$provider")
            result=$(bench --class=burst --class-per-volume --volumes="$pods" --concurrency="$pods" --prefix="burst$pods-${protocol%/*}" \
                2>> "$work/burst.log") || true # mounts may fail: they are counted
            cpu=$(calc "($(cpu_us "$provider") - $before) / 1000" 0)
            row "burst of $pods pods x 10 secrets over $protocol, 5 ms: time / CPU, ms" "$(calc "$(word "$result" seconds) * 1000" 0) / $cpu" \
                "$(of_floor "$cpu" "$pods * 10 * ${floor[cpu_us]:-1} / 1000")" "" \
                "$([ "$(word "$result" failed)" = 0 ] || echo "$(word "$result" failed) FAILED")"
        done
    done
    far_away 0
    speak h2
    restart_provider
fi

# ---- every kind of call that a node makes all day ----

if [[ $sections == *" serving "* ]]; then
    for classes in files api; do
        if [ "$classes" = api ]; then
            use_classes_of_the_api_server 20
        fi
        for protocol in h2 http/1.1; do
            speak "$protocol"
            restart_provider
            for n in 1 10 50; do
                use_class "$n"
                class=(--class="c$n")
                [ "$classes" = files ] || class=(--class=burst --class-per-volume)
                bench "${class[@]}" --volumes=20 --concurrency=8 --keep --prefix="serve$n" > /dev/null
                bench "${class[@]}" --volumes=20 --concurrency=8 --keep --prefix="serve$n" > /dev/null # again, as a rotation does
                bench "${class[@]}" --volumes=20 --concurrency=8 --only-unpublish --prefix="serve$n" > /dev/null
            done
        done
    done
    speak h2
    # What asks for health and metrics on a node. (Later flags win.)
    read -r -a ports < <(python3 -c 'import socket; print(*[one.getsockname()[1] for one in [socket.create_server(("127.0.0.1", 0)) for _ in range(4)]])')
    restart_provider --healthz-port="${ports[0]}" --prometheus-port="${ports[1]}"
    kill "$driver"; wait "$driver" 2>/dev/null || true
    start_driver --health-addr="127.0.0.1:${ports[2]}" --metrics-addr="127.0.0.1:${ports[3]}"; pids+=("$driver")
    use_class 1
    bench --class=c1 --volumes=5 --prefix=asked > /dev/null
    for url in "${ports[0]}/healthz" "${ports[1]}/metrics" "${ports[2]}/healthz" "${ports[3]}/metrics"; do
        curl --silent --show-error --fail --max-time 30 --retry 20 --retry-connrefused --output /dev/null "http://127.0.0.1:$url"
    done
fi

# ---- memory and request counts ----

if wanted memory; then
    use_class 10
    kill "$driver"; wait "$driver" 2>/dev/null || true
    make_cgroup
    start_driver; pids+=("$driver")
    restart_provider
    sleep 0.2
    value=$(rss_mib "$driver")
    row "driver: resident memory, idle, MiB" "$value" "" "<= 6" "$(rating "$value" '<=' 6)"
    value=$(rss_mib "$provider")
    row "provider: resident memory, idle, MiB" "$value" "" "<= 10" "$(rating "$value" '<=' 10)"
    [ -z "$cgroup" ] || row "driver: charge of its cgroup, idle, MiB" "$(charged_mib)" "" "" ""
    fds_before=$(fds "$driver")
    control POST /counters/reset > /dev/null
    bench --class=c10 --volumes=1000 --concurrency=8 --keep --prefix=keep > /dev/null
    row "token requests for 1,000 mounts of one identity" "$(counted entra)" "" "<= 1" "$(rating "$(counted entra)" '<=' 1)"
    row "vault requests for 1,000 first mounts of 10 objects" "$(counted vault)" "" "" ""
    value=$(rss_mib "$driver")
    row "driver: resident memory with 1,000 volumes of 10 objects, MiB" "$value" "" "<= 8" "$(rating "$value" '<=' 8)"
    if [ -n "$cgroup" ]; then # docs/install.md: 8 KiB for a volume, 2 KiB and a page for each of its files, and the process
        value=$(charged_mib)
        row "driver: charge of its cgroup with them, volumes included, MiB" "$value" "" "<= 82" "$(rating "$value" '<=' 82)"
    fi
    value=$(rss_mib "$provider")
    row "provider: resident memory after that, MiB" "$value" "" "<= 12" "$(rating "$value" '<=' 12)"
    bench --class=c10 --volumes=1000 --concurrency=8 --only-unpublish --prefix=keep > /dev/null
    row "driver: descriptors, before / now" "$fds_before / $(fds "$driver")" "" "" ""
    if [ -n "$cgroup" ]; then
        kill "$driver"; wait "$driver" 2>/dev/null || true
        rmdir "$cgroup"
        cgroup=
        start_driver; pids+=("$driver")
    fi
fi

# One rotation interval of 100 pods. The provider also serves republishes from its cache for an interval, so both get the same
# interval, and both intervals must be over before the measured round. A round without vault requests measures nothing.
if wanted rotation; then
    use_class 10
    kill "$driver"; wait "$driver" 2>/dev/null || true
    restart_provider --republish-cache-ttl=5s
    start_driver --rotation-poll-interval=5s; pids+=("$driver")
    bench --class=c10 --volumes=100 --concurrency=8 --keep --prefix=rot > /dev/null
    sleep 6
    control POST /counters/reset > /dev/null
    bench --class=c10 --volumes=100 --concurrency=8 --keep --prefix=rot > /dev/null
    value=$(counted vault)
    row "vault requests in one rotation of 100 pods x 10 objects" "$value" "" "<= 10" \
        "$([ "$value" -gt 0 ] && rating "$value" '<=' 10 || echo 'NOT MEASURED')"
    bench --class=c10 --volumes=100 --concurrency=8 --only-unpublish --prefix=rot > /dev/null
fi
