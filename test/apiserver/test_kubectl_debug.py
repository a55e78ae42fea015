"""The recipes for images without a shell, typed into the real kubectl: what it makes of them. (No kubelet runs the containers here.)"""

import re
import shlex
import subprocess

import pytest

from cluster.programs import kubernetes_programs
from harness.process import ROOT

PAGE = (ROOT / "docs/neighbours.md").read_text().split("## Images without a shell\n")[1]
TROUBLE = (ROOT / "docs/troubleshooting.md").read_text()


def commands(text):
    """The indented lines of a page, continued ones joined, comments off."""
    lines = re.sub(r"\\\n +", "", "\n".join(line[4:] for line in text.splitlines() if line.startswith("    "))).splitlines()
    return [shlex.split(line, comments=True) for line in lines]


@pytest.fixture
def kubectl(server, scratch):
    """kubectl(words): types them, without a terminal and without waiting for a container."""
    program = kubernetes_programs("kubectl") / "kubectl"
    server.client_as("debugger", "/O=system:masters/CN=debugger")
    config = server.kubeconfig(scratch / "kubeconfig", name="debugger")

    def run(words):
        at = words.index("--")
        done = subprocess.run([program, f"--kubeconfig={config}", *[word for word in words[1:at] if word != "-it"], "--attach=false", *words[at:]],
                              capture_output=True, text=True, timeout=60, check=False, env={"HOME": str(scratch), "PATH": "/usr/bin:/bin"})
        assert done.returncode == 0, (words, done.stdout, done.stderr)
        return done.stdout
    return run


@pytest.fixture
def a_node(admin):
    admin.create({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "node-1"}})
    yield "node-1"
    admin.delete("nodes", None, "node-1")


@pytest.mark.parametrize("page, command", [(PAGE, "info"), (TROUBLE, "diagnose")])
def test_a_debugging_pod_of_a_node_has_the_nodes_root_and_the_rights_to_use_its_sockets(kubectl, admin, namespace, a_node, page, command):
    (words,) = [words for words in commands(page) if words[:2] == ["kubectl", "debug"] and words[2].startswith("node/")]
    words = [word.replace("NODE", a_node).replace("REGISTRY", "registry.example").replace("VERSION", "1.0") for word in words]
    before = {pod["metadata"]["name"] for pod in admin.list("pods", namespace)}
    kubectl([words[0], words[1], f"--namespace={namespace}", *words[2:]])
    (pod,) = [pod for pod in admin.list("pods", namespace) if pod["metadata"]["name"] not in before]
    (container,) = pod["spec"]["containers"]
    assert pod["spec"]["nodeName"] == a_node and container["image"] == "registry.example/secrets-store-ctl:1.0"
    assert container["command"][:2] == ["/usr/local/bin/secrets-store-ctl", command] and "--host-root=/host" in container["command"]
    assert {"name": "host-root", "mountPath": "/host"}.items() <= next(mount for mount in container["volumeMounts"] if mount["name"] == "host-root").items()
    assert [volume["hostPath"]["path"] for volume in pod["spec"]["volumes"] if volume["name"] == "host-root"] == ["/"]
    assert container["securityContext"]["privileged"]


def test_a_debugging_container_sees_the_files_of_the_driver(kubectl, admin, namespace):
    admin.create({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "driver"}, "spec": {
        "nodeName": "node-1", "containers": [{"name": "secrets-store", "image": "registry.example/secrets-store-driver:1.0"}]}}, namespace)
    (words,) = [words for words in commands(PAGE) if words[:2] == ["kubectl", "debug"] and "POD" in words]
    words = [{"POD": "driver", "kube-system": namespace}.get(word, word) for word in words]
    kubectl(words)
    (container,) = admin.get("pods", namespace, "driver")["spec"]["ephemeralContainers"]
    assert container["targetContainerName"] == "secrets-store"  # shares its processes: /proc/1/root is the driver's
    daemon = (ROOT / "manifests/deploy/driver.yaml").read_text()
    assert "- name: secrets-store\n" in daemon and container["command"] == ["sh"]
    admin.delete("pods", namespace, "driver", gracePeriodSeconds=0)
