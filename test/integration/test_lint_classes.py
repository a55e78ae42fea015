"""Lint against mounts: every class of the parity tables is mounted by the provider with an emulated vault, and read by lint. No class that mounts has
an error, and one that the provider refuses before it asks anybody has the error of the mount."""

import json
import re
import sys

import grpc
import pytest
import yaml
from proto import provider_pb2

from harness import rpc, tutorial
from harness.ctl import ctl
from harness.process import ROOT
from harness.scratch import SCRATCH

sys.path.append(str(ROOT / "test/interop"))
from parity_cases import DIFFERENT, ERRORS, FILES, TEXTS, text_of  # noqa: E402
from parity_vault import fill  # noqa: E402
from parity_written import WRITTEN  # noqa: E402

CASES = FILES + TEXTS + ERRORS + DIFFERENT + WRITTEN
TOKENS = "csi.storage.k8s.io/serviceAccount.tokens"
# what is wrong with the pod, its credentials, the request or a file on the node, which lint does not have
OF_THE_NODE = re.compile(r"pod name|pod namespace|failed to build auth config for mode None|cloudName Azurestack|failed to unmarshal|IMDS", re.IGNORECASE)


def parameters_of(case, versions):
    values = {key: versions[value[1:]] if value is not None and value.startswith("@") else value for key, value in case.parameters.items()}
    text = text_of(case.objects)
    for key, version in versions.items():
        text = text.replace(f'"@{key}"', f'"{version}"')
    return tutorial.attributes(objects=text, **values)


def findings_of(directory, classes):
    """The findings of lint, a list for each class. A class is one line."""
    path = directory / "classes.yaml"
    with path.open("w") as out:
        for number, parameters in enumerate(classes):
            own = {key: value for key, value in parameters.items() if not key.startswith("csi.storage.k8s.io/")}
            entry = {"apiVersion": "secrets-store.csi.x-k8s.io/v1", "kind": "SecretProviderClass", "metadata": {"name": f"c{number}"},
                     "spec": {"provider": "azure", "parameters": own}}
            line = json.dumps(entry, ensure_ascii=False).replace("\x85", "\\u0085").replace("\u2028", "\\u2028").replace("\ufeff", "\\ufeff")
            out.write(f"---\n{line}\n")
    done = ctl("lint", "--output=json", path, check=False, timeout=500)
    found = json.loads(done.stdout)
    assert found["classes"] == len(classes) and "leftOut" not in found
    lists = [[] for _ in classes]
    for finding in found["findings"]:
        lists[(finding["line"] - 1) // 2].append(finding)
    return lists


class Mounted:
    def __init__(self, client, emulator, case, parameters):
        emulator.reset_counters()
        credentials = tutorial.CREDENTIALS if case.credentials == "default" else case.credentials
        request = provider_pb2.MountRequest(attributes=json.dumps(parameters), secrets=json.dumps(credentials), permission=case.permission,
                                            target_path=str(SCRATCH / "pods/u/volumes/kubernetes.io~csi/v/mount"))
        self.message = None
        try:
            client.call(rpc.MOUNT, request, timeout=60)
        except grpc.RpcError as error:
            self.message = error.details()
        self.asked = sum(emulator.counters()["by_service"].values()) > 0


@pytest.fixture(scope="module")
def linted(the_emulator, tmp_path_factory):
    """(versions, a list of findings for each case)"""
    the_emulator.reset()
    directory = tmp_path_factory.mktemp("lint")
    versions = fill(the_emulator, directory)
    return versions, findings_of(directory, [parameters_of(case, versions) for case in CASES])


def errors_of(findings):
    """`no-objects`: the provider returns nothing, and the driver refuses that."""
    return [finding["message"] for finding in findings if finding["level"] == "error" and finding["rule"] != "no-objects"]


@pytest.mark.timeout(600)  # hundreds of classes one after the other, each with a start of the provider
def test_lint_refuses_what_a_mount_refuses_and_nothing_else(the_emulator, linted, start_azure_once):
    versions, all_findings = linted
    wrong, refused, mounted = [], 0, 0
    with rpc.Client(start_azure_once.socket) as client:
        for case, findings in zip(CASES, all_findings):
            one, errors = Mounted(client, the_emulator, case, parameters_of(case, versions)), errors_of(findings)
            if one.message is None:
                mounted += 1
                wrong += [f"{case.name}: mounts, but {errors}"] if errors else []
            elif errors:
                refused += 1
                if not any(error in one.message for error in errors) and not OF_THE_NODE.search(one.message):
                    wrong.append(f"{case.name}: {one.message}, but {errors}")
            elif not one.asked and not OF_THE_NODE.search(one.message):
                wrong.append(f"{case.name}: {one.message}, but no error")
    assert not wrong, "\n".join(wrong)
    assert mounted > 200 and refused > 120, (mounted, refused)


@pytest.fixture(scope="module")
def start_azure_once(the_emulator, linted):
    from harness.programs import Azure, Node
    from harness.scratch import scratch_directory
    azure = Azure(Node(scratch_directory()), the_emulator)
    yield azure
    azure.destroy()


def classes_and_pods():
    return sorted((ROOT / "manifests/examples").glob("*.yaml"))


def test_the_examples_have_no_mistakes_but_the_old_modes_they_are_about():
    done = ctl("lint", "--output=json", *classes_and_pods())
    found = json.loads(done.stdout)
    assert found["classes"] >= 14 and found["volumes"] >= 13
    assert {finding["rule"] for finding in found["findings"]} == {"deprecated-api-version", "deprecated-pod-identity"}
    for finding in found["findings"]:
        assert "v1alpha1" in finding["file"] or "pod-identity" in finding["file"], finding


FENCE = re.compile(r"^```ya?ml\n(.*?)^```", re.DOTALL | re.MULTILINE)
HEREDOC = re.compile(r"<<EOF\n(.*?)^EOF$", re.DOTALL | re.MULTILINE)


def yaml_blocks(text):
    """The blocks of a document that are whole objects."""
    for block in FENCE.findall(text) + HEREDOC.findall(text):
        try:
            if any(isinstance(one, dict) and "apiVersion" in one for one in yaml.safe_load_all(block)):
                yield block
        except yaml.YAMLError:
            pass


def test_the_classes_of_the_documents_have_no_errors(scratch):
    files = []
    for document in sorted((ROOT / "docs").glob("*.md")):
        for number, block in enumerate(yaml_blocks(document.read_text())):
            files.append(scratch / f"{document.stem}-{number}.yaml")
            files[-1].write_text(re.sub(r"\$([A-Z_]+|\([^)]*\))", "contoso", block))
    done = ctl("lint", "--output=json", *files, check=False)
    found = json.loads(done.stdout)
    assert found["classes"] >= 6 and found["volumes"] >= 3
    assert [finding for finding in found["findings"] if finding["level"] == "error"] == []
