"""Keys, certificates and PFX files made with OpenSSL's command line, and what is needed to put them into a vault."""

import base64
import os
import re
import subprocess

FIELD_BYTES = {"P-256": 32, "P-384": 48, "P-521": 66}
CURVES = {"prime256v1": "P-256", "secp384r1": "P-384", "secp521r1": "P-521", "secp256k1": "P-256K"}
EXTENSIONS = "basicConstraints=CA:TRUE\nsubjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid\n"


def openssl(directory, command, data=None):
    """Runs one OpenSSL command in `directory`; returns what it printed. `x509` reads the machine's CAs even when it has no use for them, which
    takes most of its time: it has none."""
    done = subprocess.run(f"openssl {command}", shell=True, cwd=directory, input=data, env={**os.environ, "SSL_CERT_FILE": "/dev/null"},
                          capture_output=True, check=False)
    assert done.returncode == 0, f"openssl {command}: {done.stderr.decode(errors='replace')[-1000:]}"
    return done.stdout


def b64url(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def der_of(pem):
    """The DER of the first block of a PEM text."""
    text = pem.decode() if isinstance(pem, bytes) else pem
    return base64.b64decode("".join(text.split("-----")[2].split()))


def _element(data, at):
    """(content start, end) of the DER element at `at`."""
    length, at = data[at + 1], at + 2
    if length & 0x80:
        count = length & 0x7f
        length, at = int.from_bytes(data[at:at + count], "big"), at + count
    return at, at + length


def jwk_of(public_pem, kty_suffix="", strip=False):
    """The JSON web key of a PEM public key, read from its DER with a few lines of our own. `strip`: coordinates without leading zeros."""
    data = der_of(public_pem)
    start, _ = _element(data, 0)
    algorithm, after = _element(data, start)
    bits, _ = _element(data, after)
    payload = data[bits + 1:]
    oid_start, oid_end = _element(data, algorithm)
    if data[oid_start:oid_end] == bytes.fromhex("2a864886f70d010101"):
        inner, _ = _element(payload, 0)
        n_start, n_end = _element(payload, inner)
        e_start, e_end = _element(payload, n_end)
        return {"kty": "RSA" + kty_suffix, "n": b64url(payload[n_start:n_end].lstrip(b"\0")), "e": b64url(payload[e_start:e_end].lstrip(b"\0")),
                "key_ops": ["sign", "verify"]}
    curve_start, curve_end = _element(data, oid_end)
    curve = {"2a8648ce3d030107": "P-256", "2b81040022": "P-384", "2b81040023": "P-521", "2b8104000a": "P-256K"}[data[curve_start:curve_end].hex()]
    size = (len(payload) - 1) // 2
    x, y = payload[1:1 + size], payload[1 + size:]
    if strip:
        x, y = x.lstrip(b"\0"), y.lstrip(b"\0")
    return {"kty": "EC" + kty_suffix, "crv": curve, "x": b64url(x), "y": b64url(y), "key_ops": ["sign", "verify"]}


def new_key(directory, name, kind="rsa:2048"):
    """Makes NAME.key (PKCS#8); `kind` is rsa:BITS or ec:CURVE. Returns it."""
    algorithm, size = kind.split(":")
    options = f"RSA -pkeyopt rsa_keygen_bits:{size}" if algorithm == "rsa" else f"EC -pkeyopt ec_paramgen_curve:{size}"
    openssl(directory, f"genpkey -algorithm {options} -out {name}.key")
    return (directory / f"{name}.key").read_bytes()


def public_of(directory, name):
    return openssl(directory, f"pkey -in {name}.key -pubout")


def new_certificate(directory, name, issuer=None, extensions=EXTENSIONS):
    """Makes NAME.pem for NAME.key, signed by ISSUER (or itself), with the SAN of the upstream suite. Returns it."""
    (directory / f"{name}.ext").write_text(extensions + "subjectAltName=DNS:test.domain.com\n")
    openssl(directory, f"req -new -key {name}.key -subj /CN={name} -out {name}.csr")
    signer = f"-signkey {name}.key" if issuer is None else f"-CA {issuer}.pem -CAkey {issuer}.key -CAcreateserial"
    openssl(directory, f"x509 -req -in {name}.csr {signer} -extfile {name}.ext -days 3 -out {name}.pem")
    return (directory / f"{name}.pem").read_bytes()


def blocks(text):
    """The PEM blocks of a text as (label, block)."""
    text = text.decode(errors="replace") if isinstance(text, bytes) else text
    return [(match.group(1), match.group(0)) for match in re.finditer(r"-----BEGIN ([A-Z ]+)-----\n.*?-----END \1-----\n", text, re.S)]
