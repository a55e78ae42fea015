"""Peers that send what costs them nothing: floods of HTTP/2 frames, towards the servers and, from a provider, towards the driver's client."""

import struct

import pytest

from harness import http2, mounts, rpc
from harness.process import PATIENCE, wait_until
from harness.raw_provider import RawProvider

SETTINGS = http2.frame(http2.SETTINGS, 0, 0)
CONTINUATION = 9
FLOODS = {
    # each requests a response that the peer never reads
    "pings": http2.frame(http2.PING, 0, 0, b"12345678") * 200000,
    "settings": http2.frame(http2.SETTINGS, 0, 0, struct.pack("!HI", 4, 65535)) * 200000,
    # header blocks that never end: CVE-2024-27316
    "continuations": http2.frame(http2.HEADERS, 0, 1) + http2.frame(CONTINUATION, 0, 1, http2.literal("x", "y" * 1000)) * 5000,
    "empty_continuations": http2.frame(http2.HEADERS, 0, 1) + http2.frame(CONTINUATION, 0, 1) * 200000,
    "huge_headers": http2.frame(http2.HEADERS, http2.END_HEADERS, 1, http2.literal("x", "y" * 16000)) * 200,
    "table_sizes": http2.frame(http2.SETTINGS, 0, 0, struct.pack("!HI", 1, 0xffffffff) + struct.pack("!HI", 1, 0)) * 100000,
    "window_updates": http2.frame(http2.WINDOW_UPDATE, 0, 0, struct.pack("!I", 1)) * 200000,
    "window_overflow": http2.frame(http2.WINDOW_UPDATE, 0, 0, struct.pack("!I", 0x7fffffff)) * 2,
    "empty_data": http2.frame(http2.DATA, 0, 1) * 200000,
    "priorities": http2.frame(2, 0, 1, struct.pack("!IB", 0, 1)) * 200000,
}


def send_all(sock, data):
    try:
        sock.sendall(data)
    except OSError:
        pass  # dropped, or not read any more: both are right


@pytest.fixture(params=["driver", "azure"])
def server(request):
    """(process, socket, a cheap method)"""
    process = request.getfixturevalue(request.param)
    if request.param == "driver":
        return process, process.node.csi_socket, rpc.PROBE
    return process, process.socket, "/v1alpha1.CSIDriverProvider/Version"


@pytest.mark.parametrize("name", FLOODS)
def test_a_flood_from_a_client_costs_little_and_others_are_served(server, name):
    process, path, method = server
    before, descriptors = process.rss_kib(), process.fd_count()
    with http2.Connection(path, timeout=1) as flooder:
        send_all(flooder.sock, http2.PREFACE + SETTINGS + FLOODS[name])
        with rpc.Client(path) as client:
            client.call(method, timeout=5 * PATIENCE)
        assert process.rss_kib() < before + 8192 * PATIENCE
    wait_until(lambda: process.fd_count() <= descriptors, what="the connection to be closed")


@pytest.mark.parametrize("name", FLOODS)
def test_a_flood_from_a_provider_fails_its_mount_only(driver, node, scripted, name):
    node.add_class()
    node.add_class("good", provider="good")
    scripted(name="good")
    target, other = node.target(volume="flooded"), node.target(volume="other")
    before = driver.rss_kib()

    def flood(sock):
        sock.settimeout(1)
        send_all(sock, SETTINGS + FLOODS[name])
    with RawProvider(node.provider_socket(), flood):
        call = driver.client.future(rpc.PUBLISH, rpc.publish_request(target, volume="flooded"), timeout=3)
        driver.publish(rpc.publish_request(other, class_name="good", volume="other"), timeout=5 * PATIENCE)
        assert call.exception(timeout=10 * PATIENCE) is not None
        assert driver.rss_kib() < before + 8192 * PATIENCE
    wait_until(lambda: mounts.mounts_below(target) == [], what="the mount to be rolled back")  # the caller may have given up before
    assert mounts.contents(other) == {"file": b"content"}
    scripted()
    driver.publish(rpc.publish_request(target, volume="flooded"))
    assert mounts.contents(target) == {"file": b"content"}


@pytest.mark.parametrize("window", [0, 1])
def test_a_provider_that_takes_no_request_runs_into_the_deadline(driver, node, window):
    """It has no window for the request, or for a byte of it."""
    node.add_class()
    target = node.target()

    def act(sock):
        send_all(sock, http2.frame(http2.SETTINGS, 0, 0, struct.pack("!HI", 4, window)))
    with RawProvider(node.provider_socket(), act):
        assert driver.publish_failure(rpc.publish_request(target), timeout=1)[0] == rpc.CODES.DEADLINE_EXCEEDED
    wait_until(lambda: mounts.mounts_below(target) == [], what="the mount to be rolled back")  # the caller may have given up before
    assert driver.alive
