"""secrets-store-ctl diagnose without the Kubernetes API: a fault in each link between a vault and a pod, found on the node and named."""

import json
import os
import shutil
import subprocess

import pytest

from harness import mounts, rpc, tutorial
from harness.ctl import BAD_USAGE, FAILED_HERE, FOUND, ctl
from harness.process import wait_until

CHECKS = ["driver", "registered", "class", "provider", "token", "vault", "volume"]


class Chain:
    """A node with everything that a mounted volume of the tutorial needs, to break one link of."""

    def __init__(self, node, emulator, start_driver, start_azure):
        self.node, self.emulator = node, emulator
        self.start_driver, self.start_azure = start_driver, start_azure
        self.class_file = node.directory / "class.yaml"
        self.class_file.write_text(tutorial.CLASS)
        self.credentials = node.directory / "creds"
        self.credentials.mkdir()
        self.put_credentials(**tutorial.CREDENTIALS)

    def put_credentials(self, **values):
        for key, value in values.items():
            (self.credentials / key).write_text(value)

    def start(self, publish=True, registered=True, **keywords):
        self.node.add_class(text=tutorial.CLASS)
        self.driver = self.start_driver(*([f"--registration-dir={self.node.registry}"] if registered else []), **keywords)
        self.azure = self.start_azure()
        if registered:
            wait_until((self.node.registry / "secrets-store.csi.k8s.io-reg.sock").exists, what="the registration socket")
        if publish:
            self.driver.publish(rpc.publish_request(self.node.target(), secrets=tutorial.CREDENTIALS))

    def diagnose(self, *words, json_output=True):
        return ctl("diagnose", f"--pod-uid={rpc.POD_UID}", "--volume=secrets", f"--class={self.class_file}", f"--secrets-dir={self.credentials}",
                   f"--kubelet-dir={self.node.kubelet}", f"--providers-dir={self.node.providers}", *(["--json"] if json_output else []), *words,
                   endpoint=self.node.csi_socket, check=False)

    def rows(self, *words):
        done = self.diagnose(*words)
        return json.loads(done.stdout)["checks"]

    def wrong(self, *words):
        """{check: (text, section)} of what is wrong; the exit status agrees."""
        done = self.diagnose(*words)
        report = json.loads(done.stdout)
        found = {row["check"]: (row["text"], row["see"].partition("#")[2]) for row in report["checks"] if row["result"] == "wrong"}
        assert (done.returncode, report["wrong"]) == (FOUND if found else 0, len(found)), done
        return found


@pytest.fixture
def chain(node, emulator, start_driver, start_azure):
    chain = Chain(node, emulator, start_driver, start_azure)
    yield chain
    for mount in reversed(mounts.mounts_below(node.directory)):
        subprocess.run(["umount", mount.path], check=True)


def test_a_whole_chain_has_nothing_wrong_and_shows_no_secret(chain):
    chain.start()
    before = sorted(str(path) for path in chain.node.directory.rglob("*"))
    done = chain.diagnose()
    assert done.returncode == 0 and done.stderr == "", done
    rows = json.loads(done.stdout)["checks"]
    assert [(row["check"], row["result"]) for row in rows] == [(check, "ok") for check in CHECKS], rows
    text = chain.diagnose(json_output=False)
    assert [line.split()[:2] for line in text.stdout.splitlines()] == [[check, "ok"] for check in CHECKS]
    for value in (*tutorial.SECRETS.values(), tutorial.CLIENT_SECRET):
        assert value not in done.stdout + text.stdout
    assert sorted(str(path) for path in chain.node.directory.rglob("*")) == before
    assert mounts.contents(chain.node.target()) == {name: value.encode() for name, value in tutorial.SECRETS.items()}


def test_text_names_the_fix_and_the_section(chain):
    chain.start()
    chain.azure.kill()
    chain.azure.popen.wait()
    chain.azure.socket.unlink()
    done = chain.diagnose(json_output=False)
    assert done.returncode == FOUND
    assert done.stderr == f"error: FAILED_PRECONDITION: checks of pod default/{rpc.POD_UID} that found something wrong: 1\n"
    lines = done.stdout.splitlines()
    (at,) = [number for number, line in enumerate(lines) if line.split()[:2] == ["provider", "wrong"]]
    assert 'provider not found: provider "azure": no socket' in lines[at] and str(chain.node.providers) in lines[at]
    assert [line.strip() for line in lines[at + 1:at + 3]] == ["fix: check that its DaemonSet runs here", "see: docs/troubleshooting.md#the-provider"]


def test_a_text_of_a_class_fakes_no_check(chain):
    chain.start(publish=False)
    chain.class_file.write_text(tutorial.CLASS.replace("provider: azure", 'provider: "azur\\u202e\\nvolume     ok       mounted"'))
    lines = chain.diagnose(json_output=False).stdout.splitlines()
    assert any(r"azur\u202e" in line for line in lines), lines
    assert not any("\u202e" in line or line.startswith("volume     ok") for line in lines), lines


def test_a_driver_that_is_gone(chain):
    chain.start()
    chain.driver.kill()
    chain.driver.popen.wait()
    found = chain.wrong()
    assert sorted(found) == ["driver", "registered"], found
    assert found["driver"][0].startswith("the driver is not responding: ")
    assert found["registered"] == ("driver name secrets-store.csi.k8s.io not found in the list of registered CSI drivers", "kubernetes")


def test_a_node_without_a_socket_of_the_driver(chain):
    done = ctl("diagnose", f"--pod-uid={rpc.POD_UID}", f"--kubelet-dir={chain.node.kubelet}", f"--host-root={chain.node.directory}/none", check=False)
    assert done.returncode == 0 and "there is no kubelet here" in done.stdout and " \n" not in done.stdout, done
    root = chain.node.directory / "root"
    (root / "var/lib/kubelet/plugins_registry").mkdir(parents=True)
    done = ctl("diagnose", f"--pod-uid={rpc.POD_UID}", f"--host-root={root}", "--json", check=False)
    wrong = [row for row in json.loads(done.stdout)["checks"] if row["result"] == "wrong"]
    assert done.returncode == FOUND and [row["check"] for row in wrong] == ["driver", "registered"]
    assert wrong[0]["text"].startswith("no driver on this node: ") and f"{root}/var/lib/kubelet/plugins/csi-secrets-store/csi.sock" in wrong[0]["text"]


def test_a_driver_that_is_not_registered(chain):
    chain.start(registered=False)
    assert list(chain.wrong()) == ["registered"]


def test_a_node_without_a_kubelet_has_no_registration(chain):
    chain.start(registered=False)
    chain.node.registry.rmdir()
    assert {row["check"]: row["result"] for row in chain.rows()}["registered"] == "skipped"


def test_a_class_without_a_provider(chain):
    chain.start()
    chain.class_file.write_text(tutorial.CLASS.replace("  provider: azure\n", ""))
    found = chain.wrong()
    assert list(found) == ["class"] and found["class"] == ("provider is not set in secretproviderclass default/class.yaml", "the-class")


def test_a_provider_that_does_not_respond(chain):
    chain.start()
    chain.azure.kill()
    chain.azure.popen.wait()
    found = chain.wrong()
    assert list(found) == ["provider"] and 'provider "azure" is not responding: ' in found["provider"][0]


def test_parameters_that_the_provider_refuses(chain):
    chain.start()
    chain.class_file.write_text(tutorial.CLASS.replace("tenantId:", "tenant:"))
    found = chain.wrong()
    assert list(found) == ["class"] and "tenantId is not provided" in found["class"][0]


def test_a_token_that_is_refused(chain):
    chain.start()
    chain.put_credentials(clientsecret="wrong")
    found = chain.wrong()
    assert list(found) == ["token"] and "AADSTS7000215" in found["token"][0] and found["token"][1] == "identity"


def test_a_vault_that_lets_nobody_in(chain):
    chain.start()
    chain.emulator.set_policy(permissions=())
    rows = {row["check"]: row for row in chain.rows()}
    assert rows["token"]["result"] == "ok"
    assert rows["vault"]["result"] == "wrong" and "HTTP 403" in rows["vault"]["text"]
    assert rows["vault"]["see"] == "docs/troubleshooting.md#the-vault"


def test_an_object_that_is_missing(chain):
    chain.start()
    chain.class_file.write_text(tutorial.CLASS.replace("objectName: secret2", "objectName: nowhere"))
    found = chain.wrong()
    assert list(found) == ["vault"] and "nowhere" in found["vault"][0] and "HTTP 404" in found["vault"][0]


def test_a_vault_that_cannot_be_reached(chain):
    chain.start()
    chain.emulator.add_fault("reset", service="vault")
    found = chain.wrong("--timeout=5s")
    assert list(found) == ["vault"] and found["vault"][1] in ("the-network", "the-vault"), found


def test_a_volume_that_is_not_mounted(chain):
    chain.start(publish=False)
    found = chain.wrong()
    assert list(found) == ["volume"] and found["volume"][0].startswith("volume secrets is not mounted: ")


@pytest.mark.build("dynamic", "static", reason="the leak check does not end in a mount namespace of its own")
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root: a mount namespace of its own")
def test_a_mount_that_the_node_does_not_see(chain):
    chain.start(wrapper=[shutil.which("unshare"), "--mount", "--propagation=private"])
    found = chain.wrong()
    assert list(found) == ["volume"]
    assert found["volume"][0].startswith("mounts do not reach the pods, which see empty volumes: ") and found["volume"][1] == "start-and-health"


def test_what_cannot_be_tried_is_skipped_with_the_reason(chain):
    chain.start()
    chain.class_file.write_text(tutorial.class_of_2020().replace('usePodIdentity: "false"', "clientID: app\n    usePodIdentity: \"false\""))
    rows = {row["check"]: row for row in chain.rows()}
    assert rows["token"]["result"] == "skipped" and "--token-file api://AzureADTokenExchange=FILE" in rows["token"]["text"]
    rows = {row["check"]: row for row in chain.rows("--fetch=false", f"--class={chain.node.directory}/class.yaml")}
    assert rows["token"] == {"check": "token", "result": "skipped", "text": "--fetch=false"}
    chain.class_file.write_text(tutorial.CLASS)
    rows = {row["check"]: row for row in chain.rows("--secrets-dir=")}
    assert rows["token"]["result"] == "skipped" and "--secrets-dir" in rows["token"]["text"]


def test_a_provider_that_may_write_is_not_called(chain, scripted):
    chain.start()
    provider = scripted()
    chain.class_file.write_text(tutorial.CLASS.replace("provider: azure", "provider: scripted"))
    rows = {row["check"]: row for row in chain.rows()}
    assert rows["provider"]["result"] == "ok" and rows["token"]["result"] == "skipped" and provider.requests == []


def test_which_pod_is_needed(scratch):
    done = ctl("diagnose", check=False)
    assert done.returncode == BAD_USAGE and "POD is required" in done.stderr
    done = ctl("diagnose", "web", f"--kubeconfig={scratch}/none", f"--host-root={scratch}/none", check=False)
    assert done.returncode == FOUND and "api        wrong    --kubeconfig: " in done.stdout, done
    for words in (["web", "--namespace", "x"], ["--namespace=x", "web"], ["--namespace", "x", "web", "--json"]):
        done = ctl("diagnose", *words, f"--kubeconfig={scratch}/none", f"--host-root={scratch}/none", check=False)
        assert done.returncode == FOUND and "checks of pod x/web that found something wrong: " in done.stderr, done
    done = ctl("diagnose", "--namespace=x", "web", "word", check=False)
    assert done.returncode == BAD_USAGE and "unexpected word 'word'" in done.stderr


# --- sockets that are found ---

class Host:
    def __init__(self, root):
        self.root = root

    def link(self, path, target):
        (self.root / path).parent.mkdir(parents=True, exist_ok=True)
        (self.root / path).symlink_to(target)


@pytest.mark.parametrize("path", ["var/lib/kubelet/plugins/csi-secrets-store/csi.sock", "var/lib/k0s/kubelet/plugins/csi-secrets-store/csi.sock",
                                  "var/snap/microk8s/common/var/lib/kubelet/plugins/csi-secrets-store/csi.sock", "run/secrets-store/csi.sock"])
def test_the_driver_of_a_node_is_found(chain, scratch, path):
    chain.start(publish=False)
    Host(scratch / "h").link(path, chain.node.csi_socket)
    assert json.loads(ctl("info", "--json", f"--host-root={scratch}/h").stdout)["node"] == "node-1"


@pytest.mark.parametrize("directory", ["etc/kubernetes/secrets-store-csi-providers", "run/secrets-store-csi-providers",
                                       "var/run/secrets-store-csi-providers", "run/secrets-store-providers"])
def test_the_provider_of_a_node_is_found(chain, scratch, directory):
    chain.start(publish=False)
    Host(scratch / "h").link(f"{directory}/azure.sock", chain.azure.socket)
    (scratch / "h" / directory / "not-a-socket.sock").write_text("")
    for command in ("version", "health"):
        assert ctl(command, f"--host-root={scratch}/h").returncode == 0


def test_one_socket_with_two_names_is_one_and_two_are_a_choice(chain, scratch, scripted):
    chain.start(publish=False)
    host = Host(scratch / "h")
    host.link("run/secrets-store-csi-providers/azure.sock", chain.azure.socket)
    host.link("var/run/secrets-store-csi-providers/azure.sock", chain.azure.socket)
    assert ctl("version", f"--host-root={scratch}/h").returncode == 0
    scripted(name="other")
    host.link("run/secrets-store-providers/other.sock", chain.node.provider_socket("other"))
    done = ctl("version", f"--host-root={scratch}/h", check=False)
    assert done.returncode == FAILED_HERE
    assert "several sockets of a provider, select one with --endpoint: " in done.stderr and "other.sock" in done.stderr


def test_a_volume_is_published_below_the_host_root(chain, scratch):
    """Directories are made where the node has them; the driver gets the node's path."""
    chain.start(publish=False)
    host = Host(scratch / "h")
    host.link("var/lib/kubelet/plugins/csi-secrets-store/csi.sock", chain.node.csi_socket)
    done = ctl("publish", f"--pod-uid={rpc.POD_UID}", "--class=nowhere", f"--host-root={scratch}/h", check=False)
    assert done.returncode > 100
    assert (scratch / "h/var/lib/kubelet/pods" / rpc.POD_UID / "volumes/kubernetes.io~csi/secrets-store").is_dir()
