"""Bursts of distinct objects: nothing can be shared, so every one of them is a request. How they are queued, counted and paid for."""

import os

import pytest

from harness.azure_mounts import Pods, mount_request, texts
from harness.programs import metric_sum

OBJECTS = 10


@pytest.fixture
def burst(start_azure, emulator):
    """burst(pods): mounts so many pods at once, each with secrets of its own, by a new provider; returns the CPU seconds they cost it."""
    def run(pods):
        azure = start_azure("-v=0")
        names = [[f"d{pod}-{i}" for i in range(OBJECTS)] for pod in range(pods)]
        for name in sum(names, []):
            emulator.set_secret(name, f"value of {name}")
        with Pods(azure.socket, in_flight=pods) as caller:
            caller.mount(mount_request())  # the token, a connection
            emulator.reset_counters()
            before = cpu_seconds(azure)
            responses = caller.mount_all([mount_request(mine, pod=f"pod-{pod}") for pod, mine in enumerate(names)], timeout=120)
            spent = cpu_seconds(azure) - before
        for mine, response in zip(names, responses):
            assert texts(response) == {name: f"value of {name}" for name in mine}
        assert emulator.vault_requests == pods * OBJECTS
        assert metric_sum(azure.metrics(), "http_requests_waiting") == 0
        assert metric_sum(azure.metrics(), "azure_http_retries_total") == 0
        return spent
    return run


def cpu_seconds(program):
    with open(f"/proc/{program.pid}/stat", encoding="ascii") as stat:
        fields = stat.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@pytest.mark.parametrize(("protocol", "connections"), [("h2", 2), ("http/1.1", 64)])
def test_a_burst_uses_a_bounded_number_of_connections(burst, emulator, protocol, connections):
    emulator.set_http(protocols=[protocol])
    emulator.add_fault("latency", service="vault", latency_ms=5)
    burst(20)
    assert len({request["connection"] for request in emulator.requests("vault")}) <= connections


def test_a_server_with_few_streams_gets_two_connections(burst, emulator):
    """In the end: how many streams it allows is found out by the first connections."""
    emulator.set_http(protocols=["h2"], max_streams=10)
    emulator.add_fault("latency", service="vault", latency_ms=5)
    burst(80)
    last = emulator.requests("vault")[-100:]
    assert 1 <= len({request["connection"] for request in last}) <= 3


@pytest.mark.release_only  # sanitizers change the cost
@pytest.mark.parametrize("protocol", ["h2", "http/1.1"])
def test_the_cost_of_a_burst_grows_with_its_size_and_no_faster(burst, emulator, protocol):
    """In CPU time, which other programs on the machine hardly change. With the queue inside libcurl eight times the requests cost about
    sixty times as much, and 2,000 did not end in time."""
    emulator.set_http(protocols=[protocol])
    emulator.add_fault("latency", service="vault", latency_ms=5)
    small, large = burst(25), burst(200)
    print(f"{protocol}: 250 requests: {small:.2f} s of CPU, 2,000: {large:.2f} s")
    assert large < 8 * max(small, 0.05) * 1.6
