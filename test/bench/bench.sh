#!/bin/bash
# bench.sh - measures start, memory, latency, throughput and request counts, and prints them next to the targets.
#
# Needs root. Everything runs on this machine, in a mount namespace and directory of its own. Not a test: numbers depend on the machine.
# BUILD names the programs (build/release); for the memory of the shipped programs give the static build.
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
row() { printf '  %-58s %14s %14s  %s\n' "$1" "$2" "$3" "$4"; }
rating() { awk -v value="$1" -v op="$2" -v target="$3" 'BEGIN { ok = op == "<=" ? value <= target : value >= target; print ok ? "ok" : "MISSED" }'; }

"$bin/vault-emulator" --dir "$work/vault" > "$work/vault.log" 2>&1 &
pids+=($!)
wait_for "$work/vault/ready"
control_port=$(sed 's/.*"control":\([0-9]*\).*/\1/' "$work/vault/ports.json")
control POST /entra/apps '{"tenant":"bench","client_id":"bench","client_secret":"bench-secret"}' > /dev/null
control PUT /vaults/benchvault '{"tenant":"bench"}' > /dev/null
control PUT /vaults/benchvault/policies '{"client_id":"bench","permissions":["get"]}' > /dev/null
printf bench > "$work/clientid"
printf bench-secret > "$work/clientsecret"
mkdir -p "$work/classes" "$work/providers" "$work/kubelet/pods"
for ((i = 0; i < 50; i++)); do
    control PUT "/vaults/benchvault/secrets/s$i" "{\"value\":\"value of secret number $i\"}" > /dev/null
done
for n in 1 10 50; do
    {
        printf 'apiVersion: secrets-store.csi.x-k8s.io/v1\nkind: SecretProviderClass\nmetadata:\n  name: c%d\n  namespace: default\nspec:\n' "$n"
        printf '  provider: azure\n  parameters:\n    keyvaultName: benchvault\n    tenantId: bench\n    objects: |\n      array:\n'
        for ((i = 0; i < n; i++)); do
            printf '        - |\n          objectName: s%d\n          objectType: secret\n' "$i"
        done
    } > "$work/classes/c$n.yaml"
done

start_provider() {
    rm -f "$work/providers/azure.sock"
    AZURE_ENVIRONMENT_FILEPATH=$work/vault/cloud.json SSL_CERT_FILE=$work/vault/ca.pem "$bin/secrets-store-provider-azure" \
        --endpoint="unix://$work/providers/azure.sock" --cloud-name=AzureStackCloud --healthz-port=0 --prometheus-port=0 "$@" \
        >> "$work/provider.log" 2>&1 &
    provider=$!
    wait_for "$work/providers/azure.sock"
}
start_driver() {
    rm -f "$work/csi.sock"
    "$bin/secrets-store-driver" --endpoint="unix://$work/csi.sock" --nodeid=bench --class-dir="$work/classes" \
        --provider-volume="$work/providers" --additional-provider-volume-paths= --metrics-addr=0 --health-addr=0 \
        --enable-secret-rotation=true --rotation-poll-interval=1h --registration-dir= "$@" >> "$work/driver.log" 2>&1 &
    driver=$!
    wait_for "$work/csi.sock"
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
bench() {
    "$bin/secrets-store-bench" --endpoint="$work/csi.sock" --kubelet-dir="$work/kubelet" --clientid-file="$work/clientid" \
        --clientsecret-file="$work/clientsecret" "$@"
}

echo "Programs: $build"
row what measured target ''
row "$(printf -- '-%.0s' {1..50})" ------- ------ ''
value=$(median_start start_provider provider)
row "provider: start to serving (median of 9), ms" "$value" "<= 20" "$(rating "$value" '<=' 20)"
value=$(median_start start_driver driver)
row "driver: start to serving (median of 9), ms" "$value" "<= 20" "$(rating "$value" '<=' 20)"

start_provider; pids+=("$provider")
start_driver; pids+=("$driver")
sleep 0.2
value=$(rss_mib "$driver")
row "driver: resident memory, idle, MiB" "$value" "<= 6" "$(rating "$value" '<=' 6)"
value=$(rss_mib "$provider")
row "provider: resident memory, idle, MiB" "$value" "<= 10" "$(rating "$value" '<=' 10)"

for latency in 0 20; do
    control DELETE /faults > /dev/null
    [ "$latency" = 0 ] || control POST /faults "{\"kind\":\"latency\",\"service\":\"vault\",\"latency_ms\":$latency}" > /dev/null
    for n in 1 10 50; do
        bench --class="c$n" --volumes=20 --prefix="warm$latency-$n" > /dev/null
        result=$(bench --class="c$n" --volumes=$((latency == 0 ? 300 : 60)) --prefix="lat$latency-$n")
        p50=$(awk -v us="$(word "$result" publish_p50_us)" 'BEGIN { printf "%.2f", us / 1000 }')
        p99=$(awk -v us="$(word "$result" publish_p99_us)" 'BEGIN { printf "%.2f", us / 1000 }')
        target='' ok=''
        if [ "$latency" = 0 ] && [ "$n" = 10 ]; then target="<= 2" ok=$(rating "$p50" '<=' 2); fi
        if [ "$latency" = 20 ] && [ "$n" = 50 ]; then target="<= 80" ok=$(rating "$p50" '<=' 80); fi
        if [ "$latency" = 20 ] && [ "$n" = 10 ]; then target="<= 22" ok=$(rating "$p50" '<=' 22); fi
        awk -v p50="$p50" -v floor="$latency" 'BEGIN { exit p50 < floor }' || ok='NOT MEASURED'
        row "mount of $n secrets, vault $latency ms away: p50 / p99, ms" "$p50 / $p99" "$target" "$ok"
    done
done
control DELETE /faults > /dev/null

for concurrency in 1 8 32; do
    result=$(bench --class=c1 --volumes=3000 --concurrency="$concurrency" --prefix="rate$concurrency")
    value=$(word "$result" rate)
    target='' ok=''
    [ "$concurrency" = 1 ] || { target=">= 1000" ok=$(rating "$value" '>=' 1000); }
    row "publish + unpublish of 1 secret, $concurrency in flight, per second" "$value" "$target" "$ok"
done

fds_before=$(fds "$driver")
kill "$provider"; wait "$provider" 2>/dev/null || true
start_provider; pids+=("$provider")
control POST /counters/reset > /dev/null
bench --class=c10 --volumes=1000 --concurrency=8 --keep --prefix=keep > /dev/null
row "token requests for 1,000 mounts of one identity" "$(counted entra)" "<= 1" "$(rating "$(counted entra)" '<=' 1)"
row "vault requests for 1,000 first mounts of 10 objects" "$(counted vault)" "" ""
value=$(rss_mib "$driver")
row "driver: resident memory with 1,000 volumes of 10 objects, MiB" "$value" "<= 8" "$(rating "$value" '<=' 8)"
value=$(rss_mib "$provider")
row "provider: resident memory after that, MiB" "$value" "<= 12" "$(rating "$value" '<=' 12)"
bench --class=c10 --volumes=1000 --concurrency=8 --only-unpublish --prefix=keep > /dev/null

# One rotation interval of 100 pods. The provider also serves republishes from its cache for an interval, so both get the same
# interval, and both intervals must be over before the measured round. A round without vault requests measures nothing.
kill "$driver" "$provider"; wait "$driver" "$provider" 2>/dev/null || true
start_provider --republish-cache-ttl=5s; pids+=("$provider")
start_driver --rotation-poll-interval=5s; pids+=("$driver")
bench --class=c10 --volumes=100 --concurrency=8 --keep --prefix=rot > /dev/null
sleep 6
control POST /counters/reset > /dev/null
bench --class=c10 --volumes=100 --concurrency=8 --keep --prefix=rot > /dev/null
value=$(counted vault)
row "vault requests in one rotation of 100 pods x 10 objects" "$value" "<= 10" "$([ "$value" -gt 0 ] && rating "$value" '<=' 10 || echo 'NOT MEASURED')"
bench --class=c10 --volumes=100 --concurrency=8 --only-unpublish --prefix=rot > /dev/null
row "driver: descriptors, before / now" "$fds_before / $(fds "$driver")" "" ""
