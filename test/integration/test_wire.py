"""The driver's and the provider's gRPC servers against clients that are strange, hostile or asleep."""

import os
import signal
import socket
import struct
import subprocess
import time

import grpc
import pytest
from proto import csi_pb2

from harness import http2, rpc
from harness.process import BUILD, PATIENCE, wait_until
from harness.rpc import CODES
from harness.scripted_provider import HeldMount


@pytest.fixture(params=["driver", "azure"])
def server(request):
    """(process, socket, a cheap method)"""
    if request.param == "driver":
        driver = request.getfixturevalue("driver")
        return driver, driver.node.csi_socket, rpc.PROBE
    azure = request.getfixturevalue("azure")
    return azure, azure.socket, "/v1alpha1.CSIDriverProvider/Version"


def assert_serving(server):
    process, path, method = server
    assert process.alive, process.log[-4000:]
    with rpc.Client(path) as client:
        client.call(method, timeout=10)


@pytest.mark.parametrize("authority", ["localhost", "/var/lib/kubelet/plugins/csi.sock", "%2Fvar%2Flib%2Fcsi.sock", "", None, "a" * 300,
                                       "unix:///x y"], ids=["localhost", "path", "encoded", "empty", "absent", "long", "strange"])
def test_any_authority_is_accepted(server, authority):
    _, path, method = server
    with http2.Connection(path).start() as connection:
        connection.call(1, method, authority=authority)
        frames = connection.until(1)
    assert frames[-1] is not None, "the connection was closed"
    kinds = [item[0] for item in frames if item[2] == 1]
    assert kinds == [http2.HEADERS, http2.DATA, http2.HEADERS]


def test_settings_come_before_any_request(server):
    _, path, _ = server
    with http2.Connection(path) as connection:
        connection.send(http2.PREFACE)
        kind, flags, _, _ = connection.read_frame()
    assert (kind, flags & http2.ACK) == (http2.SETTINGS, 0)


def test_an_ok_response_has_headers_data_and_trailers(server):
    _, path, method = server
    with http2.Connection(path).start() as connection:
        connection.call(1, method)
        frames = [item for item in connection.until(1) if item[2] == 1]
    assert [item[0] for item in frames] == [http2.HEADERS, http2.DATA, http2.HEADERS]
    data = frames[1][3]
    assert data[0] == 0 and struct.unpack("!I", data[1:5])[0] == len(data) - 5
    assert not frames[1][1] & http2.END_STREAM and frames[2][1] & http2.END_STREAM


@pytest.mark.parametrize("path", ["/csi.v1.Node/NodeStageVolume2", "/csi.v1.Controller/CreateVolume", "/nobody.Nothing/At", "/", "/x",
                                  "//", "/csi.v1.Identity/probe", "/csi.v1.Identity.Probe"])
def test_an_unknown_method_is_unimplemented(server, path):
    _, socket_path, _ = server
    with rpc.Client(socket_path) as client:
        code, message = rpc.failure(client.raw, path)
    assert code == CODES.UNIMPLEMENTED
    assert message


def test_a_request_above_four_mebibytes_is_refused(server):
    _, path, method = server
    with rpc.Client(path) as client:
        code, message = rpc.failure(client.raw, method, bytes(5 << 20))
        assert code == CODES.RESOURCE_EXHAUSTED
        assert "received message larger than max" in message
        client.call(method)


def test_a_request_that_announces_four_gigabytes_is_refused_at_once(server):
    process, path, method = server
    before = process.rss_kib()
    with http2.Connection(path).start() as connection:
        connection.send(http2.frame(http2.HEADERS, http2.END_HEADERS, 1, http2.request_headers(method)) +
                        http2.frame(http2.DATA, 0, 1, b"\0\xff\xff\xff\xffabc"))
        frames = connection.until(1)
    assert frames[-1] is None or frames[-1][2] == 1
    assert process.rss_kib() < before + 8192
    assert_serving(server)


def test_a_broken_message_is_an_internal_error(server):
    _, path, method = server
    with rpc.Client(path) as client:
        code, _ = rpc.failure(client.raw, method, b"\x0a\xff\xff\xff\xff\x0f")
    assert code in (CODES.INTERNAL, CODES.INVALID_ARGUMENT)


def test_compression_that_was_never_offered_is_refused(server):
    _, path, method = server
    with rpc.Client(path) as client:
        call = client.channel.unary_unary(method)
        with pytest.raises(grpc.RpcError) as caught:
            call(b"\x0a" + bytes([100]) + b"a" * 100, timeout=10, compression=grpc.Compression.Gzip)
    assert caught.value.code() in (CODES.UNIMPLEMENTED, CODES.INTERNAL)


@pytest.mark.parametrize("headers", [
    {"method": "GET"}, {"content_type": "text/plain"}, {"content_type": "application/grpc-web"},
    {"extra": [("grpc-timeout", "abc")]}, {"extra": [("grpc-timeout", "123456789S")]}, {"extra": [("grpc-timeout", "5x")]},
], ids=["get", "text_plain", "grpc_web", "timeout_abc", "timeout_nine_digits", "timeout_unit"])
def test_a_request_that_is_no_grpc_gets_a_response_and_is_harmless(server, headers):
    _, path, method = server
    with http2.Connection(path).start() as connection:
        connection.call(1, method, **headers)
        frames = [item for item in connection.until(1) if item is None or item[2] == 1]
    assert frames[-1] is not None
    assert_serving(server)


@pytest.mark.parametrize("unit,amount", [("n", 0), ("u", 1), ("S", 0)])
def test_a_deadline_that_has_passed_ends_the_call(server, unit, amount):
    _, path, method = server
    with http2.Connection(path).start() as connection:
        connection.send(http2.frame(http2.HEADERS, http2.END_HEADERS, 1,
                                    http2.request_headers(method, extra=[("grpc-timeout", f"{amount}{unit}")])))
        frames = connection.until(1)  # the request body never comes
    assert frames[-1] is not None


GARBAGE = {
    "http1": b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    "noise": bytes(range(256)) * 100,
    "preface_then_noise": http2.PREFACE + os.urandom(2000),
    "half_preface": http2.PREFACE[:10],
    "data_on_stream_zero": http2.PREFACE + http2.frame(http2.SETTINGS, 0, 0) + http2.frame(http2.DATA, 0, 0, b"x"),
    "huge_frame": http2.PREFACE + http2.frame(http2.SETTINGS, 0, 0) + b"\xff\xff\xff\x00\x00\x00\x00\x00\x01" + b"x" * 1000,
    "bad_hpack": http2.PREFACE + http2.frame(http2.SETTINGS, 0, 0) + http2.frame(http2.HEADERS, 5, 1, b"\xff\xff\xff\xff\xff\xff"),
    "endless_continuation": http2.PREFACE + http2.frame(http2.SETTINGS, 0, 0) + http2.frame(http2.HEADERS, 0, 1, b"") +
        http2.frame(9, 0, 1, http2.literal("x", "y" * 100)) * 2000,
    "even_stream": http2.PREFACE + http2.frame(http2.SETTINGS, 0, 0) + http2.frame(http2.HEADERS, 5, 2, http2.request_headers(rpc.PROBE)),
}


@pytest.mark.parametrize("name", GARBAGE)
def test_garbage_from_a_client_only_hurts_its_connection(server, name):
    _, path, _ = server
    with http2.Connection(path) as connection:
        try:
            connection.send(GARBAGE[name])
            connection.sock.shutdown(socket.SHUT_WR)
            while connection.read_frame() is not None:
                pass
        except (BrokenPipeError, ConnectionResetError, socket.timeout):
            pass
    assert_serving(server)


def test_a_reset_flood_only_hurts_its_connection(server):
    """CVE-2023-44487: streams opened and reset as fast as possible."""
    process, path, method = server
    before = process.rss_kib()
    with http2.Connection(path).start() as connection:
        try:
            for start in range(1, 40001, 200):
                connection.send(b"".join(
                    http2.frame(http2.HEADERS, http2.END_HEADERS, stream, http2.request_headers(method)) +
                    http2.frame(http2.RST_STREAM, 0, stream, struct.pack("!I", 8)) for stream in range(start, start + 200, 2)))
        except (BrokenPipeError, ConnectionResetError, socket.timeout):
            pass
    assert_serving(server)
    assert process.rss_kib() < before + 32768 * PATIENCE


def test_a_client_that_never_reads_does_not_stop_the_others(server):
    process, path, method = server
    sleeper = http2.Connection(path, timeout=2).start()
    try:
        for stream in range(1, 20001, 2):
            sleeper.call(stream, method)
            if stream % 200 == 1:
                sleeper.send(http2.frame(http2.PING, 0, 0, b"12345678"))
    except (socket.timeout, BrokenPipeError, ConnectionResetError):
        pass  # the server stopped reading from it, or dropped it: both are fine
    started = time.monotonic()
    assert_serving(server)
    assert time.monotonic() - started < 5 * PATIENCE
    assert process.rss_kib() < 200 * 1024 * PATIENCE
    sleeper.close()
    assert_serving(server)


def test_two_hundred_idle_connections_leave_nothing_behind(server):
    process, path, _ = server
    assert_serving(server)
    before = process.fd_count()
    connections = []
    try:
        for _ in range(200):
            connections.append(http2.Connection(path, timeout=5).start())
        assert_serving(server)
    finally:
        for connection in connections:
            connection.close()
    wait_until(lambda: process.fd_count() <= before + 2, what="the descriptors to be released")
    assert_serving(server)


def test_a_hundred_calls_on_one_connection_and_a_hundred_connections(server):
    _, path, method = server
    with rpc.Client(path) as client:
        futures = [client.future(method, rpc._METHODS[method][0]()) for _ in range(100)]
        for future in futures:
            future.result(timeout=30)
    for _ in range(100):
        with rpc.Client(path) as client:
            client.call(method)


def test_the_socket_is_for_its_owner_only(server):
    _, path, _ = server
    assert os.stat(path).st_mode & 0o077 == 0


def test_a_stale_socket_file_is_replaced_and_removed_at_the_end(node, start_driver):
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(node.csi_socket))
    driver = start_driver()
    driver.destroy()
    assert not os.path.lexists(node.csi_socket)


def test_a_file_that_is_no_socket_is_not_replaced(node):
    node.csi_socket.write_text("keep")
    done = subprocess.run([BUILD / "bin/secrets-store-driver", f"--endpoint=unix://{node.csi_socket}", "--nodeid=n",
                           f"--class-dir={node.classes}", "--metrics-addr=0", "--health-addr=0", "--registration-dir="],
                          capture_output=True, timeout=20, check=False)
    assert done.returncode != 0
    assert str(node.csi_socket).encode() in done.stderr
    assert node.csi_socket.read_text() == "keep"


def test_sigterm_lets_a_running_call_finish(node, start_driver, scripted):
    held = HeldMount()
    driver = start_driver()
    node.add_class()
    scripted(held)
    call = driver.client.future(rpc.PUBLISH, rpc.publish_request(node.target()))
    held.wait_arrived()
    driver.popen.send_signal(signal.SIGTERM)
    wait_until(lambda: not os.path.lexists(node.csi_socket), what="the socket to go")
    held.release()
    assert isinstance(call.result(timeout=30), csi_pb2.NodePublishVolumeResponse)
    driver.assert_clean(driver.popen.wait(timeout=30))
