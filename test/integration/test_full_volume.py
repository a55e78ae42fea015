"""A volume that cannot take the new contents: nothing is lost, nothing half-written is left, and all is well when there is space again.

The driver makes a tmpfs as large as its contents need and enlarges it when they grow. Here it is made small by a remount, and the driver is
not let enlarge it, so that the kernel itself says ENOSPC.
"""

import os
import subprocess

import pytest

from harness import kube, mounts, rpc
from harness.process import wait_until
from harness.programs import metric_sum
from harness.rpc import CODES
from harness.syscall_faults import ONE_WORKER, WITHOUT_FILTER, SyscallFault

NO_ENLARGING = ("fspick,mount", "error=EPERM")
OLD = {"file": b"o" * 100_000, "sub/file": b"o" * 1_000}
# by bytes and by inodes: what is to replace OLD, and how large the tmpfs is made
LARGER = pytest.mark.parametrize("new, limit", [
    ({"file": b"n" * 600_000, "sub/file": b"n" * 1_000}, "size=256k"),
    ({"file": b"n", "sub/file": b"n", **{f"more/file{number}": b"n" for number in range(40)}}, "nr_inodes=20"),
], ids=["bytes", "inodes"])


def limit_volume(target, limit):
    subprocess.run(["mount", "-o", f"remount,rw,{limit}", target], check=True)  # of the file system; it becomes writable with that
    subprocess.run(["mount", "-o", "remount,bind,ro", target], check=True)
    assert any(option.startswith(limit) for option in mounts.mount_at(target).super_options), mounts.mount_at(target).super_options


def layout(target):
    """Everything in the volume, the driver's own entries included."""
    return sorted(os.path.join(where, name)[len(str(target)):] for where, directories, files in os.walk(target) for name in directories + files)


@pytest.fixture
def files():
    return dict(OLD)


@pytest.fixture
def published(node, start_driver, emulator, provider):
    """(driver, publish request) of a volume that holds OLD."""
    emulator.put_object("pods", kube.pod())
    emulator.put_object("secretproviderclasses", kube.spc())
    driver = start_driver(f"--kubeconfig={emulator.kubeconfig}", "--enable-secret-rotation=true", "--rotation-poll-interval=0", WITHOUT_FILTER,
                          standalone=False, env=ONE_WORKER)
    request = rpc.publish_request(node.target())
    driver.publish(request)
    assert mounts.contents(node.target()) == OLD
    return driver, request


def request_refresh(emulator, word):
    emulator.put_object("secretproviderclasses", kube.spc(refresh=word))


@pytest.mark.release_only
@LARGER
def test_a_full_volume_keeps_its_old_contents_through_a_rotation(published, node, emulator, files, new, limit):
    driver, request = published
    target, cluster = node.target(), kube.Cluster(emulator)
    before = layout(target)
    files.clear()
    files.update(new)
    limit_volume(target, limit)
    with SyscallFault(driver, *NO_ENLARGING):
        for number in range(3):
            request_refresh(emulator, f"full-{number}")
            driver.publish(request)  # a rotation check never fails towards the kubelet: the pod keeps the old contents
            assert metric_sum(driver.metrics(), "rotation_reconcile_error_total", provider="scripted") == number + 1
            assert mounts.contents(target) == OLD
            assert layout(target) == before
            assert "ro" in mounts.mount_at(target).options
    cluster.wait_for_status(lambda status: "the volume is full (ENOSPC)" in status["status"].get("lastError", ""))
    assert "the volume is full (ENOSPC)" in driver.log
    assert cluster.status()["status"]["objects"] == [{"id": name, "version": "v1"} for name in sorted(OLD)]
    # space again: the driver may enlarge the volume
    request_refresh(emulator, "space")
    driver.publish(request)
    assert mounts.contents(target) == new
    assert len([name for name in os.listdir(target) if name.startswith("..2")]) == 1  # the old version is gone
    cluster.wait_for_status(lambda status: "lastError" not in status["status"])


@pytest.mark.release_only
def test_a_rotation_in_place_that_does_not_fit_holds_no_space(node, start_driver, emulator, provider, files):
    """Both files shall grow, and there is space for one. What was allocated for the first one is there for the second one alone."""
    def request_rotation(word):
        emulator.put_object("secretproviderclasses", kube.spc(annotations={
            "secrets-store.csi.k8s.io/update-in-place": "true", "secrets-store.csi.k8s.io/refresh": word}))

    def used():
        volume = os.statvfs(target)
        return volume.f_blocks - volume.f_bfree
    emulator.put_object("pods", kube.pod())
    request_rotation("first")
    driver = start_driver(f"--kubeconfig={emulator.kubeconfig}", "--enable-secret-rotation=true", "--rotation-poll-interval=0", WITHOUT_FILTER,
                          standalone=False, env=ONE_WORKER)
    target, request = node.target(), rpc.publish_request(node.target())
    driver.publish(request)
    old, before = dict(files), used()
    limit_volume(target, "size=1024k")
    with SyscallFault(driver, *NO_ENLARGING):
        files.update({"file": b"n" * 700_000, "sub/file": b"n" * 700_000})
        request_rotation("too much")
        driver.publish(request)
        assert mounts.contents(target, in_place=True) == old
        assert used() == before
        files["file"] = old["file"]
        request_rotation("enough")
        driver.publish(request)
        assert mounts.contents(target, in_place=True) == files


@pytest.mark.release_only
@LARGER
def test_a_full_volume_keeps_its_old_contents_through_a_publish(published, node, files, new, limit):
    """A driver has died in its last step and left a volume without one of its links. Containers may use it, so a publish completes it where it is."""
    driver, request = published
    target = node.target()
    subprocess.run(["mount", "-o", "remount,rw", target], check=True)
    os.unlink(target / "sub")
    before = layout(target)
    files.clear()
    files.update(new)
    limit_volume(target, limit)
    with SyscallFault(driver, *NO_ENLARGING):
        for _ in range(3):
            code, message = driver.publish_failure(request)
            assert code == CODES.RESOURCE_EXHAUSTED and "the volume is full (ENOSPC)" in message, message
            assert (target / "file").read_bytes() == OLD["file"]
            assert layout(target) == before
    driver.publish(request)
    assert mounts.contents(target) == new
    driver.unpublish(rpc.unpublish_request(target))
    mounts.assert_no_trace(target)


@pytest.mark.slow
@pytest.mark.release_only
@pytest.mark.parametrize("call", ["mkdirat", "symlinkat"])
def test_no_space_at_any_step_of_a_first_mount_leaves_nothing(node, start_driver, provider, call):
    """The tmpfs of a first mount is made for its contents; strace injects the error of a machine without space for it."""
    node.add_class()
    driver, target, failures = start_driver(WITHOUT_FILTER, env=ONE_WORKER), node.target(), 0
    request = rpc.publish_request(target)
    while True:
        with SyscallFault(driver, call, f"error=ENOSPC:when={failures + 1}"):
            error = driver.client.future(rpc.PUBLISH, request).exception(timeout=20)
        if error is None:
            break
        assert "ENOSPC" in error.details() or os.strerror(28) in error.details(), error.details()
        wait_until(lambda: not mounts.mounts_below(node.kubelet), what="nothing to be mounted")
        assert not os.path.lexists(target)
        failures += 1
        assert failures < 20
    assert failures >= 1
    assert mounts.contents(target) == OLD
