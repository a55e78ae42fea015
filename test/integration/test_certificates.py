"""The secrets behind Key Vault certificates: PFX to PEM, chain order, separate files; compared with OpenSSL's own output."""

import base64
import subprocess

import pytest

from harness import rpc
from harness.azure_mounts import files, item, mount, mount_failure, objects_of


def openssl(directory, command):
    subprocess.run(f"openssl {command}", shell=True, cwd=directory, check=True, capture_output=True)


@pytest.fixture(scope="module")
def chain(tmp_path_factory):
    """A leaf, an intermediate and a root, and a PFX in which they stand in the wrong order."""
    directory = tmp_path_factory.mktemp("chain")
    (directory / "ca.ext").write_text("basicConstraints=CA:TRUE\nsubjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid:always\n")
    openssl(directory, "req -x509 -newkey rsa:2048 -nodes -keyout root.key -out root.pem -subj /CN=root -days 2")
    for name, issuer in (("int", "root"), ("leaf", "int")):
        openssl(directory, f"req -newkey rsa:2048 -nodes -keyout {name}.key -out {name}.csr -subj /CN={name}")
        openssl(directory, f"x509 -req -in {name}.csr -CA {issuer}.pem -CAkey {issuer}.key -CAcreateserial -extfile ca.ext"
                           f" -days 2 -out {name}.pem")
    parts = {name: (directory / name).read_bytes() for name in ("leaf.key", "leaf.pem", "int.pem", "root.pem")}
    (directory / "others.pem").write_bytes(parts["root.pem"] + parts["int.pem"])
    openssl(directory, "pkcs12 -export -legacy -passout pass: -inkey leaf.key -in leaf.pem -certfile others.pem -out all.pfx")
    parts["pfx"] = base64.b64encode((directory / "all.pfx").read_bytes())
    return parts


def certificate(emulator, value, content_type):
    emulator.set_secret("tlscert", value.decode(), contentType=content_type, managed=True, kid="https://vault/keys/tlscert/1")


def test_a_pfx_becomes_key_leaf_intermediate_root(azure, emulator, chain):
    certificate(emulator, chain["pfx"], "application/x-pkcs12")
    with rpc.Client(azure.socket) as client:
        got = files(mount(client, "tlscert"))
    assert got == {"tlscert": chain["leaf.key"] + chain["leaf.pem"] + chain["int.pem"] + chain["root.pem"]}


def test_without_chain_construction_the_order_of_the_file_stays(start_azure, emulator, chain):
    certificate(emulator, chain["pfx"], "application/x-pkcs12")
    with rpc.Client(start_azure("--construct-pem-chain=false").socket) as client:
        got = files(mount(client, "tlscert"))
    assert got == {"tlscert": chain["leaf.key"] + chain["leaf.pem"] + chain["root.pem"] + chain["int.pem"]}


def test_key_and_certificates_in_separate_files(start_azure, emulator, chain):
    certificate(emulator, chain["pfx"], "application/x-pkcs12")
    with rpc.Client(start_azure("--write-cert-and-key-in-separate-files").socket) as client:
        response = mount(client, "tlscert")
    certificates = chain["leaf.pem"] + chain["int.pem"] + chain["root.pem"]
    assert [file.path for file in response.files] == ["tlscert.crt", "tlscert.key", "tlscert"]
    assert files(response) == {"tlscert.crt": certificates, "tlscert.key": chain["leaf.key"],
                             "tlscert": chain["leaf.key"] + certificates}
    assert len(response.object_version) == 1


def test_a_pem_certificate_is_passed_on_as_it_is(azure, emulator, chain):
    text = chain["leaf.pem"] + chain["leaf.key"]
    certificate(emulator, text, "application/x-pem-file")
    with rpc.Client(azure.socket) as client:
        assert files(mount(client, "tlscert")) == {"tlscert": text}


LOST = {"blanks": lambda text: text.replace(b"\n", b" "), "two-characters": lambda text: text.replace(b"\n", b"\\n"),
        "quoted": lambda text: b'"' + text.replace(b"\n", b"\\r\\n") + b'"', "nothing": lambda text: text.replace(b"\n", b""),
        "carriage-returns": lambda text: text.replace(b"\n", b"\r")}
ODD = {"trailing": lambda text: text.replace(b"\n", b"  \t\n"), "indented": lambda text: text.replace(b"\n", b"\n  "),
       "crlf": lambda text: text.replace(b"\n", b"\r\n")}


@pytest.mark.parametrize("how", LOST)
def test_pem_without_its_line_breaks_is_repaired(azure, emulator, chain, how):
    certificate(emulator, LOST[how](chain["leaf.key"] + chain["leaf.pem"] + chain["int.pem"]), "application/x-pem-file")
    with rpc.Client(azure.socket) as client:
        assert files(mount(client, "tlscert")) == {"tlscert": chain["leaf.key"] + chain["leaf.pem"] + chain["int.pem"]}


@pytest.mark.parametrize("how", [*LOST, *ODD])
def test_separate_files_of_odd_pem_are_written_again(start_azure, emulator, chain, how):
    odd = (LOST | ODD)[how](chain["leaf.key"] + chain["int.pem"] + chain["leaf.pem"])
    certificate(emulator, odd, "application/x-pem-file")
    with rpc.Client(start_azure("--write-cert-and-key-in-separate-files").socket) as client:
        got = files(mount(client, "tlscert"))
    assert (got["tlscert.crt"], got["tlscert.key"]) == (chain["leaf.pem"] + chain["int.pem"], chain["leaf.key"])


def test_content_that_is_no_certificate_is_an_error_that_names_the_object(azure, emulator):
    certificate(emulator, b"aW52YWxpZA==", "application/x-pkcs12")
    with rpc.Client(azure.socket) as client:
        code, message = mount_failure(client, "tlscert")
    assert code.name == "FAILED_PRECONDITION"
    assert "objectName:tlscert" in message and "pkcs12:" in message


def plain(emulator, name, value, content_type, **more):
    """A secret that no certificate of Key Vault is behind: there is no kid."""
    emulator.set_secret(name, value.decode(), contentType=content_type, **more)


def test_a_plain_secret_is_converted_when_the_class_says_that_it_is_a_certificate(azure, emulator, chain):
    plain(emulator, "appservice", chain["pfx"], "application/x-pkcs12")
    plain(emulator, "pem", chain["leaf.key"] + chain["root.pem"] + chain["leaf.pem"], "application/x-pem-file")
    whole = chain["leaf.key"] + chain["leaf.pem"] + chain["int.pem"] + chain["root.pem"]
    with rpc.Client(azure.socket) as client:
        got = files(mount(client, objects=objects_of(
            item("appservice", objectCertificate="true"), item("appservice", objectAlias="as-stored"),
            item("appservice", objectAlias="no", objectCertificate=False, objectFormat="pem"),
            item("appservice", objectAlias="pfx", objectCertificate=True, objectFormat="pfx", objectEncoding="base64"),
            item("pem", objectCertificate=True), item("appservice", objectAlias="h", objectCertificate="1", objectVersionHistory=2),
            {"objectType": "secret", "objectNamePattern": "app*", "objectAlias": "all", "objectCertificate": "true"})))
    assert got == {"appservice": whole, "as-stored": chain["pfx"], "no": chain["pfx"], "pfx": base64.b64decode(chain["pfx"]),
                   "pem": chain["leaf.key"] + chain["leaf.pem"] + chain["root.pem"], "h/0": whole, "all/appservice": whole}


def test_a_plain_secret_in_separate_files(start_azure, emulator, chain):
    plain(emulator, "appservice", chain["pfx"], "application/x-pkcs12")
    with rpc.Client(start_azure("--write-cert-and-key-in-separate-files").socket) as client:
        got = files(mount(client, objects=objects_of(item("appservice", objectCertificate="true"))))
    assert got["appservice.key"] == chain["leaf.key"] and got["appservice.crt"].startswith(chain["leaf.pem"])


@pytest.mark.parametrize("fields,text", [
    ({"objectCertificate": "maybe"}, "invalid objectCertificate: maybe, should be true or false"),
    ({"objectCertificate": "true", "objectType": "key"}, "objectCertificate only supported for objectType: secret"),
    ({"objectCertificate": "true", "objectSplit": "json"}, "objectCertificate only supported for objectType: secret, without objectSplit"),
    ({"objectCertificate": "true"}, "failed to get certificate. unknown content type 'text/plain'")])
def test_what_is_no_certificate_is_an_error(azure, emulator, fields, text):
    plain(emulator, "note", b"a note", "text/plain")
    with rpc.Client(azure.socket) as client:
        _, message = mount_failure(client, objects=objects_of({"objectName": "note", "objectType": "secret", **fields}))
    assert text in message and "objectName:note" in message
