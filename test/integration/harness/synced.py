"""Pods, classes and synced Secrets in the emulator, and a driver that keeps them. Tests import the fixtures along with the rest."""

import base64
import json
import re

import pytest

from harness import rpc
from harness.process import wait_until
from harness.scripted_provider import answer

ROTATE = ("--enable-secret-rotation=true", "--rotation-poll-interval=1s")
MANAGED = "secrets-store.csi.k8s.io/managed"
CLAIMS = "secrets-store.csi.k8s.io/written-by"


def uid(number):
    return f"00000000-0000-0000-0000-{number:012d}"


def spc(secret_objects, name="azure-kvname", namespace="default"):
    return {"apiVersion": "secrets-store.csi.x-k8s.io/v1", "kind": "SecretProviderClass",
            "metadata": {"name": name, "namespace": namespace},
            "spec": {"provider": "scripted", "parameters": {"colour": "green"}, "secretObjects": secret_objects}}


def secret_object(name="synced", type_="Opaque", data=(("file", "key"),), **more):
    return {"secretName": name, "type": type_, "data": [{"objectName": path, "key": key} for path, key in data], **more}


def replica_set(name, number):
    return {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": name, "uid": uid(number), "controller": True,
            "blockOwnerDeletion": True}


class Cluster:
    """Pods, classes and Secrets in the emulator, and one driver."""

    def __init__(self, emulator, node):
        self.emulator, self.node, self.driver = emulator, node, None

    def add_pod(self, name="web", number=1, namespace="default", owners=None):
        owners = [replica_set("web-1", 900)] if owners is None else owners
        self.emulator.put_object("pods", namespace, name, {
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": name, "namespace": namespace, "uid": uid(number), **({"ownerReferences": owners} if owners else {})},
            "spec": {"containers": [{"name": "c"}]}})

    def add_status(self, name, number=1):
        self.emulator.put_object("secretproviderclasspodstatuses", "default", name, {
            "apiVersion": "secrets-store.csi.x-k8s.io/v1", "kind": "SecretProviderClassPodStatus",
            "metadata": {"name": name, "namespace": "default",
                         "ownerReferences": [{"apiVersion": "v1", "kind": "Pod", "name": "web", "uid": uid(number)}]}})

    def add_class(self, *secret_objects, name="azure-kvname", namespace="default"):
        self.emulator.put_object("secretproviderclasses", namespace, name, spc(list(secret_objects), name, namespace))

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

    def all(self, plural):
        return self.emulator.control("GET", f"/kube/{plural}")

    def secret(self, name="synced", namespace="default"):
        for item in self.all("secrets"):
            if item["metadata"]["name"] == name and item["metadata"]["namespace"] == namespace:
                return item
        return None

    def data(self, name="synced", namespace="default"):
        secret = self.secret(name, namespace)
        return None if secret is None else {key: base64.b64decode(value) for key, value in secret.get("data", {}).items()}

    def owners(self, name="synced", namespace="default"):
        secret = self.secret(name, namespace)
        return [] if secret is None else [owner["uid"] for owner in secret["metadata"].get("ownerReferences", [])]

    def put_secret(self, name="synced", namespace="default", labels=None, owners=None, annotations=None, **body):
        parts = {"labels": labels, "annotations": annotations, "ownerReferences": owners}
        metadata = {"name": name, "namespace": namespace, **{key: part for key, part in parts.items() if part}}
        return self.emulator.put_object("secrets", namespace, name, {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, **body})

    def delete_secret(self, name="synced", namespace="default"):
        self.emulator.control("DELETE", f"/kube/secrets/{namespace}/{name}")

    def secret_requests(self, *methods):
        return [r for r in self.emulator.requests("kube") if re.search(r"/namespaces/[^/]+/secrets", r["path"])
                and (not methods or r["method"] in methods)]

    def events(self, reason="FailedToCreateSecret"):
        return [event for event in self.all("events") if event["reason"] == reason]

    def told(self):
        """What the driver's log says about Secrets that could not be synced."""
        return [json.loads('"' + text + '"') for text in
                re.findall(r'"a Kubernetes Secret could not be synced".* err="((?:[^"\\]|\\.)*)"', self.driver.log)]

    def looks(self, request, provider, n):
        """Republishes until the provider has been asked `n` more times."""
        wanted = len(provider.requests) + n

        def asked():
            self.driver.publish(request)
            return len(provider.requests) >= wanted
        wait_until(asked, timeout=10 + 2 * n, what=f"{n} looks")


@pytest.fixture
def cluster(node, emulator, start_driver):
    cluster = Cluster(emulator, node)

    def start(*flags, **keywords):
        cluster.driver = start_driver(f"--kubeconfig={emulator.kubeconfig}", *flags, standalone=False, **keywords)
        return cluster.driver
    cluster.start = start
    cluster.add_pod()
    return cluster


@pytest.fixture
def files():
    """What the provider returns; a test may change it."""
    return {"file": b"content"}


@pytest.fixture
def provider(scripted, files):
    return scripted(lambda request, context: answer(dict(files)))
