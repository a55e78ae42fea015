"""Pods of users: with one volume of ours, running on the node."""

import copy
from pathlib import Path

from node import KUBELET_ROOT

from harness import mounts
from harness.process import wait_until

MOUNT = "/mnt/secrets-store"
WORKLOAD_CLIENT = "workload-client"  # the application of pods with a workload identity


def volume(name="secrets", class_name="azure-kvname", credentials="secrets-store-creds", **attributes):
    csi = {"driver": "secrets-store.csi.k8s.io", "readOnly": True, "volumeAttributes": {"secretProviderClass": class_name, **attributes}}
    if credentials:
        csi["nodePublishSecretRef"] = {"name": credentials}
    return {"name": name, "csi": csi}


def pod_spec(volumes=None, mounts_at=None, **spec):
    """Of one container that waits. Keywords go into the spec; `container` (a dict) into the container."""
    volumes = [volume()] if volumes is None else volumes
    mounts_at = mounts_at or {item["name"]: MOUNT if index == 0 else f"{MOUNT}-{item['name']}" for index, item in enumerate(volumes)}
    container = {"name": "app", "image": "localhost/app:e2e",
                 "volumeMounts": [{"name": name, "mountPath": path, "readOnly": True} for name, path in mounts_at.items()],
                 **spec.pop("container", {})}
    return {"containers": [container], "volumes": volumes, "terminationGracePeriodSeconds": 5, **spec}


class UserPod:
    def __init__(self, cluster, namespace, name, spec=None, start=True, labels=None):
        self.cluster, self.admin, self.namespace, self.name = cluster, cluster.admin, namespace, name
        self.body = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": labels or {}},
                     "spec": spec if spec is not None else pod_spec()}
        self.uid = None
        if start:
            self.create()

    def create(self):
        self.uid = self.admin.create(copy.deepcopy(self.body), self.namespace)["metadata"]["uid"]
        return self

    @classmethod
    def of(cls, cluster, namespace, name):
        """A pod that another client has made."""
        pod = cls(cluster, namespace, name, {}, start=False)
        pod.uid = pod.object["metadata"]["uid"]
        return pod

    @property
    def object(self):
        return self.admin.find("pods", self.namespace, self.name)

    @property
    def container(self):
        """The status of its container; {} before there is one and after the pod's end."""
        item = self.object or {"status": {}}
        return (item["status"].get("containerStatuses") or [{}])[0]

    @property
    def ready(self):
        status = self.object["status"]
        return any(condition["type"] == "Ready" and condition["status"] == "True" for condition in status.get("conditions") or [])

    def wait_running(self, timeout=60):
        try:
            wait_until(lambda: self.ready, timeout, "the pod to run", pause=0.1)
        except AssertionError:
            raise AssertionError(f"{self.name} does not run\n{self.describe()}") from None
        return self

    def describe(self):
        return self.cluster.kubectl.run("-n", self.namespace, "describe", "pod", self.name).stdout

    def exec(self, *words):
        return self.cluster.kubectl("-n", self.namespace, "exec", self.name, "--", *words)

    def read(self, file, directory=MOUNT):
        return self.exec("cat", f"{directory}/{file}")

    def target(self, name="secrets"):
        return KUBELET_ROOT / "pods" / self.uid / "volumes/kubernetes.io~csi" / name / "mount"

    def events(self, reason=None):
        found = self.admin.list("events", self.namespace, fieldSelector=f"involvedObject.uid={self.uid}")
        return [event for event in found if reason in (None, event["reason"])]

    def failed_mounts(self):
        """Of its FailedMount events those that carry a response of the driver, and not a delay inside the kubelet."""
        return [event for event in self.events("FailedMount") if "rpc error: " in event["message"]]

    def wait_failed_mount(self, timeout=60):
        """The text of the first failed mount in `kubectl describe pod`: one line, not cut short."""
        wait_until(self.failed_mounts, timeout, "the event", pause=0.2)
        line = next(line for line in self.describe().splitlines() if "FailedMount" in line and "rpc error: " in line)
        message = line.split("kubelet", 1)[1]
        assert len(message) < 1000, "an event holds 1024 bytes"
        return message

    def delete(self, wait=True, timeout=60, **options):
        self.admin.delete("pods", self.namespace, self.name, **options)
        if wait:
            self.wait_gone(timeout)

    def wait_gone(self, timeout=60):
        def gone():
            item = self.object
            return item is None or item["metadata"]["uid"] != self.uid
        try:
            wait_until(gone, timeout, "the pod to be gone", pause=0.1)
        except AssertionError:
            raise AssertionError(f"{self.name} does not go\n{self.describe()}") from None

    def assert_node_is_clean(self, timeout=30):
        """Nothing of this pod is left on the node: no mount, no directory."""
        directory = Path(KUBELET_ROOT / "pods" / self.uid)
        wait_until(lambda: not directory.exists(), timeout, f"{directory} to be removed", pause=0.1)
        assert mounts.mounts_below(directory) == []
