# lib.sh - what the demonstrations share, sourced by each: a directory and a mount namespace of their own, numbered steps, the emulated cloud,
# the two programs. At the end, or when interrupted, everything is removed.
#
# Expects $root and the arguments of the demonstration; sets $bin, $work, $pids.

if [ "$(id -u)" != 0 ]; then
    echo "The demonstration mounts a tmpfs, which only root may do." >&2
    exit 1
fi
if [ -z "${DEMO_INSIDE:-}" ]; then
    DEMO_INSIDE=1 exec unshare --mount --propagation private bash "$0" "$@"
fi
bin=$root/${BUILD:-build/release}/bin
[ -d "$bin" ] || bin=${BUILD}/bin
unset http_proxy https_proxy HTTP_PROXY HTTPS_PROXY ALL_PROXY all_proxy

if [ -t 1 ]; then bold=$'\e[1m' dim=$'\e[2m' green=$'\e[32m' plain=$'\e[0m'; else bold='' dim='' green='' plain=''; fi

work=$(mktemp -d /tmp/secrets-store-demo.XXXXXX)
chmod 0711 "$work"
pids=()

cleanup() {
    local pid
    trap - EXIT INT TERM
    for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; done
    for pid in "${pids[@]}"; do wait "$pid" 2>/dev/null || true; done
    umount "$work"/kubelet/pods/*/volumes/*/*/mount 2>/dev/null || true
    rm -rf "$work"
}
finish() {
    local status=$?
    if [ "$status" != 0 ]; then
        echo
        echo "The demonstration stopped with status $status. Last lines of the logs:"
        tail -n 5 "$work"/*.log 2>/dev/null || true
    fi
    cleanup
    exit "$status"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

number=0
step() { number=$((number + 1)); printf '\n%s%2d. %s%s\n' "$bold" "$number" "$1" "$plain"; }
note() { printf '    %s\n' "$1"; }
show() { printf '    %s$ %s%s\n' "$dim" "${*//"$work"/\$DEMO}" "$plain"; }
indent() { sed "s|$work|\$DEMO|g; s/^/    /"; }
run() { show "$(basename "$1")" "${@:2}"; "$@" 2>&1 | indent; }

now_us() { echo "${EPOCHREALTIME/[.,]/}"; }
timed() { # runs the rest, then prints how long it took
    local start
    start=$(now_us)
    "$@"
    note "${green}took $((($(now_us) - start) / 1000)).$(printf '%03d' $((($(now_us) - start) % 1000))) ms, start of the command included$plain"
}
expect_failure() {
    local output
    show "$(basename "$1")" "${@:2}"
    if output=$("$@" 2>&1); then
        echo "    this should have failed" >&2
        return 1
    fi
    fold -s -w 110 <<< "$output" | indent
}
wait_for() { # a path, at most 10 s
    local i
    for ((i = 0; i < 1000; i++)); do
        [ ! -e "$1" ] || return 0
        sleep 0.01
    done
    echo "    $1 did not appear" >&2
    return 1
}

# The emulator's control port speaks plain HTTP; bash can do that.
control() { # METHOD PATH BODY
    local reply
    exec 3<> "/dev/tcp/127.0.0.1/$control_port"
    printf '%s %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s' "$1" "$2" "${#3}" "$3" >&3
    read -r reply <&3
    exec 3>&-
    case $reply in *' 200 '*) ;; *) echo "    the emulator responded: $reply" >&2; return 1 ;; esac
}
start_vault() { # the emulator, and the application that the classes of the demonstrations name
    "$bin/vault-emulator" --dir "$work/vault" > "$work/vault.log" 2>&1 &
    pids+=($!)
    wait_for "$work/vault/ready"
    control_port=$(sed 's/.*"control":\([0-9]*\).*/\1/' "$work/vault/ports.json")
    control POST /entra/apps '{"tenant":"tenantID","client_id":"servicePrincipalClientID","client_secret":"top-secret-password"}'
    mkdir -m 0755 "$work/cloud"
    install -m 0644 "$work/vault/ca.pem" "$work/vault/cloud.json" "$work/cloud/"
    install -d -m 0755 -o 65534 -g 65534 "$work/providers"
}
start_provider() { # further flags
    # in the directory "/": an unprivileged process has no business in the checkout
    (cd / && exec env AZURE_ENVIRONMENT_FILEPATH="$work/cloud/cloud.json" SSL_CERT_FILE="$work/cloud/ca.pem" \
        setpriv --reuid=65534 --regid=65534 --clear-groups --no-new-privs --inh-caps=-all \
        "$bin/secrets-store-provider-azure" --endpoint="unix://$work/providers/azure.sock" --cloud-name=AzureStackCloud \
        --healthz-port=0 --prometheus-port=0 --republish-cache-ttl=1s "$@") >> "$work/provider.log" 2>&1 &
    provider_pid=$!
    pids+=("$provider_pid")
    wait_for "$work/providers/azure.sock"
}
start_driver() { # further flags
    mkdir -p "$work/classes" "$work/kubelet/pods"
    "$bin/secrets-store-driver" --endpoint="unix://$work/csi.sock" --nodeid=demo --class-dir="$work/classes" \
        --provider-volume="$work/providers" --additional-provider-volume-paths= --enable-secret-rotation=true \
        --rotation-poll-interval=1s --metrics-addr=0 --health-addr=0 --registration-dir= "$@" > "$work/driver.log" 2>&1 &
    driver_pid=$!
    pids+=("$driver_pid")
    wait_for "$work/csi.sock"
}
make_credentials() { # of the application, as a Secret of the pod has them
    mkdir -m 0700 "$work/secrets-store-creds"
    printf servicePrincipalClientID > "$work/secrets-store-creds/clientid"
    printf top-secret-password > "$work/secrets-store-creds/clientsecret"
}
