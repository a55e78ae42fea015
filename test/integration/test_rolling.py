"""Both programs are replaced again and again while a kubelet publishes, republishes and unpublishes: no call is lost."""

import itertools
import threading
import time
from collections import Counter

import grpc
import pytest

from harness import mounts, rpc, tutorial
from harness.http_get import get
from harness.process import PATIENCE, wait_until
from harness.programs import metric_sum

ROUNDS = 10
CALLS_PER_S = 50
WORKERS = 16
REPUBLISHES = 3
HEALED_S = 2.0  # a call that was UNAVAILABLE succeeds within this time
LATENCY_MS = 200  # of the vault: calls are in flight at every restart
NO_CACHE = "--republish-cache-ttl=0"
CONTENT = {"secret1": tutorial.SECRETS["secret1"].encode()}


class Load:
    """A kubelet with pods that start, live and end, CALLS_PER_S calls in all, each on a connection of its own as the kubelet makes them."""

    def __init__(self, node):
        self.node = node
        self.ok, self.unavailable = Counter(), Counter()  # by method
        self.lost = []  # what no retry has healed, and every other outcome
        self.slowest_heal_s = 0.0
        self.in_flight = 0
        self.met_in_flight = []  # calls under way when a program was replaced
        self._numbers = itertools.count()
        self._lock, self._end = threading.Lock(), threading.Event()
        self._next_call = time.monotonic()
        self._threads = [threading.Thread(target=self._work) for _ in range(WORKERS)]

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self._end.set()
        for thread in self._threads:
            thread.join(60)

    @property
    def calls(self):
        return sum(self.ok.values())

    def _wait_for_turn(self):
        with self._lock:
            turn = self._next_call = max(self._next_call + 1 / CALLS_PER_S, time.monotonic())
        self._end.wait(max(0, turn - time.monotonic()))

    def _call(self, method, request):
        """True once it has succeeded."""
        self._wait_for_turn()
        with self._lock:
            self.in_flight += 1
        try:
            return self._call_until_ok(method, request)
        finally:
            with self._lock:
                self.in_flight -= 1

    def _call_until_ok(self, method, request):
        failed_at = None
        while True:
            try:
                with rpc.Client(self.node.csi_socket) as client:
                    client.call(method, request, timeout=30)
                with self._lock:
                    self.ok[method] += 1
                    if failed_at is not None:
                        self.slowest_heal_s = max(self.slowest_heal_s, time.monotonic() - failed_at)
                return True
            except grpc.RpcError as error:
                now = time.monotonic()
                failed_at = failed_at if failed_at is not None else now
                with self._lock:
                    if error.code() != grpc.StatusCode.UNAVAILABLE or now - failed_at > HEALED_S * PATIENCE:
                        self.lost.append((method, error.code().name, error.details()))
                        return False
                    self.unavailable[method] += 1
            time.sleep(0.1)  # the pause of the caller; what the test waits for is the call

    def _live(self, number):
        uid = f"00000000-0000-0000-0000-{number:012d}"
        target = self.node.target(pod_uid=uid)
        publish = rpc.publish_request(target, pod_uid=uid, secrets=tutorial.CREDENTIALS)
        for _ in range(1 + REPUBLISHES):
            if self._call(rpc.PUBLISH, publish) and mounts.contents(target) != CONTENT:
                self.lost.append((rpc.PUBLISH, "content", str(mounts.contents(target))))
        if self._call(rpc.UNPUBLISH, rpc.unpublish_request(target, pod_uid=uid)):
            mounts.assert_no_trace(target)

    def _work(self):
        while not self._end.is_set():
            try:
                self._live(next(self._numbers))
            except AssertionError as error:
                self.lost.append(("", "assertion", str(error)))


def wait_for_calls(load, n):
    after = load.calls + n
    wait_until(lambda: load.calls >= after or load.lost, what="some calls", timeout=30)


def serves(process):
    wait_until(lambda: '"listening"' in process.log, what=f"{process.name} to listen")


def served(processes, method):
    """OK responses, as the drivers have logged them."""
    return sum(process.log.count(f'method="{method}" code="OK"') for process in processes)


@pytest.mark.slow
@pytest.mark.parametrize("surge", [False, True], ids=["old-ends-first", "new-starts-first"])
def test_ten_restarts_of_both_under_load_lose_no_call(node, start_driver, start_azure, emulator, surge):
    node.add_class(text=tutorial.class_with(["secret1"]))
    emulator.add_fault("latency", service="vault", latency_ms=LATENCY_MS)
    flags = ("--enable-secret-rotation=true", "--rotation-poll-interval=0")  # every republish goes to the provider
    drivers, providers = [start_driver(*flags, name="driver0")], [start_azure(NO_CACHE, name="azure0")]

    def replace(processes, start):
        old = processes[-1]
        load.met_in_flight.append(load.in_flight)
        if not surge:
            old.destroy()
        new = start(len(processes))
        processes.append(new)
        serves(new)
        if surge:
            old.destroy()

    with Load(node) as load:
        wait_for_calls(load, CALLS_PER_S)
        for _ in range(ROUNDS):
            replace(providers, lambda n: start_azure(NO_CACHE, name=f"azure{n}"))
            wait_for_calls(load, CALLS_PER_S // 2)
            replace(drivers, lambda n: start_driver(*flags, name=f"driver{n}"))
            wait_for_calls(load, CALLS_PER_S // 2)
    print(f"in flight at the restarts {load.met_in_flight}, {dict(load.ok)} OK, UNAVAILABLE first {dict(load.unavailable)}, healed after {load.slowest_heal_s:.2f} s at most")
    assert load.lost == []
    assert sum(n > 0 for n in load.met_in_flight) > ROUNDS, "the programs were not replaced under load"
    assert load.slowest_heal_s <= HEALED_S * PATIENCE
    assert load.calls >= (2 * ROUNDS + 2) * CALLS_PER_S // 2
    for method in (rpc.PUBLISH, rpc.UNPUBLISH):
        # a response that was lost with its connection is one more in a driver's log
        assert load.ok[method] <= served(drivers, method) <= load.ok[method] + load.unavailable[method]
    assert mounts.mounts_below(node.kubelet) == []
    assert metric_sum(drivers[-1].metrics(), "volumes_published") == 0
    assert get(providers[-1].health_port, "/healthz") == (200, "ok")
