"""Republishing: new values arrive, failures change nothing and are still visible."""

import os
import subprocess
import threading
import time

import grpc
import pytest

from harness import mounts, rpc, tutorial
from harness.process import wait_until
from harness.programs import CLASS_YAML
from harness.scripted_provider import mount_response

ROTATE = ("--enable-secret-rotation=true", "--rotation-poll-interval=1s")


@pytest.fixture
def rotating(node, start_driver):
    node.add_class()
    return start_driver(*ROTATE), node.target()


def test_a_republish_brings_the_new_value(node, start_driver, start_azure, emulator):
    start_azure("--republish-cache-ttl=1s")
    node.add_class(text=tutorial.CLASS)
    driver, target = start_driver(*ROTATE), node.target()
    request = rpc.publish_request(target, secrets=tutorial.CREDENTIALS)
    driver.publish(request)
    before = mounts.mount_at(target)
    emulator.set_secret("secret1", "rotated value")

    def rotated():
        driver.publish(request)
        return mounts.contents(target)["secret1"] == b"rotated value"
    wait_until(rotated, what="the new value")
    assert mounts.contents(target)["secret2"] == tutorial.SECRETS["secret2"].encode()
    after = mounts.mount_at(target)
    assert "ro" in after.options and before.path == after.path


def test_a_refresh_that_the_class_requests_bypasses_the_cache(node, start_driver, scripted):
    """The driver sends no versions then, as for a first mount; with an ordinary rotation check it does."""
    node.add_class()
    provider = scripted()
    driver, target = start_driver(*ROTATE), node.target()
    request = rpc.publish_request(target)
    driver.publish(request)
    assert not provider.requests[0].current_object_version

    def checked(wanted):
        driver.publish(request)
        return len(provider.requests) > 1 and bool(provider.requests[-1].current_object_version) == wanted
    wait_until(lambda: checked(True), what="an ordinary rotation check")
    text = CLASS_YAML.format(name="azure-kvname", namespace="default", provider="scripted")
    node.add_class(text=text.replace("metadata:", 'metadata:\n  annotations: {secrets-store.csi.k8s.io/refresh: "now"}'))
    wait_until(lambda: checked(False), what="the requested refresh")
    wait_until(lambda: checked(True), what="an ordinary rotation check")


def test_without_the_flag_nothing_is_fetched_again(node, driver, scripted):
    node.add_class()
    provider = scripted()
    target = node.target()
    driver.publish(rpc.publish_request(target))
    driver.publish(rpc.publish_request(target))
    assert len(provider.requests) == 1


def test_within_the_interval_nothing_is_fetched_again_even_after_a_restart(node, start_driver, scripted):
    node.add_class()
    provider = scripted()
    target = node.target()
    flags = ("--enable-secret-rotation=true", "--rotation-poll-interval=1h")
    driver = start_driver(*flags)
    driver.publish(rpc.publish_request(target))
    driver.publish(rpc.publish_request(target))
    driver.destroy()
    start_driver(*flags, name="driver2").publish(rpc.publish_request(target))
    assert len(provider.requests) == 1


def test_a_restarted_driver_sends_the_provider_the_mounted_versions(node, start_driver, scripted):
    node.add_class()
    provider = scripted(lambda request, context: mount_response({"file": b"content"}, versions={"secret/file": "17"}))
    target, flags = node.target(), ("--enable-secret-rotation=true", "--rotation-poll-interval=0")
    first = start_driver(*flags)
    first.publish(rpc.publish_request(target))
    assert list(provider.requests[0].current_object_version) == []
    first.destroy()
    start_driver(*flags, name="driver2").publish(rpc.publish_request(target))
    assert [(item.id, item.version) for item in provider.requests[1].current_object_version] == [("secret/file", "17")]


def test_an_edit_of_the_class_does_not_wait_for_the_interval(node, start_driver, scripted):
    node.add_class()
    provider = scripted()
    driver, target = start_driver("--enable-secret-rotation=true", "--rotation-poll-interval=1h"), node.target()
    driver.publish(rpc.publish_request(target))
    driver.publish(rpc.publish_request(target))
    assert len(provider.requests) == 1
    node.add_class(text=(node.classes / "default-azure-kvname.yaml").read_text().replace("blue", "green"))
    driver.publish(rpc.publish_request(target))
    driver.publish(rpc.publish_request(target))
    assert [provider.attributes(index)["colour"] for index in range(len(provider.requests))] == ["blue", "green"]


def test_a_failed_republish_keeps_the_content_and_returns_ok(rotating, scripted):
    driver, target = rotating
    provider = scripted()
    driver.publish(rpc.publish_request(target))

    def refuse(request, context):
        context.abort(grpc.StatusCode.PERMISSION_DENIED, "no more")
    provider.mount = refuse
    time.sleep(1.1)  # the interval has to pass
    driver.publish(rpc.publish_request(target))
    wait_until(lambda: len(provider.requests) >= 2, what="the second fetch")
    assert mounts.contents(target) == {"file": b"content"}
    assert "no more" in driver.log


def test_a_dead_provider_does_not_fail_a_republish(rotating, scripted):
    driver, target = rotating
    provider = scripted(name="scripted")
    driver.publish(rpc.publish_request(target))
    provider.stop()
    time.sleep(1.1)  # the interval has to pass
    driver.publish(rpc.publish_request(target), timeout=60)
    assert mounts.contents(target) == {"file": b"content"}


def republish_until(driver, target, expected):
    """Failures are backed off, so the next fetch may be a few calls away."""
    def shown():
        driver.publish(rpc.publish_request(target))
        return mounts.read_volume(target) == expected
    wait_until(shown, what=f"{sorted(expected)} to be shown")


def test_files_appear_change_and_vanish_together(rotating, scripted):
    driver, target = rotating
    provider = scripted(lambda request, context: mount_response({"a": b"1", "sub/x": b"2", "gone/y": b"3"}))
    driver.publish(rpc.publish_request(target))
    provider.mount = lambda request, context: mount_response({"a": b"1*", "sub/z": b"4", "new": b"5"}, versions={"a": "v2"})
    republish_until(driver, target, {"a": (0o644, b"1*"), "sub/z": (0o644, b"4"), "new": (0o644, b"5")})
    visible = [name for name in os.listdir(target) if not name.startswith("..")]
    assert sorted(visible) == ["a", "new", "sub"]
    assert len([name for name in os.listdir(target) if name.startswith("..20")]) == 1


def test_a_changed_mode_is_applied(rotating, scripted):
    driver, target = rotating
    provider = scripted(lambda request, context: mount_response({"a": (0o644, b"1")}))
    driver.publish(rpc.publish_request(target))
    provider.mount = lambda request, context: mount_response({"a": (0o600, b"1")})
    republish_until(driver, target, {"a": (0o600, b"1")})


def test_an_unchanged_response_touches_nothing(rotating, scripted):
    driver, target = rotating
    provider = scripted()
    driver.publish(rpc.publish_request(target))
    data = os.readlink(target / "..data")
    time.sleep(1.1)  # the interval has to pass
    driver.publish(rpc.publish_request(target))
    wait_until(lambda: len(provider.requests) >= 2, what="the second fetch")
    assert os.readlink(target / "..data") == data


def test_a_bad_path_in_a_republish_changes_nothing(rotating, scripted):
    driver, target = rotating
    provider = scripted()
    driver.publish(rpc.publish_request(target))
    provider.mount = lambda request, context: mount_response({"file": b"new", "../evil": b"x"})
    time.sleep(1.1)  # the interval has to pass
    driver.publish(rpc.publish_request(target))
    assert mounts.contents(target) == {"file": b"content"}


def test_a_much_larger_content_still_fits(rotating, scripted):
    """The size limit of the tmpfs grows with what it has to hold."""
    driver, target = rotating
    provider = scripted()
    driver.publish(rpc.publish_request(target))
    big = os.urandom(3 << 20)
    provider.mount = lambda request, context: mount_response({"file": big})
    republish_until(driver, target, {"file": (0o644, big)})
    bigger = os.urandom(3 << 20)
    provider.mount = lambda request, context: mount_response({"file": bigger})
    republish_until(driver, target, {"file": (0o644, bigger)})


def test_a_reader_always_sees_a_whole_generation(rotating, scripted):
    """While contents are switched several times a reader that goes through ..data never sees two generations mixed."""
    driver, target = rotating
    generation = [0]

    def mount(request, context):
        generation[0] += 1
        text = str(generation[0]).encode() * 1000
        return mount_response({"a": text, "b": text}, versions={"a": str(generation[0])})
    scripted(mount)
    driver.publish(rpc.publish_request(target))
    stop, mixed, seen = threading.Event(), [], set()

    def read():
        while not stop.is_set():
            directory = -1
            try:
                directory = os.open(target / "..data", os.O_RDONLY | os.O_DIRECTORY)
                texts = []
                for name in ("a", "b"):
                    file = os.open(name, os.O_RDONLY, dir_fd=directory)
                    texts.append(os.read(file, 10000))
                    os.close(file)
                seen.add(texts[0])
                if texts[0] != texts[1]:
                    mixed.append(texts)
            except FileNotFoundError:
                pass  # the generation that was opened has been removed meanwhile: read again
            finally:
                if directory >= 0:
                    os.close(directory)
    reader = threading.Thread(target=read)
    reader.start()
    while generation[0] < 4:
        driver.publish(rpc.publish_request(target))
    stop.set()
    reader.join()
    assert not mixed
    assert seen


def test_an_open_file_keeps_its_old_content(rotating, scripted):
    driver, target = rotating
    provider = scripted(lambda request, context: mount_response({"a": b"old"}))
    driver.publish(rpc.publish_request(target))
    with open(target / "a", "rb") as old:
        provider.mount = lambda request, context: mount_response({"a": b"new"})
        republish_until(driver, target, {"a": (0o644, b"new")})
        assert old.read() == b"old"


def test_a_bind_mount_made_before_the_rotation_sees_the_new_value(rotating, scripted, node):
    """A container's own bind mount of the volume."""
    driver, target = rotating
    provider = scripted(lambda request, context: mount_response({"a": b"old"}))
    driver.publish(rpc.publish_request(target))
    container = node.directory / "container"
    container.mkdir()
    subprocess.run(["mount", "--bind", target, container], check=True)
    provider.mount = lambda request, context: mount_response({"a": b"new"})
    republish_until(driver, target, {"a": (0o644, b"new")})
    assert (container / "a").read_bytes() == b"new"
    # and after unpublish the leaked mount shows nothing
    driver.unpublish(rpc.unpublish_request(target))
    assert not os.path.exists(container / "a")
    subprocess.run(["umount", container], check=True)
