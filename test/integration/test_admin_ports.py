"""The ports of health and metrics, with strangers on them: a probe gets its response within a second, the usual timeout of a kubelet."""

import contextlib
import socket
import threading
import time

import pytest

from harness.process import PATIENCE, free_port
from harness.programs import Azure, Driver

RESPONSE_S = 1.0
PROBES = 5  # of which one has to succeed, as with a kubelet (failureThreshold): a busy machine may hold some up
CROWD = 200  # more than the server keeps open
PORTS = ["driver /healthz", "driver /metrics", "azure /healthz", "azure /metrics"]


@pytest.fixture(params=PORTS)
def port(request, node, emulator):
    """(port, path) of a program that runs."""
    which, path = request.param.split()
    health = free_port()
    process = Driver(node, [f"--health-addr=127.0.0.1:{health}"]) if which == "driver" else Azure(node, emulator)
    ports = {"/healthz": health if which == "driver" else process.health_port, "/metrics": process.metrics_port}
    yield ports[path], path
    process.destroy()


def connect(port, source="127.0.0.1"):
    return socket.create_connection(("127.0.0.1", port), timeout=5, source_address=(source, 0))


def probe(port, path):
    """A GET as a kubelet makes it: (status, seconds)."""
    start = time.monotonic()
    with connect(port) as connection:
        connection.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        status = connection.makefile("rb").readline()
    return status, time.monotonic() - start


def assert_served(port, path):
    took = []
    while not took or (took[-1] >= RESPONSE_S * PATIENCE and len(took) < PROBES):
        status, seconds = probe(port, path)
        assert status.startswith(b"HTTP/1.1 200 ")
        took.append(seconds)
    assert took[-1] < RESPONSE_S * PATIENCE, took


def idle(connection, path):
    pass


def half_a_request(connection, path):
    connection.sendall(f"GET {path} HTTP/1.1\r\nHost: ".encode())


def request_without_reading(connection, path):
    connection.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode() * 20)


def served_once(connection, path):
    connection.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    connection.recv(100)


@pytest.mark.parametrize("act", [idle, half_a_request, request_without_reading, served_once])
def test_a_probe_is_served_while_a_crowd_holds_connections(port, act):
    number, path = port
    with contextlib.ExitStack() as crowd:
        for _ in range(CROWD):
            connection = crowd.enter_context(connect(number))
            with contextlib.suppress(OSError):  # shed already
                act(connection, path)
        for _ in range(3):
            assert_served(number, path)
    assert_served(number, path)


@pytest.mark.parametrize("n", [31, 32, 33, 40, 60, 127, 128, 129, 300])
def test_a_probe_is_served_after_a_crowd_has_gone(port, n):
    number, path = port
    with contextlib.ExitStack() as crowd:
        for _ in range(n):
            crowd.enter_context(connect(number))
    assert_served(number, path)
    assert_served(number, path)


def test_a_probe_is_served_while_another_host_connects_without_end(port):
    number, path = port
    end = threading.Event()

    def flood():
        held = []
        while not end.is_set():
            with contextlib.suppress(OSError):
                held.append(connect(number, "127.0.0.2"))
            if len(held) > CROWD:
                held.pop(0).close()
        for connection in held:
            connection.close()
    threads = [threading.Thread(target=flood) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(10):
            assert_served(number, path)
    finally:
        end.set()
        for thread in threads:
            thread.join(30)


def test_the_oldest_idle_connection_is_shed_and_a_new_one_is_served(port):
    number, path = port
    with contextlib.ExitStack() as crowd:
        connections = [crowd.enter_context(connect(number)) for _ in range(32)]
        for connection in connections:
            connection.settimeout(0.2)
        newest = crowd.enter_context(connect(number))
        connections[0].settimeout(5 * PATIENCE)
        assert connections[0].recv(1) == b""
        for connection in connections[1:]:
            connection.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        newest.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        for connection in [*connections[1:], newest]:
            connection.settimeout(5 * PATIENCE)
            assert connection.recv(15) == b"HTTP/1.1 200 OK"
