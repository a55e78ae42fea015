"""Classes whose volumes are rewritten in place, so that bind mounts of single files follow, as the kubelet makes them for subPath."""

import os
import subprocess

import grpc
import pytest
from proto import csi_pb2

from harness import kube, mounts, rpc
from harness.ctl import ctl
from harness.process import wait_until
from harness.programs import CLASS_YAML
from harness.rpc import CODES
from harness.scripted_provider import mount_response
from harness.secret_sync import secret_object
from harness.syscall_faults import ONE_WORKER, KilledAt

ANNOTATION = "secrets-store.csi.k8s.io/update-in-place"
ALWAYS = ("--enable-secret-rotation=true", "--rotation-poll-interval=0")
HOURLY = ("--enable-secret-rotation=true", "--rotation-poll-interval=1h")


def class_text(value, more=""):
    text = CLASS_YAML.format(name="azure-kvname", namespace="default", provider="scripted")
    return text.replace("metadata:", f'metadata:\n  annotations: {{{ANNOTATION}: "{value}"{more}}}')


@pytest.fixture
def in_place(node):
    node.add_class(text=class_text("true"))
    return node.target()


@pytest.fixture
def bind(tmp_path):
    """bind(path): a bind mount of that file or directory alone."""
    bound = []

    def make(path):
        place = tmp_path / f"bound{len(bound)}"
        place.mkdir() if path.is_dir() else place.touch()
        subprocess.run(["mount", "--bind", path, place], check=True)
        bound.append(place)
        return place
    yield make
    for place in bound:
        subprocess.run(["umount", "-l", place], check=True)


@pytest.fixture
def files():
    return {"config": b"one", "sub/key": b"1"}


def test_a_bind_mount_of_one_file_follows_a_rotation(in_place, start_driver, provider, files, bind):
    driver, target = start_driver(*ALWAYS), in_place
    driver.publish(rpc.publish_request(target))
    assert sorted(os.listdir(target)) == ["config", "sub"]
    config, sub = bind(target / "config"), bind(target / "sub")
    inode = config.stat().st_ino
    for generation in (b"a much longer text " * 1000, b"short", b""):
        files.update({"config": generation, "sub/key": generation, "sub/more": b"more"})
        driver.publish(rpc.publish_request(target))
        assert config.read_bytes() == generation and (sub / "key").read_bytes() == generation and (sub / "more").read_bytes() == b"more"
        assert mounts.contents(target, in_place=True) == files
        assert config.stat().st_ino == (target / "config").stat().st_ino == inode
    del files["sub/key"]
    driver.publish(rpc.publish_request(target))
    assert os.listdir(sub) == ["more"]
    assert "ro" in mounts.mount_at(target).options
    driver.unpublish(rpc.unpublish_request(target))
    mounts.assert_no_trace(target)


def test_without_the_annotation_it_does_not(node, start_driver, provider, files, bind):
    node.add_class()
    driver, target = start_driver(*ALWAYS), node.target()
    driver.publish(rpc.publish_request(target))
    config = bind(target / "config")
    files["config"] = b"two"
    driver.publish(rpc.publish_request(target))
    assert mounts.contents(target)["config"] == b"two" and config.read_bytes() == b"one"


def test_the_class_may_be_changed_while_the_volume_is_mounted(node, start_driver, provider, files, bind):
    """Either way does not wait for the interval. To files in place, bind mounts that are there follow from then on."""
    node.add_class()
    driver, target = start_driver(*HOURLY), node.target()
    driver.publish(rpc.publish_request(target))
    config = bind(target / "config")
    files["config"] = b"two"
    node.add_class(text=class_text("true"))
    driver.publish(rpc.publish_request(target))
    assert mounts.contents(target, in_place=True) == files and config.read_bytes() == b"two"
    files["config"] = b"three"
    node.add_class(text=class_text("false"))
    driver.publish(rpc.publish_request(target))
    assert mounts.contents(target) == files and config.read_bytes() == b"two"


@pytest.mark.release_only
def test_a_driver_that_is_killed_between_two_files_is_healed_at_the_next_call(in_place, start_driver, provider, files, bind):
    """Without waiting for the interval, and for whatever the provider has then: it does not learn that the driver has the new versions."""
    target, request = in_place, rpc.publish_request(in_place)
    driver = start_driver(*ALWAYS, env=ONE_WORKER)
    driver.publish(request)
    config, key = bind(target / "config"), bind(target / "sub/key")
    files.update({"config": b"two", "sub/key": b"2"})
    with KilledAt(driver, "pwrite64", 2) as kill:
        error = driver.client.future(rpc.PUBLISH, request).exception(timeout=20)
    assert kill.killed and error.code() == grpc.StatusCode.UNAVAILABLE
    assert sorted([config.read_bytes(), key.read_bytes()]) == [b"1", b"two"]
    assert "ro" in mounts.mount_at(target).options

    files["config"] = b"three"
    start_driver(*HOURLY, name="next").publish(request)
    assert mounts.contents(target, in_place=True) == files
    assert (config.read_bytes(), key.read_bytes()) == (b"three", b"2")
    assert not provider.requests[-1].current_object_version


def test_a_restarted_driver_knows_the_volume(in_place, start_driver, provider, files):
    target = in_place
    driver = start_driver(*HOURLY)
    driver.publish(rpc.publish_request(target))
    driver.destroy()
    driver = start_driver(*HOURLY, name="next")
    driver.publish(rpc.publish_request(target))
    assert len(provider.requests) == 1
    assert driver.client.call(rpc.STATS, csi_pb2.NodeGetVolumeStatsRequest(volume_id="x", volume_path=str(target))).usage
    assert "config=one" in ctl("exec", f"--env-from={target}", "--", "env").stdout.splitlines()


def test_a_restarted_driver_syncs_what_the_volume_holds(emulator, node, start_driver, provider, files):
    emulator.put_object("pods", kube.pod())
    emulator.put_object("secretproviderclasses", kube.spc(annotations={ANNOTATION: "true"}, secret_objects=[secret_object(data=[("config", "key")])]))
    cluster, request = kube.Cluster(emulator), rpc.publish_request(node.target())
    flags = (f"--kubeconfig={emulator.kubeconfig}", "--secret-sync-check-interval=1s", *HOURLY)
    driver = start_driver(*flags, standalone=False)
    driver.publish(request)
    driver.destroy()
    cluster.remove("secrets", "synced")
    driver = start_driver(*flags, name="next", standalone=False)

    def written():
        driver.publish(request)
        return cluster.find("secrets", "synced")
    wait_until(written, what="the Secret")
    assert cluster.find("secrets", "synced")["data"] == {"key": "b25l"}  # "one"
    assert len(provider.requests) == 1


def test_a_value_that_is_neither_true_nor_false_fails_the_mount_and_keeps_a_volume(node, start_driver, provider, files):
    words = "annotation secrets-store.csi.k8s.io/update-in-place of secretproviderclass default/azure-kvname: 'yes' is neither 'true' nor 'false'"
    node.add_class(text=class_text("yes"))
    driver, target = start_driver(*ALWAYS), node.target()
    code, message = driver.publish_failure(rpc.publish_request(target))
    assert code == CODES.INVALID_ARGUMENT and words in message
    node.add_class(text=class_text("true"))
    driver.publish(rpc.publish_request(target))
    node.add_class(text=class_text("yes", ', secrets-store.csi.k8s.io/refresh: "now"'))
    driver.publish(rpc.publish_request(target))
    assert words in driver.log and mounts.contents(target, in_place=True) == files


def test_readers_of_one_file_see_a_prefix_of_new_over_old_at_worst(in_place, start_driver, scripted, bind):
    """What stands in docs/rotation.md: no byte of a read is of any other text, and the read after the change is whole."""
    generation = [0]

    def mount(request, context):
        generation[0] += 1
        return mount_response({"config": b"%c" % (ord("a") + generation[0] % 26) * 60_000}, versions={"config": str(generation[0])})
    scripted(mount)
    driver = start_driver(*ALWAYS)
    driver.publish(rpc.publish_request(in_place))
    config, torn = bind(in_place / "config"), 0
    for _ in range(30):
        before = config.read_bytes()
        call = driver.client.future(rpc.PUBLISH, rpc.publish_request(in_place))
        while not call.done():
            seen = config.read_bytes()
            assert len(seen) == 60_000 and set(seen) <= {before[0], before[0] + 1 if before[0] < ord("z") else ord("a")}
            torn += len(set(seen)) > 1
        call.result()
        assert len(set(config.read_bytes())) == 1
    print(torn, "torn reads")
