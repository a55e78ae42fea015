"""Resources of a process run out: descriptors, and the reader of its log."""

import contextlib
import os
import time
from pathlib import Path

import pytest

from harness import http2, mounts, rpc
from harness.process import PATIENCE, wait_until

PROBES = {"driver": "/csi.v1.Identity/Probe", "azure": "/v1alpha1.CSIDriverProvider/Version"}


def cpu_seconds(process):
    fields = Path(f"/proc/{process.pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@pytest.mark.parametrize("which", PROBES)
def test_without_descriptors_it_neither_spins_nor_dies_and_serves_again(start_driver, start_azure, node, which):
    flags = ["prlimit", "--nofile=48"]
    process = start_driver(wrapper=flags) if which == "driver" else start_azure("--sandbox-allow=/etc", wrapper=flags)
    path = node.csi_socket if which == "driver" else process.socket
    before = process.fd_count()
    crowd = []
    try:
        for _ in range(100):
            crowd.append(http2.Connection(path, timeout=1))
        wait_until(lambda: process.fd_count() >= 46, what="the descriptors to run out")
        began, used = time.monotonic(), cpu_seconds(process)
        while time.monotonic() - began < 1:
            time.sleep(0.1)
        assert cpu_seconds(process) - used < 0.3 * PATIENCE
        assert process.alive
    finally:
        for connection in crowd:
            connection.close()
    wait_until(lambda: process.fd_count() <= before + 1, what="the descriptors to come back")
    with rpc.Client(path) as client:
        client.call(PROBES[which])


def test_a_mount_without_descriptors_fails_with_a_cause_and_leaves_nothing(start_driver, node, scripted):
    driver = start_driver(wrapper=["prlimit", "--nofile=48"])
    node.add_class()
    scripted()
    target = node.target()
    crowd = []
    try:
        # the descriptors that the publish needs are taken one by one; its own connection is there already
        while driver.fd_count() < 47:
            wanted = driver.fd_count() + 1
            crowd.append(http2.Connection(node.csi_socket, timeout=1))
            with contextlib.suppress(AssertionError):  # one that the driver had open for a moment was counted: there is room for another one
                wait_until(lambda n=wanted: driver.fd_count() >= n, 2, what="the connection to be accepted")
            assert len(crowd) < 100
        code, message = driver.publish_failure(rpc.publish_request(target), timeout=5)
        assert code != rpc.CODES.OK and message
    finally:
        for connection in crowd:
            connection.close()
    assert mounts.mounts_below(target) == []
    driver.publish(rpc.publish_request(target))
    assert mounts.contents(target) == {"file": b"content"}


@pytest.mark.parametrize("which", PROBES)
def test_without_a_reader_of_its_log_it_starts_and_serves(start_driver, start_azure, node, which):
    """The end of the pipe is gone before the first line: every one is an EPIPE, and must not be a SIGPIPE."""
    wrapper = ["bash", "-c", 'exec 3> >(exec true); wait $!; exec "$@" >&3 2>&1', "bash"]
    process = (start_driver if which == "driver" else start_azure)("-v=10", wrapper=wrapper)
    with rpc.Client(node.csi_socket if which == "driver" else process.socket) as client:
        client.call(PROBES[which])
    process.destroy()
    assert process.log == ""
