"""node.py - driver and provider of one build, and a generator in the kubelet's place that mounts volumes and measures."""

import subprocess
import time

from growth import cloud
from harness.process import BUILD, ROOT, Process, wait_until

PROGRAMS = {"static": ROOT / "build/static/bin", "dynamic": BUILD / "bin"}
OWN_MOUNTS = ["unshare", "--mount", "--propagation", "private", "--"]  # what one node mounts is not in the way of another


def cpu_ms(process):
    """The processor time of all its threads, in the kernel's own unit: of the clock that clock_getcpuclockid(3) names."""
    return time.clock_gettime((~process.pid << 3) | 2) * 1000


class Node:
    def __init__(self, directory, emulator, build):
        self.directory, self.emulator, self.programs = directory, emulator, PROGRAMS[build]
        self.driver = self.provider = None
        for name in ("providers", "kubelet/pods"):
            (directory / name).mkdir(parents=True)
        for name, text in (("clientid", cloud.CLIENT_ID), ("clientsecret", cloud.SECRET)):
            (directory / name).write_text(text)
        self._passes = 0

    def start(self):
        """Starts both programs again: what they keep and have allocated is gone."""
        self.stop()
        provider_socket, socket = self.directory / "providers/azure.sock", self.directory / "csi.sock"
        self.provider = Process("provider", [self.programs / "secrets-store-provider-azure", f"--endpoint=unix://{provider_socket}",
                                             "--cloud-name=AzureStackCloud", "--healthz-port=0", "--prometheus-port=0"], self.directory,
                                env=self.emulator.provider_environment())
        wait_until(provider_socket.exists, what="the provider to serve")
        self.driver = Process("driver", [*OWN_MOUNTS, self.programs / "secrets-store-driver", f"--endpoint=unix://{socket}",
                                         f"--nodeid={self.directory.name}", "--class-dir=", f"--kubeconfig={self.emulator.kubeconfig}",
                                         f"--provider-volume={self.directory}/providers",
                                         "--additional-provider-volume-paths=", "--metrics-addr=0", "--health-addr=0", "--registration-dir=",
                                         "--enable-secret-rotation=true", "--rotation-poll-interval=1h"], self.directory)
        wait_until(socket.exists, what="the driver to serve")
        self.settle()

    def stop(self):
        for process in (self.driver, self.provider):
            if process is not None:
                process.stop()
        for socket in ("csi.sock", "providers/azure.sock"):
            (self.directory / socket).unlink(missing_ok=True)
        self.driver = self.provider = None

    def settle(self):
        """Until both programs have done what a mount leaves for later (the status of a pod)."""
        def used():
            return cpu_ms(self.driver) + cpu_ms(self.provider)
        before = None
        for _ in range(200):
            now = used()
            if before is not None and now - before < 0.2:
                return
            before = now
            time.sleep(0.03)

    def mount_and_remove(self, class_name, volumes, *flags):
        """The figures of both. No kubelet removes a volume before its status is written: over HTTP/1.1, to give up a request that was sent costs its
        connection."""
        self._passes += 1
        prefix = f"pass{self._passes}"
        mounted = self.mount(class_name, volumes, *flags, prefix=prefix)
        removed = self.remove(class_name, volumes, *flags, prefix=prefix)
        both = {name: mounted[name] + removed[name] for name in ("driver_cpu_ms", "provider_cpu_ms")}
        return {**removed, **both, "latency_ms": mounted["latency_ms"]}

    def mount(self, class_name, volumes, *flags, prefix):
        """Mounts volumes, one after the other; the figures of the whole pass."""
        return self._pass(class_name, volumes, "--keep", *flags, prefix=prefix)

    def remove(self, class_name, volumes, *flags, prefix):
        """Removes what mount() has mounted; the figures of the whole pass."""
        return self._pass(class_name, volumes, "--only-unpublish", *flags, prefix=prefix)

    def _pass(self, class_name, volumes, *flags, prefix):
        self.settle()
        before = {name: cpu_ms(process) for name, process in (("driver", self.driver), ("provider", self.provider))}
        words = subprocess.run(
            [BUILD / "bin/secrets-store-bench", f"--endpoint={self.directory}/csi.sock", f"--kubelet-dir={self.directory}/kubelet",
             f"--clientid-file={self.directory}/clientid", f"--clientsecret-file={self.directory}/clientsecret", f"--class={class_name}",
             f"--volumes={volumes}", f"--prefix={self.directory.name}-{prefix}", *flags],
            check=True, capture_output=True, text=True).stdout.split()
        self.settle()
        said = dict(word.split("=") for word in words)
        return {"driver_cpu_ms": cpu_ms(self.driver) - before["driver"], "provider_cpu_ms": cpu_ms(self.provider) - before["provider"],
                "latency_ms": float(said["publish_p50_us"]) / 1000, **self.sizes()}

    def sizes(self):
        return {"driver_kib": self.driver.rss_kib(), "provider_kib": self.provider.rss_kib(),
                "driver_fds": self.driver.fd_count(), "provider_fds": self.provider.fd_count()}
