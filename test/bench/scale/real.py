"""real.py - a case with real programs: one provider for each node, the emulated cloud with its limits, cluster-load as kubelet and driver."""

import os
import socket
import subprocess
import threading
import time
from pathlib import Path

from harness.emulator import Emulator
from harness.process import BUILD, Process, wait_until
from scale.measure import Result
from scale.model import WARM_INTERVALS

SECRET = "bench-secret"
LONGEST_S = 1800  # of a case until all pods have their secrets


class Cluster:
    """Emulator and providers of a case; `provider` is the path of another program than ours."""

    def __init__(self, case, directory, program=None, port=0):
        self.case, self.directory = case, Path(directory)
        self.program = program or BUILD / "bin/secrets-store-provider-azure"
        self.providers = []
        (self.directory / "cloud").mkdir(parents=True)
        (self.directory / "nodes").mkdir()
        self.emulator = Emulator(self.directory / "cloud", arguments=("--port", str(port)))
        self._fill()

    def _fill(self):
        case, emulator = self.case, self.emulator
        for app in range(case.apps):
            emulator.add_app("bench", f"app{app}", SECRET)
        for vault in range(case.vaults):
            emulator.control("PUT", f"/vaults/vault{vault}", {"tenant": "bench"})
            for app in range(case.apps):
                emulator.set_policy(f"vault{vault}", f"app{app}", ("get",))
        for group in range(case.classes):
            for number in range(case.objects):
                emulator.set_secret(f"c{group}-o{number}", f"value {number} of class {group}", vault=f"vault{group % case.vaults}")

    def start_providers(self):
        """All at the same time: they wait for each other's processor time only."""
        argv = [self.program, "--healthz-port=0", "--prometheus-port=0", "--cloud-name=AzureStackCloud"]
        if self.case.provider == "ours":
            argv.append(f"--republish-cache-ttl={120 / self.case.speed}s")
        for node in range(self.case.nodes):
            self.providers.append(Process(f"node-{node}", [*argv, f"--endpoint=unix://{self.directory}/nodes/{node}.sock"], self.directory,
                                          env=self.emulator.provider_environment()))
        for node in range(self.case.nodes):
            wait_until(lambda node=node: self._serves(node), timeout=120, what=f"provider {node}")

    def _serves(self, node):
        with socket.socket(socket.AF_UNIX) as probe:
            try:
                probe.connect(f"{self.directory}/nodes/{node}.sock")
            except OSError:
                assert self.providers[node].alive, self.providers[node].log[-2000:]
                return False
        return True

    def load(self, name, **options):
        case = self.case
        options = {"nodes": case.nodes, "pods": case.pods, "classes": case.classes, "objects": case.objects, "vaults": case.vaults,
                   "apps": case.apps, "speed": case.speed, "spread": f"{case.spread_s}s", "rotation-poll-interval": f"{case.interval_s}s",
                   **options}
        log = self.directory / f"{name}.calls"
        return subprocess.Popen(["setpriv", "--pdeathsig", "KILL", "--", BUILD / "bin/cluster-load", f"--directory={self.directory}/nodes",
                                 f"--log={log}", f"--prefix={name}", *(f"--{key}={value}" for key, value in options.items())],
                                stdout=subprocess.PIPE, text=True), log

    def destroy(self):
        for provider in self.providers:
            provider.popen.kill()
        for provider in self.providers:
            provider.popen.wait()
        self.emulator.kill()

    def memory_mib(self):
        return sum(provider.rss_kib() for provider in self.providers) / 1024

    def cpu_seconds(self):
        return sum(provider.cpu_seconds() for provider in self.providers)


class Sampler(threading.Thread):
    """Reads the counters of the limits each quarter of a second."""

    def __init__(self, emulator):
        super().__init__(daemon=True)
        self.emulator, self.samples, self.stopping = emulator, [], threading.Event()
        self.began = time.monotonic()
        self.start()

    def run(self):
        while not self.stopping.wait(0.25):
            self.samples.append((time.monotonic() - self.began, self.emulator.limits()["subscription"]))

    def stop(self):
        self.stopping.set()
        self.join()
        report = self.emulator.limits()
        self.samples.append((time.monotonic() - self.began, report["subscription"]))
        return self.samples, report


def wait_ready(load):
    line = load.stdout.readline()
    assert line == "ready\n", line + load.stdout.read()


def end(load):
    load.terminate()
    load.communicate(timeout=60)


UNLIMITED = {"vault": 0, "subscription": 0}  # counted all the same


def run(case, directory, program=None, port=0, unlimited=False):
    """The Result of one case."""
    cluster = Cluster(case, directory, program, port)
    emulator = cluster.emulator
    base = base_log = load = None
    try:
        cluster.start_providers()
        if case.warm:
            base, base_log = cluster.load("base", seconds=100000)
            wait_ready(base)
            time.sleep(WARM_INTERVALS * case.interval_s / case.speed)
        emulator.reset_counters()
        emulator.set_limits(**(UNLIMITED if unlimited else case.limits()))
        sampler = Sampler(emulator)
        logs = [base_log] if case.warm else []
        if not case.warm:
            load, log = cluster.load("new", seconds=int(case.seconds / case.speed))
            logs.append(log)
        elif case.new_pods:
            load, log = cluster.load("new", pods=case.new_pods, classes=1, wave=max(1, int(case.nodes * case.new_pods * case.wave)),
                                     seconds=100000)
            logs.append(log)
        if case.away:
            time.sleep(case.away[0] / case.speed)
            emulator.add_fault("status", service="vault", status=503)
            time.sleep((case.away[1] - case.away[0]) / case.speed)
            emulator.clear_faults()
        if case.seconds:
            time.sleep(max(0, case.seconds / case.speed - (time.monotonic() - sampler.began)))
        else:
            load.communicate(timeout=LONGEST_S)
            assert load.returncode == 0, "cluster-load failed"
        samples, report = sampler.stop()
        counters = emulator.counters()
        for one in (base, load):
            if one is not None and one.poll() is None:
                end(one)
        result = Result(case)
        for log in logs:
            result.read_log(log, sampler.began)
        result.read_samples(samples, report, counters)
        result.memory_mib, result.cpu_s = cluster.memory_mib(), cluster.cpu_seconds()
        return result
    finally:
        for one in (base, load):
            if one is not None and one.poll() is None:
                one.kill()
        cluster.destroy()
