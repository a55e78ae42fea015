"""secrets-store-ctl diagnose with a real API server: a fault in each link between a vault and a pod; what it may not read; that it only reads."""

import base64
import json
import subprocess

import pytest

from cluster import manifests
from harness import mounts, rpc, tutorial
from harness.ctl import FOUND, ctl
from harness.process import wait_until

DRIVER = "secrets-store.csi.k8s.io"
TENANT_CLASS = "azure-kvname"
SYNCED = [{"secretName": "synced", "type": "Opaque", "data": [{"objectName": "secret1", "key": "k"}]}]
STATUSES = "secretproviderclasspodstatuses"


def class_object(provider="azure", secret_objects=(), **parameters):
    spec = {"provider": provider, "parameters": {**tutorial.attributes(("secret1",)), **parameters}}
    spec["parameters"] = {key: value for key, value in spec["parameters"].items() if not key.startswith("csi.") and value is not None}
    if secret_objects:
        spec["secretObjects"] = list(secret_objects)
    return {"apiVersion": "secrets-store.csi.x-k8s.io/v1", "kind": "SecretProviderClass", "metadata": {"name": TENANT_CLASS}, "spec": spec}


class Chain:
    """A pod with one volume of the tutorial's class, and all that mounts it. Tests break one link."""

    def __init__(self, node, admin, server, namespace, scratch):
        self.node, self.admin, self.server, self.namespace = node, admin, server, namespace
        server.client_as("reader", "/O=system:masters/CN=reader")
        self.kubeconfig = server.kubeconfig(scratch / "reader.kubeconfig", name="reader")
        self.pod = None

    def add_pod(self, phase="Running", read_only=True, driver=DRIVER, class_name=TENANT_CLASS, node_name="node-1"):
        volume = {"name": "secrets", "csi": {"driver": driver, "readOnly": read_only, "volumeAttributes": {"secretProviderClass": class_name},
                                             "nodePublishSecretRef": {"name": "creds"}}}
        body = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "web"},
                "spec": {"nodeName": node_name, "containers": [{"name": "app", "image": "app"}], "terminationGracePeriodSeconds": 0,
                         "volumes": [volume]}}
        self.pod = self.admin.create(body, self.namespace)
        path = f"/api/v1/namespaces/{self.namespace}/pods/web/status"
        self.admin.request("PATCH", path, {"status": {"phase": phase}}, content_type="application/merge-patch+json")

    def add_credentials(self, **values):
        values = {**tutorial.CREDENTIALS, **values}
        self.admin.create({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "creds"},
                           "data": {key: base64.b64encode(value.encode()).decode() for key, value in values.items()}}, self.namespace)

    def publish(self, driver):
        uid = self.pod["metadata"]["uid"]
        target = self.node.target(uid)
        driver.publish(rpc.publish_request(target, class_name=TENANT_CLASS, namespace=self.namespace, pod="web", pod_uid=uid,
                                           secrets=tutorial.CREDENTIALS))
        return target

    def diagnose(self, *words, kubeconfig=None, pod="web"):
        return ctl("diagnose", pod, f"--namespace={self.namespace}", f"--kubeconfig={kubeconfig or self.kubeconfig}", "--json",
                   f"--kubelet-dir={self.node.kubelet}", f"--providers-dir={self.node.providers}", *words, endpoint=self.node.csi_socket,
                   check=False)

    def report(self, *words, **keywords):
        """([(check, result)], {check: row} of what is wrong)"""
        done = self.diagnose(*words, **keywords)
        rows = json.loads(done.stdout)["checks"]
        wrong = {row["check"]: row for row in rows if row["result"] == "wrong"}
        assert done.returncode == (FOUND if wrong else 0), done
        return [(row["check"], row["result"]) for row in rows], wrong

    def wrong(self, *words, **keywords):
        return {check: row["text"] for check, row in self.report(*words, **keywords)[1].items()}


@pytest.fixture
def csi_objects(admin):
    """The CSIDriver object of the manifests, and the CSINode of the node with the driver on it."""
    (csi_driver,) = manifests.load("deploy", ("CSIDriver",))
    node = admin.apply({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "node-1"}})
    admin.apply(csi_driver)
    csi_node = {"apiVersion": "storage.k8s.io/v1", "kind": "CSINode",
                "metadata": {"name": "node-1", "ownerReferences": [{"apiVersion": "v1", "kind": "Node", "name": "node-1", "uid": node["metadata"]["uid"]}]},
                "spec": {"drivers": [{"name": DRIVER, "nodeID": "node-1"}]}}
    admin.create(csi_node)
    yield csi_driver
    for plural, name in (("csinodes", "node-1"), ("csidrivers", DRIVER), ("nodes", "node-1")):
        if admin.find(plural, None, name):
            admin.delete(plural, None, name)


@pytest.fixture
def chain(node, admin, server, namespace, scratch, csi_objects):
    chain = Chain(node, admin, server, namespace, scratch)
    yield chain
    if chain.pod is not None:
        admin.delete("pods", namespace, "web", gracePeriodSeconds=0)
    for mount in reversed(mounts.mounts_below(node.directory)):
        subprocess.run(["umount", mount.path], check=True)


@pytest.fixture
def mounted(chain, start_cluster_driver, azure, admin, namespace):
    """The whole chain, with its volume mounted and its Secret synced."""
    admin.create(class_object(secret_objects=SYNCED), namespace)
    chain.add_credentials()
    chain.add_pod()
    chain.driver = start_cluster_driver()
    chain.azure = azure
    chain.publish(chain.driver)
    wait_until(lambda: admin.find("secrets", namespace, "synced"), 10, "the synced Secret")
    return chain


def test_a_whole_chain_has_nothing_wrong(mounted):
    results, wrong = mounted.report()
    assert wrong == {}
    assert results == [("pod", "ok"), ("registered", "ok"), ("driver", "ok"), ("class", "ok"), ("provider", "ok"), ("token", "ok"), ("vault", "ok"),
                       ("volume", "ok"), ("status", "ok"), ("secret", "ok")]
    text = mounted.diagnose().stdout
    assert tutorial.CLIENT_SECRET not in text and tutorial.SECRETS["secret1"] not in text


def test_it_only_reads(mounted, server):
    before = len(server.events())
    mounted.report()
    wait_until(lambda: len({event["objectRef"]["resource"] for event in server.requests_of("reader", before)}) >= 6, 10, "the audit log")
    requests = server.requests_of("reader", before)
    assert {event["verb"] for event in requests} <= {"get", "list"}
    assert {event["objectRef"]["resource"] for event in requests} == {"pods", "csidrivers", "csinodes", "secretproviderclasses", STATUSES, "secrets"}


def test_a_pod_that_does_not_exist(chain):
    text = chain.wrong(pod="nobody")
    assert list(text) == ["pod"] and text["pod"].startswith(f"there is no pod {chain.namespace}/nobody: ")


@pytest.mark.parametrize("keywords, expected", [
    ({"driver": "other.csi.example.com"}, "the pod has no volume of the driver secrets-store.csi.k8s.io"),
    ({"class_name": ""}, "secretProviderClass is not set in the volume attributes"),
    ({"read_only": False}, "readOnly is not true in the volume: secrets can only be mounted read-only"),
    ({"node_name": ""}, "the pod is on no node yet"),
])
def test_a_pod_whose_volume_cannot_be_mounted(chain, admin, namespace, keywords, expected):
    admin.create(class_object(), namespace)
    chain.add_pod(phase="Pending", **keywords)
    assert chain.wrong().get("pod") == expected


def test_a_volume_that_is_not_in_the_pod(mounted):
    assert mounted.wrong("--volume=other") == {"pod": "the pod has no volume of the driver secrets-store.csi.k8s.io"}


def test_no_csidriver_object(mounted, admin):
    admin.delete("csidrivers", None, DRIVER)
    assert mounted.wrong() == {"registered": "there is no CSIDriver object secrets-store.csi.k8s.io"}


def test_a_csidriver_object_without_pod_info(mounted, admin, csi_objects):
    admin.delete("csidrivers", None, DRIVER)
    admin.create({**csi_objects, "spec": {**csi_objects["spec"], "podInfoOnMount": False}})
    assert "podInfoOnMount must be true in the CSIDriver object" in mounted.wrong()["registered"]


def test_a_driver_that_the_kubelet_has_not_registered(mounted, admin):
    admin.patch("csinodes", None, "node-1", {"spec": {"drivers": []}})
    assert mounted.wrong() == {"registered": "driver name secrets-store.csi.k8s.io not found in the list of registered CSI drivers"}


def test_a_driver_of_another_node(mounted, admin):
    admin.delete("pods", mounted.namespace, "web", gracePeriodSeconds=0)
    mounted.add_pod(node_name="node-2")
    results, wrong = mounted.report()
    assert ("driver", "skipped") in results and "volume" not in dict(results) and {"registered", "status"} <= set(wrong)


@pytest.mark.parametrize("spec, expected", [
    (None, "failed to get secretproviderclass {namespace}/azure-kvname: there is none"),
    ({"parameters": {"a": "b"}}, "provider is not set in secretproviderclass {namespace}/azure-kvname"),
    ({"provider": "azure"}, "parameters are not set in secretproviderclass {namespace}/azure-kvname"),
])
def test_a_class_that_cannot_be_used(chain, admin, namespace, driver, spec, expected):
    if spec is not None:
        admin.create({**class_object(), "spec": spec}, namespace)
    chain.add_pod(phase="Pending")
    assert chain.wrong()["class"] == expected.format(namespace=namespace)


def test_no_provider(mounted):
    mounted.azure.kill()  # it would create its socket again
    mounted.azure.popen.wait()
    mounted.azure.socket.unlink()
    text = mounted.wrong()
    assert list(text) == ["provider"] and text["provider"].startswith('provider not found: provider "azure": no socket')


def test_no_secret_with_credentials(mounted, admin, namespace):
    admin.delete("secrets", namespace, "creds")
    assert mounted.wrong() == {"token": 'secret "creds" not found'}


def test_credentials_that_entra_refuses(mounted, admin, namespace):
    admin.delete("secrets", namespace, "creds")
    mounted.add_credentials(clientsecret="wrong")
    text = mounted.wrong()
    assert list(text) == ["token"] and "AADSTS7000215" in text["token"]


def test_a_class_whose_token_the_kubelet_does_not_send(mounted, admin, namespace, csi_objects):
    admin.delete("secretproviderclasses", namespace, TENANT_CLASS)
    admin.create(class_object(secret_objects=SYNCED, clientID="app"), namespace)
    assert mounted.wrong() == {"token": "token for audience api://AzureADTokenExchange not found"}
    admin.delete("csidrivers", None, DRIVER)
    admin.create({**csi_objects, "spec": {**csi_objects["spec"], "tokenRequests": [{"audience": "api://AzureADTokenExchange"}]}})
    results, wrong = mounted.report()
    assert wrong == {} and ("token", "skipped") in results


def test_a_vault_that_refuses(mounted, emulator):
    emulator.set_policy(permissions=())
    text = mounted.wrong()
    assert list(text) == ["vault"] and "HTTP 403" in text["vault"]


def test_the_last_error_of_a_rotation_check(mounted, admin, namespace):
    path = f"/apis/secrets-store.csi.x-k8s.io/v1/namespaces/{namespace}/{STATUSES}/web-{namespace}-{TENANT_CLASS}"
    error = "rotation failed: token for the ServicePrincipal: Entra refused the credential (HTTP 401 invalid_client)"
    admin.request("PATCH", path, {"status": {"lastError": error}}, content_type="application/merge-patch+json")
    _, wrong = mounted.report()
    assert {check: (row["text"], row["see"]) for check, row in wrong.items()} == {"status": (error, "docs/troubleshooting.md#identity")}


def test_no_status_object(mounted, admin, namespace):
    admin.delete(STATUSES, namespace, f"web-{namespace}-{TENANT_CLASS}")
    assert mounted.wrong()["status"] == f"there is no status object of pod web and class {TENANT_CLASS}"


def test_no_synced_secret_and_the_event_that_says_why(mounted, admin, namespace):
    admin.delete("secrets", namespace, "synced")
    reference = {"apiVersion": "v1", "kind": "Pod", "namespace": namespace, "name": "web", "uid": mounted.pod["metadata"]["uid"]}
    for reason, message, when in (("FailedMount", "older", "2030-01-01T00:00:00Z"), ("FailedToCreateSecret", "secrets is forbidden", "2030-01-01T00:00:02Z"),
                                  ("FailedToCreateSecret", "an older one", "2030-01-01T00:00:01Z"), ("Scheduled", "no failure", "2030-01-01T00:00:03Z")):
        admin.create({"apiVersion": "v1", "kind": "Event", "metadata": {"generateName": "web."}, "involvedObject": reference, "reason": reason,
                      "message": message, "lastTimestamp": when, "type": "Warning"}, namespace)
    assert mounted.wrong() == {"secret": 'the synced secret "synced" does not exist', "event": "secrets is forbidden"}


def test_the_event_of_a_pod_that_does_not_start(chain, admin, namespace, start_cluster_driver, azure):
    admin.create(class_object(), namespace)
    chain.add_credentials()
    chain.add_pod(phase="Pending")
    start_cluster_driver()
    message = "MountVolume.SetUp failed: failed to mount secrets store objects for pod x/web: provider not found"
    admin.create({"apiVersion": "v1", "kind": "Event", "metadata": {"generateName": "web."}, "reason": "FailedMount", "type": "Warning",
                  "involvedObject": {"apiVersion": "v1", "kind": "Pod", "namespace": namespace, "name": "web", "uid": chain.pod["metadata"]["uid"]},
                  "message": message, "lastTimestamp": "2030-01-01T00:00:00Z"}, namespace)
    results, wrong = chain.report()
    assert ("status", "skipped") in results
    assert sorted(wrong) == ["event", "volume"] and wrong["event"]["text"] == message
    assert wrong["event"]["see"] == "docs/troubleshooting.md#the-provider"


def test_what_the_caller_may_not_read_is_skipped(mounted, account):
    """The driver's own account reads classes, status objects and pods, but neither CSINodes nor Secrets it does not sync."""
    results, wrong = mounted.report(kubeconfig=account.kubeconfig)
    assert wrong == {} and [check for check, result in results if result == "ok"][:1] == ["pod"]
    assert ("registered", "skipped") in results


def test_an_api_server_that_does_not_respond(mounted, server, scratch):
    server.pause()
    try:
        results, wrong = mounted.report("--timeout=2s")
    finally:
        server.resume()
    assert ("driver", "ok") in results and wrong["api"]["see"] == "docs/troubleshooting.md#the-kubernetes-api", wrong
