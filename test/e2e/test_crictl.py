"""The recipes for crictl of docs/neighbours.md, typed as they stand there: our containers, whose images hold no shell, as the node sees them."""

import json
import re
import shlex
import subprocess

import pytest
from installation import DRIVER, PROVIDER
from node import CONTAINERD_SOCKET
from pods import MOUNT

from harness.process import ROOT, wait_until

PAGE = (ROOT / "docs/neighbours.md").read_text().split("## Images without a shell\n")[1]
TYPED = {words[1]: words for words in (shlex.split(line, comments=True) for line in re.findall(r"^    (crictl .*)$", PAGE, re.MULTILINE))}


@pytest.fixture(scope="module")
def crictl():
    """crictl(words, container): types them, with this container's ID for CONTAINER."""
    built = subprocess.run(["bash", ROOT / "test/e2e/get-crictl.sh"], stdout=subprocess.PIPE, text=True, check=True, timeout=900)
    program = built.stdout.strip()

    def run(words, container=""):
        words = [program, *(container if word == "CONTAINER" else word for word in words[1:])]
        return subprocess.run(words, capture_output=True, text=True, timeout=60, check=False, stdin=subprocess.DEVNULL, env={
            "PATH": "/usr/bin:/bin", "HOME": "/nonexistent", "CONTAINER_RUNTIME_ENDPOINT": f"unix://{CONTAINERD_SOCKET}"})
    return run


@pytest.fixture
def type_it(crictl):
    """type_it("logs", container): the output of the page's command, which succeeds."""
    def run(command, container=""):
        done = crictl(TYPED[command], container)
        assert done.returncode == 0, (TYPED[command], done.stdout, done.stderr)
        return done.stdout
    return run


def container_of(pod):
    (status,) = pod["status"]["containerStatuses"]
    return status["containerID"].removeprefix("containerd://")


@pytest.fixture
def daemons(installation):
    """{DaemonSet: (ID of its container, name of its container)}"""
    found = {}
    for name in (DRIVER, PROVIDER):
        wait_until(lambda name=name: len(installation.pods(name)) == 1, 60, f"one pod of {name}", pause=0.2)
        (pod,) = installation.pods(name)
        found[name] = container_of(pod), pod["status"]["containerStatuses"][0]["name"]
    return found


def test_the_page_has_the_commands():
    assert set(TYPED) == {"ps", "logs", "inspect", "exec"}


def test_both_programs_are_listed(type_it, daemons):
    lines = type_it("ps").splitlines()[1:]
    assert sorted(line.split()[0] for line in lines) == sorted(container[:13] for container, _ in daemons.values())
    for _, name in daemons.values():
        assert any(name in line.split() and "Running" in line.split() for line in lines), lines


@pytest.mark.parametrize("name, program", [(DRIVER, "secrets-store-driver"), (PROVIDER, "secrets-store-provider-azure")])
def test_a_program_is_inspected(type_it, daemons, name, program):
    container, container_name = daemons[name]
    seen = json.loads(type_it("inspect", container))
    assert seen["status"]["id"] == container and seen["status"]["metadata"]["name"] == container_name
    assert seen["status"]["state"] == "CONTAINER_RUNNING"
    assert seen["status"]["image"]["image"].rpartition(":")[0] == f"localhost/{program}"  # of several tags of one image, containerd shows any
    arguments = seen["info"]["runtimeSpec"]["process"]["args"]
    assert arguments[0] == f"/usr/local/bin/{program}" and any(word.startswith("--endpoint=unix://") for word in arguments)


def test_a_log_is_read_on_the_node(crictl, daemons, installation):
    container, _ = daemons[DRIVER]
    done = crictl(TYPED["logs"], container)
    assert done.returncode == 0, done.stderr
    first = installation.logs(DRIVER).splitlines()[0]
    assert first and first in done.stdout + done.stderr


def test_a_program_of_the_image_runs_and_a_shell_is_not_there(crictl, type_it, daemons):
    container, _ = daemons[DRIVER]
    assert (ROOT / "VERSION").read_text().strip() in type_it("exec", container)
    done = crictl(["crictl", "exec", "CONTAINER", "sh"], container)
    assert done.returncode != 0 and "executable file not found" in done.stdout + done.stderr


def test_the_volume_is_among_the_mounts_of_a_users_container(type_it, make_class, make_pod):
    make_class()
    pod = make_pod().wait_running()
    seen = json.loads(type_it("inspect", container_of(pod.object)))
    (mount,) = [mount for mount in seen["status"]["mounts"] if mount["containerPath"] == MOUNT]
    assert mount["hostPath"] == str(pod.target()) and mount["readonly"]
