"""What controllers see that watch status objects and restart workloads when one changes: a change of contents is one event, nothing else is any."""

import hashlib
import json
import threading

import grpc
from cluster import manifests
from cluster.objects import spc
from cluster.secrets import STATUSES, reference, requests_for, secret_object

from harness.process import wait_until
from harness.scripted_provider import mount_response

FAST = ("--enable-secret-rotation=true", "--rotation-poll-interval=1s", "--secret-sync-check-interval=2s")


class Watcher:
    """Counts the events of the namespace's status objects, and the restarts that a controller would make which compares the hash of
    their objects, as Stakater Reloader does."""

    def __init__(self, admin, namespace):
        self.events, self.restarts, self._hashes = [], 0, {}
        version = admin.request("GET", admin.path(STATUSES, namespace))["metadata"]["resourceVersion"]
        self._thread = threading.Thread(target=self._run, args=(admin, namespace, version), daemon=True)
        self._thread.start()

    def _run(self, admin, namespace, version):
        for type_, item in admin.watch(STATUSES, namespace, timeout=170, resourceVersion=version):
            self.events.append(type_)
            status = item.get("status", {})
            pairs = sorted(f"{pair['id']}={pair['version']}" for pair in status.get("objects", []))
            digest = hashlib.sha256(json.dumps(pairs).encode()).hexdigest()
            key = status.get("secretProviderClassName")
            if key in self._hashes and self._hashes[key] != digest:
                self.restarts += 1
            self._hashes[key] = digest


def rotate(driver, provider, pod, n):
    wanted = len(provider.requests) + n

    def checked():
        driver.publish(pod.publish_request())
        return len(provider.requests) >= wanted
    wait_until(checked, 30 + 2 * n, f"{n} rotation checks", pause=0.1)


def test_a_status_object_changes_once_per_rotation_and_never_else(admin, server, namespace, make_pod, replica_set, start_cluster_driver, scripted):
    """20 rotation checks without a change, then 3 rotations with checks between them, a failing provider, an edited class, a restart."""
    files = {"file": b"0", "other": b"o"}
    fails = []

    def mount(_request, context):
        if fails:
            context.abort(grpc.StatusCode.UNAVAILABLE, "the vault does not respond")
        return mount_response(dict(files), {name: hashlib.sha256(content).hexdigest()[:8] for name, content in files.items()})
    provider = scripted(mount)
    admin.create(spc(secretObjects=[secret_object()]), namespace)
    driver = start_cluster_driver(*FAST)
    pod = make_pod(owners=[reference(replica_set("web"))])
    watcher = Watcher(admin, namespace)
    driver.publish(pod.publish_request())
    wait_until(lambda: watcher.events == ["ADDED"], 10, "the status object")
    since = len(server.events())
    rotate(driver, provider, pod, 20)
    assert watcher.events == ["ADDED"] and watcher.restarts == 0
    assert requests_for(server, manifests.DRIVER_USER, STATUSES, since) == []
    for number in range(1, 4):
        files["file"] = b"%d" % number
        rotate(driver, provider, pod, 3)
        wait_until(lambda number=number: watcher.restarts == number, 10, "the restart")
        assert watcher.events == ["ADDED"] + ["MODIFIED"] * number
    current = admin.get("secretproviderclasses", namespace, "azure-kvname")
    current["metadata"]["annotations"] = {"note": "no content"}
    admin.update(current)
    rotate(driver, provider, pod, 2)
    driver.stop()
    again = start_cluster_driver(*FAST, name="again")
    rotate(again, provider, pod, 3)
    assert watcher.events == ["ADDED"] + ["MODIFIED"] * 3 and watcher.restarts == 3
    fails.append(True)
    rotate(again, provider, pod, 1)
    wait_until(lambda: len(watcher.events) == 5, 10, "the error in the status object", pause=0.1)
    fails.clear()
    rotate(again, provider, pod, 2)
    assert watcher.restarts == 3
