"""Pods, classes and synced Secrets in the emulator, and a driver that keeps them: the fixture `synced`."""

import base64
import json
import re

from harness import kube, rpc
from harness.process import wait_until

ROTATE = ("--enable-secret-rotation=true", "--rotation-poll-interval=1s")
MANAGED = "secrets-store.csi.k8s.io/managed"
WRITTEN_BY = "secrets-store.csi.k8s.io/written-by"


def uid(number):
    return f"00000000-0000-0000-0000-{number:012d}"


def secret_object(name="synced", type_="Opaque", data=(("file", "key"),), **more):
    return {"secretName": name, "type": type_, "data": [{"objectName": path, "key": key} for path, key in data], **more}


def replica_set(name, number):
    return {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": name, "uid": uid(number), "controller": True,
            "blockOwnerDeletion": True}


class SyncedCluster(kube.Cluster):
    """Pods, classes and Secrets in the emulator, and one driver."""

    def __init__(self, emulator, node, start_driver):
        super().__init__(emulator)
        self.node, self.driver = node, None
        self._start_driver = start_driver

    def start(self, *flags, **keywords):
        self.driver = self._start_driver(f"--kubeconfig={self.emulator.kubeconfig}", *flags, standalone=False, **keywords)
        return self.driver

    def add_pod(self, name="web", number=1, namespace="default", owners=None):
        owners = [replica_set("web-1", 900)] if owners is None else owners
        self.add("pods", kube.pod(name, namespace, uid(number), **({"ownerReferences": owners} if owners else {})))

    def add_status(self, name, number=1):
        self.add(kube.STATUSES, {
            "apiVersion": "secrets-store.csi.x-k8s.io/v1", "kind": "SecretProviderClassPodStatus",
            "metadata": {"name": name, "namespace": "default",
                         "ownerReferences": [{"apiVersion": "v1", "kind": "Pod", "name": "web", "uid": uid(number)}]}})

    def add_class(self, *secret_objects, name="azure-kvname", namespace="default"):
        self.add("secretproviderclasses", kube.spc(name, namespace, secret_objects=list(secret_objects)))

    def request(self, name="web", number=1, namespace="default", class_name="azure-kvname", volume="secrets"):
        target = self.node.target(pod_uid=uid(number), volume=volume)
        return rpc.publish_request(target, class_name=class_name, namespace=namespace, pod=name, pod_uid=uid(number), volume=volume)

    def publish(self, **keywords):
        timeout = keywords.pop("timeout", 30)
        request = self.request(**keywords)
        self.driver.publish(request, timeout)
        return request

    def unpublish(self, request):
        self.driver.unpublish(rpc.unpublish_request(request.target_path))

    def secret(self, name="synced", namespace="default"):
        return self.find("secrets", name, namespace)

    def data(self, name="synced", namespace="default"):
        secret = self.secret(name, namespace)
        return None if secret is None else {key: base64.b64decode(value) for key, value in secret.get("data", {}).items()}

    def owners(self, name="synced", namespace="default"):
        secret = self.secret(name, namespace)
        return [] if secret is None else [owner["uid"] for owner in secret["metadata"].get("ownerReferences", [])]

    def put_secret(self, name="synced", namespace="default", labels=None, owners=None, annotations=None, **body):
        parts = {"labels": labels, "annotations": annotations, "ownerReferences": owners}
        metadata = {"name": name, "namespace": namespace, **{key: part for key, part in parts.items() if part}}
        return self.add("secrets", {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, **body})

    def delete_secret(self, name="synced", namespace="default"):
        self.remove("secrets", name, namespace)

    def secret_requests(self, *methods):
        return [r for r in self.emulator.requests("kube") if re.search(r"/namespaces/[^/]+/secrets", r["path"])
                and (not methods or r["method"] in methods)]

    def events(self, reason="FailedToCreateSecret"):
        return [event for event in self.all("events") if event["reason"] == reason]

    def logged_sync_errors(self):
        """The errors in the driver's log about Secrets that could not be synced."""
        return [json.loads('"' + text + '"') for text in
                re.findall(r'"a Kubernetes Secret could not be synced".* err="((?:[^"\\]|\\.)*)"', self.driver.log)]

    def check_rotation(self, request, provider, n):
        """Republishes until the provider has had `n` more requests."""
        wanted = len(provider.requests) + n

        def fetched():
            self.driver.publish(request)
            return len(provider.requests) >= wanted
        wait_until(fetched, timeout=10 + 2 * n, what=f"{n} rotation checks")
