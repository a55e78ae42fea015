"""Requests that no driver can serve: both refuse the same ones, with the same codes where the standard names one."""

import pytest
from proto import csi_pb2

from cluster.objects import spc
from harness import mounts, rpc


def without(field):
    def change(request):
        request.ClearField(field)
    return change


def without_context(key):
    def change(request):
        del request.volume_context[key]
    return change


def writable(request):
    request.readonly = False


def other_class(name):
    def change(request):
        request.volume_context["secretProviderClass"] = name
    return change


SAME = None
# the changed field: how, and the errors of both; with SAME all words and the code are the same
PUBLISH = {
    "no volume id": (without("volume_id"), SAME),
    "no target path": (without("target_path"), SAME),
    "no capability": (without("volume_capability"), SAME),
    "not read-only": (writable, ["not true"]),
    "no class": (without_context("secretProviderClass"), ["secretProviderClass is not set"]),
    "missing class": (other_class("nosuch"), ["failed to get secretproviderclass NS/nosuch", 'secrets-store.csi.x-k8s.io "nosuch" not found']),
    "class without parameters": (other_class("noparameters"), ["parameters", "not set in", "NS/noparameters"]),
    "provider that is not there": (other_class("noprovider"), ["failed to mount secrets store objects for pod NS/web-X",
                                                               'provider not found: provider "nobody"']),
}
UNPUBLISH = {
    "no volume id": csi_pb2.NodeUnpublishVolumeRequest(target_path="/none/pods/u/volumes/kubernetes.io~csi/v/mount"),
    "no target path": csi_pb2.NodeUnpublishVolumeRequest(volume_id="x"),
}


@pytest.fixture
def classes(admin, namespace):
    body = spc("noparameters", "fake")
    del body["spec"]["parameters"]
    admin.create(body, namespace)
    admin.create(spc("noprovider", "nobody"), namespace)
    admin.create(spc(provider="nobody"), namespace)


def test_the_same_requests_are_refused(classes, namespace, make_pod, start_go_driver, start_cluster_driver):
    seen = {}
    for which, start in (("ours", start_cluster_driver), ("theirs", start_go_driver)):
        driver = start()
        pod = make_pod("web-" + which)
        for name, (change, _) in PUBLISH.items():
            request = pod.publish_request()
            change(request)
            code, message = driver.publish_failure(request)
            seen[name, which] = code, message.replace(which, "X").replace(namespace, "NS")
            driver.unpublish(pod.unpublish_request())
            mounts.assert_no_trace(pod.target)
        for name, request in UNPUBLISH.items():
            seen[f"unpublish, {name}", which] = rpc.failure(driver.unpublish, request)
        driver.destroy()
    for name, (_, words) in [*PUBLISH.items(), *((f"unpublish, {name}", (None, SAME)) for name in UNPUBLISH)]:
        ours, theirs = seen[name, "ours"], seen[name, "theirs"]
        if words is SAME:
            assert ours == theirs
        else:
            assert all(word in ours[1] and word in theirs[1] for word in words), (name, ours, theirs)
            # they have one code for most of what is not in the standard
            assert ours[0] == theirs[0] or theirs[0] == rpc.CODES.UNKNOWN, (name, ours, theirs)
            assert ours[0] != rpc.CODES.UNKNOWN, (name, ours, theirs)


def test_both_identify_themselves(start_go_driver, start_cluster_driver):
    seen = []
    for start in (start_cluster_driver, start_go_driver):
        driver = start()
        info, node = (driver.client.call(f"/csi.v1.{method}") for method in ("Identity/GetPluginInfo", "Node/NodeGetInfo"))
        seen.append((info.name, node.node_id, driver.client.call(rpc.PROBE).ready.value))
        driver.destroy()
    assert seen[0] == seen[1] == ("secrets-store.csi.k8s.io", "node-1", True)
