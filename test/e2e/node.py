"""The node: containerd and kubelet as child processes, and the scheduler that gives it pods."""

import json
import subprocess
from pathlib import Path

from harness import tutorial
from harness.process import Process, wait_until

NAME = "node-1"
ADDRESS = "10.97.0.1"
NAME_SERVER = "10.96.0.10"
DOMAIN = "cloud.test"  # the emulator's, as pods know it
CLOUD_HOSTS = (f"login.{DOMAIN}", f"{tutorial.VAULT.lower()}.vault.{DOMAIN}")
CONTAINERD_SOCKET = "/run/containerd/containerd.sock"
KUBELET_ROOT = Path("/var/lib/kubelet")
POD_RANGE = "10.244.0.0/24"

CONTAINERD_CONFIG = """\
version = 2
root = "{root}"
state = "/run/containerd"
disabled_plugins = ["io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.devmapper",
                    "io.containerd.snapshotter.v1.zfs", "io.containerd.internal.v1.opt"]
[grpc]
  address = "{socket}"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "localhost/pause:e2e"
  stream_server_address = "127.0.0.1"
  restrict_oom_score_adj = true # where root has not every capability, it cannot lower the score
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "overlayfs"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
      [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
        SystemdCgroup = false
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "{cni}"
"""

# Each pod gets a pair of virtual interfaces; the node's addresses, that of the Kubernetes service among them, are reached through them.
CNI_CONFIG = {"cniVersion": "0.4.0", "name": "pods", "plugins": [{
    "type": "ptp", "ipam": {"type": "host-local", "ranges": [[{"subnet": POD_RANGE}]], "routes": [{"dst": "0.0.0.0/0"}]}}]}


class Containerd(Process):
    def __init__(self, directory):
        directory = Path(directory)
        (directory / "cni").mkdir(parents=True)
        (directory / "cni/pods.conflist").write_text(json.dumps(CNI_CONFIG))
        config = directory / "containerd.toml"
        config.write_text(CONTAINERD_CONFIG.format(root=directory / "containerd", socket=CONTAINERD_SOCKET, cni=directory / "cni"))
        super().__init__("containerd", ["/usr/bin/containerd", "--config", config], directory)
        wait_until(lambda: self._ctr("version").returncode == 0, 60, "containerd to serve", pause=0.1)

    @staticmethod
    def _ctr(*words):
        return subprocess.run(["ctr", "--address", CONTAINERD_SOCKET, "--namespace", "k8s.io", *map(str, words)], capture_output=True,
                              text=True, stdin=subprocess.DEVNULL, check=False)

    def import_image(self, archive, reference=None, tag=None):
        """`tag`: a further name for the image that the archive calls `reference`."""
        done = self._ctr("images", "import", archive)
        assert done.returncode == 0, done.stderr
        if tag is not None:
            done = self._ctr("images", "tag", "--force", reference, tag)
            assert done.returncode == 0, f"{done.stderr}{self._ctr('images', 'list').stdout}"

    def containers(self):
        return self._ctr("containers", "list", "--quiet").stdout.split()


class Kubelet:
    """A kubelet that can be stopped, killed and started again."""

    def __init__(self, directory, server, programs, sync_frequency="5s"):
        self.directory = Path(directory)
        self.server = server
        self.process = None
        server.pki.issue("kubelet", f"/O=system:nodes/CN=system:node:{NAME}")
        kubeconfig = server.kubeconfig(self.directory / "kubelet.kubeconfig", name="kubelet")
        config = {
            "apiVersion": "kubelet.config.k8s.io/v1beta1", "kind": "KubeletConfiguration",
            "containerRuntimeEndpoint": f"unix://{CONTAINERD_SOCKET}", "cgroupDriver": "cgroupfs", "failSwapOn": False,
            "failCgroupV1": False,  # from 1.35 on it would not start on a machine that still has version 1
            "authentication": {"anonymous": {"enabled": False}, "x509": {"clientCAFile": str(server.pki.path("ca.crt"))}},
            "authorization": {"mode": "Webhook"}, "clusterDomain": "cluster.local", "clusterDNS": [NAME_SERVER], "resolvConf": "",
            "readOnlyPort": 0, "address": ADDRESS, "healthzBindAddress": "127.0.0.1", "healthzPort": 10248,
            "evictionHard": {"memory.available": "1Mi"}, "imageGCHighThresholdPercent": 100, "imageMinimumGCAge": "24h",
            # the cadence of republishing: a pod is synced as often as this, times 1 to 1.5
            "syncFrequency": sync_frequency, "volumeStatsAggPeriod": "10s", "nodeStatusUpdateFrequency": "5s",
            "maxPods": 200, "volumePluginDir": str(self.directory / "volume-plugins"), "podLogsDir": "/var/log/pods",
            "registerWithTaints": [], "enforceNodeAllocatable": ["pods"], "kubeAPIQPS": 50, "kubeAPIBurst": 100, "logging": {"verbosity": 2},
        }
        if int(server.admin.request("GET", "/version")["minor"]) >= 35:
            # An image that was pulled from a registry once would otherwise be pulled again under the names it was imported with.
            config["imagePullCredentialsVerificationPolicy"] = "NeverVerify"
        config_path = self.directory / "kubelet.json"
        config_path.write_text(json.dumps(config))
        self._argv = [programs / "kubelet", f"--config={config_path}", f"--kubeconfig={kubeconfig}", f"--root-dir={KUBELET_ROOT}",
                      f"--hostname-override={NAME}", f"--node-ip={ADDRESS}", f"--cert-dir={self.directory / 'kubelet-pki'}"]
        self.start()

    def start(self):
        self.process = Process("kubelet", self._argv, self.directory, env={"GOGC": "200"})

    def stop(self):
        self.process.popen.terminate()
        self.process.popen.wait(60)

    def kill(self):
        self.process.kill()

    @property
    def log(self):
        return self.process.log


class Scheduler(Process):
    def __init__(self, directory, server, programs):
        server.pki.issue("scheduler", "/CN=system:kube-scheduler")
        config = server.kubeconfig(Path(directory) / "scheduler.kubeconfig", name="scheduler")
        super().__init__("kube-scheduler", [programs / "kube-scheduler", f"--kubeconfig={config}", "--leader-elect=false", "--secure-port=0",
                                            f"--cert-dir={directory}"], directory)


class NameServer(Process):
    """The cluster's DNS. It knows the emulator's hosts, which are on the node, and says of all other names that there are none."""

    def __init__(self, directory):
        super().__init__("dnsmasq", [
            "dnsmasq", "--no-daemon", "--conf-file=/dev/null", "--user=root", "--no-resolv", "--no-hosts", "--bind-interfaces",
            f"--listen-address={NAME_SERVER}", f"--host-record={','.join(CLOUD_HOSTS)},{ADDRESS}", "--local=/#/", "--log-facility=-",
            f"--pid-file={directory}/dnsmasq.pid"], directory)


class Kubectl:
    """kubectl with all rights, as a person would type it."""

    def __init__(self, server, programs, directory):
        self.program = programs / "kubectl"
        self.config = server.kubeconfig(Path(directory) / "admin.kubeconfig", name="admin")
        self.directory = directory

    def run(self, *words, stdin=None, timeout=120):
        return subprocess.run([self.program, f"--kubeconfig={self.config}", f"--cache-dir={self.directory}/kubectl-cache", *map(str, words)],
                              input=stdin, capture_output=True, text=True, timeout=timeout, check=False,
                              env={"PATH": "/usr/bin:/bin", "HOME": str(self.directory)})

    def __call__(self, *words, **keywords):
        done = self.run(*words, **keywords)
        assert done.returncode == 0, f"kubectl {' '.join(map(str, words))}: {done.stderr}{done.stdout}"
        return done.stdout
