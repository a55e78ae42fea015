"""Drivers and providers are exchanged under living volumes."""

import contextlib
import subprocess

import grpc
import pytest
from azure_class import ROTATE, SECRETS, azure_class, let_interval_pass

from harness import mounts
from harness.mounts import mount_at
from harness.process import wait_until


@pytest.fixture
def pod(admin, namespace, make_pod):
    admin.create(azure_class(), namespace)
    return make_pod()


@pytest.fixture
def uncached_azure(start_azure):
    return start_azure("--republish-cache-ttl=0s")


def change(emulator, value):
    emulator.set_secret("secret1", value)


def remount(pod, how):
    subprocess.run(["mount", "-o", f"remount,bind,{how}", pod.target], check=True)


def publish_until(driver, pod, value):
    def arrived():
        driver.publish(pod.publish_request(secrets=SECRETS))
        return mounts.contents(pod.target)["secret1"] == value
    wait_until(arrived, 20, "the new value", pause=0.1)


def test_from_go_to_ours(pod, start_go_driver, start_cluster_driver, uncached_azure, emulator):
    go = start_go_driver(*ROTATE)
    go.publish(pod.publish_request(secrets=SECRETS))
    go.destroy()
    before = mounts.contents(pod.target)
    ours = start_cluster_driver(*ROTATE)
    assert mounts.contents(pod.target) == before
    change(emulator, "after the switch")
    publish_until(ours, pod, b"after the switch")
    assert mount_at(pod.target) is not None  # one, and not stacked
    ours.unpublish(pod.unpublish_request())
    mounts.assert_no_trace(pod.target)


def test_from_go_to_ours_and_the_pod_ends_at_once(pod, start_go_driver, start_cluster_driver, uncached_azure):
    go = start_go_driver()
    go.publish(pod.publish_request(secrets=SECRETS))
    go.destroy()
    ours = start_cluster_driver()
    ours.unpublish(pod.unpublish_request())
    mounts.assert_no_trace(pod.target)


def test_from_ours_to_go_and_the_pod_ends(pod, start_go_driver, start_cluster_driver, uncached_azure):
    ours = start_cluster_driver()
    ours.publish(pod.publish_request(secrets=SECRETS))
    before = mounts.contents(pod.target)
    ours.destroy()
    go = start_go_driver()
    go.publish(pod.publish_request(secrets=SECRETS))
    assert mounts.contents(pod.target) == before
    go.unpublish(pod.unpublish_request())
    mounts.assert_no_trace(pod.target)


def test_from_ours_to_go_rotation_needs_a_writable_mount(pod, start_go_driver, start_cluster_driver, uncached_azure, emulator):
    """Our mounts are read-only for the node, too; docs/migrate.md has the command that makes them writable."""
    ours = start_cluster_driver(*ROTATE)
    ours.publish(pod.publish_request(secrets=SECRETS))
    before = mounts.contents(pod.target)
    ours.destroy()
    go = start_go_driver(*ROTATE)
    change(emulator, "after the switch")
    remount(pod, "rw")
    let_interval_pass(pod)
    remount(pod, "ro")
    with contextlib.suppress(grpc.RpcError):
        go.publish(pod.publish_request(secrets=SECRETS))
    assert "read-only file system" in go.log
    assert mounts.contents(pod.target) == before
    remount(pod, "rw")
    let_interval_pass(pod)
    go.publish(pod.publish_request(secrets=SECRETS))
    assert mounts.contents(pod.target)["secret1"] == b"after the switch"
    go.unpublish(pod.unpublish_request())
    mounts.assert_no_trace(pod.target)


def test_from_go_to_ours_and_back(pod, start_go_driver, start_cluster_driver, uncached_azure, emulator):
    go = start_go_driver(*ROTATE)
    go.publish(pod.publish_request(secrets=SECRETS))
    go.destroy()
    ours = start_cluster_driver(*ROTATE)
    change(emulator, "one")
    publish_until(ours, pod, b"one")
    ours.destroy()
    again = start_go_driver(*ROTATE, name="go-driver-2")
    change(emulator, "two")
    let_interval_pass(pod)
    again.publish(pod.publish_request(secrets=SECRETS))
    assert mounts.contents(pod.target)["secret1"] == b"two"
    again.unpublish(pod.unpublish_request())
    mounts.assert_no_trace(pod.target)


@pytest.mark.parametrize("order", ["go-ours", "ours-go"])
def test_the_provider_is_exchanged(pod, cluster_driver, start_cluster_driver, start_azure, start_go_azure, emulator, order):
    """The volume stays as it is, and the next provider takes the versions that the first one gave."""
    cluster_driver.destroy()
    driver = start_cluster_driver(*ROTATE, name="driver2")
    starts = {"ours": lambda: start_azure("--republish-cache-ttl=0s"), "go": start_go_azure}
    first, second = order.split("-")
    provider = starts[first]()
    driver.publish(pod.publish_request(secrets=SECRETS))
    before = mounts.read_volume(pod.target), mount_at(pod.target).source
    provider.destroy()
    provider.socket.unlink(missing_ok=True)
    starts[second]()
    requests_before = emulator.vault_requests

    def checked():
        driver.publish(pod.publish_request(secrets=SECRETS))
        return emulator.vault_requests > requests_before
    wait_until(checked, 20, "a request to the second provider", pause=0.1)
    assert (mounts.read_volume(pod.target), mount_at(pod.target).source) == before
