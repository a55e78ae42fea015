"""--remove-startup-taint: the node takes pods when the driver serves it, not earlier and not later."""

import subprocess

import pytest
from proto import pluginregistration_pb2

from harness import rpc
from harness.process import BUILD, wait_until

KEY = "secrets-store.csi.k8s.io/agent-not-ready"
OURS = {"key": KEY, "effect": "NoExecute"}
OTHER = {"key": "other.example/not-ready", "value": "x", "effect": "NoSchedule"}


def put_node(emulator, taints):
    emulator.put_object("nodes", {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "node-1"},
                                                 "spec": {"podCIDR": "10.0.0.0/24", "taints": taints}})


def taints(emulator):
    return emulator.control("GET", "/kube/nodes/-/node-1")["spec"].get("taints")


@pytest.fixture
def tainted(node, start_driver, emulator):
    """Starts the driver on a node with both taints; returns (driver, a function that registers it as the kubelet does)."""
    put_node(emulator, [OTHER, OURS, {**OURS, "effect": "NoSchedule"}])
    driver = start_driver(f"--kubeconfig={emulator.kubeconfig}", f"--registration-dir={node.registry}", "--remove-startup-taint",
                          standalone=False)
    socket = node.registry / "secrets-store.csi.k8s.io-reg.sock"
    wait_until(socket.exists, what="the registration socket")

    def register(registered=True):
        with rpc.Client(socket) as client:
            client.call(rpc.NOTIFY, pluginregistration_pb2.RegistrationStatus(plugin_registered=registered))
    yield driver, register
    emulator.clear_faults()
    emulator.control("DELETE", "/kube/nodes/-/node-1")


def node_requests(emulator):
    return [(request["method"], request["status"]) for request in emulator.requests("kube") if "/nodes/" in request["path"]]


def test_the_taint_is_removed_when_the_driver_is_registered_and_others_stay(tainted, emulator):
    driver, register = tainted
    assert len(taints(emulator)) == 3
    assert node_requests(emulator) == []  # not before
    register()
    wait_until(lambda: taints(emulator) == [OTHER], what="the taint to go")
    assert emulator.control("GET", "/kube/nodes/-/node-1")["spec"]["podCIDR"] == "10.0.0.0/24"
    assert node_requests(emulator) == [("GET", 200), ("PATCH", 200)]
    wait_until(lambda: "the start-up taint is removed" in driver.log, what="the line in the log")
    register()  # the kubelet has restarted: a read, no write
    wait_until(lambda: node_requests(emulator)[2:] == [("GET", 200)], what="the second read")


def test_a_taint_that_is_changed_meanwhile_is_not_lost(tainted, emulator):
    _, register = tainted
    added = {"key": "added.example/meanwhile", "effect": "NoSchedule"}
    # the first PATCH arrives late: until then another client writes the node
    emulator.add_fault("latency", service="kube", method="PATCH", path_contains="/nodes/", count=1, latency_ms=1)
    emulator.add_fault("status", service="kube", method="PATCH", path_contains="/nodes/", status=409, count=1)
    put_node(emulator, [OURS, added])
    register()
    wait_until(lambda: taints(emulator) == [added], what="the taint to go")
    assert [status for method, status in node_requests(emulator) if method == "PATCH"] == [409, 200]


def test_trouble_is_logged_and_tried_again(tainted, emulator):
    driver, register = tainted
    emulator.add_fault("status", service="kube", method="PATCH", path_contains="/nodes/", status=403, count=1)
    register()
    wait_until(lambda: "get and patch on nodes must be allowed" in driver.log, what="the error")
    wait_until(lambda: taints(emulator) == [OTHER], what="the second try")


def test_a_refused_registration_removes_nothing(tainted, emulator):
    _, register = tainted
    register(registered=False)
    assert node_requests(emulator) == []
    assert len(taints(emulator)) == 3


@pytest.mark.parametrize("flags, word", [
    (["--remove-startup-taint"], "--registration-dir"),
    (["--remove-startup-taint", "--registration-dir=/tmp", "--class-dir=/tmp"], "Kubernetes API"),
])
def test_the_rights_that_the_option_needs_are_named(node, flags, word):
    run = subprocess.run([BUILD / "bin/secrets-store-driver", f"--endpoint=unix://{node.csi_socket}", "--nodeid=n", "--metrics-addr=0", *flags],
                         capture_output=True, text=True, timeout=30, check=False)
    assert run.returncode == 1
    assert word in run.stderr
