"""TLS as vaults, proxies and company CAs speak it: what each of our two TLS libraries connects to, and what it says of the rest.

KINDS is the list. Where the two libraries differ, a kind has two outcomes: OpenSSL's (development builds), then mbedTLS' (the release).
"""

import json
import ssl

import grpc
import pytest

from harness.azure_mounts import Pods, mount_request, texts
from harness.process import BUILD
from harness.programs import Azure, Node
from harness.scratch import scratch_directory
from harness.tls_servers import CA, LEAF, Certificates, TlsServer

RELEASE = BUILD.name.startswith("static")
HOST = "vault.matrix.localhost"
NAMES = f"subjectAltName=DNS:*.{HOST}"
OK = None
NO_NAME = "the certificate has no subjectAltName with a host name or an address"
NOT_PERMITTED = ("permitted subtree violation", f"'*.{HOST}', is not permitted by the name constraints of a CA")
TLS12, TLS13 = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3


def constraints(text):
    return (*CA, f"nameConstraints=critical,{text}")


class Kind:
    """`outcome`: OK or a text of the error; a pair of them where the libraries differ. `ca`, `between`, `leaf`: arguments of Certificates.make()."""

    def __init__(self, name, outcome=OK, ca=None, between=(), leaf=None, sends=None, trusts="ca", **server):
        self.name = name
        outcomes = outcome if isinstance(outcome, tuple) else (outcome, outcome)
        self.outcome = outcomes[RELEASE]
        self.differs = (outcomes[0] is OK) != (outcomes[1] is OK)
        self.ca = {"extensions": CA, **(ca or {})}
        self.between = [{"extensions": CA, **one} for one in between]
        self.leaf = {"extensions": (*LEAF, NAMES), **(leaf or {})}
        self.sends = sends  # how many certificates of the chain, without the root
        self.trusts = trusts  # the file of CAs holds: the "ca" that issued, one "before" it, too, "another" alone, or the server's certificate "itself"
        self.server = server

    def build(self, certificates):
        """Makes its certificates; returns (chain and key of the server, text of the CAs)."""
        leaf = f"leaf-{self.name}"
        if self.trusts == "itself":
            return certificates.chain(certificates.make(leaf, **self.leaf)), certificates.text(leaf)
        chain = [certificates.make(f"ca-{self.name}", **self.ca)]
        for n, one in enumerate(self.between):
            chain.insert(0, certificates.make(f"ca{n}-{self.name}", issuer=chain[0], **one))
        chain.insert(0, certificates.make(leaf, issuer=chain[0], **self.leaf))
        others = [certificates.make(f"ca-{self.trusts}-{self.name}", **self.ca)] if self.trusts != "ca" else []
        trusted = others if self.trusts == "another" else [*others, chain[-1]]
        return certificates.chain(*chain[:-1][:self.sends]), certificates.text(*trusted)


def cipher(name, **more):
    return Kind(f"cipher-{name}", maximum=TLS12, ciphers=name, **more)


def names(n):
    return (*LEAF, f"{NAMES}," + ",".join(f"DNS:host-{i}.{HOST}" for i in range(n)))


KINDS = [
    # keys and signatures
    Kind("rsa-2048", leaf={"key": "rsa"}, ca={"key": "rsa"}),
    Kind("rsa-4096", leaf={"key": "rsa-4096"}),
    Kind("rsa-1024", ("certificate key too weak", OK), leaf={"key": "rsa-1024"}, ciphers="DEFAULT@SECLEVEL=1"),
    *(Kind(f"ecdsa-{curve}", leaf={"key": curve}, ca={"key": curve}) for curve in ("P-256", "P-384", "P-521")),
    Kind("ecdsa-brainpool", ("handshake failure", OK), leaf={"key": "brainpoolP256r1"}, maximum=TLS12),
    Kind("ca-signs-with-rsa-pss", ca={"key": "rsa"}, leaf={"key": "rsa", "options": "-sigopt rsa_padding_mode:pss -sigopt rsa_pss_saltlen:32"}),
    Kind("rsa-pss-key", ca={"key": "rsa"}, leaf={"key": "rsa-pss"}),
    Kind("rsa-pss-key-tls-1.2", ca={"key": "rsa"}, leaf={"key": "rsa-pss"}, maximum=TLS12),
    Kind("rsa-pss-keys-in-the-whole-chain", ca={"key": "rsa-pss"}, between=[{"key": "rsa-pss"}], leaf={"key": "rsa-pss"}),
    Kind("ed25519", (OK, "Ed25519 or Ed448 key is not supported"), leaf={"key": "ed25519"}),
    Kind("ed25519-ca", (OK, "Ed25519 or Ed448 signature is not supported"), ca={"key": "ed25519"}),
    Kind("ed448", (OK, "Ed25519 or Ed448 key is not supported"), leaf={"key": "ed448"}),
    Kind("sha-384", leaf={"options": "-sha384"}),
    Kind("sha-512", leaf={"options": "-sha512"}),
    Kind("sha-1", ("digest algorithm too weak", "signed with an unacceptable hash"), ca={"key": "rsa"},
         leaf={"options": "-sha1"}, ciphers="DEFAULT@SECLEVEL=0"),
    # versions
    Kind("tls-1.3-only", minimum=TLS13),
    Kind("tls-1.2-only", maximum=TLS12),
    Kind("tls-1.1-only", ("protocol version", "the server accepts nothing"), minimum=ssl.TLSVersion.TLSv1_1, maximum=ssl.TLSVersion.TLSv1_1, ciphers="DEFAULT@SECLEVEL=0"),
    Kind("client-certificate-wanted", client_certificate=True),
    # ciphers of TLS 1.2
    *(cipher(name, leaf={"key": "rsa"}) for name in (
        "ECDHE-RSA-AES128-GCM-SHA256", "ECDHE-RSA-AES256-GCM-SHA384", "ECDHE-RSA-CHACHA20-POLY1305", "ECDHE-RSA-AES128-SHA256", "ECDHE-RSA-AES256-SHA384",
        "ECDHE-RSA-AES256-SHA", "AES128-GCM-SHA256", "AES256-SHA")),
    cipher("DHE-RSA-AES256-GCM-SHA384", leaf={"key": "rsa"}, finite_field=True),
    *(cipher(name) for name in ("ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-ECDSA-CHACHA20-POLY1305")),
    cipher("ECDHE-ECDSA-AES256-CCM", outcome=("handshake failure", OK)),
    # groups
    *(Kind(f"group-{name}", group=name) for name in ("prime256v1", "secp384r1", "secp521r1")),
    Kind("group-brainpoolP384r1", ("handshake failure", OK), group="brainpoolP384r1", maximum=TLS12),
    # chains
    Kind("intermediate", between=[{}]),
    Kind("intermediate-not-sent", ("unable to get local issuer certificate", "not correctly signed by the trusted CA"), between=[{}], sends=1),
    Kind("seven-intermediates", between=[{}] * 7),
    Kind("trusted-itself", trusts="itself"),
    Kind("two-cas-of-the-same-name", ca={"subject": "/O=Contoso/CN=Root"}, trusts="before"),
    Kind("another-ca-of-the-same-name", ("unable to get local issuer certificate", "not correctly signed by the trusted CA"),
         ca={"subject": "/O=Contoso/CN=Root"}, trusts="another"),
    Kind("another-ca", ("unable to get local issuer certificate", "not correctly signed by the trusted CA"), trusts="another"),
    Kind("issued-by-no-ca", ("invalid CA certificate", "not correctly signed by the trusted CA"), ca={"extensions": LEAF}),
    Kind("expired", "expired", leaf={"days": -1}),
    Kind("other-name", ("no alternative certificate subject name matches", "does not match"),
         leaf={"extensions": (*LEAF, "subjectAltName=DNS:elsewhere.example")}),
    Kind("no-subject-alternative-name", NO_NAME, leaf={"extensions": LEAF, "subject": f"/CN=*.{HOST}"}),
    Kind("subject-alternative-name-without-a-host", NO_NAME,
         leaf={"extensions": (*LEAF, "subjectAltName=email:root@example.com"), "subject": f"/CN=*.{HOST}"}),
    Kind("not-for-servers", ("unsuitable certificate purpose", "not one for servers"), leaf={"extensions": ("extendedKeyUsage=clientAuth", NAMES)}),
    Kind("unknown-critical-extension", ("unhandled critical extension", "a critical extension that is not known"),
         leaf={"extensions": (*LEAF, NAMES, "1.2.3.4=critical,ASN1:NULL")}),
    Kind("critical-policies", ca={"extensions": (*CA, "certificatePolicies=critical,1.2.3.4")},
         leaf={"extensions": (*LEAF, NAMES, "certificatePolicies=critical,1.2.3.4")}),
    Kind("certificate-of-12-kB", leaf={"extensions": names(300)}),
    Kind("certificate-of-37-kB", (OK, "more than 16 KiB"), leaf={"extensions": names(900)}),
    # name constraints
    Kind("constrained-root", ca={"extensions": constraints(f"permitted;DNS:{HOST}")}),
    Kind("constrained-intermediate", between=[{"extensions": constraints("permitted;DNS:matrix.localhost")}]),
    Kind("constrained-twice",
         ca={"extensions": constraints("permitted;DNS:localhost")}, between=[{"extensions": constraints(f"permitted;DNS:{HOST}")}]),
    Kind("constrained-to-another-domain", NOT_PERMITTED, ca={"extensions": constraints("permitted;DNS:example.com")}),
    Kind("constrained-by-intermediate-to-another-domain", NOT_PERMITTED, between=[{"extensions": constraints("permitted;DNS:example.com")}]),
    Kind("constrained-without-being-critical", NOT_PERMITTED, ca={"extensions": (*CA, "nameConstraints=permitted;DNS:example.com")}),
    Kind("excluded-domain", ("excluded subtree violation", f"'*.{HOST}', is excluded by the name constraints of a CA"),
         ca={"extensions": constraints(f"excluded;DNS:{HOST}")}),
    Kind("excluded-other-domain", ca={"extensions": constraints("excluded;DNS:example.com")}),
    Kind("constrained-directory-name", ca={"extensions": constraints("permitted;dirName:dn") + ("[dn]\nO=Contoso",)},
         leaf={"subject": "/O=Contoso/CN=vault"}),
    Kind("constrained-directory-name-of-another", ("permitted subtree violation", "a directory name in the certificate is not permitted"),
         ca={"extensions": constraints("permitted;dirName:dn") + ("[dn]\nO=Contoso",)},
         leaf={"subject": "/O=Fabrikam/CN=vault"}),
    Kind("constrained-addresses", ca={"extensions": constraints("permitted;IP:10.0.0.0/255.0.0.0,permitted;DNS:localhost")},
         leaf={"extensions": (*LEAF, f"{NAMES},IP:10.1.2.3")}),
    Kind("constrained-other-addresses", ("permitted subtree violation", "an address in the certificate is not permitted"),
         ca={"extensions": constraints("permitted;IP:10.0.0.0/255.0.0.0,permitted;DNS:localhost")},
         leaf={"extensions": (*LEAF, f"{NAMES},IP:192.0.2.1")}),
]


class Bench:
    """One provider for all kinds: each has a cloud file and a CA file of its own, named by its class."""

    def __init__(self, emulator):
        self.directory = scratch_directory()
        self.certificates = Certificates(self.directory / "certificates")
        (self.directory / "ca").mkdir()
        self.cloud = json.loads((emulator.directory / "cloud.json").read_text())
        self.azure = Azure(Node(self.directory), emulator, [f"--class-ca-dir={self.directory / 'ca'}"])

    def outcome(self, kind):
        """The files of a mount from a vault of this kind, or its error; and what arrived at the vault."""
        chain, ca = kind.build(self.certificates)
        (self.directory / f"ca/{kind.name}.pem").write_text(ca)
        server = TlsServer(chain, **kind.server)
        try:
            cloud = self.directory / f"{kind.name}.json"
            cloud.write_text(json.dumps({**self.cloud, "keyVaultDNSSuffix": f"{HOST}:{server.port}"}))
            with Pods(self.azure.socket) as pods:
                mounted = pods.outcome(mount_request(pod=kind.name, cloudName="AzureStackCloud", cloudEnvFileName=str(cloud),
                                                     caBundleFile=f"{kind.name}.pem"), timeout=10)
        finally:
            server.stop()
        return (mounted.details() if isinstance(mounted, grpc.RpcError) else texts(mounted)), server.requests


@pytest.fixture(scope="module")
def bench(the_emulator):
    the_emulator.reset()
    bench = Bench(the_emulator)
    yield bench
    bench.azure.destroy()


def test_the_libraries_differ_in_these_kinds_only():
    """Of docs/release.md: what the release does not connect to, and what only the release connects to."""
    assert [kind.name for kind in KINDS if kind.differs] == [
        "rsa-1024", "ecdsa-brainpool", "ed25519", "ed25519-ca", "ed448", "cipher-ECDHE-ECDSA-AES256-CCM", "group-brainpoolP384r1", "certificate-of-37-kB"]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_kind(bench, kind):
    result, requests = bench.outcome(kind)
    if kind.outcome is OK:
        assert result == {"secret1": "ok"}
        return

    assert isinstance(result, str), "it was mounted"
    assert "TLS handshake with" in result and kind.outcome in result
    assert requests == [], "the token was sent"
