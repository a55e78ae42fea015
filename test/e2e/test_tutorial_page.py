"""docs/tutorial.md, typed: every block of a section that begins with kubectl goes through a shell as it stands there.

Changed are the image (there is no registry) and the vault's and the identities' names (they are the emulator's).
"""

import os
import subprocess

import pytest
from pods import WORKLOAD_CLIENT

from harness import tutorial
from harness.process import wait_until

POD = "nginx-secrets-store-inline"


class Typist:
    def __init__(self, kubectl, namespace, directory):
        self.kubectl, self.directory = kubectl, directory
        (self.directory / "kubectl").write_text(f'#!/bin/sh\nexec {kubectl.program} --kubeconfig={kubectl.config} -n {namespace} "$@"\n')
        (self.directory / "kubectl").chmod(0o755)

    def type(self, section, only=slice(None), **variables):
        """Types a section's blocks; returns what was shown."""
        blocks = tutorial.typed(section)[only]
        assert blocks, f"nothing to type below {section}"
        variables = {"VAULT": tutorial.VAULT, "TENANT": tutorial.TENANT, **variables}
        script = "\n".join(blocks).replace("image: nginx", "image: localhost/app:e2e")
        done = subprocess.run(["bash", "-euc", script], capture_output=True, text=True, timeout=300, check=False,
                              env={"PATH": f"{self.directory}:{os.environ['PATH']}", "HOME": str(self.kubectl.directory), **variables})
        assert done.returncode == 0, f"{script}\n{done.stdout}{done.stderr}"
        return done.stdout


@pytest.fixture
def typist(kubectl, admin, installation, emulator, tmp_path):
    """In a namespace without credentials and classes: the tutorial makes them. Afterwards everything is cleaned up as the page says."""
    kubectl("create", "namespace", "page")
    wait_until(lambda: admin.find("serviceaccounts", "page", "default"), 30, "the namespace's account", pause=0.1)
    typist = Typist(kubectl, "page", tmp_path)
    yield typist
    typist.type("Clean up")
    kubectl("delete", "namespace", "page", "--wait=true", timeout=180)


def look_and_rotate(typist, emulator, deprecated=()):
    """`deprecated`: the parameters of the class of which an Event has to warn, and nothing else."""
    seen = typist.type("Check the pod")
    # The kubelet mounts the pod's own token volume without us, and in a new namespace may have to try twice.
    warnings = [line for line in seen.splitlines() if "Warning" in line and '"kube-api-access-' not in line]
    assert "Running" in seen and len(warnings) == len(deprecated), warnings
    assert all("ProviderWarning" in line and name in line for line, name in zip(warnings, deprecated)), warnings
    assert seen.endswith(f"secret1\nsecret2\n{tutorial.SECRETS['secret1']}")
    emulator.set_secret("secret1", "a new value")
    wait_until(lambda: typist.type("Rotate").startswith("a new value"), 60, "the new value", pause=0.5)
    wait_until(lambda: "MountRotationComplete" in typist.type("Rotate"), 30, "the event", pause=0.5)


def test_a_service_principal(typist, emulator):
    secret_class_and_pod = slice(0, 3)
    typist.type("Service principal", secret_class_and_pod, AZURE_CLIENT_ID=tutorial.CLIENT_ID, AZURE_CLIENT_SECRET=tutorial.CLIENT_SECRET)
    look_and_rotate(typist, emulator)


def test_an_expired_client_secret(typist, kubectl):
    typist.type("Service principal", slice(0, 3), AZURE_CLIENT_ID=tutorial.CLIENT_ID, AZURE_CLIENT_SECRET="old-and-reset")
    wait_until(lambda: "AADSTS7000215" in kubectl("-n", "page", "describe", f"pod/{POD}"), 60, "the event", pause=0.5)
    made_again = slice(3, 4)
    typist.type("Service principal", made_again, AZURE_CLIENT_ID=tutorial.CLIENT_ID, AZURE_CLIENT_SECRET=tutorial.CLIENT_SECRET)
    kubectl("-n", "page", "wait", "--for=condition=Ready", f"pod/{POD}", "--timeout=90s", timeout=120)


def test_workload_identity(typist, trust, emulator):
    trust("system:serviceaccount:page:contoso-app")
    typist.type("Workload identity", CLIENT_ID=WORKLOAD_CLIENT)
    look_and_rotate(typist, emulator)


def test_the_managed_identity_of_the_node(typist, imds, emulator):
    emulator.set_imds("another", ["kubelet-identity"])
    emulator.set_policy(client_id="kubelet-identity", permissions=["get"])
    typist.type("Managed identity of the node", CLIENT_ID="kubelet-identity")
    look_and_rotate(typist, emulator)
    assert {request["client_id"] for request in emulator.requests("imds")} == {"kubelet-identity"}


def test_pod_identity(typist, nodes_network, pod_identity, emulator):
    emulator.set_policy(client_id="contoso-identity", permissions=["get"])
    variables = {"CLIENT_ID": "contoso-identity", "NODES": "/subscriptions/S/resourcegroups/G"}
    identity_and_binding, class_and_pod = slice(0, 1), slice(1, 3)
    typist.type("Pod identity", identity_and_binding, **variables)
    pod_identity.assign("page", tutorial.applied(tutorial.typed("Pod identity")[2]))
    typist.type("Pod identity", class_and_pod, **variables)
    look_and_rotate(typist, emulator, deprecated=["usePodIdentity"])
    assert {request["headers"]["podname"] for request in emulator.requests("nmi")} == {POD}
