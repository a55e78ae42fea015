"""Trust: attributes of the kubelet, of the class and of the pod's author; and rights on the files."""

import os
import subprocess

import pytest
from proto import csi_pb2

from harness import mounts, rpc
from harness.rpc import CODES
from harness.scripted_provider import mount_response

TOKENS = "csi.storage.k8s.io/serviceAccount.tokens"


@pytest.fixture
def serve(node, start_driver, scripted):
    """Starts a driver with flags; returns (driver, target, provider)."""
    node.add_class()
    provider = scripted()
    return lambda *flags: (start_driver(*flags), node.target(), provider)


# --- attributes ---

@pytest.mark.parametrize("flags, colour", [((), "blue"), (("--allow-attribute-override=true",), "red")], ids=["default", "allowed"])
def test_a_pod_overrides_a_parameter_of_its_class_only_if_the_operator_allows_it(serve, flags, colour):
    driver, target, provider = serve(*flags)
    driver.publish(rpc.publish_request(target, attributes={"colour": "red", "extra": "from the pod"}))
    attributes = provider.attributes()
    assert attributes["colour"] == colour
    assert attributes["extra"] == "from the pod"  # what the class does not define is forwarded, as ever


def test_a_class_cannot_set_the_attributes_of_the_kubelet(node, start_driver, scripted):
    node.add_class(text="""\
apiVersion: secrets-store.csi.x-k8s.io/v1
kind: SecretProviderClass
metadata: {name: azure-kvname, namespace: default}
spec:
  provider: scripted
  parameters:
    colour: blue
    csi.storage.k8s.io/pod.name: somebody-else
    csi.storage.k8s.io/serviceAccount.tokens: forged
""")
    provider = scripted()
    start_driver().publish(rpc.publish_request(node.target()))
    assert provider.attributes()["csi.storage.k8s.io/pod.name"] == "web"
    assert TOKENS not in provider.attributes()


def test_tokens_in_the_secrets_win_over_those_in_the_attributes(serve):
    """With tokens moved to the secrets (Kubernetes 1.35), the key in the attributes is one that a pod's author may have written."""
    driver, target, provider = serve()
    driver.publish(rpc.publish_request(target, attributes={TOKENS: '{"a":"forged"}'}, secrets={TOKENS: '{"a":"real"}'}))
    assert provider.attributes()[TOKENS] == '{"a":"real"}'


# --- the target path, which a pod cannot choose ---

def context(**changes):
    return {f"csi.storage.k8s.io/{key.replace('_', '.')}": value for key, value in changes.items()}


@pytest.mark.parametrize("changes, word", [
    (context(pod_uid="99999999-2222-3333-4444-555555555555"), "is not the one in the target path"),
    (context(pod_uid=""), "podInfoOnMount"),
    (context(ephemeral="false"), "only inline (ephemeral) volumes"),
], ids=["another pod's uid", "no uid", "a persistent volume"])
def test_the_volume_context_is_compared_with_the_target_path(serve, changes, word):
    driver, target, provider = serve()
    code, message = driver.publish_failure(rpc.publish_request(target, attributes=changes))
    assert code == CODES.INVALID_ARGUMENT
    assert word in message
    assert provider.requests == []
    mounts.assert_no_trace(target)


def test_a_pod_cannot_name_another_namespace_where_the_kubelet_names_none(serve):
    """A CSIDriver object without podInfoOnMount: all of these keys would be the pod author's."""
    driver, target, provider = serve()
    request = rpc.publish_request(target)
    for key in list(request.volume_context):
        del request.volume_context[key]
    request.volume_context["secretProviderClass"] = "azure-kvname"
    request.volume_context["csi.storage.k8s.io/pod.namespace"] = "default"
    code, message = driver.publish_failure(request)
    assert code == CODES.INVALID_ARGUMENT
    assert "podInfoOnMount" in message
    assert provider.requests == []


# --- files ---

@pytest.fixture
def container(node):
    """Bind mounts as a container runtime makes them: outside the kubelet's directories, which only root can enter."""
    made = []

    def bind(target):
        path = node.directory / f"container{len(made)}"
        path.mkdir()
        subprocess.run(["mount", "--bind", target, path], check=True)
        made.append(path)
        return path
    yield bind
    for path in made:
        subprocess.run(["umount", path], check=True)


def read_as(path, uid, gid, groups=""):
    """`cat` as that user: (status, text)."""
    run = subprocess.run(["setpriv", f"--reuid={uid}", f"--regid={gid}", f"--groups={groups}" if groups else "--clear-groups", "cat", path],
                         capture_output=True, text=True, timeout=30, check=False)
    return run.returncode, run.stdout


def test_fs_group_lets_a_non_root_process_of_the_group_read_0440_files_and_no_other(node, start_driver, scripted, container):
    node.add_class()
    provider = scripted(lambda request, context: mount_response({"file": (0o440, b"content"), "sub/own": (0o400, b"x"), "none": (0, b"y")}))
    driver = start_driver("--enable-secret-rotation=true", "--rotation-poll-interval=0")
    request = rpc.publish_request(node.target())
    request.volume_capability.mount.volume_mount_group = "2000"
    driver.publish(request)
    path = container(node.target())
    assert read_as(path / "file", 1000, 1000, "2000") == (0, "content")
    assert read_as(path / "file", 1000, 2000) == (0, "content")
    assert read_as(path / "sub/own", 1000, 1000, "2000") == (0, "x")  # what its owner may read, the pod's group may
    assert read_as(path / "none", 1000, 1000, "2000")[0] != 0         # a mode of 0 is meant
    assert read_as(path / "file", 1000, 1000)[0] != 0
    assert read_as(path / "file", 1000, 1000, "2001")[0] != 0
    assert os.stat(path / "file").st_gid == 2000
    # a rotation keeps it so
    provider.mount = lambda request, context: mount_response({"file": (0o440, b"rotated")}, versions={"file": "2"})
    driver.publish(request)
    assert read_as(path / "file", 1000, 1000, "2000") == (0, "rotated")
    assert read_as(path / "file", 1000, 1000)[0] != 0


def test_without_fs_group_0440_files_are_for_root(node, start_driver, scripted, container):
    node.add_class()
    scripted(lambda request, context: mount_response({"file": (0o440, b"content"), "open": (0o444, b"all")}))
    start_driver().publish(rpc.publish_request(node.target()))
    path = container(node.target())
    assert read_as(path / "file", 1000, 1000)[0] != 0
    assert read_as(path / "open", 1000, 1000) == (0, "all")
    assert read_as(path / "file", 0, 0) == (0, "content")


def test_stats_are_those_of_the_file_system_and_follow_a_rotation(node, start_driver, scripted):
    node.add_class()
    provider = scripted(lambda request, context: mount_response({"file": os.urandom(100_000)}))
    driver = start_driver("--enable-secret-rotation=true", "--rotation-poll-interval=0")
    target = node.target()

    def stats():
        stats = driver.client.call(rpc.STATS, csi_pb2.NodeGetVolumeStatsRequest(volume_id="v", volume_path=str(target)))
        return {usage.unit: usage for usage in stats.usage}
    driver.publish(rpc.publish_request(target))
    first, seen = stats(), os.statvfs(target)
    used = first[csi_pb2.VolumeUsage.BYTES]
    assert (used.total, used.available) == (seen.f_blocks * seen.f_frsize, seen.f_bavail * seen.f_frsize)
    assert used.used + used.available == used.total
    assert 100_000 <= used.used < 200_000
    inodes = first[csi_pb2.VolumeUsage.INODES]
    assert (inodes.total, inodes.available, inodes.used) == (seen.f_files, seen.f_favail, seen.f_files - seen.f_ffree)
    provider.mount = lambda request, context: mount_response({"file": os.urandom(400_000), "more": b"1"}, versions={"file": "2"})
    driver.publish(rpc.publish_request(target))
    second = stats()
    assert 400_000 <= second[csi_pb2.VolumeUsage.BYTES].used < 500_000  # the old version takes no space any more
    assert second[csi_pb2.VolumeUsage.INODES].used > inodes.used
