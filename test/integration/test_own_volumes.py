"""The driver touches only what is its own: at a wrong path, over and under other programs' mounts, through links."""

import os
import subprocess

import pytest

from harness import mounts, rpc
from harness.process import wait_until
from harness.programs import metric_sum
from harness.rpc import CODES
from harness.scripted_provider import mount_response

ROTATION = ("--enable-secret-rotation=true", "--rotation-poll-interval=2s")


def tree(directory):
    return sorted((str(path.relative_to(directory)), path.read_bytes() if path.is_file() else None) for path in directory.rglob("*"))


def refused(call, request):
    code, text = rpc.failure(call, request)
    assert code == CODES.FAILED_PRECONDITION, text
    return text


def mount_tmpfs(target, *options, source="tmpfs"):
    subprocess.run(["mount", "-t", "tmpfs", *options, source, target], check=True)


def bind(source, target):
    subprocess.run(["mount", "--bind", source, target], check=True)


@pytest.fixture
def precious(node):
    """A directory of an operator: files, directories, hidden ones, a link."""
    precious = node.directory / "precious"
    (precious / "deep/er").mkdir(parents=True)
    (precious / "deep/er/.hidden").write_text("keep")
    (precious / "file").write_text("keep")
    os.symlink("file", precious / "link")
    return precious


@pytest.mark.parametrize("path", [".", "deep", "deep/er", "file", "link", "pods/uid/volumes/kubernetes.io~csi/secrets",
                                  "pods/uid/volumes/kubernetes.io~secret/secrets/mount", "volumes/kubernetes.io~csi/secrets/mount"])
def test_an_unpublish_of_another_path_removes_nothing(driver, precious, path):
    for directory in ("pods/uid/volumes/kubernetes.io~csi/secrets", "pods/uid/volumes/kubernetes.io~secret/secrets/mount",
                      "volumes/kubernetes.io~csi/secrets/mount"):
        (precious / directory).mkdir(parents=True)
        (precious / directory / "file").write_text("keep")
    before = tree(precious)
    refused(driver.unpublish, rpc.unpublish_request(os.path.normpath(precious / path)))
    assert tree(precious) == before
    assert "failed to clean and unmount target path" in driver.log


def test_a_publish_over_files_of_another_path_is_refused(node, driver, scripted, precious):
    scripted()
    node.add_class()
    before = tree(precious)
    assert "is not empty" in refused(driver.publish, rpc.publish_request(precious))
    assert tree(precious) == before and mounts.mounts_below(precious) == []


def test_at_another_path_the_driver_knows_its_own_volume_after_a_restart(node, start_driver, scripted):
    scripted()
    node.add_class()
    target = node.directory / "anywhere"
    target.mkdir()
    first = start_driver()
    first.publish(rpc.publish_request(target))
    first.destroy()
    second = start_driver(name="driver2")
    second.publish(rpc.publish_request(target))
    assert mounts.contents(target) == {"file": b"content"}
    second.unpublish(rpc.unpublish_request(target))
    mounts.assert_no_trace(target)
    second.unpublish(rpc.unpublish_request(target))


def make_foreign(kind, node, target):
    """Mounts something of another program at the target and returns the file that it shows."""
    other = node.directory / "other"
    if kind == "named":
        mount_tmpfs(target, source="scratch")
    elif kind == "small":
        mount_tmpfs(target, "-o", "size=1m")
    elif kind == "mode":
        mount_tmpfs(target, "-o", "mode=0755")
    elif kind == "nosuid":
        mount_tmpfs(target, "-o", "nosuid,nodev")
    elif kind == "bind":
        other.mkdir()
        bind(other, target)
    elif kind in ("bind-of-tmpfs", "bind-below-tmpfs"):
        other.mkdir()
        mount_tmpfs(other)
        (other / "sub").mkdir()
        bind(other if kind == "bind-of-tmpfs" else other / "sub", target)
    (target / "file").write_text("keep")
    return target / "file"


FOREIGN = ["named", "small", "mode", "nosuid", "bind", "bind-of-tmpfs", "bind-below-tmpfs"]


@pytest.fixture
def unmounted(node):
    """Other programs' mounts end with the test, whatever it has shown."""
    yield
    for mount in reversed(mounts.mounts_below(node.directory)):
        subprocess.run(["umount", mount.path], check=False)


@pytest.mark.usefixtures("unmounted")
@pytest.mark.parametrize("kind", FOREIGN)
def test_a_foreign_mount_at_the_target_is_refused_and_left_alone(node, driver, scripted, kind):
    provider = scripted()
    node.add_class()
    target = node.target()
    target.mkdir()
    kept = make_foreign(kind, node, target)
    before = mounts.mounts_below(node.directory)
    for call, request in ((driver.publish, rpc.publish_request(target)), (driver.unpublish, rpc.unpublish_request(target))):
        refused(call, request)
        assert kept.read_text() == "keep" and os.listdir(target) == ["file"] or kind == "bind-of-tmpfs"
        assert len(mounts.mounts_below(node.directory)) == len(before)
    assert provider.requests == []


@pytest.mark.usefixtures("unmounted")
@pytest.mark.parametrize("kind", [*FOREIGN, "plain"])
def test_a_foreign_mount_over_a_volume_harms_neither(node, start_driver, scripted, kind):
    driver = start_driver(*ROTATION)
    files = {"file": b"one"}
    provider = scripted(lambda request, context: mount_response(dict(files), versions={"file": files["file"].decode()}))
    node.add_class()
    target = node.target()
    driver.publish(rpc.publish_request(target))
    if kind == "plain":  # as the Go driver's, but never above a volume of ours
        mount_tmpfs(target)
        kept = target / "file"
        kept.write_text("keep")
    else:
        kept = make_foreign(kind, node, target)
    for _ in range(3):
        driver.publish(rpc.publish_request(target))
        assert kept.read_text() == "keep"
        assert len([mount for mount in mounts.mounts_below(target) if mount.path == os.path.realpath(target)]) == 2
    assert driver.log.count("another mount covers the volume") == 1, driver.log[-3000:]
    assert metric_sum(driver.metrics(), "rotation_reconcile_error_total") == 1
    refused(driver.unpublish, rpc.unpublish_request(target))
    assert kept.read_text() == "keep"
    subprocess.run(["umount", target], check=True)
    assert mounts.contents(target) == {"file": b"one"}
    if kind != "plain":  # the rest takes a while, and is the same for all
        return
    files["file"] = b"two"
    requests = len(provider.requests)

    def rotated():
        driver.publish(rpc.publish_request(target))
        return len(provider.requests) > requests
    wait_until(rotated, timeout=60, what="the next rotation check")
    assert mounts.contents(target) == {"file": b"two"}
    driver.unpublish(rpc.unpublish_request(target))
    mounts.assert_no_trace(target)


@pytest.mark.usefixtures("unmounted")
def test_another_pods_volume_bound_to_the_target_keeps_its_files(node, driver, scripted):
    scripted()
    node.add_class()
    uid = "99999999-2222-3333-4444-555555555555"
    theirs, target = node.target(pod_uid=uid), node.target()
    driver.publish(rpc.publish_request(theirs, pod_uid=uid))
    target.mkdir()
    bind(theirs, target)
    refused(driver.publish, rpc.publish_request(target))
    refused(driver.unpublish, rpc.unpublish_request(target))
    assert mounts.contents(theirs) == {"file": b"content"}
    subprocess.run(["umount", target], check=True)
    driver.unpublish(rpc.unpublish_request(theirs, pod_uid=uid))


@pytest.mark.parametrize("depth", range(4))
def test_no_link_below_the_directory_of_the_pods_is_followed(node, driver, scripted, precious, depth):
    scripted()
    node.add_class()
    target = node.target()
    link = target.parents[depth]
    below = target.relative_to(link)
    link.rename(node.directory / "aside")
    (precious / below).mkdir(parents=True)
    (precious / below / "file").write_text("keep")
    os.symlink(precious, link)
    before = tree(precious)
    refused(driver.publish, rpc.publish_request(target))
    refused(driver.unpublish, rpc.unpublish_request(target))
    assert tree(precious) == before and mounts.mounts_below(precious) == []


@pytest.mark.parametrize("which", ["root", "pods"])
def test_the_directory_of_the_pods_may_be_below_a_link(node, driver, scripted, which):
    scripted()
    node.add_class()
    target = node.target()
    link = node.kubelet if which == "root" else node.kubelet / "pods"
    real = node.directory / "data"
    link.rename(real)
    os.symlink(real, link)
    if which == "root":  # the driver's own socket is below it
        assert node.csi_socket.exists()
    driver.publish(rpc.publish_request(target))
    assert mounts.contents(target) == {"file": b"content"}
    driver.publish(rpc.publish_request(target))
    other_way = real / target.relative_to(link) if which == "root" else target
    driver.unpublish(rpc.unpublish_request(other_way))
    mounts.assert_no_trace(target)


def test_leftover_files_at_a_target_of_the_kubelet_do_not_keep_a_pod(node, driver, scripted, precious):
    scripted()
    node.add_class()
    target = node.target()
    (target / "sub").mkdir(parents=True)
    (target / "sub/stale").write_text("old")
    os.symlink(precious, target / "link")
    before = tree(precious)
    driver.publish(rpc.publish_request(target))
    assert mounts.contents(target) == {"file": b"content"}
    driver.unpublish(rpc.unpublish_request(target))
    mounts.assert_no_trace(target)
    assert tree(precious) == before


def test_two_volumes_of_the_go_driver_at_one_target_are_removed(node, driver):
    target = node.target()
    target.mkdir()
    for _ in range(2):
        mount_tmpfs(target)
        (target / "f").write_text("x")
    driver.unpublish(rpc.unpublish_request(target))
    mounts.assert_no_trace(target)
