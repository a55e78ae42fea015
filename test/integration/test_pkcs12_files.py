"""Certificates and trust stores that the provider writes as PKCS#12, opened by those who read such files: OpenSSL, Python, Java, NSS, GnuTLS."""

import base64
import os
import re
import shutil
import subprocess

import pytest
import yaml
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.serialization import pkcs12

from harness import crypto, mounts, rpc, tutorial
from harness.azure_mounts import files, item, mount, mount_failure, objects_of
from harness.crypto import openssl
from harness.programs import metric_sum
from harness.rpc import CODES

PASSWORD, OLD_PASSWORD = "correct horse battery", "old"
MANAGED = {"managed": True, "kid": "https://v/keys/n/1"}
PEM, PFX = "application/x-pem-file", "application/x-pkcs12"
LEAF = "basicConstraints=CA:FALSE\nsubjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid\n"
PROFILES = ("modern", "legacy")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A directory with root, int, and the leaves rsa and ec: NAME.key, NAME.pem."""
    directory = tmp_path_factory.mktemp("chain")
    for name, issuer, kind in (("root", None, "ec:prime256v1"), ("int", "root", "ec:prime256v1"), ("rsa", "int", "rsa:2048"), ("ec", "int", "ec:secp384r1")):
        crypto.new_key(directory, name, kind)
        crypto.new_certificate(directory, name, issuer, **({"extensions": LEAF} if issuer == "int" else {}))
    return directory


@pytest.fixture(scope="module")
def stored(made):
    """name -> (value, what else is set): each leaf in every form in which it may be stored, out of order, and its authorities."""
    def text(*names):
        return "".join((made / name).read_text() for name in names)
    values = {"password": (PASSWORD, {}), "old-password": (OLD_PASSWORD, {}), "authorities": (text("root.pem", "int.pem"), {}), "root": (text("root.pem"), {})}
    (made / "others").write_text(text("root.pem", "int.pem"))
    for kind in ("rsa", "ec"):
        values[f"{kind}-pem"] = (text("root.pem", "int.pem", f"{kind}.pem", f"{kind}.key"), {"contentType": PEM, **MANAGED})
        for password, name, more in (("", f"{kind}-pfx", {"contentType": PFX, **MANAGED}), (OLD_PASSWORD, f"{kind}-locked", {})):
            file = openssl(made, f"pkcs12 -export -inkey {kind}.key -in {kind}.pem -certfile others -passout pass:{password}")
            values[name] = (base64.b64encode(file).decode(), more)
        traditional = openssl(made, f"{kind} -in {kind}.key" + (" -traditional" if kind == "rsa" else "")).decode()
        encrypted = openssl(made, f"pkcs8 -topk8 -in {kind}.key -passout pass:{OLD_PASSWORD}").decode()
        for form, key in (("traditional", traditional), ("encrypted", encrypted)):
            values[f"{kind}-{form}"] = (key + text(f"{kind}.pem", "int.pem", "root.pem"), {})
    return values


@pytest.fixture(autouse=True)
def vault(emulator, stored):
    for name, (value, more) in stored.items():
        emulator.set_secret(name, value, **more)


def hidden(name, **fields):
    return item(name, objectHidden="true", **fields)


def objects(source, *others, alias="out.p12", **fields):
    given = {"format": "pkcs12", "certificate": source["objectName"], "password": "password", "objectAlias": alias, **fields}
    return objects_of(source, hidden("password"), *others, {key: value for key, value in given.items() if value is not None})


def write(client, source, *others, **fields):
    """The bytes of the only file of the mount."""
    found = files(mount(client, objects=objects(source, *others, **fields)))
    assert list(found) == ["out.p12"]
    return found["out.p12"]


def write_trust(client, items, *sources, **fields):
    return write(client, hidden("root"), *sources, format="pkcs12-truststore", certificate=None, items=items, **fields)


def pkcs8(made, kind):
    return openssl(made, f"pkcs8 -topk8 -nocrypt -in {kind}.key -outform DER")


def ders(made, *names):
    return [crypto.der_of((made / f"{name}.pem").read_bytes()) for name in names]


def check_with_python(file, made, kind, name, password=PASSWORD):
    found = pkcs12.load_pkcs12(file, password.encode())
    encoded = found.key.private_bytes(serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    assert encoded == pkcs8(made, kind)
    assert found.cert.friendly_name == name.encode()
    chain = [found.cert, *found.additional_certs]
    assert [entry.certificate.public_bytes(serialization.Encoding.DER) for entry in chain] == ders(made, kind, "int", "root")
    assert [entry.friendly_name for entry in chain[1:]] == [None, None]


FORMS = {"pem": {}, "pfx": {}, "pfx as text": {"objectFormat": "pfx"}, "pfx in bytes": {"objectFormat": "pfx", "objectEncoding": "base64"},
         "traditional": {}, "encrypted": {}, "locked": {}, "locked in bytes": {"objectEncoding": "base64"}}


@pytest.mark.xdist_group("pkcs12_files-forms")  # the fixtures cost little, and all the tests on one worker would be the last to end
@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("kind", ["rsa", "ec"])
@pytest.mark.parametrize("form", FORMS)
def test_every_stored_form(client, made, form, kind, profile):
    source = hidden(f"{kind}-{form.split()[0]}", **FORMS[form])
    more = {"certificatePassword": "old-password"} if form.split()[0] in ("locked", "encrypted") else {}
    file = write(client, source, *([hidden("old-password")] if more else []), profile=profile, friendlyName="näme", **more)
    check_with_python(file, made, kind, "näme")


def run(*words, cwd=None, text=True):
    done = subprocess.run([str(word) for word in words], cwd=cwd, capture_output=True, text=text, timeout=170, check=False)
    assert done.returncode == 0, f"{words}: {done.stderr or done.stdout}"
    return done.stdout


def keytool(*words, cwd):
    """Java's, whose compiler for what runs often is of no use here."""
    return run("keytool", "-J-XX:TieredStopAtLevel=1", *words, cwd=cwd)


def need(program):
    if shutil.which(program) is None:
        pytest.skip(f"there is no {program}")


def blocks_of(text, label="CERTIFICATE"):
    return [crypto.der_of(block) for block in re.findall(f"-----BEGIN {label}-----.*?-----END {label}-----", text, re.S)]


@pytest.mark.xdist_group("pkcs12_files-readers")
@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("kind", ["rsa", "ec"])
class TestReaders:
    """Each gives the key and the chain back as they went in."""

    def test_openssl(self, client, made, scratch, kind, profile):
        (scratch / "out.p12").write_bytes(write(client, hidden(f"{kind}-pem"), profile=profile))
        (scratch / "password").write_text(PASSWORD)
        text = openssl(scratch, "pkcs12 -in out.p12 -nodes -passin file:password").decode()
        assert blocks_of(text) == ders(made, kind, "int", "root")
        assert blocks_of(text, "PRIVATE KEY") == [pkcs8(made, kind)]
        assert text.count(f"friendlyName: {kind}-pem") == 2
        assert text.count("localKeyID: ") == 2

    def test_java(self, client, made, scratch, kind, profile):
        need("keytool")
        (scratch / "out.p12").write_bytes(write(client, hidden(f"{kind}-pem"), profile=profile, friendlyName="web"))
        shown = keytool("-list", "-rfc", "-keystore", "out.p12", "-storepass", PASSWORD, cwd=scratch)
        assert "Entry type: PrivateKeyEntry" in shown and "Alias name: web" in shown and "Certificate chain length: 3" in shown
        assert blocks_of(shown) == ders(made, kind, "int", "root")
        keytool("-importkeystore", "-noprompt", "-srckeystore", "out.p12", "-srcstorepass", PASSWORD, "-destkeystore", "copy.p12", "-deststorepass",
                "another", cwd=scratch)
        assert blocks_of(openssl(scratch, "pkcs12 -in copy.p12 -nodes -nocerts -passin pass:another").decode(), "PRIVATE KEY") == [pkcs8(made, kind)]

    def test_nss(self, client, made, scratch, kind, profile):
        need("pk12util")
        (scratch / "out.p12").write_bytes(write(client, hidden(f"{kind}-pem"), profile=profile, friendlyName="web"))
        (scratch / "password").write_text(PASSWORD)
        run("certutil", "-N", "-d", "sql:.", "--empty-password", cwd=scratch)
        run("pk12util", "-i", "out.p12", "-d", "sql:.", "-w", "password", cwd=scratch)
        assert "web" in run("certutil", "-K", "-d", "sql:.", cwd=scratch)
        run("pk12util", "-o", "copy.p12", "-n", "web", "-d", "sql:.", "-W", "another", cwd=scratch)
        text = openssl(scratch, "pkcs12 -in copy.p12 -nodes -legacy -passin pass:another").decode()
        assert blocks_of(text, "PRIVATE KEY") == [pkcs8(made, kind)]
        assert sorted(blocks_of(text)) == sorted(ders(made, kind, "int", "root"))

    def test_gnutls(self, client, made, scratch, kind, profile):
        need("certtool")
        (scratch / "out.p12").write_bytes(write(client, hidden(f"{kind}-pem"), profile=profile, friendlyName="web"))
        text = run("certtool", "--p12-info", "--inder", "--infile", "out.p12", "--password", PASSWORD, cwd=scratch)
        assert blocks_of(text) == ders(made, kind, "int", "root") and "Friendly name: web" in text
        (scratch / "encrypted").write_text(re.search("-----BEGIN ENCRYPTED.*-----END ENCRYPTED PRIVATE KEY-----\n", text, re.S).group())
        text = run("certtool", "--key-info", "--pkcs8", "--password", PASSWORD, "--infile", "encrypted", cwd=scratch)
        [key] = blocks_of(text, f"{kind.upper()} PRIVATE KEY")
        assert pkcs8(made, kind).endswith(key)  # which PKCS#8 holds


def test_a_password_beyond_ascii(client, emulator, made, scratch):
    """Java takes none."""
    password = "Zwölf Bücher €"
    emulator.set_secret("password", password)
    for profile in PROFILES:
        file = write(client, hidden("ec-pem"), profile=profile)
        check_with_python(file, made, "ec", "ec-pem", password)
        (scratch / "out.p12").write_bytes(file)
        (scratch / "password").write_text(password)
        assert blocks_of(openssl(scratch, "pkcs12 -in out.p12 -nodes -passin file:password").decode()) == ders(made, "ec", "int", "root")


def test_the_names_in_a_trust_store(client, made, scratch):
    """"ca" has two certificates. Java knows them as trusted by an attribute of its own."""
    for profile in PROFILES:
        file = write_trust(client, {"Corp": "root", "ca": "authorities"}, hidden("authorities"), profile=profile)
        found = pkcs12.load_pkcs12(file, PASSWORD.encode())
        assert found.key is None and found.cert is None
        assert {entry.friendly_name.decode(): entry.certificate.public_bytes(serialization.Encoding.DER) for entry in found.additional_certs} == dict(
            zip(("Corp", "ca", "ca-2"), ders(made, "root", "root", "int")))
        (scratch / "trust.p12").write_bytes(file)
        (scratch / "password").write_text(PASSWORD)
        assert blocks_of(openssl(scratch, "pkcs12 -in trust.p12 -nokeys -passin file:password").decode()) == ders(made, "root", "root", "int")
        if shutil.which("keytool"):
            shown = keytool("-list", "-keystore", "trust.p12", "-storepass", PASSWORD, cwd=scratch)
            assert shown.count("trustedCertEntry") == 3 and all(f"{alias}," in shown for alias in ("corp", "ca", "ca-2"))
        if shutil.which("certtool"):
            shown = run("certtool", "--p12-info", "--inder", "--infile", "trust.p12", "--password", PASSWORD, cwd=scratch)
            assert blocks_of(shown) == ders(made, "root", "root", "int")


def test_certificates_of_pfx_files_are_trusted_without_their_keys(client, made):
    file = write_trust(client, {"web": "rsa-pfx", "all": "rsa-traditional"}, hidden("rsa-pfx"), hidden("rsa-traditional"))
    found = pkcs12.load_pkcs12(file, PASSWORD.encode())
    assert found.key is None and len(found.additional_certs) == 6


def test_certificates_in_der_are_trusted(client, emulator, made):
    """As Active Directory exports them, in base64 or, with its encoding, in bytes."""
    der = crypto.der_of((made / "root.pem").read_bytes())
    emulator.set_secret("cer", base64.b64encode(der).decode())
    file = write_trust(client, {"text": "cer"}, hidden("cer"))
    assert [one.certificate.public_bytes(serialization.Encoding.DER) for one in pkcs12.load_pkcs12(file, PASSWORD.encode()).additional_certs] == [der]
    file = write_trust(client, {"bytes": "cer"}, hidden("cer", objectEncoding="base64"))
    assert [one.certificate.public_bytes(serialization.Encoding.DER) for one in pkcs12.load_pkcs12(file, PASSWORD.encode()).additional_certs] == [der]


def test_the_same_input_gives_the_same_bytes(client, emulator, start_azure, azure):
    """Also in another process; so a rotation changes nothing. Every new input gives new ones."""
    first = write(client, hidden("ec-pem"))
    assert write(client, hidden("ec-pem")) == first
    others = [write(client, hidden("ec-pem"), friendlyName="x"), write(client, hidden("ec-pem"), profile="legacy"), write(client, hidden("rsa-pem"))]
    emulator.set_secret("password", "another")
    others.append(write(client, hidden("ec-pem")))
    assert len({first, *others}) == 5
    emulator.set_secret("password", PASSWORD)
    azure.destroy()
    with rpc.Client(start_azure(name="next").socket) as again:
        assert write(again, hidden("ec-pem")) == first


def test_a_rotation_check_sees_no_change(node, start_driver, start_azure, emulator, made):
    """The driver compares the bytes. Nothing is kept by the provider: it makes the file again for each check."""
    azure = start_azure("--republish-cache-ttl=0s")
    item_class = yaml.safe_load(tutorial.CLASS.replace("\t", " "))
    item_class["spec"]["parameters"]["objects"] = objects(hidden("ec-pem"), alias="web/keystore.p12")
    node.add_class(text=yaml.safe_dump(item_class))
    driver, target = start_driver("--enable-secret-rotation=true", "--rotation-poll-interval=0"), node.target()
    request = rpc.publish_request(target, secrets=tutorial.CREDENTIALS)
    driver.publish(request)
    first, version = mounts.contents(target), os.readlink(target / "..data")
    check_with_python(first["web/keystore.p12"], made, "ec", "ec-pem")
    for _ in range(3):
        read = len(emulator.requests("vault"))
        driver.publish(request)
        assert len(emulator.requests("vault")) > read
        assert os.readlink(target / "..data") == version
    emulator.set_secret("password", "another password")
    driver.publish(request)
    check_with_python(mounts.contents(target)["web/keystore.p12"], made, "ec", "ec-pem", "another password")
    assert azure.alive


def test_a_republish_does_not_write_it_again(client, azure):
    """The file of the same inputs is kept for the principal that has read them: a hundred mounts cost one."""
    def processor():
        return metric_sum(azure.metrics(), "process_cpu_seconds_total")
    write(client, hidden("ec-pem"))
    before = processor()
    for _ in range(20):
        write(client, hidden("ec-pem"))
    assert processor() - before < 1


def test_the_password_may_be_a_value_in_an_item(client, emulator, made):
    emulator.set_secret("credentials", '{"keystore": {"password": "correct horse battery"}}')
    emulator.set_secret("lines", PASSWORD + "\n")
    check_with_python(write(client, hidden("ec-pem"), hidden("credentials"), password="credentials#keystore.password"), made, "ec", "ec-pem")
    check_with_python(write(client, hidden("ec-pem"), hidden("lines"), password="lines|trim"), made, "ec", "ec-pem")


REFUSED = {
    "no such item": (dict(certificate="nothing"), "certificate: there is no item 'nothing' (has: rsa-pem, password"),
    "no such password": (dict(password="nothing"), "password: there is no item 'nothing'"),
    "no key": (dict(certificate="authorities"), "'authorities': it has no private key"),
    "no certificate": (dict(certificate="key-alone"), "'key-alone': it has no certificate"),
    "another key": (dict(certificate="mixed"), "'mixed': no certificate belongs to the private key"),
    "neither": (dict(certificate="password"), "'password': it is neither PEM nor PKCS#12"),
    "locked": (dict(certificate="rsa-locked"), "'rsa-locked': pkcs12: decryption password incorrect"),
    "encrypted": (dict(certificate="encrypted"), "[hint: the private key is encrypted, and the item has no certificatePassword]"),
    "encrypted of old": (dict(certificate="old"), "[hint: the private key is encrypted in OpenSSL's old format: openssl pkcs8 -topk8 converts it]"),
    "Java's own": (dict(certificate="java"), "'java': pkcs12: it is a Java key store (JKS or JCEKS), not PKCS#12"),
    "PEM in base64": (dict(certificate="twice"), "'twice': it is neither PEM nor PKCS#12 [hint: it is base64 of PEM: objectEncoding: base64]"),
    "empty password": (dict(password="empty"), "pkcs12: the password is empty"),
    "not there": (dict(certificate="absent"), "certificate: 'absent' is an optional object that the vault does not have"),
    "long name": (dict(friendlyName="x" * 257), "pkcs12: a friendlyName is not UTF-8 of at most 256 bytes"),
    "two of a name": (dict(format="pkcs12-truststore", certificate=None, items={"CA-2": "root", "ca": "authorities"}),
                      "two certificates have the name 'ca-2' in the trust store"),
    "nothing to trust": (dict(format="pkcs12-truststore", certificate=None, items={"a": "absent"}),
                         "there is no certificate: all items are optional and not there"),
    "no certificate to trust": (dict(format="pkcs12-truststore", certificate=None, items={"a": "key-alone"}), "'a': it has no certificate"),
}


@pytest.mark.parametrize("fields, words", REFUSED.values(), ids=REFUSED)
def test_what_makes_no_file_is_explained(client, emulator, made, fields, words):
    key = (made / "ec.key").read_text()
    emulator.set_secret("key-alone", key)
    emulator.set_secret("mixed", key + (made / "rsa.pem").read_text())
    emulator.set_secret("empty", "")
    emulator.set_secret("encrypted", openssl(made, "pkcs8 -topk8 -in ec.key -passout pass:x").decode() + (made / "ec.pem").read_text())
    emulator.set_secret("old", openssl(made, "ec -in ec.key -aes128 -passout pass:x").decode() + (made / "ec.pem").read_text())
    emulator.set_secret("java", base64.b64encode(b"\xfe\xed\xfe\xed\0\0\0\2\0\0\0\0").decode())
    emulator.set_secret("twice", base64.b64encode((key + (made / "ec.pem").read_text()).encode()).decode())
    others = [hidden(name) for name in ("authorities", "key-alone", "mixed", "rsa-locked", "root", "empty", "encrypted", "old", "java", "twice")]
    code, message = mount_failure(client, objects=objects(hidden("rsa-pem"), *others, hidden("absent", objectOptional="true"), **fields))
    assert code == CODES.FAILED_PRECONDITION and "failed to compose file out.p12: " in message and words in message
    assert PASSWORD not in message


WRONG = {
    "no password": (dict(password=None), "password must name the item"),
    "no certificate": (dict(certificate=None), "format: pkcs12 needs certificate, and has no items"),
    "items": (dict(items={"a": "password"}), "format: pkcs12 needs certificate, and has no items"),
    "profile": (dict(profile="old"), "invalid profile: old, should be modern or legacy"),
    "trust store without items": (dict(format="pkcs12-truststore", certificate=None), "format: pkcs12-truststore needs items"),
    "trust store with a certificate": (dict(format="pkcs12-truststore", items={"a": "password"}), "only supported for format: pkcs12"),
    "reference": (dict(password="a#"), "password: invalid reference"),
    "another format": (dict(format="json", certificate=None), "password only supported for format: pkcs12 and pkcs12-truststore"),
    "unknown format": (dict(format="jks"), "invalid format: jks, should be env, docker-env, properties, json, yaml, pkcs12 or pkcs12-truststore"),
}


@pytest.mark.parametrize("fields, words", WRONG.values(), ids=WRONG)
def test_a_wrong_item_is_refused_before_the_vault_is_read(client, emulator, fields, words):
    code, message = mount_failure(client, objects=objects(hidden("rsa-pem"), **fields))
    assert code == CODES.INVALID_ARGUMENT and words in message
    assert emulator.requests("vault") == []
