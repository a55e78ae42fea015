"""The tutorial, step by step, with kubectl, as a person types it."""

import os
import pty
import subprocess

import pytest
import yaml
from pods import MOUNT, pod_spec, volume

from harness import tutorial
from harness.process import wait_until

POD = "nginx-secrets-store-inline"


@pytest.fixture
def bare_namespace(kubectl, admin, installation, emulator):
    """Without credentials and classes: the tutorial makes them."""
    kubectl("create", "namespace", "tutorial")
    yield "tutorial"
    kubectl("delete", "namespace", "tutorial", "--wait=true", timeout=180)


def interactive(kubectl, *words):
    """Runs kubectl on a terminal, as `exec -it` wants one; returns what a person would see."""
    leader, follower = pty.openpty()
    process = subprocess.Popen([str(kubectl.program), f"--kubeconfig={kubectl.config}", *words], stdin=follower, stdout=follower, stderr=follower,
                               env={"PATH": "/usr/bin:/bin", "HOME": str(kubectl.directory), "TERM": "dumb"})
    os.close(follower)
    seen = b""
    while True:
        try:
            data = os.read(leader, 4096)
        except OSError:  # the terminal is closed
            break
        if not data:
            break
        seen += data
    os.close(leader)
    assert process.wait(60) == 0, seen
    return seen.decode()


def class_of(version):
    """The tutorial's own text for v1alpha1, tabs and all; for v1 its first line differs."""
    return tutorial.CLASS.replace("/v1alpha1", f"/{version}")


@pytest.mark.parametrize("version", ["v1alpha1", "v1"])
def test_the_tutorial(kubectl, admin, bare_namespace, version):
    in_namespace = ("-n", bare_namespace)
    kubectl(*in_namespace, "create", "secret", "generic", "secrets-store-creds", f"--from-literal=clientid={tutorial.CLIENT_ID}",
            f"--from-literal=clientsecret={tutorial.CLIENT_SECRET}")
    assert "created" in kubectl(*in_namespace, "apply", "-f", "-", stdin=class_of(version))
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": POD},
           "spec": pod_spec([volume("secrets-store-inline")], {"secrets-store-inline": MOUNT})}
    wait_until(lambda: admin.find("serviceaccounts", bare_namespace, "default"), 30, "the namespace's account", pause=0.1)
    kubectl(*in_namespace, "apply", "-f", "-", stdin=yaml.safe_dump(pod))
    kubectl(*in_namespace, "wait", "--for=condition=Ready", f"pod/{POD}", "--timeout=60s", timeout=90)

    listed = kubectl(*in_namespace, "get", "pods")
    assert "Running" in listed and "1/1" in listed
    described = kubectl(*in_namespace, "describe", f"pod/{POD}")
    events = "\n".join(line for line in described[described.index("Events:"):].splitlines()
                       if "kube-api-access" not in line)  # another volume: a kubelet that starts a pod of a new namespace may not have it yet
    assert "Normal" in events and "Warning" not in events, "all event types are displayed as Normal"
    assert interactive(kubectl, *in_namespace, "exec", "-it", POD, "--", "ls", f"{MOUNT}/").split() == ["secret1", "secret2"]
    for name, value in tutorial.SECRETS.items():
        assert interactive(kubectl, *in_namespace, "exec", "-it", POD, "--", "cat", f"{MOUNT}/{name}") == value
    kubectl(*in_namespace, "delete", "pod", POD, timeout=120)


def test_credentials_that_are_made_again_after_an_expired_one(kubectl, make_class, make_pod, namespace, emulator):
    """The tutorial's note: an invalid client secret shows; delete the Secret, create it again, and the pod starts."""
    make_class()
    kubectl("-n", namespace, "delete", "secret", "secrets-store-creds")
    kubectl("-n", namespace, "create", "secret", "generic", "secrets-store-creds", f"--from-literal=clientid={tutorial.CLIENT_ID}",
            "--from-literal=clientsecret=old-and-reset")
    pod = make_pod()
    wait_until(lambda: any("AADSTS7000215" in event["message"] for event in pod.failed_mounts()), 60, "the event", pause=0.2)
    assert "old-and-reset" not in pod.describe()
    kubectl("-n", namespace, "delete", "secret", "secrets-store-creds")
    kubectl("-n", namespace, "create", "secret", "generic", "secrets-store-creds", f"--from-literal=clientid={tutorial.CLIENT_ID}",
            f"--from-literal=clientsecret={tutorial.CLIENT_SECRET}")
    assert pod.wait_running(90).read("secret1") == tutorial.SECRETS["secret1"]
