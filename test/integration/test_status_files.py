"""Standalone: the contents of a status object, in one JSON file per volume."""

import json
import os

import grpc
import pytest

from harness import rpc
from harness.process import wait_until
from harness.scripted_provider import check_rotation, mount_response

ROTATE = ("--enable-secret-rotation=true", "--rotation-poll-interval=1s")


@pytest.fixture
def directory(node):
    return node.directory / "status"


@pytest.fixture
def start(node, start_driver, directory):
    node.add_class()
    return lambda *flags, **keywords: start_driver(f"--status-dir={directory}", *flags, **keywords)


def files(directory):
    """The files that readers see: one whose name begins with a dot is still being written."""
    return {name: json.loads((directory / name).read_text()) for name in os.listdir(directory) if not name.startswith(".")}


def test_a_volume_has_a_file_that_goes_with_it(node, start, directory, scripted):
    scripted(lambda request, context: mount_response({"file": b"canary"}, versions={"b": "v2", "a": "v1"}))
    driver, target = start(), node.target()
    driver.publish(rpc.publish_request(target))
    [(name, status)] = files(directory).items()
    assert name == f"{rpc.POD_UID}_secrets.json"
    assert status["kind"] == "SecretProviderClassPodStatus"
    assert status["metadata"]["name"] == "web-default-azure-kvname"
    assert status["metadata"]["labels"] == {"internal.secrets-store.csi.k8s.io/node-name": "node-1"}
    assert status["metadata"]["ownerReferences"] == [{"apiVersion": "v1", "kind": "Pod", "name": "web", "uid": rpc.POD_UID}]
    assert status["status"]["objects"] == [{"id": "a", "version": "v1"}, {"id": "b", "version": "v2"}]
    assert status["status"]["targetPath"] == str(target)
    assert "canary" not in (directory / name).read_text()
    driver.unpublish(rpc.unpublish_request(target))
    wait_until(lambda: os.listdir(directory) == [], what="the file to go")


def test_a_file_is_replaced_as_a_whole_and_only_when_something_changed(node, start, directory, scripted):
    provider = scripted()
    driver, request = start(*ROTATE), rpc.publish_request(node.target())
    driver.publish(request)
    path = directory / f"{rpc.POD_UID}_secrets.json"
    first = os.stat(path)
    check_rotation(driver, provider, request)
    check_rotation(driver, provider, request)
    assert (os.stat(path).st_ino, os.stat(path).st_mtime_ns) == (first.st_ino, first.st_mtime_ns)
    with open(path) as before:
        provider.mount = lambda request, context: mount_response({"file": b"new"}, versions={"file": "v2"})
        check_rotation(driver, provider, request)
        wait_until(lambda: files(directory)[path.name]["status"]["objects"] == [{"id": "file", "version": "v2"}], what="the new version")
        assert json.load(before)["status"]["objects"] != [{"id": "file", "version": "v2"}]  # the old file, whole
    assert os.stat(path).st_ino != first.st_ino


def test_a_failing_rotation_check_is_recorded(node, start, directory, scripted):
    provider = scripted()
    driver, request = start(*ROTATE), rpc.publish_request(node.target())
    driver.publish(request)
    provider.mount = lambda request, context: context.abort(grpc.StatusCode.PERMISSION_DENIED, "the vault said no")
    check_rotation(driver, provider, request)
    name = f"{rpc.POD_UID}_secrets.json"
    wait_until(lambda: "the vault said no" in files(directory)[name]["status"].get("lastError", ""), what="the error")


def test_files_of_unpublished_volumes_are_swept_at_the_start_and_no_others(node, start, directory, scripted):
    scripted()
    driver = start()
    targets = [node.target(volume=volume) for volume in ("stays", "goes")]
    for target, volume in zip(targets, ("stays", "goes")):
        driver.publish(rpc.publish_request(target, volume=volume))
    gone = (directory / f"{rpc.POD_UID}_goes.json").read_text()
    driver.unpublish(rpc.unpublish_request(targets[1], volume="goes"))
    driver.destroy()
    (directory / f"{rpc.POD_UID}_goes.json").write_text(gone)
    (directory / "notes.json").write_text(gone)  # not a name of ours for it
    (directory / "broken.json").write_text("{")
    driver = start(name="driver2")
    assert sorted(os.listdir(directory)) == [f"{rpc.POD_UID}_stays.json", "broken.json", "notes.json"]
    driver.unpublish(rpc.unpublish_request(targets[0], volume="stays"))  # known by its path alone
    wait_until(lambda: sorted(os.listdir(directory)) == ["broken.json", "notes.json"], what="the file to go")


def test_a_directory_that_cannot_be_written_stops_no_mount(node, start, directory, scripted):
    scripted()
    driver, target = start(), node.target()
    directory.rmdir()
    driver.publish(rpc.publish_request(target))
    assert "write the volume's status file" in driver.log
    driver.unpublish(rpc.unpublish_request(target))


def test_a_directory_that_cannot_be_made_stops_the_driver(node, start_driver):
    with pytest.raises(AssertionError, match="status-dir"):
        start_driver("--status-dir=/nonexistent/deep/down")


def test_paths_that_are_not_the_kubelets_have_files_too(node, start, directory, scripted):
    scripted()
    target = node.directory / "anywhere/web"
    target.parent.mkdir()
    start().publish(rpc.publish_request(target, pod_uid=""))
    [(name, status)] = files(directory).items()
    assert name.startswith("path-") and len(name) == len("path-.json") + 32
    assert "ownerReferences" not in status["metadata"]
