"""Pod identity (aad-pod-identity): its node component listens on the node's loopback, so the provider runs in the node's network."""

import pytest
from azure_node import NMI, query_of
from examples import Example
from pods import volume

from harness import tutorial

IDENTITY = "bound-to-the-pod"
FILES = ["pod-identity.yaml", "pod-identity-v1alpha1.yaml"]
BINDING = """\
apiVersion: aadpodidentity.k8s.io/v1
kind: AzureIdentity
metadata: {name: azureidentityname}
spec: {type: 0, resourceID: /subscriptions/s/resourcegroups/g/providers/Microsoft.ManagedIdentity/userAssignedIdentities/i, clientID: %s}
---
apiVersion: aadpodidentity.k8s.io/v1
kind: AzureIdentityBinding
metadata: {name: azure-pod-identity-binding}
spec: {azureIdentity: azureidentityname, selector: %s}
""" % (IDENTITY, "%s")


@pytest.fixture
def bind(kubectl, namespace, pod_identity, emulator):
    """bind(pod): an identity that may read the vault, and a binding that selects the pod's label."""
    emulator.set_policy(client_id=IDENTITY, permissions=["get"])

    def bind(pod):
        kubectl("-n", namespace, "apply", "-f", "-", stdin=BINDING % pod["metadata"]["labels"]["aadpodidbinding"])
        pod_identity.assign(namespace, pod)
    return bind


def assert_one_request(emulator, namespace, name):
    """NMI got one request, for this pod; and the vault one of the identity that is bound to it."""
    (request,) = emulator.requests("nmi")
    assert (request["method"], request["host"], request["status"], request["client_id"]) == ("GET", NMI[0], 200, IDENTITY)
    assert request["path"].startswith("/host/token/?")
    assert query_of(request) == {"resource": emulator.vault_resource}
    assert request["headers"] == {"podname": name, "podns": namespace}
    assert {request["client_id"] for request in emulator.requests("vault") if request["status"] == 200} == {IDENTITY}
    assert emulator.requests("imds") == []


def test_outside_of_the_nodes_network_the_log_line_names_the_cause(apply_example, pod_identity, bind, emulator, request):
    """The step that is forgotten; made up for, the pod that waits starts."""
    bind(Example(FILES[0]).pod)
    pod = apply_example(FILES[0])
    line = pod.wait_failed_mount()
    assert "no response from NMI [hint: " in line and "hostNetwork" in line
    assert "connect to 127.0.0.1:2579: Connection refused" in line
    assert emulator.requests("nmi") == []
    request.getfixturevalue("nodes_network")
    assert pod.wait_running(90).read("secret1") == tutorial.SECRETS["secret1"]


@pytest.mark.parametrize("file", FILES)
def test_a_pod_gets_what_its_identity_may_read(nodes_network, apply_example, bind, emulator, namespace, file):
    bind(Example(file).pod)
    pod = apply_example(file).wait_running()
    assert pod.read("secret1") == tutorial.SECRETS["secret1"]
    assert pod.failed_mounts() == []
    assert_one_request(emulator, namespace, pod.name)


def test_the_class_of_2020(nodes_network, kubectl, make_pod, bind, emulator, namespace):
    """As the old tutorial's note says: usePodIdentity "true", userAssignedIdentityID ""; and its pod, with the label at its place."""
    labels = {"aadpodidbinding": "azure-pod-identity-binding-selector"}
    bind({"metadata": {"name": "web", "labels": labels}})
    kubectl("-n", namespace, "apply", "-f", "-", stdin=tutorial.class_of_2020(usePodIdentity="true", userAssignedIdentityID=""))
    pod = make_pod(volumes=[volume(credentials=None)], labels=labels).wait_running()
    assert pod.read("secret2") == tutorial.SECRETS["secret2"]
    assert_one_request(emulator, namespace, "web")


def test_a_pod_without_a_binding_is_reported(nodes_network, apply_example, bind, emulator, namespace):
    pod = apply_example(FILES[0])
    line = pod.wait_failed_mount()
    assert "nmi response failed with status code: 404, response body: getting assigned identities for pod " in line
    assert f"{namespace}/{pod.name}" in line and "[hint: " in line and "aadpodidbinding" in line
    bind(pod.object)
    assert pod.wait_running(90).read("secret1") == tutorial.SECRETS["secret1"], "it starts by itself"


def test_a_node_without_nmi_is_one_clear_line(nodes_network, apply_example, pod_identity, bind):
    bind(Example(FILES[0]).pod)
    pod_identity.stop_nmi()
    pod = apply_example(FILES[0])
    line = pod.wait_failed_mount()
    assert "no response from NMI [hint: aad-pod-identity must run on this node" in line
    assert "connect to 127.0.0.1:2579: Connection refused" in line
    pod_identity.start_nmi()
    assert pod.wait_running(90).read("secret1") == tutorial.SECRETS["secret1"], "it starts by itself"
