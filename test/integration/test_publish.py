"""The whole path: kubelet's call, driver, Azure provider, vault; with the tutorial's class word for word."""

import os
import stat
import subprocess

import pytest

from harness import mounts, rpc, tutorial
from harness.programs import metric_sum
from harness.rpc import CODES


@pytest.fixture
def stack(node, driver, azure, emulator):
    node.add_class(text=tutorial.CLASS)
    return driver, node.target()


def request(target, **keywords):
    keywords.setdefault("secrets", tutorial.CREDENTIALS)
    return rpc.publish_request(target, **keywords)


def expected():
    return {name: value.encode() for name, value in tutorial.SECRETS.items()}


def test_the_tutorial_class_shows_its_two_secrets(stack):
    driver, target = stack
    driver.publish(request(target))
    assert mounts.read_volume(target) == {name: (0o644, value) for name, value in expected().items()}


def test_the_mount_is_a_read_only_hardened_and_bounded_tmpfs(stack):
    driver, target = stack
    driver.publish(request(target))
    mount = mounts.mount_at(target)
    assert mount.type == "tmpfs"
    assert {"ro", "nosuid", "nodev", "noexec"} <= mount.options
    sizes = [option for option in mount.super_options if option.startswith("size=")]
    assert sizes, "the tmpfs has no size limit"
    assert os.statvfs(target).f_blocks * os.statvfs(target).f_frsize <= 64 << 20
    release = tuple(int(part) for part in os.uname().release.split(".")[:2])
    if release >= (6, 4):
        assert "noswap" in mount.super_options


def test_no_process_can_write_into_the_mount(stack):
    driver, target = stack
    driver.publish(request(target))
    for attempt in (lambda: open(target / "secret1", "ab"), lambda: open(target / "new", "wb"), lambda: os.unlink(target / "secret1"),
                    lambda: os.chmod(target / "..data", 0o777)):
        with pytest.raises(OSError) as caught:
            attempt()
        assert caught.value.errno == 30  # EROFS


def test_the_layout_is_that_of_kubernetes_volumes(stack):
    driver, target = stack
    driver.publish(request(target))
    data = os.readlink(target / "..data")
    assert data.startswith("..20") and "/" not in data
    real = target / data
    assert real.is_dir() and not real.is_symlink()
    assert stat.S_IMODE(real.stat().st_mode) == 0o755
    assert os.readlink(target / "secret1") == "..data/secret1"
    assert sorted(os.listdir(target)) == sorted(["..data", data, "secret1", "secret2"])


def test_the_target_directory_itself_can_be_listed_by_every_user(stack):
    driver, target = stack
    driver.publish(request(target))
    assert stat.S_IMODE(os.stat(target).st_mode) & 0o555 == 0o555
    assert stat.S_IMODE(os.stat(target).st_mode) & 0o022 == 0


def test_unpublish_leaves_no_trace(stack, node):
    driver, target = stack
    driver.publish(request(target))
    driver.unpublish(rpc.unpublish_request(target))
    mounts.assert_no_trace(target)
    assert mounts.mounts_below(node.kubelet) == []
    driver.unpublish(rpc.unpublish_request(target))


def test_publishing_ten_times_is_publishing_once(stack):
    driver, target = stack
    for _ in range(10):
        driver.publish(request(target))
        assert mounts.contents(target) == expected()
        assert mounts.mount_at(target) is not None
    driver.unpublish(rpc.unpublish_request(target))
    mounts.assert_no_trace(target)


def test_a_published_volume_survives_a_restart_of_the_driver(node, start_driver, azure, emulator):
    node.add_class(text=tutorial.CLASS)
    target = node.target()
    first = start_driver()
    first.publish(request(target))
    first.destroy()
    assert mounts.contents(target) == expected()
    second = start_driver(name="driver2")
    second.publish(request(target))
    assert mounts.contents(target) == expected()
    second.unpublish(rpc.unpublish_request(target))
    mounts.assert_no_trace(target)


def test_a_complete_volume_publishes_again_while_the_provider_is_gone(stack, azure):
    driver, target = stack
    driver.publish(request(target))
    azure.destroy()
    driver.publish(request(target))
    assert mounts.contents(target) == expected()


def test_a_leftover_empty_tmpfs_is_not_mistaken_for_a_volume(stack):
    """The Go driver leaves one when it is killed between mounting and writing."""
    driver, target = stack
    target.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", target], check=True)
    driver.publish(request(target))
    assert mounts.contents(target) == expected()
    assert "ro" in mounts.mount_at(target).options
    driver.unpublish(rpc.unpublish_request(target))
    mounts.assert_no_trace(target)


def test_a_volume_of_the_go_driver_is_taken_away(stack):
    driver, target = stack
    target.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", target], check=True)
    (target / "..2026_01_01_00_00_00.1").mkdir()
    (target / "..2026_01_01_00_00_00.1" / "old").write_text("old")
    os.symlink("..2026_01_01_00_00_00.1", target / "..data")
    os.symlink("..data/old", target / "old")
    driver.unpublish(rpc.unpublish_request(target))
    mounts.assert_no_trace(target)


def test_a_foreign_mount_is_never_touched(stack, node):
    driver, target = stack
    target.mkdir()
    other = node.directory / "precious"
    other.mkdir()
    subprocess.run(["mount", "-t", "ramfs", "ramfs", other], check=True)  # of another kind than volumes
    (other / "file").write_text("keep")
    subprocess.run(["mount", "--bind", other, target], check=True)
    code, _ = driver.publish_failure(request(target))
    assert code == CODES.FAILED_PRECONDITION
    code, _ = rpc.failure(driver.unpublish, rpc.unpublish_request(target))
    assert code == CODES.FAILED_PRECONDITION
    assert (target / "file").read_text() == (other / "file").read_text() == "keep"
    subprocess.run(["umount", target, other], check=True)


def test_a_symlink_at_the_target_is_not_followed(stack, node):
    driver, target = stack
    victim = node.directory / "victim"
    victim.mkdir()
    (victim / "file").write_text("keep")
    os.symlink(victim, target)
    for call in (driver.publish, driver.unpublish):
        code, _ = rpc.failure(call, request(target) if call == driver.publish else rpc.unpublish_request(target))
        assert code == CODES.FAILED_PRECONDITION
        assert (victim / "file").read_text() == "keep" and target.is_symlink()
        assert mounts.mounts_below(victim) == []


def test_a_missing_secret_is_named_and_nothing_is_mounted(stack, node):
    driver, target = stack
    node.add_class("wrong", text=tutorial.class_with(["secret1", "no-such-secret"], name="wrong"))
    code, message = driver.publish_failure(request(target, class_name="wrong"))
    assert code == CODES.NOT_FOUND
    assert "no-such-secret" in message
    assert mounts.mounts_below(target) == []


def test_all_missing_objects_are_named_at_once(stack, node):
    driver, target = stack
    node.add_class("wrong", text=tutorial.class_with(["missing-a", "secret1", "missing-b"], name="wrong"))
    _, message = driver.publish_failure(request(target, class_name="wrong"))
    assert "missing-a" in message and "missing-b" in message


def test_fs_group_makes_the_files_readable_for_the_group(stack):
    driver, target = stack
    publish = request(target)
    publish.volume_capability.mount.volume_mount_group = "4242"
    driver.publish(publish)
    status = os.stat(target / "secret1")
    assert status.st_gid == 4242
    assert stat.S_IMODE(status.st_mode) & 0o040


def test_many_volumes_leave_no_descriptor_behind(stack, node):
    driver, _ = stack
    driver.publish(request(node.target()))
    driver.unpublish(rpc.unpublish_request(node.target()))
    before = driver.fd_count()
    for i in range(50):
        uid = f"aaaaaaaa-0000-0000-0000-{i:012d}"
        driver.publish(request(node.target(uid), pod_uid=uid))
        driver.unpublish(rpc.unpublish_request(node.target(uid), pod_uid=uid))
    assert driver.fd_count() <= before + 2


def test_calls_are_counted_by_outcome(stack):
    driver, target = stack
    driver.publish(request(target))
    code, _ = rpc.failure(driver.unpublish, rpc.unpublish_request(""))
    assert code == CODES.INVALID_ARGUMENT
    driver.unpublish(rpc.unpublish_request(target))
    text = driver.metrics()
    assert metric_sum(text, "node_publish_total", provider="azure") == 1
    assert metric_sum(text, "node_publish_error_total") == 0
    assert metric_sum(text, "node_unpublish_total") == metric_sum(text, "node_unpublish_error_total") == 1
    for method, outcome in (("NodePublishVolume", "OK"), ("NodeUnpublishVolume", "OK"), ("NodeUnpublishVolume", "InvalidArgument")):
        assert metric_sum(text, "csi_call_duration_sec_count", method=method, grpc_status=outcome) == 1
