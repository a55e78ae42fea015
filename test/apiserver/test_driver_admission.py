"""The policies that confine the driver's account (manifests/deploy/driver-admission.yaml): somebody who has its token tries more than the driver does.

That the driver's own requests pass is shown by all other tests: they run with these policies."""

import copy

import pytest

from charts.helm import DRIVER, render
from cluster import manifests
from cluster.account import Account
from cluster.client import ApiError
from harness.process import wait_until

pytestmark = pytest.mark.once
OUR_TAINT = {"key": "secrets-store.csi.k8s.io/agent-not-ready", "effect": "NoExecute"}
OTHER_TAINT = {"key": "example.com/gpu", "value": "yes", "effect": "NoSchedule"}
NODE_LABEL = "internal.secrets-store.csi.k8s.io/node-name"


@pytest.fixture
def driver_pod(admin, namespace):
    """A pod of the driver on node-1, as the DaemonSet makes it."""
    name = f"driver-{namespace}"
    pod = admin.create({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": {
        "nodeName": "node-1", "serviceAccountName": manifests.DRIVER_ACCOUNT[1], "terminationGracePeriodSeconds": 0,
        "containers": [{"name": "secrets-store", "image": "driver"}]}}, manifests.DRIVER_ACCOUNT[0])
    yield pod
    admin.delete("pods", manifests.DRIVER_ACCOUNT[0], name, gracePeriodSeconds=0)


@pytest.fixture
def thief(account, driver_pod, namespace):
    """A client with the token of that pod, once the policies are in effect."""
    account.put_token(account.new_token(600, bound_to=driver_pod))
    client = account.client()
    wait_until(lambda: "the driver writes no Secrets" in refusal(client.create, secret("kubernetes.io/service-account-token"), namespace,
                                                                 dryRun="All"), 40, "the policies to be in effect", pause=0.1)
    return client


def secret(kind, name="made"):
    return {"apiVersion": "v1", "kind": "Secret", "type": kind, "data": {}, "metadata": {
        "name": name, "annotations": {"kubernetes.io/service-account.name": "default"}}}


def status(name, node):
    return {"apiVersion": "secrets-store.csi.x-k8s.io/v1", "kind": "SecretProviderClassPodStatus",
            "metadata": {"name": name, "labels": {NODE_LABEL: node} if node else {}}}


def refusal(call, *arguments, **keywords):
    """The text of a request that the policy refuses; "" if it passes."""
    try:
        call(*arguments, **keywords)
    except ApiError as error:
        assert error.status in (403, 422) and "ValidatingAdmissionPolicy 'secrets-store-csi-driver-" in str(error), error
        return str(error)
    return ""


@pytest.mark.parametrize("kind", ["kubernetes.io/service-account-token", "bootstrap.kubernetes.io/token", "helm.sh/release.v1", "kubernetes.io/new"])
def test_secrets_that_give_rights_cannot_be_made_or_changed(thief, admin, namespace, kind):
    assert f"the driver writes no Secrets of type {kind}" in refusal(thief.create, secret(kind), namespace)
    admin.create(secret(kind), namespace)
    patch = {"metadata": {"annotations": {"kubernetes.io/service-account.name": "other"}}}
    assert "the driver writes no Secrets of type" in refusal(thief.patch, "secrets", namespace, "made", patch)


@pytest.mark.parametrize("kind", ["Opaque", "example.com/own", "kubernetes.io/tls", "kubernetes.io/dockerconfigjson", "istio.io/cacerts"])
def test_secrets_that_classes_name_can_be_made_and_changed(thief, namespace, kind):
    made = secret(kind)
    made["data"] = {"tls.crt": "", "tls.key": "", ".dockerconfigjson": "e30="}
    thief.create(made, namespace)
    thief.patch("secrets", namespace, "made", {"metadata": {"labels": {"a": "b"}}})


def test_nothing_can_be_deleted(thief, admin, namespace):
    admin.create(secret("Opaque"), namespace)
    admin.create(status("s", "node-1"), namespace)
    assert "the driver deletes no Secrets" in refusal(thief.delete, "secrets", namespace, "made")
    assert "the driver deletes no status objects" in refusal(thief.delete, "secretproviderclasspodstatuses", namespace, "s")
    assert admin.find("secrets", namespace, "made") and admin.find("secretproviderclasspodstatuses", namespace, "s")


def test_status_objects_are_those_of_the_tokens_node(thief, admin, namespace):
    thief.create(status("mine", "node-1"), namespace)
    for node in ("node-2", ""):
        assert "the driver of node node-1 writes status objects of pods on this node only" in refusal(thief.create, status("other", node), namespace)
    admin.create(status("theirs", "node-2"), namespace)
    assert "on this node only" in refusal(thief.patch, "secretproviderclasspodstatuses", namespace, "theirs", {"status": {"mounted": False}})
    # a pod that was on another node before and came again
    thief.patch("secretproviderclasspodstatuses", namespace, "theirs", {"metadata": {"labels": {NODE_LABEL: "node-1"}}})


def test_a_token_without_a_node_is_bound_to_none(thief, server, scratch, namespace):
    other = Account(server, *manifests.DRIVER_ACCOUNT, scratch).client()
    other.create(status("anywhere", "node-7"), namespace)
    assert refusal(other.create, secret("kubernetes.io/service-account-token"), namespace) != ""


def test_others_are_not_refused(thief, admin, namespace):
    admin.create(status("s", "node-2"), namespace)
    admin.create(secret("kubernetes.io/service-account-token"), namespace)
    admin.delete("secretproviderclasspodstatuses", namespace, "s")


# ---- nodes -----------------------------------------------------------------------------------------------------------------------


@pytest.fixture
def nodes(admin, thief):
    """node-1 and node-2 with taints; the account has the role for the start-up taint."""
    role = [item for item in manifests.load("optional") if item["metadata"]["name"] == "secrets-store-csi-driver-startup-taint"]
    for item in role:
        admin.apply(item)
    for name in ("node-1", "node-2"):
        admin.create({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": {"zone": "a"}},
                      "spec": {"taints": [OTHER_TAINT, OUR_TAINT], "providerID": f"fake://{name}"}})
    wait_until(lambda: can_read(thief, "node-1"), 20, "the role to be in effect", pause=0.05)
    yield thief
    for name in ("node-1", "node-2"):
        admin.delete("nodes", None, name)
    for kind in ("clusterrolebindings", "clusterroles"):
        admin.delete(kind, None, "secrets-store-csi-driver-startup-taint")


def can_read(client, name):
    try:
        return client.get("nodes", None, name)
    except ApiError:
        return None


def taints_of(admin, name):
    return [taint["key"] for taint in admin.get("nodes", None, name)["spec"]["taints"] if not taint["key"].startswith("node.kubernetes.io/")]


def test_of_a_node_only_the_start_up_taint_can_be_removed(nodes, admin):
    present = admin.get("nodes", None, "node-1")["spec"]["taints"]
    without_ours = [taint for taint in present if taint["key"] != OUR_TAINT["key"]]

    def patch(change, name="node-1"):
        return refusal(nodes.patch, "nodes", None, name, change)
    only = "of a node's taints the driver removes only secrets-store.csi.k8s.io/agent-not-ready"
    assert only in patch({"spec": {"taints": [OUR_TAINT]}})
    assert only in patch({"spec": {"taints": []}})
    assert only in patch({"spec": {"taints": [*without_ours, {"key": "evil", "effect": "NoExecute"}]}})
    assert only in patch({"spec": {"taints": [*copy.deepcopy(present), {"key": "evil", "effect": "NoExecute"}]}})
    for change in ({"spec": {"unschedulable": True}}, {"metadata": {"labels": {"zone": "b"}}}, {"metadata": {"annotations": {"a": "b"}}}):
        assert "of a node the driver changes only the taints" in patch(change), change
    assert "the driver of node node-1 changes this node only" in patch({"spec": {"taints": [OTHER_TAINT]}}, "node-2")
    assert patch({"spec": {"taints": without_ours}}) == ""
    assert taints_of(admin, "node-1") == [OTHER_TAINT["key"]]


# ---- the chart -------------------------------------------------------------------------------------------------------------------


def policies_of(values=None, **where):
    return {item["metadata"]["name"]: item for item in render(DRIVER, values, **where)
            if item["kind"] == "ValidatingAdmissionPolicy" and item["metadata"]["name"].startswith("secrets-store-csi-driver-")}


def test_the_chart_installs_the_policies_for_its_own_account():
    plain = {item["metadata"]["name"]: item for item in manifests.driver_admission() if item["kind"] == "ValidatingAdmissionPolicy"}
    for namespace in ("kube-system", "elsewhere"):
        found = policies_of(namespace=namespace)
        assert found.keys() == plain.keys() and len(plain) == 3
        for name, item in found.items():
            (condition,) = item["spec"]["matchConditions"]
            assert condition["expression"] == f"request.userInfo.username == 'system:serviceaccount:{namespace}:secrets-store-csi-driver'"
            assert item["spec"]["validations"] == plain[name]["spec"]["validations"]


def test_where_the_chart_installs_no_policies():
    assert not policies_of({"driverAdmission": {"enabled": False}}) and not policies_of(kube_version="1.29.9")
    assert not policies_of({"rbac": {"upstreamDriver": True}})
