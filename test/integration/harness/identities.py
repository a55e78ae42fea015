"""Keys, certificates and signed tokens, made with python's cryptography: nothing of the programs under test takes part."""

import base64
import datetime
import functools
import json
import os
import time
import uuid

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import pkcs12
from cryptography.x509.oid import NameOID

from harness.process import ROOT

WORKLOAD_AUDIENCE = "api://AzureADTokenExchange"
BINDING_AUDIENCE = "api://AKSIdentityBinding"
TOKENS = "csi.storage.k8s.io/serviceAccount.tokens"


KEYS = ROOT / "build/pytest/keys"


def _b64(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def new_rsa_key():
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


@functools.cache
def rsa_key(owner):
    """The RSA key of an owner: always the same, because a new one costs a tenth of a second. All workers share it."""
    path = KEYS / f"{owner}.pem"
    if not path.exists():
        KEYS.mkdir(parents=True, exist_ok=True)
        temporary = KEYS / f".{owner}.{uuid.uuid4().hex}"
        temporary.write_bytes(new_rsa_key().private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
        try:
            os.link(temporary, path)
        except FileExistsError:
            pass  # another worker was quicker
        temporary.unlink()
    return serialization.load_pem_private_key(path.read_bytes(), None)


class Issuer:
    """A cluster's service account issuer. `algorithm`: RS256, PS256 or ES256. Without `key` all issuers of an algorithm have the same."""

    def __init__(self, url="https://oidc.example/cluster", algorithm="RS256", key=None):
        self.url = url
        self.algorithm = algorithm
        self.kid = uuid.uuid4().hex
        self.key = key or (ec.generate_private_key(ec.SECP256R1()) if algorithm == "ES256" else rsa_key("issuer"))

    def register(self, emulator):
        pem = self.key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
        emulator.control("POST", "/entra/issuers", {"issuer": self.url, "keys": [{"kid": self.kid, "pem": pem.decode()}]})

    def token(self, subject, audience=WORKLOAD_AUDIENCE, begin=0, lifetime=3600, **claims):
        now = int(time.time()) + begin
        body = {"iss": self.url, "sub": subject, "aud": [audience], "nbf": now, "iat": now, "exp": now + lifetime,
                "jti": str(uuid.uuid4()), **claims}
        text = ".".join(_b64(json.dumps(part).encode()) for part in ({"alg": self.algorithm, "kid": self.kid}, body))
        return text + "." + _b64(self._sign(text.encode()))

    def _sign(self, text):
        if self.algorithm == "ES256":
            r, s = decode_dss_signature(self.key.sign(text, ec.ECDSA(hashes.SHA256())))
            return r.to_bytes(32, "big") + s.to_bytes(32, "big")
        if self.algorithm == "PS256":
            return self.key.sign(text, padding.PSS(mgf=padding.MGF1(hashes.SHA256()), salt_length=32), hashes.SHA256())
        return self.key.sign(text, padding.PKCS1v15(), hashes.SHA256())


def subject_of(namespace, account):
    return f"system:serviceaccount:{namespace}:{account}"


def tokens_json(**by_audience):
    """The kubelet's JSON; keywords `workload` and `binding` are tokens for these audiences."""
    names = {"workload": WORKLOAD_AUDIENCE, "binding": BINDING_AUDIENCE}
    return json.dumps({names[name]: {"token": token, "expirationTimestamp": "2099-01-01T00:00:00Z"}
                       for name, token in by_audience.items()})


class Certificate:
    """A self-signed certificate with its key, in the forms in which people store them. Without `key` all of a name have the same."""

    def __init__(self, name="app", key=None):
        self.key = key or rsa_key(name)
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        now = datetime.datetime.utcnow()
        self.certificate = (x509.CertificateBuilder().subject_name(subject).issuer_name(subject)
                            .public_key(self.key.public_key()).serial_number(x509.random_serial_number())
                            .not_valid_before(now - datetime.timedelta(hours=1))
                            .not_valid_after(now + datetime.timedelta(days=2)).sign(self.key, hashes.SHA256()))

    def assertion(self, client_id, audience, algorithm="PS256", begin=0, lifetime=300, **claims):
        """The client assertion of an application (RFC 7523)."""
        now = int(time.time()) + begin
        sha256 = algorithm == "PS256"
        thumbprint = self.certificate.fingerprint(hashes.SHA256() if sha256 else hashes.SHA1())
        header = {"alg": algorithm, "typ": "JWT", "x5t#S256" if sha256 else "x5t": _b64(thumbprint)}
        body = {"aud": audience, "iss": client_id, "sub": client_id, "jti": str(uuid.uuid4()), "nbf": now, "exp": now + lifetime, **claims}
        text = ".".join(_b64(json.dumps(part).encode()) for part in (header, body))
        padded = padding.PSS(mgf=padding.MGF1(hashes.SHA256()), salt_length=32) if sha256 else padding.PKCS1v15()
        return text + "." + _b64(self.key.sign(text.encode(), padded, hashes.SHA256()))

    @property
    def certificate_pem(self):
        return self.certificate.public_bytes(serialization.Encoding.PEM).decode()

    def key_pem(self, password=None):
        encryption = serialization.BestAvailableEncryption(password.encode()) if password else serialization.NoEncryption()
        return self.key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption).decode()

    def pem(self, password=None):
        return self.key_pem(password) + self.certificate_pem

    def pfx(self, password=None):
        encryption = serialization.BestAvailableEncryption(password.encode()) if password else serialization.NoEncryption()
        return base64.b64encode(pkcs12.serialize_key_and_certificates(b"app", self.key, self.certificate, None, encryption)).decode()
