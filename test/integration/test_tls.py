"""TLS servers as they exist: one that supports TLS 1.2 alone, one whose certificate comes from a new CA. And files with CAs as they exist."""

import re
import subprocess

import pytest
from grpc import RpcError

from harness import tutorial
from harness.azure_mounts import Pods, mount_request, texts
from harness.emulator import Emulator
from harness.process import free_port
from harness.rpc import CODES

VALUE = {"secret1": tutorial.SECRETS["secret1"]}


@pytest.fixture
def start_cloud(scratch):
    """start(*arguments): an emulator of the test's own, with the tutorial's state; a later one has the same directory and a new CA."""
    started = []

    def start(*arguments):
        (scratch / "cloud/ready").unlink(missing_ok=True)
        cloud = Emulator(scratch / "cloud", name=f"cloud{len(started)}", arguments=arguments)
        started.append(cloud)
        cloud.reset()
        return cloud
    (scratch / "cloud").mkdir()
    yield start
    for cloud in started:
        cloud.destroy()


def replace(path, text):
    """As tools replace a file: whole, under another name first."""
    new = path.with_suffix(".new")
    new.write_text(text)
    new.rename(path)


def test_a_server_without_tls_1_3_that_signs_with_rsa_pss(start_cloud, start_azure):
    """The signature algorithms that a client of TLS 1.3 offers hold for TLS 1.2 as well (RFC 8446, 4.2.3)."""
    cloud = start_cloud("--tls12")
    seen = subprocess.run(["openssl", "s_client", "-connect", f"127.0.0.1:{cloud.tls_port}", "-CAfile", cloud.directory / "ca.pem", "-sigalgs",
                           "rsa_pss_rsae_sha256:rsa_pkcs1_sha256"], capture_output=True, stdin=subprocess.DEVNULL, text=True, check=False).stdout
    # OpenSSL 3.5 prints the name that TLS gives it
    assert re.search("Peer signature type: (RSA-PSS|rsa_pss_rsae_sha256)", seen) and "TLSv1.2" in seen, "the server is not one of this kind"
    azure = start_azure(env=cloud.provider_environment())
    with Pods(azure.socket) as pods:
        assert texts(pods.mount(mount_request())) == VALUE


def test_a_replaced_ca_bundle_is_read_without_a_restart(start_cloud, start_azure, scratch):
    ports = [f"--{name}={free_port()}" for name in ("port", "control-port", "node-port")]
    cloud = start_cloud(*ports)
    bundle = scratch / "bundle.pem"
    replace(bundle, (cloud.directory / "ca.pem").read_text())
    azure = start_azure(env={**cloud.provider_environment(), "SSL_CERT_FILE": str(bundle)})
    with Pods(azure.socket) as pods:
        assert texts(pods.mount(mount_request())) == VALUE
        cloud.destroy()
        cloud = start_cloud(*ports)
        refused = pods.outcome(mount_request(pod="early"), timeout=10)
        assert isinstance(refused, RpcError) and refused.code() == CODES.UNAVAILABLE and "TLS handshake" in refused.details()
        replace(bundle, (cloud.directory / "ca.pem").read_text())
        assert texts(pods.mount(mount_request(pod="late"))) == VALUE


CERTIFICATE = "-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n"
DAMAGED = {
    "a certificate that is none": CERTIFICATE.format("MIIBAAA="),
    "a certificate that is no base64": CERTIFICATE.format("<html>"),
    "half a certificate": "-----BEGIN CERTIFICATE-----\nMIIDazCCAlOgAwIBAgIU\n",
    "a damaged revocation list": "-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n",
    "a certificate without a line end": CERTIFICATE.format("MIIBAAA=").rstrip(),
}


@pytest.mark.parametrize("what", DAMAGED)
@pytest.mark.parametrize("first", [True, False], ids=["first", "last"])
def test_what_is_damaged_in_a_ca_bundle_costs_nothing_but_itself(emulator, start_azure, scratch, what, first):
    good = (emulator.directory / "ca.pem").read_text()
    bundle = scratch / "bundle.pem"
    bundle.write_text(DAMAGED[what] + good if first else good + DAMAGED[what])
    azure = start_azure(env={"SSL_CERT_FILE": str(bundle)})
    with Pods(azure.socket) as pods:
        assert texts(pods.mount(mount_request())) == VALUE
    warnings = [line for line in azure.log.splitlines() if "CA certificates are damaged, continuing without them" in line]
    assert len(warnings) == (0 if "list" in what else 1) and all(f'file="{bundle}"' in line for line in warnings)
