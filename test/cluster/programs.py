"""etcd, kube-apiserver and kube-controller-manager as child processes with everything on loopback."""

import json
import shutil
import signal
import subprocess
from pathlib import Path

from cluster.client import Client
from cluster.pki import Pki
from harness.process import ROOT, Process, free_port, wait_until

SERVICE_RANGE = "10.96.0.0/24"
ISSUER = "https://kubernetes.default.svc"
AUDIT_POLICY = {
    "apiVersion": "audit.k8s.io/v1", "kind": "Policy", "omitStages": ["RequestReceived"],
    "rules": [{"level": "None", "users": ["system:apiserver", "system:kube-controller-manager"]},
              {"level": "None", "nonResourceURLs": ["/readyz*", "/healthz*", "/livez*"]},
              {"level": "Metadata"}],
}


def stop_running(popen):
    """Returns when all threads stand: the signal only asks them to."""
    popen.send_signal(signal.SIGSTOP)
    threads = Path(f"/proc/{popen.pid}/task")
    wait_until(lambda: all(") T " in (thread / "stat").read_text() for thread in threads.iterdir()), what="all threads to stop")


def kubernetes_programs(*names):
    """The directory of these programs; builds them when they are not there yet. AssertionError when that is not possible."""
    done = subprocess.run(["bash", ROOT / "test/cluster/get-kubernetes.sh", *names], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          text=True, check=False)
    assert done.returncode == 0, ("kube-apiserver could not be built from its Go module (test/cluster/get-kubernetes.sh); "
                                  f"is there a way to Go modules?\n{done.stderr[-3000:]}")
    return Path(done.stdout.strip())


class Etcd(Process):
    def __init__(self, directory):
        self.port, peer_port = free_port(), free_port()
        program = shutil.which("etcd", path="/usr/bin:/usr/local/bin")
        assert program, "there is no etcd; install etcd-server"
        peer = f"http://127.0.0.1:{peer_port}"
        super().__init__("etcd", [
            program, f"--data-dir={directory}/etcd", f"--listen-client-urls={self.url}", f"--advertise-client-urls={self.url}",
            f"--listen-peer-urls={peer}", f"--initial-advertise-peer-urls={peer}", f"--initial-cluster=default={peer}"], directory)

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"


class ApiServer:
    """kube-apiserver. Can be stopped, killed and started again on the same port."""

    def __init__(self, directory, etcd, programs, pki, port=None, bind="127.0.0.1", flags=()):
        self.directory = Path(directory)
        self.pki = pki
        self.port = port or free_port()
        self.audit_path = self.directory / "audit.log"
        policy = self.directory / "audit-policy.json"
        policy.write_text(json.dumps(AUDIT_POLICY))
        self._argv = [
            programs / "kube-apiserver", f"--etcd-servers={etcd.url}", f"--bind-address={bind}", f"--secure-port={self.port}",
            f"--tls-cert-file={pki.path('apiserver.crt')}", f"--tls-private-key-file={pki.path('apiserver.key')}",
            f"--client-ca-file={pki.path('ca.crt')}", "--authorization-mode=Node,RBAC", "--anonymous-auth=false",
            f"--service-account-issuer={ISSUER}", f"--service-account-key-file={pki.path('sa.pub')}",
            f"--service-account-signing-key-file={pki.path('sa.key')}", f"--service-cluster-ip-range={SERVICE_RANGE}",
            "--endpoint-reconciler-type=none", f"--cert-dir={self.directory}", "--profiling=false", "--allow-privileged=true",
            # on in OpenShift: a change of ownerReferences needs the right to delete the object
            "--enable-admission-plugins=OwnerReferencesPermissionEnforcement",
            f"--audit-policy-file={policy}", f"--audit-log-path={self.audit_path}", "--audit-log-mode=blocking", *flags]
        self.process = None
        self.admin = self.client_as("admin", "/O=system:masters/CN=admin")
        self.start()

    def start(self):
        # two cores serve everything: keep the server to what its clients ask
        self.process = Process("kube-apiserver", self._argv, self.directory, env={"GOGC": "200"})
        self.wait_ready()

    def wait_ready(self, timeout=90):
        def ready():
            assert self.process.alive, f"kube-apiserver ended\n{self.process.log[-4000:]}"
            return self.admin.ready()
        wait_until(ready, timeout, "kube-apiserver to be ready", pause=0.05)

    def stop(self, grace=5):
        """As an upgrade does: SIGTERM, and SIGKILL when it still waits for watches after `grace` seconds."""
        self.process.popen.terminate()
        try:
            self.process.popen.wait(grace)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self):
        self.process.kill(signal.SIGKILL)

    def pause(self):
        """The kernel still accepts connections, and nothing responds."""
        stop_running(self.process.popen)

    def resume(self):
        self.process.popen.send_signal(signal.SIGCONT)

    def client_as(self, name, subject):
        """A client with a certificate of its own."""
        certificate, key = self.pki.issue(name, subject)
        return Client("127.0.0.1", self.port, self.pki.path("ca.crt"), certificate, key)

    def kubeconfig(self, path, server=None, token_file=None, name=None, inline=False):
        """Writes a kubeconfig file: for the token in `token_file`, or for the certificate `name`.crt. Returns its path."""
        user = {"tokenFile": str(token_file)} if token_file else {
            "client-certificate": str(self.pki.path(f"{name}.crt")), "client-key": str(self.pki.path(f"{name}.key"))}
        config = {
            "apiVersion": "v1", "kind": "Config", "current-context": "test",
            "clusters": [{"name": "test", "cluster": {"server": server or f"https://localhost:{self.port}",
                                                      "certificate-authority": str(self.pki.path("ca.crt"))}}],
            "users": [{"name": "test", "user": user}],
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
        }
        Path(path).write_text(json.dumps(config))
        return Path(path)

    def events(self):
        """The audit log so far: one event per request that got a response."""
        if not self.audit_path.exists():
            return []
        return [json.loads(line) for line in self.audit_path.read_text().splitlines()]

    def requests_of(self, user, since=0):
        """The events of one user after the first `since` of events()."""
        return [event for event in self.events()[since:] if event["user"].get("username") == user]


class ControllerManager(Process):
    """kube-controller-manager with the controllers that the tests need."""

    def __init__(self, directory, server, programs, controllers=("garbage-collector-controller", "namespace-controller",
                                                                 "serviceaccount-controller", "root-ca-certificate-publisher-controller",
                                                                 "validatingadmissionpolicy-status-controller")):
        server.pki.issue("controller-manager", "/CN=system:kube-controller-manager")
        config = server.kubeconfig(Path(directory) / "controller-manager.kubeconfig", name="controller-manager")
        super().__init__("kube-controller-manager", [
            programs / "kube-controller-manager", f"--kubeconfig={config}", f"--controllers={','.join(controllers)}",
            f"--root-ca-file={server.pki.path('ca.crt')}", f"--service-account-private-key-file={server.pki.path('sa.key')}",
            "--use-service-account-credentials=true", "--leader-elect=false", "--secure-port=0", f"--cert-dir={directory}"], directory)

    def pause(self):
        """No controller acts until resume()."""
        stop_running(self.popen)

    def resume(self):
        self.popen.send_signal(signal.SIGCONT)


class ControlPlane:
    """All of them, started. `server` is the ApiServer, `admin` its all-powerful client."""

    def __init__(self, directory, programs, controllers=True):
        self.directory = Path(directory)
        self.directory.mkdir(parents=True, exist_ok=True)
        self.programs = programs
        self.pki = Pki(self.directory / "pki")
        self.etcd = Etcd(self.directory)
        self.server = ApiServer(self.directory, self.etcd, programs, self.pki)
        self.admin = self.server.admin
        self.controllers = ControllerManager(self.directory, self.server, programs) if controllers else None

    def destroy(self):
        # etcd and the servers hold nothing that outlives the run: no need to be gentle
        for process in (self.controllers, self.server.process, self.etcd):
            if process is not None and process.alive:
                process.kill()


