"""What controllers see that watch status objects and restart workloads when one changes: a change of contents is one event, nothing else is any."""

import hashlib
import json
import threading

import grpc
import pytest
from cluster import manifests
from cluster.objects import spc
from cluster.secrets import STATUSES, reference, requests_for, secret_object

from harness.process import wait_until
from harness.scripted_provider import mount_response

FAST = ("--enable-secret-rotation=true", "--rotation-poll-interval=1s", "--secret-sync-check-interval=2s")


class Watcher:
    """Counts the events of the namespace's status objects, and the restarts of a workload that a controller makes which works as Stakater Reloader:
    an object whose pairs change gives their hash to the workload, which restarts if it has another one."""

    def __init__(self, admin, namespace):
        self.events, self.restarts, self._hashes, self._workload = [], 0, {}, None
        version = admin.request("GET", admin.path(STATUSES, namespace))["metadata"]["resourceVersion"]
        self._thread = threading.Thread(target=self._run, args=(admin, namespace, version), daemon=True)
        self._thread.start()

    def _run(self, admin, namespace, version):
        for type_, item in admin.watch(STATUSES, namespace, timeout=170, resourceVersion=version):
            self.events.append(type_)
            status = item.get("status", {})
            pairs = [*sorted(f"{pair['id']}={pair['version']}" for pair in status.get("objects", [])), status["secretProviderClassName"]]
            digest, name = hashlib.sha256(json.dumps(pairs).encode()).hexdigest(), item["metadata"]["name"]
            changed = type_ == "MODIFIED" and self._hashes.get(name) != digest
            self._hashes[name] = digest
            if changed and self._workload != digest:
                self._workload = digest
                self.restarts += 1


def rotate(driver, provider, pods, n):
    wanted = len(provider.requests) + n * len(pods)

    def checked():
        for pod in pods:
            driver.publish(pod.publish_request())
        return len(provider.requests) >= wanted
    wait_until(checked, 30 + 2 * n, f"{n} rotation checks", pause=0.1)


@pytest.fixture
def files(scripted):
    """The contents that the provider returns, each with its digest as its version. files.fails: whether it fails instead."""
    return Files(scripted)


class Files(dict):
    def __init__(self, scripted):
        super().__init__(file=b"0", other=b"o")
        self.fails = False
        self.provider = scripted(self._mount)

    def _mount(self, _request, context):
        if self.fails:
            context.abort(grpc.StatusCode.UNAVAILABLE, "the vault does not respond")
        return mount_response(dict(self), {name: hashlib.sha256(content).hexdigest()[:8] for name, content in self.items()})


def test_a_status_object_changes_once_per_rotation_and_never_else(admin, server, namespace, make_pod, replica_set, start_cluster_driver, files):
    """20 rotation checks without a change, then 3 rotations with checks between them, a failing provider, an edited class, a restart."""
    admin.create(spc(secretObjects=[secret_object()]), namespace)
    driver = start_cluster_driver(*FAST)
    pod = make_pod(owners=[reference(replica_set("web"))])
    watcher = Watcher(admin, namespace)
    driver.publish(pod.publish_request())
    wait_until(lambda: watcher.events == ["ADDED"], 10, "the status object")
    since = len(server.events())
    rotate(driver, files.provider, [pod], 20)
    assert watcher.events == ["ADDED"] and watcher.restarts == 0
    assert requests_for(server, manifests.DRIVER_USER, STATUSES, since) == []
    for number in range(1, 4):
        files["file"] = b"%d" % number
        rotate(driver, files.provider, [pod], 3)
        wait_until(lambda number=number: watcher.restarts == number, 10, "the restart")
        assert watcher.events == ["ADDED"] + ["MODIFIED"] * number
    current = admin.get("secretproviderclasses", namespace, "azure-kvname")
    current["metadata"]["annotations"] = {"note": "no content"}
    admin.update(current)
    rotate(driver, files.provider, [pod], 2)
    driver.stop()
    again = start_cluster_driver(*FAST, name="again")
    rotate(again, files.provider, [pod], 3)
    assert watcher.events == ["ADDED"] + ["MODIFIED"] * 3 and watcher.restarts == 3
    files.fails = True
    rotate(again, files.provider, [pod], 1)
    wait_until(lambda: len(watcher.events) == 5, 10, "the error in the status object", pause=0.1)
    files.fails = False
    rotate(again, files.provider, [pod], 2)
    assert watcher.restarts == 3


def test_a_workload_of_several_pods_restarts_once_per_rotation(admin, namespace, make_pod, replica_set, start_cluster_driver, files):
    """Each pod rotates at its own time. The first brings the restart, the others have nothing new."""
    admin.create(spc(secretObjects=[secret_object()]), namespace)
    driver, owner, watcher = start_cluster_driver(*FAST), reference(replica_set("web")), Watcher(admin, namespace)
    pods = [make_pod(f"web-{number}", owners=[owner]) for number in range(3)]
    for pod in pods:
        driver.publish(pod.publish_request())
    rotate(driver, files.provider, pods, 5)
    assert watcher.events == ["ADDED"] * 3 and watcher.restarts == 0
    for number in range(1, 4):
        files["file"] = b"%d" % number
        rotate(driver, files.provider, pods, 3)
        wait_until(lambda number=number: len(watcher.events) == 3 + 3 * number, 10, "an event of each pod")
        assert watcher.restarts == number
