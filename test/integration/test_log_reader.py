"""Nobody reads the log: a full pipe on stderr stops neither calls nor health checks nor the end of a program."""

import fcntl
import json
import os
import re
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from harness import mounts, rpc
from harness.azure_mounts import mount, mount_request
from harness.http_get import get
from harness.process import PATIENCE, free_port, wait_until
from harness.programs import metric_sum

PIPE_BYTES = 4096  # the smallest there is
FAILURES = 600     # their error lines fill pipe and buffer many times over
DROPPED = "lines of this log were dropped, because they were not read"


class Pipe:
    """The log of a program goes into a pipe that is read when the test says so."""

    def __init__(self, directory):
        self.path = directory / "log.fifo"
        os.mkfifo(self.path)
        self.fd = os.open(self.path, os.O_RDONLY | os.O_NONBLOCK)
        fcntl.fcntl(self.fd, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
        self.wrapper = ["bash", "-c", f'exec "$@" >{self.path} 2>&1', "bash"]

    def read_to_end(self, lines=None):
        """All lines until no process has the pipe open for writing; adds each to `lines` as it comes."""
        lines = lines if lines is not None else []
        os.set_blocking(self.fd, True)
        with os.fdopen(self.fd, "rb") as stream:
            for line in stream:
                lines.append(line.decode().rstrip("\n"))
        return lines


@pytest.fixture
def pipe(node):
    return Pipe(node.directory)


@pytest.fixture(params=["driver", "azure"])
def unread(request, node, pipe):
    """A program whose log nobody reads: (process, health port, a function that fails and is logged, one that succeeds)."""
    if request.param == "azure":
        azure = request.getfixturevalue("start_azure")(wrapper=pipe.wrapper)
        client = rpc.Client(azure.socket)
        yield (azure, azure.health_port,
               lambda n: rpc.failure(client.call, rpc.MOUNT, mount_request(names=("nowhere" * 10,), pod=f"pod{n}"), timeout=20 * PATIENCE),
               lambda: mount(client, timeout=20 * PATIENCE))
        client.close()
        return
    node.add_class()
    request.getfixturevalue("scripted")()
    port = free_port()
    driver = request.getfixturevalue("start_driver")(f"--health-addr=127.0.0.1:{port}", wrapper=pipe.wrapper)

    def fail(n):
        uid = f"11111111-2222-3333-4444-{n:012d}"
        return driver.publish_failure(rpc.publish_request(node.target(pod_uid=uid), pod_uid=uid, class_name="nowhere" * 10), timeout=20 * PATIENCE)

    def succeed():
        driver.publish(rpc.publish_request(node.target()), timeout=20 * PATIENCE)
        assert mounts.contents(node.target()) == {"file": b"content"}
    yield driver, port, fail, succeed


def test_calls_health_and_end_do_not_wait_for_a_reader(unread, pipe):
    process, port, fail, succeed = unread
    with ThreadPoolExecutor(8) as pool:
        codes = {code for code, _ in pool.map(fail, range(FAILURES))}
    assert codes and rpc.CODES.DEADLINE_EXCEEDED not in codes
    succeed()
    assert get(port, "/healthz")[0] == 200
    dropped = metric_sum(process.metrics(), "log_lines_dropped_total")
    assert dropped > 0
    start = time.monotonic()
    assert process.stop() == 0
    assert time.monotonic() - start < 5 * PATIENCE
    # the thread is gone with the process: what is in the pipe is all there is
    lines = pipe.read_to_end()
    assert lines and all(re.match(r"[IWE]\d{4} ", line) for line in lines[:-1])


def test_a_reader_that_comes_back_gets_the_oldest_lines_and_the_number_of_the_lost_ones(unread, pipe):
    process, _, fail, succeed = unread
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(fail, range(FAILURES)))
    lines = []
    with ThreadPoolExecutor(1) as reader:
        end = reader.submit(pipe.read_to_end, lines)
        wait_until(lambda: any(DROPPED in line for line in lines), what="the number of lost lines", timeout=30)
        succeed()
        process.stop()
        end.result(60)
    assert all(re.match(r"[IWE]\d{4} \S+ +\d+ \S+\] \".*", line) for line in lines), "each line is whole"
    assert any("listening" in line for line in lines[:5]), "the oldest lines are there"
    assert any("stopping" in line for line in lines[-20:]), "and the newest"
    noted = [line for line in lines if DROPPED in line]
    assert noted and all(line.startswith("W") and re.search(r" lines=[1-9]\d*$", line) for line in noted)
    seconds = [line[1:14] for line in lines]
    assert seconds == sorted(seconds), "in order"


def test_with_both_streams_of_a_json_log_unread_nothing_waits(node, start_azure, emulator, pipe):
    azure = start_azure("--log-format-json=true", wrapper=pipe.wrapper)
    with rpc.Client(azure.socket) as client, ThreadPoolExecutor(8) as pool:
        def fail(n):
            return rpc.failure(client.call, rpc.MOUNT, mount_request(names=("nowhere" * 10,), pod=f"pod{n}"), timeout=20 * PATIENCE)
        assert rpc.CODES.DEADLINE_EXCEEDED not in {code for code, _ in pool.map(fail, range(FAILURES))}
        with ThreadPoolExecutor(1) as reader:
            lines = reader.submit(pipe.read_to_end)
            mount(client)
            azure.stop()
            for line in lines.result(60):
                json.loads(line)


def test_the_shared_end_of_the_pipe_stays_blocking(unread, node, pipe):
    """Other processes that have the same open file rely on it."""
    process, _, fail, _ = unread
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(fail, range(100)))
    with open(f"/proc/{process.pid}/fdinfo/2") as info:
        flags = int(re.search(r"^flags:\s+(\d+)", info.read(), re.MULTILINE).group(1), 8)
    assert not flags & os.O_NONBLOCK
