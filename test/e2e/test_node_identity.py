"""The managed identity of the node, from the metadata service at its own address; the provider in the pods' network, as it is installed."""

import ipaddress

import pytest
from azure_node import IMDS, pods_kept_from_imds, query_of
from node import POD_RANGE
from pods import volume

from harness import tutorial
from harness.process import wait_until

SYSTEM, USER = "the-nodes-own", "assigned-by-the-user"
EXAMPLE_USER = "00000000-0000-0000-0000-000000000002"
SYSTEM_FILE, USER_FILE = "vm-managed-identity-system.yaml", "vm-managed-identity-user.yaml"


def allow(emulator, client_id):
    emulator.set_policy(client_id=client_id, permissions=["get"])


def assert_one_request(emulator, imds, client_id, parameters=None):
    """IMDS got one request, exactly as documented, from a pod's address; and the vault one of the requested identity."""
    (request,) = emulator.requests("imds")
    assert (request["method"], request["host"], request["status"], request["client_id"]) == ("GET", IMDS[0], 200, client_id)
    assert request["path"].startswith("/metadata/identity/oauth2/token?")
    assert query_of(request) == {"api-version": "2018-02-01", "resource": emulator.vault_resource, **(parameters or {})}
    assert request["headers"] == {"Metadata": "true"}
    assert all(ipaddress.ip_address(peer) in ipaddress.ip_network(POD_RANGE) for peer in imds.peers), "the provider is in the pods' network"
    assert {request["client_id"] for request in emulator.requests("vault") if request["status"] == 200} == {client_id}


def test_the_system_assigned_identity(apply_example, emulator, imds):
    emulator.set_imds(SYSTEM)
    allow(emulator, SYSTEM)
    pod = apply_example(SYSTEM_FILE).wait_running()
    assert pod.read("secret1") == tutorial.SECRETS["secret1"]
    assert pod.failed_mounts() == []
    assert_one_request(emulator, imds, SYSTEM)


def test_a_user_assigned_identity(apply_example, emulator, imds):
    emulator.set_imds(SYSTEM, [USER])
    allow(emulator, USER)
    pod = apply_example(USER_FILE, {EXAMPLE_USER: USER}).wait_running()
    assert pod.read("secret1") == tutorial.SECRETS["secret1"]
    assert pod.failed_mounts() == []
    assert_one_request(emulator, imds, USER, {"client_id": USER})


@pytest.mark.parametrize("client_id", ["", "assigned-in-2020"])
def test_a_class_of_2020(kubectl, namespace, make_pod, emulator, imds, client_id):
    """The old tutorial's class (v1alpha1), with the identity that its comments name."""
    emulator.set_imds("own-in-2020", ["assigned-in-2020"])
    allow(emulator, client_id or "own-in-2020")
    kubectl("-n", namespace, "apply", "-f", "-", stdin=tutorial.class_of_2020(useVMManagedIdentity="true", userAssignedIdentityID=client_id))
    pod = make_pod(volumes=[volume(credentials=None)]).wait_running()
    assert pod.read("secret2") == tutorial.SECRETS["secret2"]
    assert_one_request(emulator, imds, client_id or "own-in-2020", {"client_id": client_id} if client_id else None)


@pytest.mark.parametrize("file, edits, needed, words", [
    (USER_FILE, {EXAMPLE_USER: "given-later"}, "given-later", ["the requested identity isn't assigned to this resource", "Identity not found"]),
    (SYSTEM_FILE, {}, "had-later", ["failed to authenticate a system assigned identity", "Identity not found"]),
], ids=["user", "system"])
def test_an_identity_that_the_node_has_not_is_one_clear_line(apply_example, emulator, imds, file, edits, needed, words):
    pod = apply_example(file, edits)
    line = pod.wait_failed_mount()
    for word in ("IMDS refused (HTTP 400)", "[hint: ", *words):
        assert word in line
    assert not pod.ready

    emulator.set_imds(needed, [needed])
    allow(emulator, needed)
    assert pod.wait_running(90).read("secret1") == tutorial.SECRETS["secret1"], "it starts by itself"


def test_a_rotated_secret_appears(apply_example, emulator, imds):
    emulator.set_imds(SYSTEM)
    allow(emulator, SYSTEM)
    pod = apply_example(SYSTEM_FILE).wait_running()
    before = len(emulator.requests("imds"))
    emulator.set_secret("secret1", "rotated value")
    wait_until(lambda: pod.read("secret1") == "rotated value", 60, "the new value in the pod", pause=0.5)
    assert len(emulator.requests("imds")) == before, "the token still holds"


def test_where_pods_may_not_reach_it_the_provider_needs_the_nodes_network(apply_example, emulator, imds, request):
    emulator.set_imds(SYSTEM)
    allow(emulator, SYSTEM)
    with pods_kept_from_imds():
        pod = apply_example(SYSTEM_FILE)
        line = pod.wait_failed_mount()
        assert "no response from IMDS [hint: " in line and "hostNetwork" in line and f"connect to {IMDS[0]}:80" in line
        assert imds.peers == []
        request.getfixturevalue("nodes_network")
        assert pod.wait_running(90).read("secret1") == tutorial.SECRETS["secret1"], "the pod that waits starts"
    assert set(imds.peers) == {IMDS[0]}, "the node's own address for what it sends to this one"
