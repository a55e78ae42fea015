"""manifests/examples, applied: every file with a pod in it does what it says. Managed identities and pod identity have tests of their own."""

import base64

import pytest
from cryptography.hazmat.primitives import serialization
from pods import MOUNT, WORKLOAD_CLIENT

from harness import crypto, tutorial
from harness.identities import Certificate
from harness.process import ROOT, wait_until

EXAMPLE_CLIENT = "00000000-0000-0000-0000-000000000001"
ELSEWHERE = {"test_node_identity.py": ["vm-managed-identity-system.yaml", "vm-managed-identity-user.yaml"],
             "test_pod_identity.py": ["pod-identity.yaml", "pod-identity-v1alpha1.yaml"]}
NOT_APPLIED = {"identity-binding.yaml": "needs the control plane of AKS",
               "many-objects.yaml": "has no pod; test/integration/test_objects.py mounts it",
               "several-vaults.yaml": "has no pod; test/integration/test_vaults.py mounts it"}


@pytest.fixture(scope="module")
def certificate():
    return Certificate("certificate1")


def public_pem(certificate):
    return certificate.key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)


def test_no_example_is_forgotten():
    here = (ROOT / "test/e2e/test_examples.py").read_text()
    for file, names in ELSEWHERE.items():
        text = (ROOT / "test/e2e" / file).read_text()
        assert all(f'"{name}"' in text for name in names), file
    elsewhere = {name for names in ELSEWHERE.values() for name in names} | set(NOT_APPLIED)
    examples = {path.name for path in (ROOT / "manifests/examples").glob("*.yaml")}
    assert {name for name in examples - elsewhere if f'apply_example("{name}"' not in here} == set()


def test_a_service_principal(apply_example):
    pod = apply_example("service-principal.yaml").wait_running()
    assert pod.read("secret1") == tutorial.SECRETS["secret1"]
    assert pod.read("database/password") == tutorial.SECRETS["secret2"]
    assert pod.exec("stat", "-L", "-c", "%a", f"{MOUNT}/database/password").strip() == "440"


def test_a_service_principal_by_v1alpha1(apply_example, emulator, certificate):
    emulator.set_key("key1", crypto.jwk_of(public_pem(certificate)))
    pod = apply_example("service-principal-v1alpha1.yaml").wait_running()
    assert pod.read("secret1") == tutorial.SECRETS["secret1"]
    assert pod.read("key1").encode() == public_pem(certificate)


def test_a_service_principal_with_a_certificate(apply_example, emulator, certificate, kubectl, namespace, tmp_path):
    emulator.control("POST", "/entra/apps", {"tenant": tutorial.TENANT, "client_id": "proved", "certificates": [certificate.certificate_pem]})
    emulator.set_policy(client_id="proved", permissions=["get"])
    (tmp_path / "app.pem").write_text(certificate.pem())
    kubectl("-n", namespace, "delete", "secret", "secrets-store-creds")
    kubectl("-n", namespace, "create", "secret", "generic", "secrets-store-creds", "--from-literal", "clientid=proved",
            "--from-file", f"clientcertificate={tmp_path}/app.pem")
    pod = apply_example("service-principal-certificate.yaml").wait_running()
    assert pod.read("secret1") == tutorial.SECRETS["secret1"]
    assert {request["client_id"] for request in emulator.requests("vault")} == {"proved"}


def test_a_workload_identity(apply_example, trust, namespace):
    trust(f"system:serviceaccount:{namespace}:workload-identity-sa")
    assert apply_example("workload-identity.yaml", {EXAMPLE_CLIENT: WORKLOAD_CLIENT}).wait_running().read("secret1") == tutorial.SECRETS["secret1"]


def test_a_workload_identity_by_v1alpha1(apply_example, trust, namespace):
    trust(f"system:serviceaccount:{namespace}:workload-identity-sa")
    assert apply_example("workload-identity-v1alpha1.yaml", {EXAMPLE_CLIENT: WORKLOAD_CLIENT}).wait_running().read("secret1") == tutorial.SECRETS["secret1"]


def test_a_pod_that_is_not_root(apply_example):
    pod = apply_example("non-root.yaml").wait_running()
    assert pod.exec("id", "-u").strip() == "1000"
    assert pod.read("secret1") == tutorial.SECRETS["secret1"]


def test_an_environment_variable(apply_example):
    pod = apply_example("sync-secret.yaml").wait_running()
    assert pod.exec("sh", "-c", "echo -n $PASSWORD") == tutorial.SECRETS["secret1"]


def test_a_certificate_for_an_ingress(apply_example, emulator, certificate, admin, namespace):
    der = certificate.certificate.public_bytes(serialization.Encoding.DER)
    emulator.set_certificate("certificate1", base64.b64encode(der).decode(), contentType="application/x-pem-file", secret=certificate.pem(),
                             key=crypto.jwk_of(public_pem(certificate)))
    apply_example("ingress-tls.yaml").wait_running()
    secret = wait_until(lambda: admin.find("secrets", namespace, "ingress-tls"), 30, "the Secret", pause=0.2)
    data = {key: base64.b64decode(value) for key, value in secret["data"].items()}
    assert secret["type"] == "kubernetes.io/tls"
    assert data["tls.crt"].decode() == certificate.certificate_pem
    assert serialization.load_pem_private_key(data["tls.key"], None).private_numbers() == certificate.key.private_numbers()
