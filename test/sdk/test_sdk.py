"""Microsoft's SDK clients against the emulator: they parse its responses, follow its pages, obey its challenges and read its errors."""

import base64
import itertools

import pytest
from azure.core.exceptions import ClientAuthenticationError, HttpResponseError, ResourceNotFoundError
from azure.identity import ClientSecretCredential
from azure.keyvault.certificates import CertificateClient, CertificateContentType
from azure.keyvault.keys import KeyClient
from azure.keyvault.secrets import SecretClient
from sdk_vaults import CLIENT_ID, HSM, TENANT, VAULT

from harness import crypto, tutorial

QUICK = {"retry_total": 0}
NUMBERS = itertools.count()


def credential(emulator, secret=tutorial.CLIENT_SECRET, client_id=CLIENT_ID):
    return ClientSecretCredential(TENANT, client_id, secret, authority=f"https://login.localhost:{emulator.tls_port}",
                                  disable_instance_discovery=True)


def url(emulator, vault=VAULT):
    suffix = "managedhsm" if vault == HSM else "vault"
    return f"https://{vault}.{suffix}.localhost:{emulator.tls_port}"


@pytest.fixture(params=["7.4", "7.5", None], ids=["7.4", "7.5", "newest"])
def client(request, emulator):
    """Makes clients of a class, of the API version under test."""
    version = {} if request.param is None else {"api_version": request.param}
    return lambda kind, vault=VAULT, who=None: kind(url(emulator, vault), who or credential(emulator), **version, **QUICK)


@pytest.fixture(scope="session")
def made(tmp_path_factory):
    directory = tmp_path_factory.mktemp("made")
    result = {}
    for name, kind in (("rsa", "rsa:2048"), ("ec", "ec:secp384r1")):
        crypto.new_key(directory, name, kind)
        result[name] = (crypto.new_certificate(directory, name), crypto.jwk_of(crypto.public_of(directory, name)))
    return result


def test_a_secret_is_read_with_everything_that_belongs_to_it(emulator, client):
    version = emulator.set_secret("one", "välue", vault=VAULT, contentType="text/plain", tags={"a": "b"}, nbf=1, exp=4102444800)
    secret = client(SecretClient).get_secret("one")
    assert secret.value == "välue" and secret.properties.version == version
    assert secret.properties.content_type == "text/plain" and secret.properties.tags == {"a": "b"}
    assert secret.properties.enabled and secret.properties.expires_on.year == 2100 and secret.properties.not_before.year == 1970
    assert secret.id == f"{url(emulator)}/secrets/one/{version}"


def test_a_client_sets_what_it_reads_again(client):
    secrets = client(SecretClient)
    first, second = (secrets.set_secret("set", value, tags={"n": value}) for value in ("1", "2"))
    assert secrets.get_secret("set").value == "2"
    assert secrets.get_secret("set", first.properties.version).value == "1"
    found = {item.version: item.tags for item in secrets.list_properties_of_secret_versions("set")}
    assert found[second.properties.version] == {"n": "2"} and found[first.properties.version] == {"n": "1"}


def test_lists_are_followed_page_by_page(emulator, client):
    names = {f"many-{number:03}" for number in range(60)}
    for name in names:
        emulator.set_secret(name, "x", vault=VAULT, tags={"kind": "many"})
    emulator.reset_counters()
    listed = {item.name: item for item in client(SecretClient).list_properties_of_secrets()}
    assert names <= set(listed) and listed["many-000"].tags == {"kind": "many"} and listed["many-000"].version is None
    pages = [route for route in emulator.counters()["routes"] if route["route"] == "/secrets" and route["status"] == 200]
    assert pages[0]["count"] >= 3


def test_keys_of_both_kinds(emulator, client, made):
    for name, (_, jwk) in made.items():
        version = emulator.set_key(f"key-{name}", jwk, vault=VAULT, tags={"name": name})
        key = client(KeyClient).get_key(f"key-{name}")
        assert key.properties.version == version and key.key_type.value == jwk["kty"]
        for member in ("n", "e", "x", "y"):
            if member in jwk:
                assert crypto.b64url(getattr(key.key, member)) == jwk[member]
    listed = {item.name: item.tags for item in client(KeyClient).list_properties_of_keys()}
    assert listed["key-rsa"] == {"name": "rsa"} and listed["key-ec"] == {"name": "ec"}
    assert [item.version for item in client(KeyClient).list_properties_of_key_versions("key-ec")].count(version) == 1


def test_a_certificate_with_its_key_and_its_secret(emulator, client, made):
    pem, jwk = made["rsa"]
    der = crypto.der_of(pem)
    version = emulator.set_certificate("cert", base64.b64encode(der).decode(), vault=VAULT, contentType="application/x-pem-file",
                                       secret=pem.decode(), key=jwk, tags={"a": "b"})
    certificate = client(CertificateClient).get_certificate("cert")
    assert bytes(certificate.cer) == der and certificate.properties.version == version
    assert certificate.policy.content_type == CertificateContentType.pem
    assert certificate.key_id.endswith(f"/keys/cert/{version}") and certificate.secret_id.endswith(f"/secrets/cert/{version}")
    assert len(certificate.properties.x509_thumbprint) == 20
    assert "cert" in {item.name for item in client(CertificateClient).list_properties_of_certificates()}
    assert version in {item.version for item in client(CertificateClient).list_properties_of_certificate_versions("cert")}
    secret = client(SecretClient).get_secret("cert")
    assert secret.properties.key_id == certificate.key_id and secret.properties.version == version
    assert client(KeyClient).get_key("cert").properties.managed


def test_keys_of_a_managed_hsm(emulator, client, made):
    jwk = {**made["ec"][1], "kty": "EC-HSM"}
    version = emulator.set_key("hsmkey", jwk, vault=HSM)
    key = client(KeyClient, HSM).get_key("hsmkey")
    assert key.properties.version == version and key.key_type.value == "EC-HSM" and key.properties.vault_url == url(emulator, HSM)


def test_the_first_request_is_challenged_and_the_token_is_used_for_the_rest(emulator, client):
    vault = f"challenge{next(NUMBERS)}"  # clients remember challenges by host
    emulator.add_vault(vault, TENANT, CLIENT_ID)
    emulator.set_secret("challenge", "x", vault=vault)
    secrets = client(SecretClient, vault)
    emulator.reset_counters()
    for _ in range(3):
        secrets.get_secret("challenge")
    counters = emulator.counters()
    status = [(route["status"], route["count"]) for route in counters["routes"] if route["service"] == "vault"]
    assert sorted(status) == [(200, 3), (401, 1)] and counters["tokens_issued"] == 1


def test_a_wrong_client_secret_is_refused_with_its_number(emulator, client):
    with pytest.raises(ClientAuthenticationError, match="AADSTS7000215"):
        client(SecretClient, who=credential(emulator, "wrong")).get_secret("one")


def test_an_unknown_application_is_refused_with_its_number(emulator, client):
    with pytest.raises(ClientAuthenticationError, match="AADSTS700016"):
        client(SecretClient, who=credential(emulator, client_id="00000000-0000-0000-0000-000000000000")).get_secret("one")


@pytest.mark.parametrize("kind,read,code", [(SecretClient, "get_secret", "SecretNotFound"), (KeyClient, "get_key", "KeyNotFound"),
                                            (CertificateClient, "get_certificate", "CertificateNotFound")])
def test_a_missing_object_is_reported_with_its_code(client, kind, read, code):
    with pytest.raises(ResourceNotFoundError) as failure:
        getattr(client(kind), read)("no-such-thing")
    assert failure.value.error.code == code


def test_a_disabled_secret_and_a_missing_permission_are_distinguished(emulator, client):
    emulator.set_secret("off", "x", vault=VAULT)
    emulator.disable("secrets", "off", vault=VAULT)
    with pytest.raises(HttpResponseError) as failure:
        client(SecretClient).get_secret("off")
    assert failure.value.status_code == 403 and failure.value.error.innererror["code"] == "SecretDisabled"
    emulator.add_vault("locked", TENANT, CLIENT_ID, permissions=())
    with pytest.raises(HttpResponseError) as failure:
        client(SecretClient, "locked").get_secret("one")
    assert failure.value.status_code == 403 and failure.value.error.innererror["code"] == "AccessDenied"
