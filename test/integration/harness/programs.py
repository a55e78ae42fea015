"""The two daemons and a stand-in for the kubelet's directories."""

import re
import time
from pathlib import Path

import grpc

from harness import rpc
from harness.http_get import get
from harness.process import BUILD, PATIENCE, SANITIZED, Process, free_port, wait_until

CLASS_YAML = """\
apiVersion: secrets-store.csi.x-k8s.io/v1
kind: SecretProviderClass
metadata:
  name: {name}
  namespace: {namespace}
spec:
  provider: {provider}
  parameters:
    colour: blue
"""


# Tests end at the first system call that the sandbox does not know. Tools that run a program inside themselves make calls of their own, and so do
# the code that writes coverage and the sanitizers, which search for leaks from another process.
def sandbox_flag(wrapper=()):
    inside = any(Path(str(word)).name in ("valgrind", "strace") for word in wrapper)
    return "--sandbox=off" if inside or SANITIZED or "coverage" in BUILD.name else "--sandbox=kill"


class Node:
    """The directories of one node, below a short path (socket paths are limited to 107 bytes)."""

    def __init__(self, directory):
        self.directory = Path(directory)
        self.kubelet = self.directory / "kubelet"
        self.providers = self.directory / "providers"
        self.classes = self.directory / "classes"
        self.registry = self.kubelet / "plugins_registry"
        self.csi_socket = self.kubelet / "csi.sock"
        for path in (self.kubelet / "pods", self.providers, self.classes, self.registry):
            path.mkdir(parents=True)

    def target(self, pod_uid=rpc.POD_UID, volume="secrets"):
        """The target path; makes what the kubelet makes, that is everything but the last component."""
        path = self.kubelet / "pods" / pod_uid / "volumes/kubernetes.io~csi" / volume / "mount"
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o750)
        return path

    def add_class(self, name="azure-kvname", provider="scripted", namespace="default", text=None):
        text = text if text is not None else CLASS_YAML.format(name=name, provider=provider, namespace=namespace)
        # appear whole, as files of a configuration tool do
        temporary = self.directory / f".{name}.yaml"
        temporary.write_text(text)
        temporary.rename(self.classes / f"{namespace}-{name}.yaml")

    def provider_socket(self, name="scripted"):
        return self.providers / f"{name}.sock"


class Driver(Process):
    """secrets-store-driver. `flags` are added; a flag given twice wins the second time."""

    def __init__(self, node, flags=(), standalone=True, name="driver", wrapper=(), env=None):
        self.node = node
        self.metrics_port = free_port()
        argv = [*wrapper, BUILD / "bin/secrets-store-driver", f"--endpoint=unix://{node.csi_socket}", "--nodeid=node-1",
                f"--provider-volume={node.providers}", "--additional-provider-volume-paths=",
                f"--metrics-addr=127.0.0.1:{self.metrics_port}", sandbox_flag(wrapper), *self.default_flags(node, standalone), *flags]
        super().__init__(name, argv, node.directory, env=env)
        self.client = None
        self.wait_ready(120 if wrapper else 20)  # valgrind and the like take their time

    @staticmethod
    def default_flags(node, standalone):
        flags = ["-v=5", "--health-addr=0", "--registration-dir="]
        return [*flags, f"--class-dir={node.classes}"] if standalone else flags

    def wait_ready(self, timeout=60):
        deadline = time.monotonic() + timeout * PATIENCE
        while True:
            if not self.alive:
                raise AssertionError(f"the driver ended with status {self.popen.returncode}\n{self.log[-4000:]}")
            if self.node.csi_socket.exists():
                self.client = rpc.Client(self.node.csi_socket)
                try:
                    self.client.call(rpc.PROBE, timeout=5)
                    break
                except grpc.RpcError:
                    self.client.close()
            if time.monotonic() > deadline:
                raise AssertionError(f"the driver does not serve\n{self.log[-4000:]}")
            time.sleep(0.002)

    def responds(self):
        """Alive, and not about to end by a signal that it has got: the thread that would end has to send this response."""
        try:
            self.client.call(rpc.PROBE)
        except grpc.RpcError:
            return False
        return True

    def publish(self, request, timeout=30):
        return self.client.call(rpc.PUBLISH, request, timeout)

    def unpublish(self, request, timeout=30):
        return self.client.call(rpc.UNPUBLISH, request, timeout)

    def publish_failure(self, request, timeout=30):
        return rpc.failure(self.publish, request, timeout)

    def metrics(self):
        return get(self.metrics_port, "/metrics")[1]

    def destroy(self):
        if self.client is not None:
            self.client.close()
        super().destroy()


class Azure(Process):
    """secrets-store-provider-azure, with the emulator as its cloud. `env` is added; None removes a variable."""

    def __init__(self, node, emulator, flags=(), name="azure", wrapper=(), socket_name="azure", env=None):
        self.socket = node.provider_socket(socket_name)
        self.health_port = free_port()
        self.metrics_port = free_port()
        argv = [*wrapper, BUILD / "bin/secrets-store-provider-azure", f"--endpoint=unix://{self.socket}",
                f"--healthz-port={self.health_port}", f"--prometheus-port={self.metrics_port}",
                "--cloud-name=AzureStackCloud", "-v=5", sandbox_flag(wrapper), *flags]
        environment = {**emulator.provider_environment(), **(env or {})}
        super().__init__(name, argv, node.directory, env={key: value for key, value in environment.items() if value is not None})
        self.wait_ready(120 if wrapper else 20)  # valgrind and the like take their time

    def wait_ready(self, timeout=60):
        def serves():
            assert self.alive, f"the provider ended with status {self.popen.returncode}\n{self.log[-4000:]}"
            if not self.socket.exists():
                return False
            try:
                with rpc.Client(self.socket) as client:
                    return client.call("/v1alpha1.CSIDriverProvider/Version", timeout=5)
            except grpc.RpcError:
                return False
        wait_until(serves, timeout, f"the provider to serve\n{self.log[-2000:]}")

    def metrics(self):
        return get(self.metrics_port, "/metrics")[1]


def metric_sum(text, name, **labels):
    """Adds up the samples of `name` that carry all `labels`."""
    total = 0.0
    for line in text.splitlines():
        match = re.match(r"^(\w+)(\{(.*)\})? (\S+)$", line)
        if match and match.group(1) == name:
            have = dict(re.findall(r'(\w+)="((?:[^"\\]|\\.)*)"', match.group(3) or ""))
            if all(have.get(key) == value for key, value in labels.items()):
                total += float(match.group(4))
    return total
