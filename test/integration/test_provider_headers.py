"""Errors of providers with long texts. gRPC sends an error's text as one HTTP/2 header field; grpc-go, with which most providers are built, accepts
and sends 16 MiB of headers. nghttp2 reads fields of up to 64 KiB, the one of the static build up to those 16 MiB."""

import grpc
import pytest

from harness import http2, mounts, rpc
from harness.memory import peak_kib
from harness.process import STATIC, wait_until
from harness.programs import metric_sum
from harness.raw_provider import RawProvider
from harness.rpc import CODES
from harness.scripted_provider import HeldMount, mount_response

FIELD_MAX = 2**24 if STATIC else 2**16
LONGEST = FIELD_MAX - 1000 if STATIC else FIELD_MAX  # all fields together may have 16 MiB
LIMIT = f"larger than {FIELD_MAX // 1024} KiB"


def refuse(text, metadata=()):
    def mount(request, context):
        context.set_trailing_metadata(metadata)
        context.abort(grpc.StatusCode.PERMISSION_DENIED, text)
    return mount


@pytest.mark.parametrize("size", [100, 60_000, FIELD_MAX * 9 // 10])
def test_an_error_keeps_its_code_and_the_begin_of_its_text(node, driver, scripted, size):
    scripted(refuse("begin " + "x-y_z" * (size // 5)))
    node.add_class()
    code, message = driver.publish_failure(rpc.publish_request(node.target()))
    assert code == CODES.PERMISSION_DENIED and "begin x-y_z" in message
    assert "begin x-y_z" in driver.log


def test_an_error_with_many_headers_keeps_its_code_and_text(node, driver, scripted):
    """Their sum is beyond 64 KiB, each of them is not."""
    scripted(refuse("the vault said no", [(f"detail-{number}", "d" * 30_000) for number in range(20)]))
    node.add_class()
    code, message = driver.publish_failure(rpc.publish_request(node.target()))
    assert code == CODES.PERMISSION_DENIED and "the vault said no" in message


@pytest.mark.parametrize("size", [FIELD_MAX + 5, 2 * FIELD_MAX, *([] if STATIC else [15_000_000])])
def test_an_error_with_a_longer_text_keeps_its_code_and_harms_no_other_call(node, driver, scripted, size):
    held = HeldMount()

    def mount(request, context):
        if "long" in request.target_path:
            context.abort(grpc.StatusCode.PERMISSION_DENIED, "x-y_z" * (size // 5))
        return held(request, context)
    provider = scripted(mount)
    node.add_class()
    other = driver.client.future(rpc.PUBLISH, rpc.publish_request(node.target()))
    held.wait_arrived()
    target = node.target(volume="long")
    code, message = driver.publish_failure(rpc.publish_request(target, volume="long"))
    assert code == CODES.PERMISSION_DENIED
    assert f"a response header is {LIMIT}, the error's text is lost" in message
    mounts.assert_no_trace(target)
    held.release()
    other.result(timeout=20)
    assert mounts.contents(node.target()) == {"file": b"content"}
    provider.mount = lambda request, context: mount_response({"file": b"next"})
    driver.publish(rpc.publish_request(target, volume="long"))
    assert mounts.contents(target) == {"file": b"next"}


def test_headers_beyond_all_limits_fail_this_call(node, driver, scripted):
    """17 MiB; grpcio does not care for the 16 MiB that the driver announces."""
    scripted(refuse("no", [(f"detail-{number}", "d" * 60_000) for number in range(300)]))
    node.add_class()
    code, message = driver.publish_failure(rpc.publish_request(node.target()))
    assert code == CODES.INTERNAL and "response headers are too large" in message
    wait_until(lambda: metric_sum(driver.metrics(), "node_publish_error_total") == 1, what="the metric")


CONTINUATION = 9
HEADERS = http2.literal(":status", "200") + http2.literal("content-type", "application/grpc")
STATUS, LONG = http2.literal("grpc-status", "7"), http2.literal("grpc-message", "m" * (FIELD_MAX + 1))


def respond(sock, *fields, whole=True):
    """A response without a message in frames of 16 KiB, once the request is here; without its end unless it is whole."""
    block = HEADERS + b"".join(fields)
    parts = [block[at:at + 16384] for at in range(0, len(block), 16384)]
    sock.sendall(http2.frame(http2.SETTINGS, 0, 0))
    received = b""
    while b"colour" not in received:
        received += sock.recv(65536)
    for number, part in enumerate(parts):
        ends = http2.END_HEADERS if whole and number == len(parts) - 1 else 0
        sock.sendall(http2.frame(CONTINUATION if number else http2.HEADERS, ends if number else ends | http2.END_STREAM, 1, part))
    if not whole:
        sock.close()


@pytest.mark.parametrize("fields, code, words", [
    ([STATUS, http2.literal("grpc-message", "m" * LONGEST)], CODES.PERMISSION_DENIED, "mmmm"),
    ([STATUS, LONG], CODES.PERMISSION_DENIED, f"a response header is {LIMIT}, the error's text is lost"),
    ([LONG, STATUS], CODES.INTERNAL, f"a response header is damaged or {LIMIT}"),
    ([http2.literal("grpc-status", "0"), LONG], CODES.INTERNAL, f"a response header is damaged or {LIMIT}"),
    ([STATUS, b"\x80"], CODES.PERMISSION_DENIED, "the error's text is lost"),
], ids=["longest", "longer", "status behind it", "status OK", "damaged"])
def test_the_longest_header_and_a_longer_one(node, driver, fields, code, words):
    node.add_class()
    with RawProvider(node.provider_socket(), lambda sock: respond(sock, *fields)):
        found, message = driver.publish_failure(rpc.publish_request(node.target()))
    assert (found, words in message) == (code, True), message[:300]
    mounts.assert_no_trace(node.target())


def test_a_header_that_is_announced_and_does_not_come_costs_no_memory(node, driver):
    """nghttp2 takes the memory for it at once, twice as much for a compressed one."""
    node.add_class()
    announced = http2.literal("grpc-message", "m" * 15_000_000)[:20_000]
    fields = [http2.literal("grpc-message", "m" * 20_000)]
    with RawProvider(node.provider_socket(), lambda sock: respond(sock, STATUS, *fields, whole=False)) as provider:
        for _ in range(5):
            driver.publish_failure(rpc.publish_request(node.target()))
        before = peak_kib(driver)
        fields[:] = [announced]
        for _ in range(5):
            driver.publish_failure(rpc.publish_request(node.target()))
        assert len(provider.connections) >= 10
    assert peak_kib(driver) - before < 4096


def test_a_connection_that_ends_inside_of_headers_is_a_lost_one(node, driver):
    """The status in them is not taken for a whole one: the call is sent again."""
    node.add_class()
    with RawProvider(node.provider_socket(), lambda sock: respond(sock, STATUS, http2.literal("a", "b" * 30_000), whole=False)) as provider:
        code, message = driver.publish_failure(rpc.publish_request(node.target()))
        assert code == CODES.UNAVAILABLE and "scripted.sock" in message
        assert len(provider.connections) > 1
