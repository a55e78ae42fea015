"""A whole Kubernetes: control plane, scheduler, container runtime, kubelet."""

from images import app_image, pause_image
from node import ADDRESS, NAME, Containerd, Kubectl, Kubelet, NameServer, Scheduler

from cluster.pki import Pki
from cluster.programs import ApiServer, ControllerManager, Etcd
from harness.process import wait_until


class SingleNode:
    def __init__(self, directory, programs):
        self.directory = directory
        self.directory.mkdir(parents=True)
        self.programs = programs
        self.pki = Pki(directory / "pki")
        self.etcd = Etcd(directory)
        self.pki.issue("kubelet-client", "/O=system:masters/CN=kube-apiserver-kubelet-client")
        # on every address, for that of the service is one of this machine's
        self.server = ApiServer(directory, self.etcd, programs, self.pki, port=443, bind="0.0.0.0", flags=[
            f"--kubelet-client-certificate={self.pki.path('kubelet-client.crt')}", f"--kubelet-client-key={self.pki.path('kubelet-client.key')}",
            "--kubelet-preferred-address-types=InternalIP", f"--advertise-address={ADDRESS}", "--enable-admission-plugins=NodeRestriction"])
        self.admin = self.server.admin
        self.name_server = NameServer(directory)
        self.containerd = Containerd(directory)
        for archive in (pause_image(directory), app_image(directory)):
            self.containerd.import_image(archive)
        self.controllers = ControllerManager(directory, self.server, programs, controllers=["*"])
        self.scheduler = Scheduler(directory, self.server, programs)
        self.kubelet = Kubelet(directory, self.server, programs)
        self.kubectl = Kubectl(self.server, programs, directory)
        wait_until(self.node_ready, 120, "the node to be Ready", pause=0.2)

    def node_ready(self):
        assert self.kubelet.process.alive, f"the kubelet ended\n{self.kubelet.log[-5000:]}"
        node = self.admin.find("nodes", None, NAME)
        conditions = node["status"].get("conditions") or [] if node else []
        return any(condition["type"] == "Ready" and condition["status"] == "True" for condition in conditions)

    def destroy(self):
        for process in (self.kubelet.process, self.scheduler, self.controllers, self.containerd, self.name_server, self.server.process, self.etcd):
            if process.alive:
                process.kill()
