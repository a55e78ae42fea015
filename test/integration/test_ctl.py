"""secrets-store-ctl with the real driver and the real provider, as a person uses it."""

import json
import os
import stat

import pytest

from harness import mounts, rpc, tutorial
from harness.ctl import ctl


@pytest.fixture
def credentials(node):
    directory = node.directory / "creds"
    directory.mkdir()
    for key, value in tutorial.CREDENTIALS.items():
        (directory / key).write_text(value)
    return directory


def test_info_and_probe_of_the_driver(node, driver):
    out = json.loads(ctl("info", "--json", endpoint=node.csi_socket).stdout)
    assert out["name"] == "secrets-store.csi.k8s.io"
    assert out["node"] == "node-1"
    assert "secrets-store.csi.k8s.io" in ctl("info", endpoint=node.csi_socket).stdout
    assert json.loads(ctl("probe", "--json", endpoint=node.csi_socket).stdout) == {"ready": True}


def test_publish_computes_what_a_kubelet_computes(node, driver, scripted):
    provider = scripted()
    node.add_class()
    flags = ["--pod-uid", rpc.POD_UID, "--volume", "secrets", "--kubelet-dir", node.kubelet]
    out = ctl("publish", *flags, "--class", "azure-kvname", "--pod", "web", "--attribute", "extra=1", "--attribute=more=2", "--json",
              endpoint=node.csi_socket)
    target = node.kubelet / "pods" / rpc.POD_UID / "volumes/kubernetes.io~csi/secrets/mount"
    assert json.loads(out.stdout) == {"published": str(target), "volume id": rpc.volume_id(rpc.POD_UID, "secrets")}
    assert mounts.contents(target) == {"file": b"content"}
    attributes = provider.attributes()
    assert attributes["extra"] == "1" and attributes["more"] == "2"
    assert attributes["csi.storage.k8s.io/pod.name"] == "web"
    ctl("unpublish", *flags, endpoint=node.csi_socket)
    assert os.listdir(node.kubelet / "pods") == []


def test_secrets_come_from_files(node, driver, scripted, credentials):
    provider = scripted()
    node.add_class()
    (node.directory / "extra").write_text("three")
    target = node.target()
    ctl("publish", "--pod-uid", rpc.POD_UID, "--target", target, "--class", "azure-kvname", "--secrets-dir", credentials,
        "--secret-file", f"third={node.directory}/extra", endpoint=node.csi_socket)
    assert json.loads(provider.requests[0].secrets) == {**tutorial.CREDENTIALS, "third": "three"}


def test_tokens_come_from_files_and_go_into_the_named_fields(node, driver, scripted):
    provider = scripted()
    node.add_class()
    (node.directory / "token").write_text("jwt\n")
    for more in ([], ["--tokens-in-secrets"]):
        ctl("publish", "--pod-uid", rpc.POD_UID, "--target", node.target(), "--class", "azure-kvname",
            "--token-file", f"api://x={node.directory}/token", *more, endpoint=node.csi_socket)
        tokens = json.loads(provider.attributes()["csi.storage.k8s.io/serviceAccount.tokens"])
        assert tokens["api://x"]["token"] == "jwt"
        ctl("unpublish", "--pod-uid", rpc.POD_UID, "--target", node.target(), endpoint=node.csi_socket)


def test_an_rpc_error_shows_its_code_and_sets_the_exit_status(node, driver):
    node.add_class()
    done = ctl("publish", "--pod-uid", rpc.POD_UID, "--target", node.target(), "--class", "azure-kvname", "--read-only=false",
               endpoint=node.csi_socket, check=False)
    assert done.returncode == 103
    assert done.stderr.startswith("error: INVALID_ARGUMENT: ")
    done = ctl("probe", "--json", endpoint=node.directory / "nobody.sock", check=False)
    assert done.returncode == 114
    assert json.loads(done.stderr)["error"]["code"] == "UNAVAILABLE"


def test_version_health_and_mount_of_a_provider(node, azure, emulator, credentials):
    class_file = node.directory / "class.yaml"
    class_file.write_text(tutorial.CLASS)
    assert json.loads(ctl("version", "--json", endpoint=azure.socket).stdout)["protocol"] == "v1alpha1"
    assert json.loads(ctl("health", "--json", endpoint=azure.socket).stdout) == {"status": "SERVING"}
    done = ctl("mount", "--class", class_file, "--secrets-dir", credentials, endpoint=azure.socket)
    assert "secret1" in done.stdout and "rw-r--r--" in done.stdout
    assert tutorial.SECRETS["secret1"] not in done.stdout
    out = json.loads(ctl("mount", "--class", class_file, "--secrets-dir", credentials, "--show-contents", "--json",
                         endpoint=azure.socket).stdout)
    assert {file["path"]: file["contents"] for file in out["files"]} == tutorial.SECRETS
    directory = node.directory / "out"
    ctl("mount", "--class", class_file, "--secrets-dir", credentials, "--out", directory, endpoint=azure.socket)
    assert (directory / "secret2").read_text() == tutorial.SECRETS["secret2"]
    assert stat.S_IMODE(os.stat(directory / "secret2").st_mode) == 0o600
