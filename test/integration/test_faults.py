"""Trouble around the driver: an API server that is slow, gone or refuses; wrong target paths; concurrent calls."""

import os
import time

import pytest

from harness import mounts, rpc
from harness.kube import pod, spc
from harness.process import wait_until
from harness.programs import metric_sum
from harness.rpc import CODES
from harness.scripted_provider import HeldMount

CLASSES = "/secretproviderclasses/"


@pytest.fixture
def start_clustered(node, start_driver, emulator):
    emulator.put_object("pods", pod())
    emulator.put_object("secretproviderclasses", spc())
    return lambda *flags: start_driver(f"--kubeconfig={emulator.kubeconfig}", *flags, standalone=False)


# --- the API server ---

@pytest.mark.parametrize("fault", [
    dict(kind="latency", latency_ms=700),
    dict(kind="status", status=429, retry_after=1, count=1),
    dict(kind="status", status=500, count=1),
    dict(kind="status", status=503, count=2),
    dict(kind="status", status=504, count=1),
    dict(kind="reset", count=1),
    dict(kind="close", count=1),
], ids=lambda fault: "-".join(str(value) for value in fault.values()))
def test_an_api_server_in_passing_trouble_costs_time_and_no_mount(start_clustered, node, emulator, scripted, fault):
    driver = start_clustered()
    scripted()
    emulator.add_fault(service="kube", path_contains=CLASSES, **fault)
    started = time.monotonic()
    driver.publish(rpc.publish_request(node.target()))
    assert mounts.contents(node.target()) == {"file": b"content"}
    if fault.get("retry_after"):
        assert time.monotonic() - started >= fault["retry_after"]


@pytest.mark.parametrize("fault, codes", [
    (dict(kind="blackhole"), [CODES.DEADLINE_EXCEEDED]),
    (dict(kind="close"), [CODES.UNAVAILABLE, CODES.DEADLINE_EXCEEDED]),
    (dict(kind="status", status=429, retry_after=5), [CODES.UNAVAILABLE, CODES.DEADLINE_EXCEEDED]),
    (dict(kind="status", status=403), [CODES.PERMISSION_DENIED]),
    (dict(kind="status", status=410), None),
    (dict(kind="garbage"), None),
    (dict(kind="truncate"), None),
], ids=lambda value: "-".join(str(item) for item in value.values()) if isinstance(value, dict) else "")
def test_an_api_server_in_lasting_trouble_fails_a_first_mount_cleanly(start_clustered, node, emulator, scripted, fault, codes):
    driver = start_clustered()
    provider = scripted()
    emulator.add_fault(service="kube", path_contains=CLASSES, **fault)
    code, message = driver.publish_failure(rpc.publish_request(node.target()), timeout=4)
    assert codes is None or code in codes, message
    assert provider.requests == []
    wait_until(lambda: not mounts.mounts_below(node.kubelet), what="nothing to be mounted")
    emulator.clear_faults()
    driver.publish(rpc.publish_request(node.target()))
    assert mounts.contents(node.target()) == {"file": b"content"}


@pytest.mark.parametrize("kind", ["close", "blackhole"])
def test_the_api_server_becomes_unreachable_while_a_mount_waits_for_the_provider(start_clustered, node, emulator, scripted, kind):
    """The mount has everything it needs already; with nothing to write to the API it does not fail."""
    driver = start_clustered()
    held = HeldMount()
    scripted(held)
    call = driver.client.future(rpc.PUBLISH, rpc.publish_request(node.target()), timeout=60)
    held.wait_arrived()
    emulator.add_fault(kind, service="kube", path_contains=CLASSES)
    held.release()
    call.result()
    assert mounts.contents(node.target()) == {"file": b"content"}


def test_a_rotation_check_without_an_api_server_keeps_the_content_and_waits(start_clustered, node, emulator, scripted):
    driver = start_clustered("--enable-secret-rotation=true", "--rotation-poll-interval=0")
    provider = scripted()
    request = rpc.publish_request(node.target())
    driver.publish(request)
    emulator.add_fault("close", service="kube")
    for _ in range(2):
        driver.publish(request)  # returns OK: older kubelets remove the directory otherwise
    assert mounts.contents(node.target()) == {"file": b"content"}
    assert len(provider.requests) == 1
    text = driver.metrics()
    assert metric_sum(text, "rotation_reconcile_error_total", error_type="SecretProviderClassNotFound", provider="scripted") == 1
    assert metric_sum(text, "node_publish_error_total") == 1  # the second one waits its turn


def test_an_expired_resource_version_is_not_sent_again(start_clustered, node, emulator, scripted):
    """410 and 504 are what a store that was set back makes of an old resourceVersion: the next read goes without."""
    driver = start_clustered("--enable-secret-rotation=true", "--rotation-poll-interval=0")
    provider = scripted()
    request = rpc.publish_request(node.target())
    driver.publish(request)
    emulator.add_fault("status", service="kube", path_contains="resourceVersion=", status=410)
    driver.publish(request)
    assert len(provider.requests) == 1
    driver.unpublish(rpc.unpublish_request(node.target()))
    driver.publish(request)
    assert len(provider.requests) == 2
    reads = [item["path"] for item in emulator.requests("kube") if CLASSES in item["path"]]
    assert sum("resourceVersion=" in path for path in reads) == 1
    assert mounts.contents(node.target()) == {"file": b"content"}


# --- the target path ---

@pytest.fixture
def ready(node, start_driver, scripted):
    node.add_class()
    scripted()
    return start_driver(), node.target()


def test_a_file_at_the_target_path_is_left_alone(ready):
    driver, target = ready
    target.write_text("somebody's")
    code, message = driver.publish_failure(rpc.publish_request(target))
    assert code == CODES.FAILED_PRECONDITION
    assert str(target) in message
    assert target.read_text() == "somebody's"
    _, message = rpc.failure(driver.unpublish, rpc.unpublish_request(target))
    assert target.read_text() == "somebody's"
    words = "failed to clean and unmount target path"  # by which log checks find it, those of the driver that we replace among them
    assert message.startswith(f"{words} {target}")
    assert [line for line in driver.log.splitlines() if line.startswith("E") and f'"{words}"' in line and f'targetPath="{target}"' in line]
    assert metric_sum(driver.metrics(), "node_unpublish_error_total", os_type="linux") == 1
    target.unlink()
    driver.publish(rpc.publish_request(target))
    assert mounts.contents(target) == {"file": b"content"}


def test_a_target_whose_parents_are_missing_is_made(ready, node):
    driver, _ = ready
    target = node.kubelet / "pods" / "9-9-9" / "volumes/kubernetes.io~csi/v/mount"
    driver.publish(rpc.publish_request(target, pod_uid="9-9-9"))
    assert mounts.contents(target) == {"file": b"content"}


# --- concurrent calls ---

@pytest.fixture
def holding(node, start_driver, scripted):
    """A driver whose provider holds its requests: (driver, target, provider, held)."""
    node.add_class()
    held = HeldMount()
    provider = scripted(held)
    yield start_driver(), node.target(), provider, held
    held.release()


def test_an_unpublish_ends_a_publish_that_waits(holding):
    driver, target, provider, held = holding
    publish = driver.client.future(rpc.PUBLISH, rpc.publish_request(target), timeout=60)
    held.wait_arrived()
    driver.unpublish(rpc.unpublish_request(target), timeout=20)  # does not wait for the provider
    assert publish.exception(timeout=20).code() == CODES.ABORTED
    assert provider.cancelled.wait(20)
    mounts.assert_no_trace(target)


def test_two_publishes_of_one_volume_send_the_provider_one_request(holding):
    driver, target, provider, held = holding
    calls = [driver.client.future(rpc.PUBLISH, rpc.publish_request(target), timeout=60) for _ in range(2)]
    held.wait_arrived()
    held.release()
    for call in calls:
        call.result(timeout=30)
    assert len(provider.requests) == 1
    assert mounts.contents(target) == {"file": b"content"}
    assert len(mounts.mounts_below(target)) == 1


def test_a_publish_that_waits_does_not_keep_another_volume(holding, node):
    driver, target, _, held = holding
    first = driver.client.future(rpc.PUBLISH, rpc.publish_request(target), timeout=60)
    held.wait_arrived()
    driver.unpublish(rpc.unpublish_request(node.target(volume="other"), volume="other"))
    second = driver.client.future(rpc.PUBLISH, rpc.publish_request(node.target(volume="third"), volume="third"), timeout=60)
    held.wait_arrived()
    held.release()
    first.result(timeout=30)
    second.result(timeout=30)
    assert os.path.ismount(target) and os.path.ismount(node.target(volume="third"))
