"""compare.py - the measurements of compare.sh. Every stack is a driver with its provider, the emulated cloud and a real API server."""

import datetime
import json
import os
import platform
import signal
import socket
import statistics
import subprocess
import sys
import time
from pathlib import Path

from cluster import manifests
from cluster.objects import spc
from cluster.programs import ControlPlane
from harness.emulator import Emulator
from harness.process import BUILD, ROOT, Process
from harness.programs import Node

SCRATCH = Path(os.environ["TEST_SCRATCH"])
PEERS = Path(os.environ["PEERS_DIR"])
ROUNDS = int(os.environ.get("ROUNDS", "3"))
SIZES, DISTANCES = (1, 10, 50), (0, 20)
STARTS, MANY, PODS, CONCURRENCY = 9, 1000, 100, 8
CLIENT = {"clientid": "bench", "clientsecret": "bench-secret"}


class Stack:
    """A driver and a provider. `ours`: they have our flags."""

    def __init__(self, name, driver, provider, ours):
        self.name, self.driver_program, self.provider_program, self.ours = name, driver, provider, ours
        self.node = Node(SCRATCH / name)
        self.running = []

    def driver_argv(self, interval):
        node = self.node
        argv = [self.driver_program, f"--endpoint=unix://{node.csi_socket}", "--nodeid=node-1", f"--provider-volume={node.providers}",
                f"--additional-provider-volume-paths={SCRATCH}/none", f"--kubeconfig={SCRATCH}/kubeconfig", "--metrics-addr=127.0.0.1:0",
                "--enable-secret-rotation=true", f"--rotation-poll-interval={interval}"]
        return argv + (["--health-addr=0", "--registration-dir="] if self.ours else [])

    def provider_argv(self, interval):
        argv = [self.provider_program, f"--endpoint=unix://{self.socket}", "--healthz-port=0", "--prometheus-port=0",
                "--cloud-name=AzureStackCloud"]
        return argv + ([f"--republish-cache-ttl={interval}"] if self.ours else [])

    @property
    def socket(self):
        return self.node.providers / "azure.sock"

    def launch(self, name, argv, path):
        """(process, milliseconds until it accepts a connection)."""
        path.unlink(missing_ok=True)
        began = time.monotonic()
        process = Process(name, argv, self.node.directory, env=emulator.provider_environment())
        while True:
            try:
                with socket.socket(socket.AF_UNIX) as probe:
                    probe.connect(str(path))
                break
            except OSError:
                assert process.alive, process.log[-2000:]
                assert time.monotonic() < began + 60, f"{name} does not serve\n{process.log[-2000:]}"
                time.sleep(0.0005)
        taken = (time.monotonic() - began) * 1000
        self.running.append(process)
        return process, taken

    def start(self, interval="1h"):
        self.provider, _ = self.launch("provider", self.provider_argv(interval), self.socket)
        self.driver, _ = self.launch("driver", self.driver_argv(interval), self.node.csi_socket)

    def stop(self):
        for process in self.running:
            if process.alive:
                process.kill(signal.SIGTERM)
        self.running.clear()

    def start_times(self, which):
        argv, path = (self.driver_argv("1h"), self.node.csi_socket) if which == "driver" else (self.provider_argv("1h"), self.socket)
        taken = []
        for _ in range(STARTS):
            taken.append(self.launch(which, argv, path)[1])
            self.stop()
        return statistics.median(taken)

    def bench(self, class_name, volumes, prefix, *flags, concurrency=1):
        argv = [BUILD / "bin/secrets-store-bench", f"--endpoint={self.node.csi_socket}", f"--kubelet-dir={self.node.kubelet}",
                f"--clientid-file={SCRATCH}/clientid", f"--clientsecret-file={SCRATCH}/clientsecret", f"--class={class_name}",
                f"--volumes={volumes}", f"--concurrency={concurrency}", f"--prefix={prefix}", *flags]
        done = subprocess.run(argv, capture_output=True, text=True, check=False)
        words = dict(word.split("=") for word in done.stdout.split() if "=" in word)
        assert done.returncode == 0 and words.get("failed") == "0", (self.name, done.stdout, done.stderr[-2000:], self.driver.log[-2000:])
        return {key: float(value) for key, value in words.items()}


    def unpublish(self, class_name, volumes, prefix):
        """Retries an unmount that fails because another process reads the volume, as a kubelet does."""
        for attempt in range(5):
            try:
                return self.bench(class_name, volumes, prefix, "--only-unpublish", concurrency=CONCURRENCY)
            except AssertionError:
                if attempt == 4:
                    raise
                time.sleep(1)


def resident(process):
    return process.rss_kib() / 1024


def counted():
    """(vault requests, token requests, requests about the cloud) since the last reset."""
    vault = token = other = 0
    for route in emulator.counters()["routes"]:
        if route["service"] == "vault":
            vault += route["count"]
        elif route["service"] == "entra" and route["route"].endswith("/token"):
            token += route["count"]
        elif route["service"] == "entra":
            other += route["count"]
    return vault, token, other


class Table:
    def __init__(self, stacks):
        self.stacks, self.rows = stacks, {}

    def put(self, row, stack, value):
        self.rows.setdefault(row, {}).setdefault(stack.name, []).append(value)

    def lines(self):
        names = [stack.name for stack in self.stacks]
        yield "| | " + " | ".join(names) + " | Go ÷ release |"
        yield "| --- |" + " ---: |" * (len(names) + 1)
        for row, values in self.rows.items():
            shown = {name: statistics.median(values[name]) for name in names}
            ratio = f"{shown['Go'] / shown['release']:.1f}" if shown["release"] else "–"
            yield f"| {row} | " + " | ".join(self.number(shown[name]) for name in names) + f" | {ratio} |"

    @staticmethod
    def number(value):
        return f"{value:,.0f}" if value >= 100 or value == int(value) else f"{value:.1f}"


def prepare():
    emulator.add_app("bench", *CLIENT.values())
    emulator.add_vault("benchvault", tenant="bench", client_id="bench", permissions=("get",))
    for number in range(max(SIZES)):
        emulator.set_secret(f"s{number}", f"value of secret number {number}", vault="benchvault")
    for name, value in CLIENT.items():
        (SCRATCH / name).write_text(value)
    manifests.establish(plane.admin, manifests.crds())
    for size in SIZES:
        objects = "array:\n" + "".join(f"  - |\n    objectName: s{number}\n    objectType: secret\n" for number in range(size))
        plane.admin.apply({**spc(f"c{size}", "azure", {"keyvaultName": "benchvault", "tenantId": "bench", "objects": objects}),
                           "metadata": {"name": f"c{size}", "namespace": "default"}})
    plane.server.kubeconfig(SCRATCH / "kubeconfig", name="admin")


def note(text):
    print(f"{datetime.datetime.now():%H:%M:%S} {text}", file=sys.stderr, flush=True)


def sizes_and_starts(table):
    for stack in table.stacks:
        note(f"{stack.name}: starts")
        for which, program in (("driver", stack.driver_program), ("provider", stack.provider_program)):
            table.put(f"{which}: file, MiB", stack, os.stat(program).st_size / 2**20)
        for which in ("driver", "provider"):
            table.put(f"{which}: start to serving, ms", stack, stack.start_times(which))
        stack.start()
        time.sleep(2)  # their start-up work must be over
        for which, process in (("driver", stack.driver), ("provider", stack.provider)):
            table.put(f"{which}: resident memory, idle, MiB", stack, resident(process))
        stack.stop()


def latencies(table):
    for number in range(ROUNDS):
        for stack in table.stacks:
            note(f"{stack.name}: latencies, round {number + 1} of {ROUNDS}")
            stack.start()
            for distance in DISTANCES:
                emulator.clear_faults()
                if distance:
                    emulator.add_fault("latency", service="vault", latency_ms=distance)
                for size in SIZES:
                    prefix = f"{stack.name.lower()}{number}-{distance}-{size}"
                    stack.bench(f"c{size}", 3, "w" + prefix)
                    result = stack.bench(f"c{size}", 15 if distance else 60, prefix)
                    table.put(f"mount of {size} secret{'s' * (size > 1)}, vault {distance} ms away: p50, ms", stack, result["publish_p50_us"] / 1000)
            emulator.clear_faults()
            stack.stop()


def many(table):
    for stack in table.stacks:
        note(f"{stack.name}: {MANY} mounts")
        stack.start()
        emulator.reset_counters()
        result = stack.bench("c10", MANY, f"{stack.name.lower()}-keep", "--keep", concurrency=CONCURRENCY)
        vault, token, other = counted()
        title = f"{MANY:,} mounts of 10 secrets, {CONCURRENCY} at a time"
        table.put(f"{title}: seconds", stack, result["seconds"])
        table.put(f"{title}: vault requests", stack, vault)
        table.put(f"{title}: token requests", stack, token)
        table.put(f"{title}: discovery requests", stack, other)
        for which, process in (("driver", stack.driver), ("provider", stack.provider)):
            table.put(f"{which}: resident memory after that, MiB", stack, resident(process))
        stack.unpublish("c10", MANY, f"{stack.name.lower()}-keep")
        stack.stop()


def rotation(table):
    for stack in table.stacks:
        note(f"{stack.name}: rotation")
        prefix = f"{stack.name.lower()}-rotation"
        stack.start("5s")
        stack.bench("c10", PODS, prefix, "--keep", concurrency=CONCURRENCY)
        time.sleep(6)  # the interval must be over for both programs
        emulator.reset_counters()
        stack.bench("c10", PODS, prefix, "--keep", concurrency=CONCURRENCY)
        vault, token, other = counted()
        assert vault > 0, f"{stack.name}: the pass reached no vault and measured nothing"
        title = f"a rotation pass of {PODS} pods with 10 secrets"
        table.put(f"{title}: vault requests", stack, vault)
        table.put(f"{title}: token and discovery requests", stack, token + other)
        stack.unpublish("c10", PODS, prefix)
        stack.stop()


def version_of(program):
    version = json.loads(subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout)
    return version.get("BuildVersion") or version.get("buildVersion") or version.get("version")


def main():
    stacks = [Stack("release", BUILD / "bin/secrets-store-driver", BUILD / "bin/secrets-store-provider-azure", ours=True)]
    static = ROOT / "build/static/bin"
    if (static / "secrets-store-driver").exists():
        stacks.append(Stack("static", static / "secrets-store-driver", static / "secrets-store-provider-azure", ours=True))
    stacks.append(Stack("Go", PEERS / "driver", PEERS / "azure", ours=False))
    prepare()
    table = Table(stacks)
    for measure in (sizes_and_starts, latencies, many, rotation):
        measure(table)
    model = next((line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")),
                 platform.machine())
    kernel = ".".join(platform.release().split(".")[:2])
    print(f"{datetime.date.today()}, {os.cpu_count()} cores of {model}, Linux {kernel}, load {os.getloadavg()[1]:.1f}.")
    print("; ".join(
        f"{stack.name}: driver {version_of(stack.driver_program)}, provider {version_of(stack.provider_program)}" for stack in stacks) + ".\n")
    print("\n".join(table.lines()))


SCRATCH.joinpath("emulator").mkdir()
emulator = Emulator(SCRATCH / "emulator", arguments=("--port", "443"))
plane = ControlPlane(SCRATCH / "control-plane", Path(os.environ["KUBERNETES_DIR"]), controllers=False)
try:
    main()
finally:
    emulator.kill()
    plane.destroy()
