"""The programs of others, started as ours are."""

import os
from pathlib import Path

from harness import programs
from harness.process import Process, free_port

NODE_PORT = 2579  # NMI's
PEERS = Path(os.environ.get("PEERS_DIR", "build/interop/peers"))


class GoDriver(programs.Driver):
    """The Go driver. It needs an API server; `kubeconfig` names it."""

    def __init__(self, node, kubeconfig, flags=(), name="go-driver"):
        self.node = node
        self.metrics_port = free_port()
        node.csi_socket.unlink(missing_ok=True)
        argv = [PEERS / "driver", f"--endpoint=unix://{node.csi_socket}", "--nodeid=node-1", f"--provider-volume={node.providers}",
                f"--additional-provider-volume-paths={node.directory}/none", f"--metrics-addr=127.0.0.1:{self.metrics_port}",
                f"--kubeconfig={kubeconfig}", "-v=5", *flags]
        Process.__init__(self, name, argv, node.directory)
        self.client = None
        self.wait_ready()

    def destroy(self):
        """It need not end with status 0."""
        if self.client is not None:
            self.client.close()
        if self.alive:
            self.kill(15)


class GoAzure(programs.Azure):
    """The Go provider for Azure, with the emulator as its cloud."""

    def __init__(self, node, emulator, flags=(), name="go-azure", socket_name="azure", env=None):
        self.socket = node.provider_socket(socket_name)
        self.socket.unlink(missing_ok=True)
        self.health_port = free_port()
        self.metrics_port = free_port()
        argv = [PEERS / "azure", f"--endpoint=unix://{self.socket}", f"--healthz-port={self.health_port}",
                f"--prometheus-port={self.metrics_port}", "--cloud-name=AzureStackCloud", "-v=5", *flags]
        Process.__init__(self, name, argv, node.directory, env={**emulator.provider_environment(), **(env or {})})
        self.wait_ready()

    def destroy(self):
        if self.alive:
            self.kill(15)
