"""Providers that come, go, move and are replaced while pods start; stale and foreign sockets."""

import os
import re
import socket
import stat
import subprocess
import threading
import time

import grpc
import pytest

from harness import mounts, rpc, tutorial
from harness.process import wait_until
from harness.programs import metric_sum
from harness.scripted_provider import mount_response

MOUNTS = 1000
WORKERS = 8


def pod_uid(number):
    return f"00000000-0000-0000-0000-{number:012d}"


@pytest.mark.slow
@pytest.mark.release_only
def test_the_provider_is_killed_and_replaced_during_a_thousand_mounts_and_none_is_lost(node, start_driver, start_azure, emulator):
    """The real provider, killed with SIGKILL again and again; a kubelet that does not retry: every single call has to succeed."""
    node.add_class(text=tutorial.class_with(["secret1"]))
    driver = start_driver("-v=0")
    numbers, lost, done = iter(range(MOUNTS)), [], []
    lock, finished = threading.Lock(), threading.Event()

    def work():
        with rpc.Client(node.csi_socket) as client:
            while True:
                with lock:
                    number = next(numbers, None)
                if number is None:
                    return
                uid = pod_uid(number)
                target = node.target(pod_uid=uid)
                try:
                    client.call(rpc.PUBLISH, rpc.publish_request(target, pod_uid=uid, secrets=tutorial.CREDENTIALS),
                                timeout=60)
                    if mounts.contents(target) != {"secret1": tutorial.SECRETS["secret1"].encode()}:
                        lost.append((number, "content"))
                    client.call(rpc.UNPUBLISH, rpc.unpublish_request(target, pod_uid=uid))
                except grpc.RpcError as error:
                    lost.append((number, error.details()))
                done.append(number)

    provider, replaced = start_azure("-v=0"), 0
    threads = [threading.Thread(target=work) for _ in range(WORKERS)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        after = len(done) + MOUNTS // 12
        wait_until(lambda: len(done) >= after or not any(thread.is_alive() for thread in threads), timeout=60, what="some mounts")
        if not any(thread.is_alive() for thread in threads):
            break
        provider.kill()
        replaced += 1
        provider = start_azure("-v=0", name=f"azure{replaced}")
    finished.set()
    assert lost == []
    assert len(done) == MOUNTS
    assert replaced >= 8, "the provider was not replaced under load"
    assert mounts.mounts_below(node.kubelet) == []
    assert metric_sum(driver.metrics(), "node_publish_total", provider="azure") == MOUNTS


@pytest.fixture
def ready(node, start_driver):
    node.add_class()
    return start_driver(), node.target()


def test_a_stale_socket_in_the_first_directory_does_not_hide_the_provider_for_long(node, start_driver, scripted):
    """A socket file without a server is the provider by the rule of precedence: a quick and clear error, until it is gone."""
    legacy = node.directory / "legacy"
    legacy.mkdir()
    stale = socket.socket(socket.AF_UNIX)
    stale.bind(str(legacy / "scripted.sock"))
    stale.close()
    node.add_class()
    scripted()
    driver = start_driver(f"--additional-provider-volume-paths=,{legacy}, ,")  # empty elements mean nothing
    started = time.monotonic()
    code, message = driver.publish_failure(rpc.publish_request(node.target()))
    assert code == rpc.CODES.UNAVAILABLE
    assert str(legacy / "scripted.sock") in message
    assert time.monotonic() - started < 30
    os.unlink(legacy / "scripted.sock")
    driver.publish(rpc.publish_request(node.target()))


def test_empty_directories_are_not_the_working_directory(node, start_driver, scripted):
    """Upstream searches <provider>.sock in its working directory when a list is empty."""
    node.add_class()
    scripted(name="elsewhere")  # a socket there is, but in no directory that was named
    os.rename(node.provider_socket("elsewhere"), node.directory / "scripted.sock")
    driver = start_driver("--additional-provider-volume-paths=")  # its working directory is node.directory
    _, message = driver.publish_failure(rpc.publish_request(node.target()))
    assert 'provider not found: provider "scripted"' in message
    os.rename(node.directory / "scripted.sock", node.provider_socket("elsewhere"))


def test_a_symlinked_socket_is_followed_and_a_new_target_is_noticed(ready, node, scripted):
    driver, target = ready
    first = scripted(lambda request, context: mount_response({"file": b"first"}), name="real1")
    second = scripted(lambda request, context: mount_response({"file": b"second"}), name="real2")
    link = node.provider_socket("scripted")
    link.symlink_to(node.provider_socket("real1"))
    driver.publish(rpc.publish_request(target))
    assert mounts.contents(target) == {"file": b"first"}
    driver.unpublish(rpc.unpublish_request(target))
    link.unlink()
    link.symlink_to(node.provider_socket("real2"))
    driver.publish(rpc.publish_request(target))
    assert mounts.contents(target) == {"file": b"second"}
    assert len(first.requests) == len(second.requests) == 1


@pytest.mark.parametrize("kind", ["file", "directory", "dangling"])
def test_a_file_that_is_no_socket_is_no_provider(ready, node, kind):
    driver, target = ready
    path = node.provider_socket("scripted")
    if kind == "file":
        path.write_text("")
    elif kind == "directory":
        path.mkdir()
    else:
        path.symlink_to("nowhere")
    _, message = driver.publish_failure(rpc.publish_request(target))
    assert 'provider not found: provider "scripted"' in message


NOBODY = 65534
IMPOSTOR = """
import os, socket, sys
listener = socket.socket(socket.AF_UNIX)
listener.bind(sys.argv[1])
listener.listen(16)
os.chown(sys.argv[1], int(sys.argv[2]), 0)
os.setgroups([]); os.setgid(65534); os.setuid(65534)
# The kernel reports the caller of listen(): so it is called again, by the other user.
listener.listen(16)
print("ready", flush=True)
while True:
    peer, _ = listener.accept()
    data = peer.recv(65536)
    print("received", len(data), flush=True)
"""


@pytest.mark.parametrize("owner, refused", [(0, True), (NOBODY, False)], ids=["not the owner", "the owner"])
def test_the_peer_is_root_or_the_owner_of_the_socket(ready, node, owner, refused):
    """A user with a listening socket of root receives nothing, least of all secrets."""
    driver, target = ready
    path = node.provider_socket("scripted")
    impostor = subprocess.Popen(["python3", "-c", IMPOSTOR, str(path), str(owner)], stdout=subprocess.PIPE, text=True)
    try:
        assert impostor.stdout.readline() == "ready\n"
        assert stat.S_ISSOCK(os.stat(path).st_mode)
        code, message = driver.publish_failure(rpc.publish_request(target, secrets={"clientsecret": "canary"}), timeout=3)
        if refused:
            assert code == rpc.CODES.PERMISSION_DENIED
            assert f"runs as user {NOBODY}, but the socket belongs to user 0" in message
        else:
            assert code in (rpc.CODES.DEADLINE_EXCEEDED, rpc.CODES.UNAVAILABLE)  # it was spoken to, and is silent
            assert impostor.stdout.readline().startswith("received")
    finally:
        impostor.kill()
        rest = impostor.communicate()[0]
    assert not (refused and re.search(r"received [1-9]", rest))
    mounts.assert_no_trace(target)
