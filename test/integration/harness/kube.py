"""The emulator's Kubernetes API: its objects, and the requests that a driver has sent."""

from harness import rpc
from harness.process import wait_until

STATUSES = "secretproviderclasspodstatuses"
NODE_LABEL = "internal.secrets-store.csi.k8s.io/node-name"


def spc(name="azure-kvname", namespace="default", provider="scripted", parameters=None, version="v1", secret_objects=None,
        refresh=None, annotations=None):
    spec = {"provider": provider, "parameters": parameters or {"colour": "green"}}
    if secret_objects:
        spec["secretObjects"] = secret_objects
    metadata = {"name": name, "namespace": namespace, **({"annotations": annotations} if annotations else {})}
    if refresh:
        metadata["annotations"] = {"secrets-store.csi.k8s.io/refresh": refresh}  # volumes are due at once, failed ones, too
    return {"apiVersion": f"secrets-store.csi.x-k8s.io/{version}", "kind": "SecretProviderClass", "metadata": metadata, "spec": spec}


def pod(name="web", namespace="default", uid=rpc.POD_UID, **metadata):
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": namespace, "uid": uid, **metadata},
            "spec": {"nodeName": "node-1"}}


class Cluster:
    """The objects of one emulator; paths are those of requests, without the host."""

    def __init__(self, emulator):
        self.emulator = emulator

    def add(self, plural, body):
        return self.emulator.put_object(plural, body)

    def remove(self, plural, name, namespace="default"):
        self.emulator.control("DELETE", f"/kube/{plural}/{namespace}/{name}")

    def all(self, plural):
        return self.emulator.control("GET", f"/kube/{plural}")

    def find(self, plural, name, namespace="default"):
        found = [item for item in self.all(plural) if item["metadata"]["name"] == name and item["metadata"]["namespace"] == namespace]
        return found[0] if found else None

    def status(self, name="web-default-azure-kvname", namespace="default"):
        return self.find(STATUSES, name, namespace)

    def requests(self, plural=None):
        """(method, status) of every request so far, or of those for one resource."""
        return [(request["method"], request["status"]) for request in self.emulator.requests("kube")
                if plural is None or f"/{plural}" in request["path"]]

    def wait_for_requests(self, expected, plural=STATUSES):
        wait_until(lambda: self.requests(plural) == expected, what=f"{expected} for {plural}, not {self.requests(plural)}")

    def wait_for_status(self, right, name="web-default-azure-kvname", timeout=10):
        def holds():
            status = self.status(name)
            return status is not None and right(status)
        wait_until(holds, timeout, what=f"the status to be right, not {self.status(name)}")

    def written_status(self, name="web-default-azure-kvname"):
        """The status object of a mount that does not wait for it."""
        self.wait_for_status(lambda status: True, name)
        return self.status(name)
