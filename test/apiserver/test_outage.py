"""The API server restarts, dies and hangs while pods are published."""

import threading
import time

import grpc
import pytest

from cluster.objects import spc
from cluster.secrets import STATUSES
from harness import mounts, rpc
from harness.process import PATIENCE, wait_until
from harness.rpc import CODES
from harness.scripted_provider import HeldMount


@pytest.fixture
def ready_pod(admin, namespace, make_pod):
    admin.create(spc(), namespace)
    return make_pod()


def retried(driver, request, attempts=8):
    """Publishes as a kubelet does: again until it works, after 0.5 s, 1 s, 2 s, ..."""
    for attempt in range(attempts):
        try:
            return driver.publish(request, timeout=20)
        except grpc.RpcError as error:
            last = error
        time.sleep(0.5 * 2 ** attempt)
    raise AssertionError(f"{attempts} tries: {last.details()}")


def test_a_restart_between_two_publishes_is_not_noticed(admin, namespace, cluster_driver, server, ready_pod, make_pod, scripted):
    """The kept connection is dead, which the driver finds out by using it: not before, its last write for the first pod is done."""
    scripted()
    cluster_driver.publish(ready_pod.publish_request())
    wait_until(lambda: admin.find(STATUSES, namespace, f"web-{namespace}-azure-kvname"), what="the status object")
    server.stop()
    server.start()
    pod = make_pod("web-2")
    cluster_driver.publish(pod.publish_request())
    assert mounts.contents(pod.target) == {"file": b"content"}


def test_a_kill_and_restart_while_the_provider_works(cluster_driver, server, ready_pod, scripted):
    """The class is read, the provider is at work, the API server dies: the mount needs nothing more from it."""
    held = HeldMount()
    scripted(held)
    future = cluster_driver.client.future(rpc.PUBLISH, ready_pod.publish_request(), timeout=115)
    held.wait_arrived()
    server.kill()
    held.release()
    future.result()
    assert mounts.contents(ready_pod.target) == {"file": b"content"}
    server.start()


def test_a_publish_that_meets_a_dead_server_waits_for_its_return(cluster_driver, server, ready_pod, scripted):
    """Killed, and started again while a publish is waiting: it succeeds in the same call, or in the kubelet's next."""
    scripted()
    server.kill()
    results = []
    thread = threading.Thread(target=lambda: results.append(retried(cluster_driver, ready_pod.publish_request())))
    thread.start()
    server.start()
    thread.join(120)
    assert results, "the publish never came back"
    assert mounts.contents(ready_pod.target) == {"file": b"content"}


@pytest.mark.slow
@pytest.mark.parametrize("way", ["kill", "pause"])
def test_a_dead_or_hung_server_is_named_soon(cluster_driver, server, ready_pod, scripted, way):
    scripted()
    getattr(server, way)()
    started = time.monotonic()
    code, message = cluster_driver.publish_failure(ready_pod.publish_request(), timeout=60)
    assert code == CODES.UNAVAILABLE and "secretproviderclass" in message and "has not responded for" in message, (code, message)
    assert time.monotonic() - started < 9 * PATIENCE
    started = time.monotonic()
    assert cluster_driver.publish_failure(ready_pod.publish_request(), timeout=60)[0] == CODES.UNAVAILABLE
    assert time.monotonic() - started < 1 * PATIENCE
    if way == "kill":
        server.start()
    else:
        server.resume()
    retried(cluster_driver, ready_pod.publish_request())
    assert mounts.contents(ready_pod.target) == {"file": b"content"}


def test_a_hung_server_does_not_hold_an_unpublish(cluster_driver, server, ready_pod, make_pod, scripted):
    scripted()
    cluster_driver.publish(ready_pod.publish_request())
    other = make_pod("web-2")
    server.pause()
    try:
        stuck = cluster_driver.client.future(rpc.PUBLISH, other.publish_request(), timeout=100)
        cluster_driver.unpublish(ready_pod.unpublish_request(), timeout=10)
        assert not ready_pod.target.exists()
        assert not stuck.done()
    finally:
        server.resume()
    retried(cluster_driver, other.publish_request())
    assert mounts.contents(other.target) == {"file": b"content"}


def test_mounted_pods_keep_their_files_through_an_outage(cluster_driver, server, ready_pod, scripted):
    scripted()
    cluster_driver.publish(ready_pod.publish_request())
    server.kill()
    assert mounts.contents(ready_pod.target) == {"file": b"content"}
    assert cluster_driver.alive
    cluster_driver.unpublish(ready_pod.unpublish_request(), timeout=30)
    assert not ready_pod.target.exists()
    server.start()
    wait_until(server.admin.ready, 30, "the server")
