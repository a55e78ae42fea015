"""Microsoft's identity client against the emulator: it makes the assertions that the emulator verifies, and asks its IMDS."""

import os
import uuid

import pytest
from azure.core.exceptions import ClientAuthenticationError
from azure.identity import (
    CertificateCredential,
    ClientAssertionCredential,
    CredentialUnavailableError,
    ManagedIdentityCredential,
    WorkloadIdentityCredential,
)
from azure.keyvault.secrets import SecretClient
from sdk_vaults import TENANT, VAULT

from harness.identities import Certificate, Issuer, subject_of

SUBJECT = subject_of("default", "web")


@pytest.fixture
def app(emulator):
    """A new application that may read the vault, with what it may prove itself with: app(certificates=..., federated=...)."""
    def make(**credentials):
        client_id = str(uuid.uuid4())
        emulator.control("POST", "/entra/apps", {"tenant": TENANT, "client_id": client_id, **credentials})
        emulator.control("PUT", f"/vaults/{VAULT}/policies", {"client_id": client_id, "permissions": ["get"]})
        return client_id
    return make


@pytest.fixture
def issuer(emulator):
    made = Issuer(f"https://oidc.example/{uuid.uuid4()}")
    made.register(emulator)
    return made


def where(emulator):
    return {"authority": f"https://login.localhost:{emulator.tls_port}", "disable_instance_discovery": True}


def read(emulator, credential):
    value = str(uuid.uuid4())
    emulator.set_secret("who", value, vault=VAULT)
    client = SecretClient(f"https://{VAULT}.vault.localhost:{emulator.tls_port}", credential, retry_total=0)
    assert client.get_secret("who").value == value


def test_a_certificate(emulator, app, tmp_path):
    certificate = Certificate()
    path = tmp_path / "app.pem"
    path.write_text(certificate.pem())
    read(emulator, CertificateCredential(TENANT, app(certificates=[certificate.certificate_pem]), str(path), **where(emulator)))
    stranger = CertificateCredential(TENANT, app(certificates=[Certificate("stranger").certificate_pem]), str(path), **where(emulator))
    with pytest.raises(ClientAuthenticationError, match="AADSTS700030"):
        read(emulator, stranger)


def test_an_assertion_of_an_issuer(emulator, app, issuer):
    client_id = app(federated=[{"issuer": issuer.url, "subject": SUBJECT, "audience": "api://AzureADTokenExchange"}])
    read(emulator, ClientAssertionCredential(TENANT, client_id, lambda: issuer.token(SUBJECT), **where(emulator)))
    with pytest.raises(ClientAuthenticationError, match="AADSTS700213"):
        read(emulator, ClientAssertionCredential(TENANT, client_id, lambda: issuer.token("other"), **where(emulator)))


def test_a_projected_token(emulator, app, issuer, tmp_path):
    client_id = app(federated=[{"issuer": issuer.url, "subject": SUBJECT, "audience": "api://AzureADTokenExchange"}])
    path = tmp_path / "token"
    path.write_text(issuer.token(SUBJECT))
    read(emulator, WorkloadIdentityCredential(tenant_id=TENANT, client_id=client_id, token_file_path=str(path), **where(emulator)))


def test_the_identities_of_a_node(emulator, app, monkeypatch):
    system, user = app(), app()
    monkeypatch.setitem(os.environ, "AZURE_POD_IDENTITY_AUTHORITY_HOST", f"http://127.0.0.1:{emulator.node_port}")
    emulator.control("PUT", "/imds", {"tenant": TENANT, "system_assigned": system, "user_assigned": [user]})
    read(emulator, ManagedIdentityCredential())
    read(emulator, ManagedIdentityCredential(client_id=user))
    with pytest.raises((CredentialUnavailableError, ClientAuthenticationError), match="Identity not found"):
        read(emulator, ManagedIdentityCredential(client_id=str(uuid.uuid4())))
