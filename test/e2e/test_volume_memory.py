"""The memory limit of the driver's container, as a kubelet sets it: the volumes of docs/install.md's table fit, and a full one kills nobody.

The volumes are published through the driver's own socket as a kubelet does it, because one node cannot run a thousand pods.
"""

import contextlib
import os
import re
import signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import pytest
from installation import DRIVER, SYSTEM
from node import KUBELET_ROOT

from harness import rpc, tutorial
from harness.process import wait_until

MIB = 1024 * 1024
SOCKET = KUBELET_ROOT / "plugins/csi-secrets-store/csi.sock"
CLASS = "memory"


class Container:
    """The driver's container, and what the kernel says of its memory."""

    def __init__(self, installation):
        self.installation = installation

    @property
    def status(self):
        return self.installation.pods(DRIVER)[0]["status"]["containerStatuses"][0]

    @property
    def pid(self):
        for directory in Path("/proc").iterdir():
            try:
                if directory.name.isdigit() and (directory / "comm").read_text().startswith("secrets-store-d"):
                    return int(directory.name)
            except OSError:
                continue
        return None

    def cgroups(self):
        """The container's and the pod's: (limit, charge, kills for memory) of each."""
        lines = Path(f"/proc/{self.pid}/cgroup").read_text().splitlines()
        paths = {line.split(":")[1]: line.split(":", 2)[2] for line in lines}
        if any("memory" in names.split(",") for names in paths):
            own = Path("/sys/fs/cgroup/memory" + next(path for names, path in paths.items() if "memory" in names.split(",")))
            limit, usage, events, key = "memory.limit_in_bytes", "memory.usage_in_bytes", "memory.oom_control", "oom_kill "
        else:
            own = Path("/sys/fs/cgroup" + paths[""])
            limit, usage, events, key = "memory.max", "memory.current", "memory.events", "oom_kill "
        return [(int((group / limit).read_text()), int((group / usage).read_text()),
                 int(re.search(rf"^{key}(\d+)", (group / events).read_text(), re.MULTILINE).group(1))) for group in (own, own.parent)]


class Volumes:
    """Volumes of pods that nobody runs."""

    def __init__(self, namespace):
        self.namespace = namespace
        self.client = rpc.Client(SOCKET)
        self.targets = {}

    def publish(self, number):
        uid = f"0e2e0000-0000-4000-8000-{number:012d}"
        target = KUBELET_ROOT / "pods" / uid / "volumes/kubernetes.io~csi/secrets/mount"
        request = rpc.publish_request(target, class_name=CLASS, namespace=self.namespace, pod=f"pod-{number}", pod_uid=uid,
                                      secrets=tutorial.CREDENTIALS)
        for attempts_left in reversed(range(3)):
            target.parent.mkdir(parents=True, exist_ok=True)
            try:
                self.client.call(rpc.PUBLISH, request, 120)
                break
            except grpc.RpcError as error:
                # Every two seconds the kubelet removes empty directories of pods that it does not know, this one too if it comes then.
                if not attempts_left or "No such file or directory" not in error.details():
                    raise
        self.targets[uid] = target

    def publish_all(self, numbers):
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(self.publish, numbers))

    def fill(self):
        """Publishes until one is refused; returns the reason."""
        for number in range(5000, 9000):
            try:
                self.publish(number)
            except grpc.RpcError as error:
                return error.code(), error.details()
        raise AssertionError("no volume was refused")

    def unpublish_all(self):
        for uid, target in self.targets.items():
            self.client.call(rpc.UNPUBLISH, rpc.unpublish_request(target, pod_uid=uid), 60)
            with contextlib.suppress(OSError):  # the kubelet may remove the directories of a pod that it does not know
                os.removedirs(target.parent)
        self.targets.clear()

    def reconnect(self):
        self.client.close()
        self.client = rpc.Client(SOCKET)


@pytest.fixture
def container(installation):
    return Container(installation)


@pytest.fixture
def volumes(namespace):
    volumes = Volumes(namespace)
    yield volumes
    volumes.unpublish_all()
    volumes.client.close()


def secrets_of(emulator, count, size):
    names = [f"m{number}" for number in range(count)]
    for name in names:
        emulator.set_secret(name, (name + "-" * size)[:size])
    return names


@pytest.mark.timeout(600)
@pytest.mark.parametrize("number,files,size", [(1000, 10, 100), (100, 42, 24966)], ids=["1,000 of 10 small files", "100 of 1 MiB"])
def test_the_volumes_of_the_table_fit_into_the_limit(container, volumes, make_class, emulator, number, files, size):
    restarts = container.status["restartCount"]
    make_class(secrets_of(emulator, files, size), name=CLASS)
    before = [charge for _, charge, _ in container.cgroups()]
    volumes.publish_all(range(number))
    (limit, charge, kills), (pod_limit, pod_charge, pod_kills) = container.cgroups()
    print(f"{number} volumes of {files} files of {size} bytes: {(charge - before[0]) / MIB:.1f} MiB, {charge / MIB:.1f} of {limit / MIB:.0f} MiB; "
          f"pod {pod_charge / MIB:.1f} of {pod_limit / MIB:.0f}")
    assert limit == pod_limit == 192 * MIB
    assert charge - before[0] > number * files * size and pod_charge >= charge and charge < 160 * MIB
    assert kills == pod_kills == 0 and container.status["restartCount"] == restarts


@pytest.fixture
def small_limit(installation, kubernetes):
    """The driver with the limit of a small node."""
    container = {"name": "secrets-store", "resources": {"limits": {"memory": "40Mi"}}}
    names = [item["name"] for item in installation.daemon_sets[DRIVER]["spec"]["template"]["spec"]["containers"]]
    container["name"] = names[0]
    kubernetes.admin.patch("daemonsets", SYSTEM, DRIVER, {"spec": {"template": {"spec": {"containers": [container]}}}}, kind="strategic-merge")
    installation.wait_rolled_out(DRIVER)
    wait_until(installation.registered, 60, "the driver to be registered", pause=0.2)
    yield
    installation.apply_driver()
    installation.wait_rolled_out(DRIVER)
    wait_until(installation.registered, 60, "the driver to be registered", pause=0.2)


@pytest.mark.timeout(600)
def test_a_driver_that_starts_against_its_limit_comes_up(small_limit, container, volumes, make_class, emulator):
    make_class(secrets_of(emulator, 10, 100), name=CLASS)
    code, message = volumes.fill()
    assert code == grpc.StatusCode.RESOURCE_EXHAUSTED and "no memory for the volume" in message
    restarts, pid = container.status["restartCount"], container.pid
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: container.pid not in (None, pid) and container.status["restartCount"] == restarts + 1 and container.status["ready"], 120,
               "the driver to be ready again", pause=0.5)
    volumes.reconnect()
    print("after the restart:", [(limit // MIB, charge // MIB, kills) for limit, charge, kills in container.cgroups()])
    code, message = volumes.fill()  # its predecessor's volumes count for the pod
    assert code == grpc.StatusCode.RESOURCE_EXHAUSTED and "no memory for the volume" in message
    assert container.status["restartCount"] == restarts + 1 and all(kills == 0 for _, _, kills in container.cgroups())
    volumes.unpublish_all()
    volumes.publish(1)
