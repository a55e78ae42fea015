"""The same class through both Azure providers: the same files byte for byte, or a difference that is meant and named."""

import json

import grpc
import pytest
from parity_cases import BOTH_FAIL, DIFFERENT, ERRORS, FAILS, FILES, MOUNTS, SAME, SAME_ERROR, TEXTS, text_of
from parity_vault import fill
from peers import GoAzure
from proto import provider_pb2

from harness import rpc, tutorial
from harness.programs import Azure, Node

MOUNT = "/v1alpha1.CSIDriverProvider/Mount"


@pytest.fixture(scope="module")
def vault(the_emulator, tmp_path_factory):
    """The emulator with all that the cases name; versions by "name:number"."""
    the_emulator.reset()
    return fill(the_emulator, tmp_path_factory.mktemp("parity"))


def both(the_emulator, directory, *flags):
    directory.mkdir()
    node = Node(directory)
    return Azure(node, the_emulator, flags), GoAzure(node, the_emulator, flags, socket_name="go")


@pytest.fixture(scope="module")
def pair(the_emulator, vault):
    started = both(the_emulator, the_emulator.directory.parent / "pair")
    yield started
    for one in started:
        one.destroy()


def request_of(case, versions):
    attributes = tutorial.attributes(objects=resolve(text_of(case.objects), versions), **case.parameters)
    credentials = tutorial.CREDENTIALS if case.credentials == "default" else case.credentials
    return provider_pb2.MountRequest(attributes=json.dumps(attributes), secrets=json.dumps(credentials), permission=case.permission,
                                     target_path="/var/lib/kubelet/pods/u/volumes/kubernetes.io~csi/v/mount")


def resolve(text, versions):
    for key, version in versions.items():
        text = text.replace(f'"@{key}"', f'"{version}"')
    assert '"@' not in text, text
    return text


class Outcome:
    def __init__(self, socket, request):
        self.files = self.versions = self.message = self.code = None
        with rpc.Client(socket) as client:
            try:
                answer = client.call(MOUNT, request, timeout=60)
                self.kind = MOUNTS
                self.files = [(file.path, file.mode, bytes(file.contents)) for file in answer.files]
                self.versions = {entry.id: entry.version for entry in answer.object_version}
            except grpc.RpcError as error:
                self.kind, self.code, self.message = FAILS, error.code(), error.details()

    def __repr__(self):
        if self.kind == FAILS:
            return f"fails, {self.code.name}: {self.message[:600]}"
        shown = [(path, oct(mode), data[:60], len(data)) for path, mode, data in self.files]
        return f"mounts {shown} versions {self.versions}"


def outcomes(pair, case, versions):
    request = request_of(case, versions)
    return [Outcome(one.socket, request) for one in pair]


def check(case, ours, theirs):
    told = f"\n  ours:   {ours}\n  theirs: {theirs}"
    if isinstance(case.wanted, tuple):
        assert (ours.kind, theirs.kind) == case.wanted[:2], told
        return
    if case.wanted == SAME:
        assert (ours.kind, theirs.kind) == (MOUNTS, MOUNTS), told
        assert ours.files == theirs.files, told
        assert ours.versions == theirs.versions, told
        return
    assert (ours.kind, theirs.kind) == (FAILS, FAILS), told
    assert case.contains in ours.message and case.contains in theirs.message, told
    if case.wanted == SAME_ERROR:
        assert ours.message == theirs.message, told


def ids(cases):
    return [case.name.replace(" ", "-") for case in cases]


@pytest.mark.parametrize("case", FILES + TEXTS, ids=ids(FILES + TEXTS))
def test_the_same_files(pair, vault, case):
    check(case, *outcomes(pair, case, vault))


@pytest.mark.parametrize("case", ERRORS, ids=ids(ERRORS))
def test_the_same_refusals(pair, vault, case):
    check(case, *outcomes(pair, case, vault))


@pytest.mark.parametrize("case", DIFFERENT, ids=ids(DIFFERENT))
def test_differences_that_are_meant(pair, vault, case):
    check(case, *outcomes(pair, case, vault))
