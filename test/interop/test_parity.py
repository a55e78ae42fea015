"""The same class through both Azure providers: the same files byte for byte, or a difference that is meant and named."""

import itertools
import json
import re

import pytest
from parity import Outcome, check
from parity_cases import DIFFERENT, ERRORS, FAILS, FILES, MOUNTS, TEXTS, Case, text_of
from parity_vault import fill
from parity_written import WRITTEN
from peers import GoAzure
from proto import provider_pb2

from harness import tutorial
from harness.azure_mounts import item
from harness.programs import Azure, Node
from harness.scratch import SCRATCH
from harness.tls_servers import CA, LEAF, Certificates, TlsServer


@pytest.fixture(scope="module")
def vault(the_emulator, tmp_path_factory):
    """The emulator with all that the cases name; versions by "name:number", cloud files by "cloud:name"."""
    the_emulator.reset()
    return fill(the_emulator, tmp_path_factory.mktemp("parity"))


def both(the_emulator, directory, *flags, env=None):
    directory.mkdir()
    node = Node(directory)
    return Azure(node, the_emulator, flags, env=env), GoAzure(node, the_emulator, flags, socket_name="go", env=env)


@pytest.fixture(scope="module")
def pair(the_emulator, vault):
    started = both(the_emulator, the_emulator.directory.parent / "pair")
    yield started
    for one in started:
        one.destroy()


def request_of(case, versions):
    parameters = {key: versions[value[1:]] if value is not None and value.startswith("@") else value for key, value in case.parameters.items()}
    attributes = tutorial.attributes(objects=resolve(text_of(case.objects), versions), **parameters)
    credentials = tutorial.CREDENTIALS if case.credentials == "default" else case.credentials
    return provider_pb2.MountRequest(attributes=json.dumps(attributes), secrets=json.dumps(credentials), permission=case.permission,
                                     target_path=str(SCRATCH / "pods/u/volumes/kubernetes.io~csi/v/mount"))


def resolve(text, versions):
    for key, version in versions.items():
        text = text.replace(f'"@{key}"', f'"{version}"')
    assert '"@' not in text, text
    return text


def outcomes(pair, case, versions):
    request = request_of(case, versions)
    return [Outcome(one.socket, request) for one in pair]


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


@pytest.mark.parametrize("case", WRITTEN, ids=ids(WRITTEN))
def test_written_classes_give_the_same_with_both(pair, vault, case):
    check(case, *outcomes(pair, case, vault))


CERTIFICATES = [case for case in FILES if any(word in case.name for word in ("certificate", "chain", "pfx", "format"))]


@pytest.fixture(scope="module")
def pair_with(the_emulator, vault):
    """Started pairs by their flag."""
    pairs = {}

    def get(flag):
        if flag not in pairs:
            pairs[flag] = both(the_emulator, the_emulator.directory.parent / f"pair{len(pairs)}", flag)
        return pairs[flag]
    yield get
    for one in itertools.chain(*pairs.values()):
        one.destroy()


EMPTY_PARTS = {"pfx-as-base64-text", "pfx-as-bytes"}


@pytest.mark.parametrize("flag", ["--construct-pem-chain=false", "--write-cert-and-key-in-separate-files"])
@pytest.mark.parametrize("case", CERTIFICATES, ids=ids(CERTIFICATES))
def test_the_same_files_of_certificates(pair_with, vault, case, flag):
    ours, theirs = outcomes(pair_with(flag), case, vault)
    if flag.startswith("--write") and case.name.replace(" ", "-") in EMPTY_PARTS:
        # of a PFX there is no certificate and no key in PEM: they write two empty files, we leave them out
        empty = [file for file in theirs.files if not file[2]]
        assert len(empty) == 2
        theirs.files = [file for file in theirs.files if file[2]]
    check(case, ours, theirs)


def test_what_a_token_endpoint_echoes_is_in_no_error_of_ours(pair, vault, the_emulator):
    """Both fail, in the same way; theirs repeats the response as it came."""
    secret = tutorial.CREDENTIALS["clientsecret"]
    body = json.dumps({"error": "invalid_client", "error_codes": [7000215], "error_description": f"AADSTS7000215: Invalid secret '{secret}' provided."})
    case = Case("", [item("secret1")], credentials={**tutorial.CREDENTIALS, "clientid": "an-app-without-a-token"})
    the_emulator.add_fault("status", id="echo", service="entra", status=401, body=body)
    try:
        ours, theirs = outcomes(pair, case, vault)
    finally:
        the_emulator.clear_faults()
    assert (ours.kind, theirs.kind) == (FAILS, FAILS)
    assert "AADSTS7000215" in ours.message and "AADSTS7000215" in theirs.message
    assert secret not in ours.message


@pytest.mark.parametrize("names, mounted", [("subjectAltName=DNS:*.vault.localhost", True), ("nsComment=none", False)],
                         ids=["with a subjectAltName", "with a common name alone"])
def test_a_server_must_have_alternative_names(the_emulator, vault, scratch, names, mounted):
    certificates = Certificates(scratch / "certificates")
    certificates.make("ca", extensions=CA)
    server = TlsServer(certificates.chain(certificates.make("leaf", issuer="ca", extensions=(*LEAF, names), subject="/CN=*.vault.localhost")))
    (scratch / "bundle.pem").write_text((the_emulator.directory / "ca.pem").read_text() + certificates.text("ca"))
    cloud = json.loads((the_emulator.directory / "cloud.json").read_text())
    (scratch / "cloud.json").write_text(json.dumps({**cloud, "keyVaultDNSSuffix": f"vault.localhost:{server.port}"}))
    started = both(the_emulator, scratch / "pair", env={"SSL_CERT_FILE": str(scratch / "bundle.pem"), "AZURE_ENVIRONMENT_FILEPATH": str(scratch / "cloud.json")})
    try:
        for outcome in outcomes(started, Case("", [item("secret1")]), vault):
            assert (outcome.kind == MOUNTS) == mounted, outcome
            assert mounted or re.search("common name|Common Name", outcome.message), outcome
    finally:
        server.stop()
        for one in started:
            one.destroy()


def test_some_written_classes_are_mounted(pair, vault):
    kinds = [outcomes(pair, case, vault)[1].kind for case in WRITTEN[::7]]
    assert kinds.count(MOUNTS) > 10 and kinds.count(FAILS) > 10


def test_the_table_is_not_empty(pair, vault):
    """The compared objects exist: a chain in its order, a history, a key."""
    ours, theirs = outcomes(pair, Case("", [item("chain"), item("history", objectVersionHistory=2), item("p521", "key")]), vault)
    for one in (ours, theirs):
        assert [path for path, _, _ in one.files] == ["chain", "history/0", "history/1", "history/2", "p521"]
        assert one.files[0][2].count(b"BEGIN CERTIFICATE") == 3 and one.files[1][2] == b"value 5"
