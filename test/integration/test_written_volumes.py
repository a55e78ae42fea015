"""Providers that write their files below the target path themselves and return versions only, as the AWS provider does by default.

The Go driver mounts its tmpfs before it calls the provider. Here the same is done for a provider that is not known to return files.
"""

import os
import stat
import subprocess
import sys
import threading
from pathlib import Path

import grpc
import pytest

from harness import mounts, rpc, scripted_provider
from harness.process import wait_until
from harness.programs import Driver, metric_sum
from harness.rpc import CODES
from harness.scripted_provider import HeldMount, check_rotation, mount_response
from harness.secret_sync import ROTATE, secret_object
from harness.syscall_faults import FILE_CALLS, KILLS_MAX, ONE_WORKER, KilledAt
from harness.writing_provider import Writer

ROTATION = ("--enable-secret-rotation=true", "--rotation-poll-interval=0s")


@pytest.fixture
def writer(scripted, node):
    writer = Writer(node, plain="one")
    writer.provider = scripted(writer)
    node.add_class()
    return writer


def below(target):
    """What lies in the directory below the mount, and in all directories of the pods: [] unless something is on the disk."""
    pods = next(parent for parent in target.parents if parent.name == "pods")
    aside = pods.parent / "aside"
    aside.mkdir()
    subprocess.run(["mount", "--bind", pods, aside], check=True)
    try:
        return [path for path in aside.rglob("*") if not path.is_dir()]
    finally:
        subprocess.run(["umount", aside], check=True)
        aside.rmdir()


def contents(target):
    return {str(path.relative_to(target)): path.read_bytes() for path in target.rglob("*") if path.is_file()}


def root_mode(target):
    return stat.S_IMODE(os.stat(target).st_mode)


def assert_volume(target, writer, **files):
    assert contents(target) == {name: value.encode() for name, value in files.items()}
    assert {"ro", "nosuid", "nodev", "noexec"} <= mounts.mount_at(target).options
    assert root_mode(target) == 0o755
    assert below(target) == [] and writer.on_disk == []


@pytest.fixture
def container(node):
    """container(target): a bind mount of the volume, as a running container has it."""
    made = []

    def start(target):
        inside = node.directory / f"container{len(made)}"
        inside.mkdir()
        subprocess.run(["mount", "--bind", "-o", "ro", target, inside], check=True)
        made.append(inside)
        return inside
    yield start
    for inside in made:
        subprocess.run(["umount", inside], check=True)


# ---- mount and unmount ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("existing", [False, True], ids=["new", "after-a-reboot"])
def test_a_pod_gets_the_files_that_its_provider_writes(node, driver, writer, existing):
    target = node.target()
    if existing:
        target.mkdir()
    driver.publish(rpc.publish_request(target))
    assert_volume(target, writer, plain="one")
    driver.publish(rpc.publish_request(target))
    assert len(writer.provider.requests) == 1
    driver.unpublish(rpc.unpublish_request(target))
    mounts.assert_no_trace(target)
    assert 'writtenBy="provider"' in driver.log


def test_a_provider_that_is_not_root_can_write(node, driver, scripted):
    seen = []

    def mount(request, context):
        seen.append((root_mode(request.target_path), mounts.mount_at(request.target_path).options))
        with open(os.path.join(request.target_path, "file"), "w", encoding="utf-8") as file:
            file.write("x")
        return mount_response({}, versions={"file": "1"})
    scripted(mount)
    node.add_class()
    target = node.target()
    driver.publish(rpc.publish_request(target))
    (mode, options), = seen
    assert mode == 0o1777 and {"rw", "nosuid", "nodev", "noexec"} <= options
    assert root_mode(target) == 0o755
    driver.unpublish(rpc.unpublish_request(target))


def test_the_pods_group_may_read_the_files(node, driver, writer):
    target = node.target()
    request = rpc.publish_request(target)
    request.volume_capability.mount.volume_mount_group = "4711"
    driver.publish(request)
    info = os.stat(target / "plain")
    assert info.st_gid == 4711 and info.st_mode & stat.S_IRGRP and os.stat(target).st_gid == 4711
    driver.unpublish(rpc.unpublish_request(target))


@pytest.fixture
def disk_of_pods(node):
    """The directory of the pods without what is mounted below it, as a provider's container without mount propagation sees it."""
    path = node.directory / "disk"
    path.mkdir()
    subprocess.run(["mount", "--bind", "--make-private", node.kubelet / "pods", path], check=True)
    yield path
    subprocess.run(["umount", path], check=True)


@pytest.mark.parametrize("versions", [{"NO_SECRETS": "0"}, {"a": "", "b": "2"}, {"a": "", "b": ""}], ids=["made-up", "some", "empty"])
def test_a_provider_may_have_no_files_for_a_class(node, start_driver, writer, versions):
    driver = start_driver(*ROTATION)
    writer.files, writer.versions = {}, versions
    target = node.target()
    driver.publish(rpc.publish_request(target))
    assert_volume(target, writer)
    writer.files, writer.versions = {"plain": b"here"}, {"a": "", "b": "1"}
    check_rotation(driver, writer.provider, rpc.publish_request(target))
    assert_volume(target, writer, plain="here")
    driver.unpublish(rpc.unpublish_request(target))
    mounts.assert_no_trace(target)


@pytest.mark.parametrize("existing", [False, True])
def test_a_provider_that_returned_files_may_have_none_for_another_class(node, driver, scripted, existing):
    responses = {"one": mount_response({"file": b"x"}), "two": mount_response({}, versions={"NO_SECRETS": "0"}),
                 "three": mount_response({"file": b"y"})}
    provider = scripted(lambda request, context: responses[Path(request.target_path).parent.name])
    node.add_class()
    targets = [node.target(volume=volume) for volume in ("one", "two", "three")]
    if existing:
        targets[1].mkdir()
    for target, files in zip(targets, ({"file": b"x"}, {}, {"file": b"y"})):
        driver.publish(rpc.publish_request(target, volume=target.parent.name))
        assert mounts.contents(target) == files and "ro" in mounts.mount_at(target).options
    assert len(provider.requests) == (3 if existing else 4)  # without files for the first time, and once more into a tmpfs
    for target in targets:
        driver.unpublish(rpc.unpublish_request(target, volume=target.parent.name))
        mounts.assert_no_trace(target)


def test_a_provider_that_begins_to_write_its_files_leaves_none_on_the_disk(node, driver, scripted):
    def mount(request, context):
        target = Path(request.target_path)
        if target.parent.name == "one":
            return mount_response({"file": b"returned"})
        target.mkdir(parents=True, exist_ok=True)
        (target / "file").write_text("written")
        return mount_response({}, versions={"file": "1"})
    provider = scripted(mount)
    node.add_class()
    for name in ("one", "two"):
        driver.publish(rpc.publish_request(node.target(volume=name), volume=name))
    target = node.target(volume="two")
    assert contents(target) == {"file": b"written"} and "ro" in mounts.mount_at(target).options
    assert len(provider.requests) == 3 and below(target) == []


@pytest.mark.parametrize("versions", [{"plain": "1"}, {"plain": ""}], ids=["version", "empty"])
def test_files_that_a_provider_writes_below_the_mount_fail_the_mount(node, driver, scripted, disk_of_pods, versions):
    def mount(request, context):
        hidden = disk_of_pods / Path(request.target_path).relative_to(node.kubelet / "pods")
        (hidden / "plain").write_text("secret")
        return mount_response({}, versions=versions)
    scripted(mount)
    node.add_class()
    target = node.target()
    code, text = driver.publish_failure(rpc.publish_request(target))
    assert code == CODES.INTERNAL and "the provider wrote its files to the node's disk, below the volume" in text
    mounts.assert_no_trace(target)
    assert [path for path in disk_of_pods.rglob("*") if path.is_file()] == []


@pytest.mark.parametrize("how", ["fails", "is-cancelled"])
def test_a_first_mount_that_ends_early_leaves_nothing(node, driver, scripted, writer, how):
    target = node.target()
    if how == "fails":
        writer.failure = "no"
        code, _ = driver.publish_failure(rpc.publish_request(target))
        assert code == CODES.PERMISSION_DENIED
    else:
        writer.provider.stop()
        held = HeldMount()
        scripted(lambda request, context: (writer(request, context), held(request, context))[1])
        call = driver.client.future(rpc.PUBLISH, rpc.publish_request(target))
        held.wait_arrived()
        assert os.stat(target).st_dev != writer.disk
        call.cancel()
        wait_until(lambda: not os.path.lexists(target), what="the roll-back")
        held.release()
    mounts.assert_no_trace(target)
    assert writer.on_disk == []


def test_an_unpublish_during_the_call_leaves_nothing(node, driver, scripted):
    node.add_class()
    target = node.target()
    held, late = HeldMount(), []

    def mount(request, context):
        held(request, context)
        try:
            with open(os.path.join(request.target_path, "late"), "w", encoding="utf-8") as file:
                file.write("secret")
        except OSError as error:
            late.append(error)
        return mount_response({}, versions={"file": "1"})
    scripted(mount)
    call = driver.client.future(rpc.PUBLISH, rpc.publish_request(target))
    held.wait_arrived()
    driver.unpublish(rpc.unpublish_request(target))
    assert call.exception().code() == CODES.ABORTED
    mounts.assert_no_trace(target)
    held.release()
    wait_until(lambda: late, what="the provider's late write")
    mounts.assert_no_trace(target)


# ---- which providers are prepared for ------------------------------------------------------------------------------------------------


def test_the_volume_of_a_provider_that_returned_files_is_invisible_until_it_is_whole(node, driver, scripted):
    seen = []

    def mount(request, context):
        seen.append(os.path.lexists(request.target_path))
        return mount_response({"file": b"x"})
    provider = scripted(mount)
    node.add_class()
    targets = [node.target(volume=name) for name in ("a", "b", "c")]
    for target in targets[:2]:
        driver.publish(rpc.publish_request(target))
    assert seen == [True, False]
    provider.stop()
    scripted(mount)  # another socket: it may be another program
    driver.publish(rpc.publish_request(targets[2]))
    assert seen == [True, False, True]
    for target in targets:
        assert mounts.contents(target) == {"file": b"x"} and "ro" in mounts.mount_at(target).options
        driver.unpublish(rpc.unpublish_request(target))


@pytest.mark.parametrize("existing", [False, True])
def test_a_provider_that_is_replaced_during_the_call_by_one_that_writes(node, driver, scripted, existing):
    """The first is known to return files. It ends with the call in flight; the next one writes, and finds a tmpfs."""
    calls, writer = [], Writer(node, plain="two")

    def mount(request, context):
        calls.append(1)
        if len(calls) == 1:
            return mount_response({"file": b"x"})
        threading.Thread(target=replace).start()
        replaced.wait(20)
        return context.abort(grpc.StatusCode.UNAVAILABLE, "the provider ends")

    def replace():
        os.unlink(first.path)
        first.path = "/nonexistent"  # stopped at the end of the test
        scripted(writer)
        replaced.set()
    replaced = threading.Event()
    first = scripted(mount)
    node.add_class()
    target, other = node.target(), node.target(volume="other")
    driver.publish(rpc.publish_request(target))
    if existing:
        other.mkdir()
    driver.publish(rpc.publish_request(other, volume="other"))
    assert_volume(other, writer, plain="two")
    for one in (target, other):
        driver.unpublish(rpc.unpublish_request(one))


# ---- rotation, restarts --------------------------------------------------------------------------------------------------------------


def test_containers_follow_the_rotations_of_a_provider_that_writes(node, start_driver, writer, container):
    driver = start_driver(*ROTATION)
    target = node.target()
    driver.publish(rpc.publish_request(target))
    inside = container(target)
    for number in ("two", "three"):
        writer.files["plain"] = number.encode()
        check_rotation(driver, writer.provider, rpc.publish_request(target))
        assert_volume(target, writer, plain=number)
        assert contents(inside) == {"plain": number.encode()}
    assert writer.provider.requests[-1].current_object_version[0].version == "two"
    driver.publish(rpc.publish_request(target))
    metrics = driver.metrics()
    assert metric_sum(metrics, "rotation_reconcile_total", rotated="true") == 2
    assert metric_sum(metrics, "rotation_reconcile_error_total") == 0
    writer.failure = "no"
    check_rotation(driver, writer.provider, rpc.publish_request(target))
    wait_until(lambda: "ro" in mounts.mount_at(target).options, what="the volume to be closed again")
    assert_volume(target, writer, plain="three")


@pytest.mark.parametrize("rotation", [(), ROTATION], ids=["once", "rotating"])
def test_a_restarted_driver_keeps_such_a_volume(node, start_driver, writer, container, rotation):
    first = start_driver(*rotation)
    target = node.target()
    first.publish(rpc.publish_request(target))
    inside = container(target)
    first.destroy()
    second = start_driver(*rotation, name="driver2")
    second.publish(rpc.publish_request(target))
    assert_volume(target, writer, plain="one")
    if rotation:
        writer.files["plain"] = b"two"
        check_rotation(second, writer.provider, rpc.publish_request(target))
        assert_volume(target, writer, plain="two")
        assert writer.provider.requests[-1].current_object_version[0].version == "one"
    else:
        assert len(writer.provider.requests) == 1
        writer.provider.stop()
        second.publish(rpc.publish_request(target))
    assert contents(inside) == contents(target)
    second.unpublish(rpc.unpublish_request(target))
    mounts.assert_no_trace(target)


def go_volume(target, **files):
    target.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", target], check=True)
    for name, text in files.items():
        (target / name).write_text(text)


@pytest.mark.parametrize("rotation", [(), ROTATION], ids=["once", "rotating"])
def test_a_living_volume_of_the_go_driver_is_taken_over(node, start_driver, writer, container, rotation):
    target = node.target()
    go_volume(target, plain="old", other="kept")
    inside = container(target)
    driver = start_driver(*rotation)
    writer.failure = "not now"
    writer.files = {}
    driver.publish(rpc.publish_request(target))
    assert contents(inside) == contents(target) == {"plain": b"old", "other": b"kept"}
    writer.failure, writer.files = None, {"plain": b"two"}

    def taken():
        driver.publish(rpc.publish_request(target))
        return contents(target)["plain"] == b"two"
    wait_until(taken, timeout=60, what="the next call of the provider")
    assert_volume(target, writer, plain="two", other="kept")
    assert contents(inside) == contents(target)
    driver.destroy()
    again = start_driver(*rotation, name="driver2")
    again.publish(rpc.publish_request(target))
    assert_volume(target, writer, plain="two", other="kept")
    again.unpublish(rpc.unpublish_request(target))
    mounts.assert_no_trace(target)


def test_a_living_volume_follows_a_provider_that_returns_files_now(node, start_driver, scripted, container):
    """The AWS provider with its other setting, after an upgrade: in a volume of the Go driver, and in one of this driver."""
    driver = start_driver(*ROTATION)
    node.add_class()
    writer = Writer(node, plain="one", gone="one")
    first = scripted(writer)
    ours, theirs = node.target(volume="ours"), node.target(volume="theirs")
    driver.publish(rpc.publish_request(ours, volume="ours"))
    go_volume(theirs, plain="one", gone="one")
    inside = [container(target) for target in (ours, theirs)]
    first.stop()
    provider = scripted(lambda request, context: mount_response({"plain": b"two", "new": b"two"}, versions={"plain": "2"}))
    for target, view in zip((ours, theirs), inside):
        check_rotation(driver, provider, rpc.publish_request(target, volume=target.parent.name))
        assert mounts.contents(target) == mounts.contents(view) == {"plain": b"two", "new": b"two"}
        driver.unpublish(rpc.unpublish_request(target, volume=target.parent.name))


def test_a_living_volume_keeps_its_returned_files_when_the_provider_writes_now(node, start_in_cluster, cluster, scripted, container):
    """The volume stays read-only for the provider. Pods keep their files, and the driver reports that they have to be replaced; new pods get
    what it writes."""
    driver = start_in_cluster(*ROTATION)
    first = scripted(lambda request, context: mount_response({"plain": b"one"}, versions={"plain": "one"}))
    target, other = node.target(), node.target(volume="other")
    driver.publish(rpc.publish_request(target))
    inside = container(target)
    first.stop()
    writer = Writer(node, plain="two")
    provider = scripted(writer)
    check_rotation(driver, provider, rpc.publish_request(target))
    assert mounts.contents(target) == mounts.contents(inside) == {"plain": b"one"}
    assert "ro" in mounts.mount_at(target).options and below(target) == [] and writer.on_disk == []
    hint = "the provider writes files itself now, and the pod keeps the files that the provider returned before: replace the pod to get new ones"
    [event] = wait_until(lambda: cluster.all("events"), what="the event")
    assert event["reason"] == "MountRotationFailed" and hint in event["message"] and "Read-only file system" in event["message"]
    cluster.wait_for_status(lambda status: hint in status["status"].get("lastError", ""))
    assert metric_sum(driver.metrics(), "rotation_reconcile_error_total") == 1
    driver.publish(rpc.publish_request(other, volume="other"))
    assert_volume(other, writer, plain="two")
    driver.unpublish(rpc.unpublish_request(target))
    driver.publish(rpc.publish_request(target))
    assert_volume(target, writer, plain="two")


def test_events_and_status_of_a_volume_whose_provider_writes(node, start_in_cluster, cluster, scripted):
    driver = start_in_cluster(*ROTATION)
    writer = Writer(node, plain="one")
    provider, request = scripted(writer), rpc.publish_request(node.target())
    driver.publish(request)
    check_rotation(driver, provider, request)
    cluster.wait_for_status(lambda status: status["status"].get("objects") == [{"id": "plain", "version": "one"}])
    assert cluster.all("events") == []
    writer.files["plain"] = b"two"
    check_rotation(driver, provider, request)
    [event] = wait_until(lambda: cluster.all("events"), what="the event")
    assert (event["type"], event["reason"]) == ("Normal", "MountRotationComplete")
    cluster.wait_for_status(lambda status: status["status"].get("objects") == [{"id": "plain", "version": "two"}])
    writer.failure = "the vault said no"
    check_rotation(driver, provider, request)
    wait_until(lambda: len(cluster.all("events")) == 2, what="the second event")
    [failed] = [event for event in cluster.all("events") if event["reason"] == "MountRotationFailed"]
    assert failed["type"] == "Warning" and "the vault said no" in failed["message"]
    cluster.wait_for_status(lambda status: "the vault said no" in status["status"].get("lastError", ""))
    assert contents(node.target()) == {"plain": b"two"}


def test_status_file_and_metrics_tell_of_such_a_volume(node, start_driver, writer):
    status = node.directory / "status"
    status.mkdir()
    driver = start_driver(*ROTATION, f"--status-dir={status}")
    target = node.target()
    driver.publish(rpc.publish_request(target))
    wait_until(lambda: list(status.iterdir()), what="the status file")
    file, = status.iterdir()
    assert '"version":"one"' in file.read_text().replace(" ", "")
    assert metric_sum(driver.metrics(), "node_publish_total") == 1
    assert driver.client.call(rpc.STATS, rpc.csi_pb2.NodeGetVolumeStatsRequest(volume_id="x", volume_path=str(target))).usage[0].used > 0
    driver.unpublish(rpc.unpublish_request(target))


@pytest.mark.parametrize("versions", [None, {"app": "prod"}], ids=["of-the-contents", "always-the-same"])
def test_the_files_are_synced_to_secrets(synced, writer, versions):
    writer.versions = versions
    synced.add_class(secret_object(data=[("plain", "password")]))
    synced.start(*ROTATE)
    request = synced.publish()
    wait_until(lambda: synced.data() == {"password": b"one"}, what="the Secret")
    writer.files["plain"] = b"two"

    def synced_again():
        synced.driver.publish(request)
        return synced.data() == {"password": b"two"}
    wait_until(synced_again, timeout=60, what="the Secret with the next contents")
    synced.unpublish(request)


def test_a_provider_in_a_container_writes_through_its_own_view_of_the_mount(node, start_driver):
    """Mounts reach it by propagation from the node, as with mountPropagation: HostToContainer; flags that change later do not."""
    subprocess.run(["mount", "--bind", node.kubelet, node.kubelet], check=True)
    for propagation in ("--make-private", "--make-shared"):  # a peer group of its own
        subprocess.run(["mount", propagation, node.kubelet], check=True)
    node.add_class()
    target = node.target()
    harness = Path(scripted_provider.__file__)
    argv = ["unshare", "--mount", "--propagation", "slave", sys.executable, harness, node.provider_socket(), "write"]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}) as provider:
        try:
            assert provider.stdout.readline() == b"ready\n"
            driver = start_driver(*ROTATION)
            driver.publish(rpc.publish_request(target))
            assert contents(target) == {"file": b"1"} and "ro" in mounts.mount_at(target).options and below(target) == []
            driver.destroy()
            driver = start_driver(*ROTATION, name="driver2")

            def rotated():
                driver.publish(rpc.publish_request(target))
                return contents(target)["file"] != b"1"
            wait_until(rotated, what="the next contents")
            assert "ro" in mounts.mount_at(target).options and below(target) == []
            driver.unpublish(rpc.unpublish_request(target))
            mounts.assert_no_trace(target)
            assert mounts.mounts_below(target, pid=provider.pid) == []
            driver.destroy()
        finally:
            provider.kill()
    subprocess.run(["umount", node.kubelet], check=True)


# ---- the driver dies -----------------------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.release_only
def test_killed_at_every_step_of_an_unpublish_while_the_provider_goes_on(node, scripted):
    """It writes as soon as the driver is dead: into the tmpfs that is still there, or nowhere."""
    node.add_class()
    target = node.target()
    writer, held = Writer(node, plain="secret"), [None]

    def mount(request, context):
        arrived.release()
        held[0].acquire(timeout=60)
        try:
            return writer(request, context)
        finally:
            done.release()
    scripted(mount)
    arrived, done, kills = threading.Semaphore(0), threading.Semaphore(0), 0
    for call in FILE_CALLS:
        for number in range(1, KILLS_MAX):
            held[0] = threading.Semaphore(0)
            driver = Driver(node, name=f"{call}{number}", env=ONE_WORKER)
            publish = driver.client.future(rpc.PUBLISH, rpc.publish_request(target))
            assert arrived.acquire(timeout=60) and mounts.mounts_below(target)
            with KilledAt(driver, call, number) as kill:
                driver.client.future(rpc.UNPUBLISH, rpc.unpublish_request(target)).exception(timeout=20)
                publish.exception(timeout=20)
            held[0].release()
            assert done.acquire(timeout=60)
            assert below(target) == [] and writer.on_disk == []
            if not kill.killed:
                driver.destroy()
                break
            driver.client.close()
            kills += 1
            again = Driver(node, name=f"{call}{number}again")
            again.unpublish(rpc.unpublish_request(target))
            again.destroy()
            mounts.assert_no_trace(target)
    assert kills >= 3
    assert mounts.mounts_below(node.kubelet) == []


@pytest.mark.slow
@pytest.mark.release_only
@pytest.mark.parametrize("method", [rpc.PUBLISH, rpc.UNPUBLISH])
def test_killed_at_every_step_no_file_reaches_the_disk(node, writer, method):
    target = node.target()
    kills = 0
    for call in FILE_CALLS:
        for number in range(1, KILLS_MAX):
            driver = Driver(node, name=f"{call}{number}", env=ONE_WORKER)
            driver.unpublish(rpc.unpublish_request(target))
            mounts.assert_no_trace(target)
            request = rpc.publish_request(target)
            if method == rpc.UNPUBLISH:
                driver.publish(request)
                request = rpc.unpublish_request(target)
            with KilledAt(driver, call, number) as kill:
                error = driver.client.future(method, request).exception(timeout=20)
            assert below(target) == [] and writer.on_disk == []
            if method == rpc.PUBLISH:
                assert error is not None or contents(target) == {"plain": b"one"}
            if not kill.killed:
                driver.destroy()
                break
            driver.client.close()
            kills += 1
            again = Driver(node, name=f"{call}{number}again")
            if method == rpc.PUBLISH:
                again.publish(rpc.publish_request(target))
                assert_volume(target, writer, plain="one")
            again.destroy()
    assert kills >= 5
    driver = Driver(node, name="last")
    driver.unpublish(rpc.unpublish_request(target))
    driver.destroy()
    mounts.assert_no_trace(target)
    assert mounts.mounts_below(node.kubelet) == []
