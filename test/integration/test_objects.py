"""Objects of a vault as users have them: keys, certificates, histories, selections, optional ones, JSON; real provider, emulated cloud.

Numbers in comments are those of the checks of the upstream suite that a test stands for.
"""

import base64
import json
from types import SimpleNamespace

import pytest
import yaml

from harness import crypto, rpc, tutorial
from harness.azure_mounts import files, item, mount, mount_failure, objects_of
from harness.crypto import openssl
from harness.mounts import contents
from harness.process import ROOT, wait_until
from harness.rpc import CODES

PKCS12, PEM = "application/x-pkcs12", "application/x-pem-file"


def select(kind="secret", **fields):
    return {"objectType": kind, **fields}


def versions(response):
    ids = [entry.id for entry in response.object_version]
    assert len(ids) == len(set(ids)), "an id is there twice"
    return {entry.id: entry.version for entry in response.object_version}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """One RSA certificate with an intermediate and a root, and one EC certificate that signed itself."""
    directory = tmp_path_factory.mktemp("made")
    for name, kind in (("root", "rsa:2048"), ("int", "rsa:2048"), ("rsa", "rsa:2048"), ("ec", "ec:prime256v1")):
        crypto.new_key(directory, name, kind)
    root = crypto.new_certificate(directory, "root")
    intermediate = crypto.new_certificate(directory, "int", "root")
    result = SimpleNamespace(directory=directory, root=root, intermediate=intermediate)
    for name, issuer, others in (("rsa", "int", intermediate + root), ("ec", None, b"")):
        pem = crypto.new_certificate(directory, name, issuer)
        (directory / "others.pem").write_bytes(others)
        more = "-certfile others.pem" if others else ""
        openssl(directory, f"pkcs12 -export -legacy -passout pass: -inkey {name}.key -in {name}.pem {more} -out {name}.pfx")
        setattr(result, name, SimpleNamespace(
            key=(directory / f"{name}.key").read_bytes(), public=crypto.public_of(directory, name), pem=pem, chain=pem + others,
            cer=base64.b64encode(crypto.der_of(pem)).decode(), pfx=(directory / f"{name}.pfx").read_bytes(),
            jwk=crypto.jwk_of(crypto.public_of(directory, name))))
    return result


def put_certificate(emulator, name, one, content_type=PKCS12, **more):
    value = base64.b64encode(one.pfx).decode() if content_type == PKCS12 else (one.key + one.chain).decode()
    return emulator.set_certificate(name, one.cer, contentType=content_type, secret=value, key=one.jwk, **more)


# ---- what an object holds ------------------------------------------------------------------------------------------------------------


def test_secrets_by_name_and_alias(client, emulator):  # 1
    response = mount(client, objects=objects_of(item("secret1"), item("secret1", objectAlias="SECRET_1"), item("secret2", filePermission="0755")))
    value = tutorial.SECRETS["secret1"].encode()
    assert files(response) == {"secret1": value, "SECRET_1": value, "secret2": tutorial.SECRETS["secret2"].encode()}
    assert {file.path: file.mode for file in response.files}["secret2"] == 0o755  # 4
    assert set(versions(response)) == {"secret/secret1", "secret/secret2"}


def test_keys_of_every_kind_become_public_keys(client, emulator, made):  # 2
    rsa, ec = made.rsa, made.ec
    version = emulator.set_key("rsakey", rsa.jwk)
    emulator.set_key("rsahsm", {**rsa.jwk, "kty": "RSA-HSM"})
    emulator.set_key("echsm", {**ec.jwk, "kty": "EC-HSM"})
    response = mount(client, objects=objects_of(item("rsakey", "key"), item("rsakey", "key", objectAlias="RSA", objectVersion=version),
                                           item("rsahsm", "key"), item("echsm", "key")))
    assert files(response) == {"rsakey": rsa.public, "RSA": rsa.public, "rsahsm": rsa.public, "echsm": ec.public}
    assert versions(response)["key/rsakey"] == version


def test_keys_without_a_text_form_are_named_and_nothing_is_mounted(client, emulator, made):
    bad = {
        "octkey": ({"kty": "oct-HSM"}, "key type 'oct-HSM' currently not supported"),
        "kcurve": ({"kty": "EC", "crv": "P-256K", "x": "AQ", "y": "AQ"}, "the key is not a point on curve P-256K"),
        "offcurve": ({"kty": "EC", "crv": "P-256", "x": "AQ", "y": "AQ"}, "not a point on curve P-256"),
        "nocurve": ({"kty": "EC"}, "curve  is not supported"),
        "nomodulus": ({"kty": "RSA", "e": "AQAB"}, "bad length"),
        "badbase64": ({"kty": "RSA", "n": "***", "e": "AQAB"}, "illegal base64"),
        "nokty": ({}, "key type '' currently not supported"),
    }
    for name, (key, _) in bad.items():
        emulator.set_key(name, key)
    for name, (_, text) in bad.items():
        code, message = mount_failure(client, objects=objects_of(item("secret1"), item(name, "key")))
        assert code == CODES.FAILED_PRECONDITION
        assert f"objectType:key, objectName:{name}" in message and text in message
        assert "secret1" not in message


@pytest.mark.parametrize("which", ["rsa", "ec"])
@pytest.mark.parametrize("content_type", [PEM, PKCS12])
def test_a_certificate_as_cert_key_and_secret(client, emulator, made, which, content_type):  # 3
    one = getattr(made, which)
    version = put_certificate(emulator, "cert1", one, content_type)
    response = mount(client, objects=objects_of(item("cert1", "cert", objectAlias="c"), item("cert1", "key", objectAlias="k"),
                                           item("cert1", "secret", objectAlias="s")))
    assert files(response) == {"c": one.pem, "k": one.public, "s": one.key + one.chain}
    assert versions(response) == {"cert/cert1": version, "key/cert1": version, "secret/cert1": version}
    assert b"DNS:test.domain.com" in openssl(made.directory, "x509 -noout -ext subjectAltName", files(response)["c"])


def test_a_pfx_as_text_and_as_bytes(client, emulator, made):  # 3
    put_certificate(emulator, "cert1", made.rsa)
    got = files(mount(client, objects=objects_of(item("cert1", objectFormat="PFX", objectAlias="text"),
                                              item("cert1", objectFormat="pfx", objectEncoding="base64", objectAlias="bytes"))))
    assert got["bytes"] == made.rsa.pfx and base64.b64decode(got["text"]) == made.rsa.pfx
    assert made.rsa.key in openssl(made.directory, "pkcs12 -legacy -nodes -nocerts -passin pass:", got["bytes"])


def test_separate_files_for_pem_and_none_for_pfx(start_azure, emulator, made):  # 3
    put_certificate(emulator, "cert1", made.rsa)
    with rpc.Client(start_azure("--write-cert-and-key-in-separate-files").socket) as client:
        response = mount(client, objects=objects_of(item("cert1", objectVersionHistory=2, objectAlias="d"), item("cert1", objectFormat="pfx"),
                                               item("secret1")))
    got = files(response)
    assert list(got) == ["d/0.crt", "d/0.key", "d/0", "cert1", "secret1"]
    assert got["d/0.crt"] == made.rsa.chain and got["d/0.key"] == made.rsa.key
    assert set(versions(response)) == {"secret/cert1/0", "secret/cert1", "secret/secret1"}


@pytest.mark.parametrize("content_type,word", [("text/plain", "unknown content type 'text/plain'"), (None, "unknown content type ''")])
def test_the_secret_of_a_certificate_needs_a_known_content_type(client, emulator, content_type, word):
    emulator.set_secret("odd", "x", kid="https://vault/keys/odd/1", managed=True, **({"contentType": content_type} if content_type else {}))
    code, message = mount_failure(client, "odd")
    assert code == CODES.FAILED_PRECONDITION and word in message and "objectName:odd" in message


def test_a_content_type_alone_converts_nothing(client, emulator):
    emulator.set_secret("plain", "aGVsbG8=", contentType=PKCS12)
    assert files(mount(client, "plain")) == {"plain": b"aGVsbG8="}


# ---- histories -----------------------------------------------------------------------------------------------------------------------


def test_a_history_of_each_kind(client, emulator, made):  # 5
    old, new = (emulator.set_key("k", key, created=created) for created, key in ((1, made.rsa.jwk), (2, made.ec.jwk)))
    for created, one in ((1, made.rsa), (2, made.ec)):
        emulator.set_certificate("c", one.cer, created=created)
    response = mount(client, objects=objects_of(item("k", "key", objectVersionHistory=5), item("c", "cert", objectVersionHistory=5, objectAlias="C")))
    assert files(response) == {"k/0": made.ec.public, "k/1": made.rsa.public, "C/0": made.ec.pem, "C/1": made.rsa.pem}
    assert versions(response)["key/k/0"] == new and versions(response)["key/k/1"] == old


def test_more_versions_than_a_page_holds_come_in_order(client, emulator):
    for number in range(60):
        emulator.set_secret("many", str(number), created=1_700_000_000 + number)
    got = files(mount(client, objects=objects_of(item("many", objectVersionHistory=30)), objectVersionHistoryExact="true"))
    assert got == {f"many/{k}": str(59 - k).encode() for k in range(30)}
    assert len(files(mount(client, objects=objects_of(item("many", objectVersionHistory=30))))) == 31


def test_a_history_that_starts_nowhere_is_not_found(client, emulator):
    code, message = mount_failure(client, objects=objects_of(item("secret1", objectVersionHistory=2, objectVersion="0" * 32)))
    assert code == CODES.NOT_FOUND and "objectName:secret1" in message


# ---- selections ----------------------------------------------------------------------------------------------------------------------


def test_a_pattern_selects_enabled_objects_and_each_is_read_once(client, emulator):
    names = [f"app1-{number:02}" for number in range(40)]
    for name in names + ["app2-x", "other"]:
        emulator.set_secret(name, f"value of {name}")
    emulator.set_secret("app1-off", "x")
    emulator.disable("secrets", "app1-off")
    emulator.reset_counters()
    response = mount(client, objects=objects_of(select(objectNamePattern="APP1-*", objectAlias="app1", filePermission="0440")))
    assert files(response) == {f"app1/{name}": f"value of {name}".encode() for name in names}
    assert {file.mode for file in response.files} == {0o440}
    assert set(versions(response)) == {f"secret/{name}" for name in names}
    assert emulator.vault_requests == 2 + len(names), "two pages of the list and one read for each object"


def test_tags_select_and_a_template_names_the_files(client, emulator, made):
    emulator.set_key("k1", made.rsa.jwk, tags={"env": "prod", "team": "pay"})
    emulator.set_key("k2", made.ec.jwk, tags={"env": "prod"})
    emulator.set_key("k3", made.ec.jwk, tags={"env": "test", "team": "pay"})
    emulator.set_key("k4", made.ec.jwk)
    got = files(mount(client, objects=objects_of(select("key", objectTags="env=prod, team=pay", objectAlias="keys/*.pem"))))
    assert got == {"keys/k1.pem": made.rsa.public}
    got = files(mount(client, objects=objects_of(select("key", objectTags="env=prod", objectNamePattern="?2"))))
    assert got == {"k2": made.ec.public}
    put_certificate(emulator, "tls", made.rsa, tags={"env": "prod"})
    assert files(mount(client, objects=objects_of(select("cert", objectTags="env=prod")))) == {"tls": made.rsa.pem}


def test_a_selection_of_nothing_is_an_error_unless_it_is_optional(client, emulator):
    code, message = mount_failure(client, objects=objects_of(item("secret1"), select(objectNamePattern="nothing-*")))
    assert code == CODES.NOT_FOUND and "objectName:nothing-*" in message and "none of the 2 objects" in message
    got = files(mount(client, objects=objects_of(item("secret1"), select(objectNamePattern="nothing-*", objectOptional="true"))))
    assert list(got) == ["secret1"]


def test_a_selection_needs_the_permission_to_list(client, emulator):
    emulator.set_policy(permissions=["get"])
    code, message = mount_failure(client, objects=objects_of(select(objectNamePattern="*", objectOptional="true")))
    assert code == CODES.PERMISSION_DENIED and "list" in message


def test_two_items_for_one_file_are_refused_with_both_objects_named(client, emulator):
    code, message = mount_failure(client, objects=objects_of(item("secret2", objectAlias="secret1"), select(objectNamePattern="secret*")))
    assert code == CODES.INVALID_ARGUMENT and "secret1" in message and "secret2" in message


def test_a_rotation_brings_new_objects_of_a_selection(start_azure, emulator):
    emulator.set_secret("sel-1", "1")
    with rpc.Client(start_azure("--republish-cache-ttl=0").socket) as client:
        chosen = objects_of(select(objectNamePattern="sel-*"))
        assert set(files(mount(client, objects=chosen))) == {"sel-1"}
        emulator.set_secret("sel-2", "2")
        assert set(files(mount(client, objects=chosen))) == {"sel-1", "sel-2"}


# ---- optional objects ----------------------------------------------------------------------------------------------------------------


def test_optional_objects_may_be_missing_or_disabled(client, azure, emulator, made):
    emulator.set_secret("off", "x")
    emulator.disable("secrets", "off")
    emulator.set_key("offkey", made.rsa.jwk)
    emulator.disable("keys", "offkey")
    maybe = {"objectOptional": "true"}
    response = mount(client, objects=objects_of(
        item("secret1"), item("no-such", **maybe), item("off", **maybe), item("offkey", "key", **maybe), item("no-such", "cert", objectAlias="c", **maybe),
        item("no-such", objectVersionHistory=2, objectAlias="h", **maybe), item("secret2", **maybe)))
    assert set(files(response)) == {"secret1", "secret2"}
    found = versions(response)
    assert {name for name, version in found.items() if version} == {"secret/secret1", "secret/secret2"}
    assert {name for name, version in found.items() if not version} == {"secret/no-such", "secret/off", "key/offkey", "cert/no-such"}
    assert azure.log.count("optional object left out") == 5


@pytest.mark.parametrize("name,kind,word", [("no-such", "secret", "SecretNotFound"), ("off", "secret", "SecretDisabled"),
                                            ("no-such", "key", "KeyNotFound"), ("no-such", "cert", "CertificateNotFound")])
def test_the_same_objects_fail_a_mount_that_needs_them(client, emulator, name, kind, word):
    emulator.set_secret("off", "x")
    emulator.disable("secrets", "off")
    code, message = mount_failure(client, objects=objects_of(item(name, kind), item(name, kind, objectAlias="o", objectOptional="true")))
    assert code in (CODES.NOT_FOUND, CODES.PERMISSION_DENIED)
    assert f"objectName:{name}" in message and word in message


def test_optional_does_not_hide_other_failures(client, emulator):
    emulator.set_policy(permissions=["get", "list"], keys=[])
    code, message = mount_failure(client, objects=objects_of(item("secret1"), item("k", "key", objectOptional="true")))
    assert code == CODES.PERMISSION_DENIED and "keys get" in message
    emulator.add_fault("status", service="vault", status=404, body="<html>a proxy</html>", path_contains="secret1")
    code, _ = mount_failure(client, objects=objects_of(item("secret1", objectOptional="true")), timeout=5)
    assert code == CODES.NOT_FOUND, "only the vault can say that it does not have the object"


@pytest.mark.parametrize("status,code,inner,optional", [
    (404, "SecretNotFound", None, True), (404, "KeyNotFound", None, True), (404, "CertificateNotFound", None, True),
    (403, "Forbidden", "SecretDisabled", True), (403, "Forbidden", "KeyDisabled", True),
    (404, "NotFound", None, False), (404, "ResourceNotFound", None, False), (404, "KeyVaultNotFound", None, False), (404, "", None, False),
    (404, "Forbidden", "SecretNotFound", False), (403, "SecretNotFound", None, False), (403, "Forbidden", "PublicNetworkAccessDisabled", False),
    (403, "Forbidden", None, False),
])
def test_only_codes_of_an_object_make_an_optional_one_missing(client, emulator, status, code, inner, optional):
    error = {"code": code, "message": "it is disabled, or not there", **({"innererror": {"code": inner}} if inner else {})}
    emulator.add_fault("status", service="vault", status=status, body=json.dumps({"error": error}), path_contains="secret1")
    wanted = objects_of(item("secret1", objectOptional="true"), item("secret2"))
    if optional:
        assert set(files(mount(client, objects=wanted))) == {"secret2"}
        return
    _, message = mount_failure(client, objects=wanted, timeout=5)
    assert f"HTTP {status}" in message and "this version is disabled" not in message and "it may be deleted" not in message
    assert ("no vault reports a missing object like this" in message) == (status == 404)


def test_an_optional_object_is_removed_when_it_is_deleted(start_azure, emulator):
    wanted = objects_of(item("secret1"), item("secret2", objectOptional="true"))
    with rpc.Client(start_azure().socket) as client:
        assert set(files(mount(client, objects=wanted))) == {"secret1", "secret2"}
        emulator.control("DELETE", f"/vaults/{tutorial.VAULT}/secrets/secret2")
        assert set(files(mount(client, objects=wanted))) == {"secret1"}


def test_a_volume_of_optional_objects_only_mounts(start_azure, start_driver, node, emulator):
    start_azure()
    driver = start_driver()
    node.add_class(text=tutorial.class_with([], objects=objects_of(item("no-such", objectOptional="true"))))
    target = node.target()
    driver.publish(rpc.publish_request(target, secrets=tutorial.CREDENTIALS))
    assert contents(target) == {}
    driver.unpublish(rpc.unpublish_request(target))


# ---- JSON ----------------------------------------------------------------------------------------------------------------------------


def test_a_json_secret_becomes_files(client, emulator):
    version = emulator.set_secret("db", '{"user": "me", "password": "p\\u00e4ss\\n", "port": 5432, "big": 12345678901234567890123, '
                                        '"tls": {"ca": null, "list": [1, 2.50]}, "dir/deep": "x"}')
    response = mount(client, objects=objects_of(item("db", objectSplit="json", filePermission="0400"), item("db", objectAlias="whole")))
    got = files(response)
    assert json.loads(got.pop("whole"))["port"] == 5432
    assert got == {"db/user": b"me", "db/password": "päss\n".encode(), "db/port": b"5432", "db/big": b"12345678901234567890123",
                   "db/tls": b'{"ca": null, "list": [1, 2.50]}', "db/dir/deep": b"x"}
    assert versions(response) == {"secret/db": version}


@pytest.mark.parametrize("value,word", [("hunter2", "invalid JSON"), ('["hunter2"]', "not a JSON object"), ('{"a":"hunter2","a":1}', "twice"),
                                        ('{"../a":"hunter2"}', "must not contain '..'"), ('{"a":"hunter2"} x', "invalid JSON")])
def test_a_value_that_cannot_be_split_is_reported_without_the_value(client, azure, emulator, value, word):
    emulator.set_secret("db", value)
    code, message = mount_failure(client, objects=objects_of(item("db", objectSplit="json")))
    assert code == CODES.FAILED_PRECONDITION and word in message and "objectName:db" in message
    assert "hunter2" not in message and "hunter2" not in azure.log


def test_the_secret_of_a_certificate_is_not_split(client, emulator):
    emulator.set_secret("odd", '{"a": "b"}', kid="https://vault/keys/odd/1", managed=True, contentType="application/x-pem-file")
    code, message = mount_failure(client, objects=objects_of(item("odd", objectSplit="json")))
    assert code == CODES.FAILED_PRECONDITION and "belongs to a certificate" in message and "objectName:odd" in message


def test_members_that_lie_below_each_other_are_refused(client, emulator):
    emulator.set_secret("db", '{"a": "1", "a/b": "2"}')
    code, message = mount_failure(client, objects=objects_of(item("db", objectSplit="json")))
    assert code == CODES.INVALID_ARGUMENT and "db/a/b" in message


def test_a_history_and_a_selection_can_be_split(client, emulator):
    for created, value in ((1, '{"v": "old"}'), (2, '{"v": "new"}')):
        emulator.set_secret("j-db", value, created=created)
    got = files(mount(client, objects=objects_of(item("j-db", objectSplit="json", objectVersionHistory=3, objectAlias="h"),
                                              select(objectNamePattern="j-*", objectSplit="json"))))
    assert got == {"h/0/v": b"new", "h/1/v": b"old", "j-db/v": b"new"}


# ---- vaults by URL -------------------------------------------------------------------------------------------------------------------


def test_a_vault_by_url(client, emulator):
    url = f"https://{tutorial.VAULT}.vault.localhost:{emulator.tls_port}"
    assert files(mount(client, keyvaultName=None, keyvaultURL=url)) == {"secret1": tutorial.SECRETS["secret1"].encode()}
    code, message = mount_failure(client, keyvaultURL=url)
    assert code == CODES.INVALID_ARGUMENT and "only one of keyvaultName and keyvaultURL" in message


@pytest.mark.parametrize("url", ["https://kv1.vault.azure.net", "http://kv1.vault.localhost:{port}", "https://vault.localhost:{port}",
                                 "https://kv1.vault.localhost:{port}/secrets", "https://kv1.vault.localhost", "https://localhost:{port}"])
def test_a_url_outside_of_the_cloud_is_refused_before_any_request(client, emulator, url):
    code, message = mount_failure(client, keyvaultName=None, keyvaultURL=url.format(port=emulator.tls_port))
    assert code == CODES.INVALID_ARGUMENT and "failed to get vault" in message
    assert emulator.counters()["requests"] == 0


def test_keys_of_a_managed_hsm(client, emulator, made):  # 2
    emulator.add_vault("hsm1", hsm=True)
    url = f"https://hsm1.managedhsm.localhost:{emulator.tls_port}/"
    version = emulator.set_key("rsahsm", {**made.rsa.jwk, "kty": "RSA-HSM"}, vault="hsm1")
    emulator.set_key("echsm", {**made.ec.jwk, "kty": "EC-HSM"}, vault="hsm1")
    response = mount(client, keyvaultName=None, keyvaultURL=url, objects=objects_of(item("rsahsm", "key"), item("echsm", "key")))
    assert files(response) == {"rsahsm": made.rsa.public, "echsm": made.ec.public}
    assert versions(response)["key/rsahsm"] == version
    # the same identity reads a vault with a token of its own
    assert files(mount(client))
    assert emulator.counters()["tokens_issued"] == 2
    assert not [route for route in emulator.counters()["routes"] if route["status"] == 401]
    emulator.control("POST", "/entra/revoke-tokens")  # the challenge of an HSM is understood, too
    assert files(mount(client, keyvaultName=None, keyvaultURL=url, objects=objects_of(item("echsm", "key")))) == {"echsm": made.ec.public}


def test_a_managed_hsm_has_nothing_but_keys(client, emulator):
    url = f"https://hsm1.managedhsm.localhost:{emulator.tls_port}/"
    code, message = mount_failure(client, keyvaultName=None, keyvaultURL=url, objects=objects_of(item("k", "key"), item("s")))
    assert code == CODES.INVALID_ARGUMENT and "objectName:s" in message and "key only" in message
    assert emulator.counters()["requests"] == 0


# ---- as a pod sees it ----------------------------------------------------------------------------------------------------------------


def example(name):
    """The `objects` text of a class in manifests/examples."""
    documents = yaml.safe_load_all((ROOT / "manifests/examples" / name).read_text())
    return next(document for document in documents if document["kind"] == "SecretProviderClass")["spec"]["parameters"]["objects"]


def test_the_example_with_many_objects_in_a_volume_and_its_rotation(start_azure, start_driver, node, emulator, made):
    for name in ("app1-one", "app1-two"):
        emulator.set_secret(name, name.upper())
    emulator.set_key("signing", made.ec.jwk, tags={"env": "prod", "team": "billing"})
    emulator.set_secret("database", '{"user": "me", "port": 5432}')
    start_azure("--republish-cache-ttl=0")
    driver = start_driver("--enable-secret-rotation=true", "--rotation-poll-interval=1s")
    node.add_class(text=tutorial.class_with([], objects=example("many-objects.yaml")))
    target = node.target()
    request = rpc.publish_request(target, secrets=tutorial.CREDENTIALS)
    driver.publish(request)
    first = {"app1/app1-one": b"APP1-ONE", "app1/app1-two": b"APP1-TWO", "keys/signing.pem": made.ec.public,
             "database/user": b"me", "database/port": b"5432"}
    assert contents(target) == first
    emulator.control("DELETE", f"/vaults/{tutorial.VAULT}/secrets/app1-two")
    emulator.set_secret("app1-three", "3")
    emulator.set_secret("database", '{"user": "you"}')
    put_certificate(emulator, "ingress-tls", made.rsa)
    second = {"app1/app1-one": b"APP1-ONE", "app1/app1-three": b"3", "keys/signing.pem": made.ec.public, "database/user": b"you",
              "ingress-tls": made.rsa.key + made.rsa.chain}

    def rotated():
        driver.publish(request)
        return contents(target) == second
    wait_until(rotated, what="all changes at once")
    driver.unpublish(rpc.unpublish_request(target))


# ---- custom cloud, permissions -------------------------------------------------------------------------------------------------------


def test_a_custom_cloud_by_class(start_azure, emulator):  # 8
    cloud = str(emulator.directory / "cloud.json")
    with rpc.Client(start_azure("--cloud-name=AzurePublicCloud").socket) as client:
        assert files(mount(client, cloudName="azurestackcloud", cloudEnvFileName=cloud)) == {"secret1": tutorial.SECRETS["secret1"].encode()}
        code, message = mount_failure(client, cloudName="AzureStackCloud", cloudEnvFileName="/nonexistent/cloud.json")
    assert code == CODES.INVALID_ARGUMENT
    assert "cloudName AzureStackCloud is not valid, error: open /nonexistent/cloud.json: no such file or directory" in message


@pytest.mark.parametrize("kind,collection", [("secret", "secrets"), ("key", "keys"), ("cert", "certificates")])
def test_a_missing_permission_names_the_kind(client, emulator, kind, collection):
    emulator.set_policy(permissions=["get", "list"], **{collection: []})
    code, message = mount_failure(client, objects=objects_of(item("thing", kind)))
    assert code == CODES.PERMISSION_DENIED and f"{collection} get" in message
