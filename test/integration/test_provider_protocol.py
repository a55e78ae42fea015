"""The driver against providers that behave, misbehave, lie, stall and die (grpcio and raw sockets)."""

import json
import os
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import grpc
import pytest

from harness import http2, mounts, rpc
from harness.process import PATIENCE, wait_until
from harness.raw_provider import RawProvider
from harness.rpc import CODES
from harness.scripted_provider import HeldMount, mount_response


@pytest.fixture
def ready(node, driver):
    node.add_class()
    return driver, node.target()


def test_the_request_carries_parameters_pod_and_secrets(ready, scripted):
    driver, target = ready
    provider = scripted()
    driver.publish(rpc.publish_request(target, secrets={"clientid": "id", "clientsecret": "s&<ecret>"}, attributes={"extra": "1"}))
    request = provider.requests[0]
    attributes = json.loads(request.attributes)
    assert attributes["colour"] == "blue"
    assert attributes["extra"] == "1"
    assert attributes["secretProviderClass"] == "azure-kvname"
    assert attributes["csi.storage.k8s.io/pod.name"] == "web"
    assert attributes["csi.storage.k8s.io/pod.namespace"] == "default"
    assert attributes["csi.storage.k8s.io/pod.uid"] == rpc.POD_UID
    assert attributes["csi.storage.k8s.io/serviceAccount.name"] == "default"
    assert json.loads(request.secrets) == {"clientid": "id", "clientsecret": "s&<ecret>"}
    assert request.target_path == str(target)
    assert request.permission == "420"
    assert len(request.current_object_version) == 0


def test_secrets_are_json_null_or_an_object_when_the_pod_has_none(ready, scripted):
    driver, target = ready
    provider = scripted()
    driver.publish(rpc.publish_request(target))
    assert json.loads(provider.requests[0].secrets) in (None, {})


def test_a_pod_cannot_override_a_parameter_of_the_class(ready, scripted):
    driver, target = ready
    provider = scripted()
    driver.publish(rpc.publish_request(target, attributes={"colour": "red"}))
    assert provider.attributes()["colour"] == "blue"


@pytest.mark.parametrize("place", ["secrets", "context", "both"])
def test_service_account_tokens_are_found_in_both_places(ready, scripted, place):
    driver, target = ready
    provider = scripted()
    key = "csi.storage.k8s.io/serviceAccount.tokens"
    in_secrets, in_context = '{"a":{"token":"from-secrets"}}', '{"a":{"token":"from-context"}}'
    driver.publish(rpc.publish_request(target, secrets={key: in_secrets} if place != "context" else None,
                                       attributes={key: in_context} if place != "secrets" else None))
    assert provider.attributes()[key] == (in_context if place == "context" else in_secrets)


def test_the_deadline_of_the_kubelet_reaches_the_provider(ready, scripted):
    driver, target = ready
    provider = scripted()
    driver.publish(rpc.publish_request(target), timeout=17)
    assert 1 < provider.deadlines[0] <= 17


def test_a_slow_provider_is_left_at_the_deadline_with_nothing_behind(ready, scripted):
    driver, target = ready
    held = HeldMount(b"late")
    provider = scripted(held)
    started = time.monotonic()
    code, message = driver.publish_failure(rpc.publish_request(target), timeout=1)
    assert code == CODES.DEADLINE_EXCEEDED
    assert time.monotonic() - started < 1 + 2 * PATIENCE
    assert provider.cancelled.wait(10 * PATIENCE), "the provider's call was not cancelled"
    held.release()
    wait_until(lambda: mounts.mounts_below(target) == [], what="the mount to be gone")
    driver.unpublish(rpc.unpublish_request(target))
    mounts.assert_no_trace(target)
    assert message


def test_a_cancelled_publish_cancels_the_provider_and_leaves_nothing(ready, scripted):
    driver, target = ready
    held = HeldMount(b"late")
    provider = scripted(held)
    call = driver.client.future(rpc.PUBLISH, rpc.publish_request(target))
    held.wait_arrived()
    call.cancel()
    assert provider.cancelled.wait(10 * PATIENCE)
    held.release()
    wait_until(lambda: mounts.mounts_below(target) == [], what="the mount to be gone")
    # the volume is free again
    provider.mount = lambda request, context: mount_response({"file": b"content"})
    driver.publish(rpc.publish_request(target))
    assert mounts.contents(target) == {"file": b"content"}


def test_a_second_publish_during_the_first_is_aborted_or_joined(ready, scripted):
    driver, target = ready
    held = HeldMount()
    scripted(held)
    first = driver.client.future(rpc.PUBLISH, rpc.publish_request(target))
    held.wait_arrived()
    second = driver.client.future(rpc.PUBLISH, rpc.publish_request(target))
    try:
        second.result(timeout=0.5)
        second_code = CODES.OK
    except grpc.FutureTimeoutError:
        second_code = None
    except grpc.RpcError as error:
        second_code = error.code()
    assert second_code in (None, CODES.ABORTED), "it succeeded before the volume was there"
    held.release()
    first.result(timeout=30)
    if second_code is None:
        assert second.exception(timeout=30) is None or second.code() == CODES.ABORTED
    assert mounts.contents(target) == {"file": b"content"}
    assert mounts.mount_at(target) is not None


def test_an_error_of_the_provider_reaches_the_kubelet_with_code_and_pod(ready, scripted):
    driver, target = ready

    def mount(request, context):
        context.abort(grpc.StatusCode.PERMISSION_DENIED, "vault 'v' says: 100% no")
    scripted(mount)
    code, message = driver.publish_failure(rpc.publish_request(target))
    assert code == CODES.PERMISSION_DENIED
    assert "vault 'v' says: 100% no" in message
    assert "default/web" in message
    assert mounts.mounts_below(target) == []


def test_an_error_code_in_the_response_fails_the_mount(ready, scripted):
    driver, target = ready
    scripted(lambda request, context: mount_response({"file": b"content"}, error_code="VaultSealed"))
    _, message = driver.publish_failure(rpc.publish_request(target))
    assert "VaultSealed" in message
    assert mounts.mounts_below(target) == []


def test_a_response_without_object_versions_fails_the_mount(ready, scripted):
    driver, target = ready
    scripted(lambda request, context: mount_response({"file": b"content"}, versions={}))
    _, message = driver.publish_failure(rpc.publish_request(target))
    assert "version" in message
    assert mounts.mounts_below(target) == []


BAD_PATHS = ["", "/abs", "..", "../x", "a/../b", "..data", "..x/y", ".", "./a", "a//b", "a/", "a/./b", "x" * 256, "a/" * 2050 + "b"]


@pytest.mark.parametrize("path", BAD_PATHS, ids=lambda path: path[:12] or "empty")
def test_a_bad_path_fails_the_mount_before_anything_is_written(ready, scripted, path):
    driver, target = ready
    scripted(lambda request, context: mount_response({"good": b"x", path: b"y"}))
    code, message = driver.publish_failure(rpc.publish_request(target))
    assert code == CODES.INVALID_ARGUMENT and f'provider "scripted": file path \'{path[:40]}' in message
    assert mounts.mounts_below(target) == []


@pytest.mark.parametrize("paths", [("a", "a/b"), ("a/b", "a")], ids=["file_first", "directory_first"])
def test_a_file_that_is_also_a_directory_fails_the_mount(ready, scripted, paths):
    driver, target = ready
    scripted(lambda request, context: mount_response({path: b"x" for path in paths}))
    driver.publish_failure(rpc.publish_request(target))
    assert mounts.mounts_below(target) == []


def test_nested_paths_strange_names_modes_and_empty_files_are_kept(ready, scripted):
    driver, target = ready
    files = {"plain": (0o644, b"1"), "sub/deep/file": (0o600, b"2"), "sub/..hidden": (0o400, b"3"), ".dot": (0o444, b"4"),
             "schlüssel": (0o640, b"5"), "with space": (0o644, b""), "back\\slash": (0o755, b"\0\xff\n"), "none": (0, b"6")}
    scripted(lambda request, context: mount_response(files))
    driver.publish(rpc.publish_request(target))
    assert mounts.read_volume(target) == files


def test_a_response_without_files_for_objects_that_may_be_missing_is_an_empty_volume(ready, scripted):
    driver, target = ready
    scripted(lambda request, context: mount_response({}, versions={"secret/x": ""}))
    driver.publish(rpc.publish_request(target))
    assert mounts.contents(target) == {}
    driver.unpublish(rpc.unpublish_request(target))
    mounts.assert_no_trace(target)


def test_a_response_of_three_mebibytes_is_mounted(ready, scripted):
    driver, target = ready
    big = os.urandom(3 << 20)
    scripted(lambda request, context: mount_response({"big": big, "small": b"x"}))
    driver.publish(rpc.publish_request(target))
    assert mounts.contents(target) == {"big": big, "small": b"x"}


def test_more_object_versions_than_any_volume_has_are_refused(driver, node, scripted):
    """Each has its place in a sorted map: what fits into 4 MiB would keep the driver busy for minutes."""
    node.add_class()
    target = node.target()
    provider = scripted(lambda request, context: mount_response({"file": b"x"}, versions={str(i): "v" for i in range(10001)}))
    code, details = driver.publish_failure(rpc.publish_request(target))
    assert code == grpc.StatusCode.RESOURCE_EXHAUSTED and "10001 object versions, more than 10000" in details
    mounts.assert_no_trace(target)
    provider.mount = lambda request, context: mount_response({"file": b"x"}, versions={str(i): "v" for i in range(10000)})
    driver.publish(rpc.publish_request(target))


def test_a_response_above_the_limit_fails_with_the_upstream_text(ready, scripted):
    driver, target = ready
    scripted(lambda request, context: mount_response({"big": bytes(5 << 20)}))
    code, message = driver.publish_failure(rpc.publish_request(target))
    assert code == CODES.RESOURCE_EXHAUSTED
    assert "received message larger than max" in message
    assert mounts.mounts_below(target) == []


def test_the_limit_can_be_raised(node, start_driver, scripted):
    driver = start_driver("--max-call-recv-msg-size=8388608")
    node.add_class()
    scripted(lambda request, context: mount_response({"big": bytes(5 << 20)}))
    driver.publish(rpc.publish_request(node.target()))
    assert len(mounts.contents(node.target())["big"]) == 5 << 20


def test_ten_thousand_small_files_are_mounted(ready, scripted):
    driver, target = ready
    files = {f"d{i % 10}/f{i}": b"x" for i in range(2000)}
    scripted(lambda request, context: mount_response(files))
    driver.publish(rpc.publish_request(target), timeout=60)
    assert len(mounts.contents(target)) == 2000


def test_a_dead_provider_is_a_quick_and_clear_error(ready, node):
    """The socket file is there, nothing listens."""
    driver, target = ready
    path = node.provider_socket()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen(1)
    started = time.monotonic()
    code, message = driver.publish_failure(rpc.publish_request(target), timeout=110)
    assert code == CODES.UNAVAILABLE
    assert time.monotonic() - started < 15 * PATIENCE
    assert "scripted" in message
    assert mounts.mounts_below(target) == []


@pytest.mark.parametrize("away_s", [0.7, 3.5], ids=["replaced", "its-container-is-started-again"])
def test_a_provider_that_restarts_is_waited_for(ready, node, scripted, away_s):
    driver, target = ready
    provider = scripted()
    driver.publish(rpc.publish_request(target))
    driver.unpublish(rpc.unpublish_request(target))
    provider.stop()
    call = driver.client.future(rpc.PUBLISH, rpc.publish_request(target), timeout=60)
    wait_until(lambda: not call.done() and time.monotonic(), what="the call to be under way")
    threading.Timer(away_s, scripted).start()
    call.result(timeout=60)
    assert mounts.contents(target) == {"file": b"content"}


def test_a_provider_that_moved_to_the_other_directory_is_found(node, start_driver, scripted):
    """Two provider directories; the socket goes from one to the other while the driver runs."""
    other = node.directory / "other"
    other.mkdir()
    driver = start_driver(f"--additional-provider-volume-paths={other}")
    node.add_class()
    target = node.target()
    provider = scripted()
    driver.publish(rpc.publish_request(target))
    driver.unpublish(rpc.unpublish_request(target))
    provider.stop()
    node.providers, kept = other, node.providers
    scripted(lambda request, context: mount_response({"file": b"moved"}))
    node.providers = kept
    driver.publish(rpc.publish_request(target))
    assert mounts.contents(target) == {"file": b"moved"}


@pytest.fixture
def dying(node):
    """Starts the scripted provider as a process."""
    script = Path(__file__).parent / "harness/scripted_provider.py"
    started = []

    def start(behaviour):
        process = subprocess.Popen([sys.executable, script, node.provider_socket(), behaviour], stdout=subprocess.PIPE,
                                   env={**os.environ, "PYTHONPATH": os.environ["PYTHONPATH"]})
        assert process.stdout.readline() == b"ready\n"
        started.append(process)
        return process
    yield start
    for process in started:
        process.kill()
        process.wait()
        process.stdout.close()


@pytest.mark.parametrize("behaviour", ["die-before", "die-during"])
def test_a_provider_that_dies_during_the_call_fails_it_cleanly(ready, dying, behaviour):
    driver, target = ready
    dying(behaviour)
    started = time.monotonic()
    code, message = driver.publish_failure(rpc.publish_request(target), timeout=60)
    assert code == CODES.UNAVAILABLE
    assert time.monotonic() - started < 20 * PATIENCE
    assert message
    assert mounts.mounts_below(target) == []
    # and the next one, with a new provider, works
    dying("respond")
    driver.publish(rpc.publish_request(target))
    assert mounts.contents(target) == {"file": b"content"}


def test_a_provider_that_dies_after_its_response_does_no_harm(ready, dying):
    driver, target = ready
    process = dying("die-after")
    driver.publish(rpc.publish_request(target))
    process.wait(10)
    assert mounts.contents(target) == {"file": b"content"}
    driver.unpublish(rpc.unpublish_request(target))
    mounts.assert_no_trace(target)


GARBAGE = {
    "noise": lambda sock: sock.sendall(bytes(range(256)) * 64),
    "http1": lambda sock: sock.sendall(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n"),
    "close_at_once": lambda sock: sock.close(),
    "frame_too_large": lambda sock: sock.sendall(http2.frame(http2.SETTINGS, 0, 0) + b"\xff\xff\xff\x00\x00\x00\x00\x00\x01"),
    "headers_garbage": lambda sock: sock.sendall(
        http2.frame(http2.SETTINGS, 0, 0) + http2.frame(http2.HEADERS, http2.END_HEADERS, 1, b"\xff" * 100)),
    "goaway": lambda sock: sock.sendall(
        http2.frame(http2.SETTINGS, 0, 0) + http2.frame(http2.GOAWAY, 0, 0, b"\0\0\0\0\0\0\0\x02bye")),
    "no_trailers": lambda sock: sock.sendall(
        http2.frame(http2.SETTINGS, 0, 0) +
        http2.frame(http2.HEADERS, http2.END_HEADERS, 1, http2.literal(":status", "200") +
                    http2.literal("content-type", "application/grpc")) +
        http2.frame(http2.DATA, http2.END_STREAM, 1, http2.message(b""))),
    "http_503": lambda sock: sock.sendall(
        http2.frame(http2.SETTINGS, 0, 0) +
        http2.frame(http2.HEADERS, http2.END_HEADERS | http2.END_STREAM, 1, http2.literal(":status", "503"))),
    "status_ok_without_message": lambda sock: sock.sendall(
        http2.frame(http2.SETTINGS, 0, 0) +
        http2.frame(http2.HEADERS, http2.END_HEADERS | http2.END_STREAM, 1, http2.literal(":status", "200") +
                    http2.literal("content-type", "application/grpc") + http2.literal("grpc-status", "0"))),
    "bad_protobuf": lambda sock: sock.sendall(
        http2.frame(http2.SETTINGS, 0, 0) +
        http2.frame(http2.HEADERS, http2.END_HEADERS, 1, http2.literal(":status", "200") +
                    http2.literal("content-type", "application/grpc")) +
        http2.frame(http2.DATA, 0, 1, http2.message(b"\x0a\xff\xff\xff\xff\x0f")) +
        http2.frame(http2.HEADERS, http2.END_HEADERS | http2.END_STREAM, 1, http2.literal("grpc-status", "0"))),
    "announced_four_gigabytes": lambda sock: sock.sendall(
        http2.frame(http2.SETTINGS, 0, 0) +
        http2.frame(http2.HEADERS, http2.END_HEADERS, 1, http2.literal(":status", "200") +
                    http2.literal("content-type", "application/grpc")) +
        http2.frame(http2.DATA, 0, 1, b"\0\xff\xff\xff\xff12345")),
}


@pytest.mark.parametrize("name", GARBAGE)
def test_garbage_from_a_provider_is_an_error_and_nothing_more(ready, node, scripted, name):
    driver, target = ready
    with RawProvider(node.provider_socket(), GARBAGE[name]):
        code, message = driver.publish_failure(rpc.publish_request(target), timeout=20)
    assert code == CODES.UNAVAILABLE and 'provider "scripted"' in message and "scripted.sock" in message
    assert mounts.mounts_below(target) == []
    os.unlink(node.provider_socket())
    scripted()
    driver.publish(rpc.publish_request(target))
    assert mounts.contents(target) == {"file": b"content"}


@pytest.mark.parametrize("greeting", [b"", http2.frame(http2.SETTINGS, 0, 0)], ids=["says_nothing", "only_settings"])
def test_a_provider_that_accepts_and_stays_silent_runs_into_the_deadline(ready, node, greeting):
    driver, target = ready
    with RawProvider(node.provider_socket(), lambda sock: sock.sendall(greeting)):
        started = time.monotonic()
        code, _ = driver.publish_failure(rpc.publish_request(target), timeout=2)
        assert code in (CODES.DEADLINE_EXCEEDED, CODES.UNAVAILABLE)
        assert time.monotonic() - started < 2 + 2 * PATIENCE
    assert mounts.mounts_below(target) == []


def test_a_hundred_volumes_at_once(ready, node, scripted):
    driver, _ = ready
    provider = scripted(lambda request, context: mount_response({"uid": json.loads(request.attributes)["csi.storage.k8s.io/pod.uid"].encode()}))
    uids = [f"00000000-0000-0000-0000-{i:012d}" for i in range(100)]
    targets = {uid: node.target(uid) for uid in uids}
    calls = {uid: driver.client.future(rpc.PUBLISH, rpc.publish_request(targets[uid], pod_uid=uid)) for uid in uids}
    for uid, call in calls.items():
        call.result(timeout=60)
        assert mounts.contents(targets[uid]) == {"uid": uid.encode()}
    assert len(provider.requests) == 100
    calls = [driver.client.future(rpc.UNPUBLISH, rpc.unpublish_request(targets[uid], pod_uid=uid)) for uid in uids]
    for call in calls:
        call.result(timeout=60)
    for uid in uids:
        mounts.assert_no_trace(targets[uid])
    assert mounts.mounts_below(node.kubelet) == []
