"""The objects in the vault of the parity table."""

import base64
import json
import textwrap

from harness import crypto, ec_points, tutorial
from harness.crypto import openssl

PKCS12, PEM = "application/x-pkcs12", "application/x-pem-file"
VALUES = {"lines": "one\ntwo\n", "unicode": "ünïcödé ✓ 😀", "quotes": "\"quotes\" \\ backslash \u2028", "spaces": " spaces ", "empty": "",
          "html": "<html>&amp;</html>", "large": "x" * 25000, "base64": "aGVsbG8AAQL/", "nul": "a\0b",
          "base64lines": "aGVs\r\nbG8=\n", "hex": "00ff10", "hexupper": "00FF1A",
          "oddhex": "abc", "123": "a number", "yes": "a word"}


def fill(emulator, directory):
    """Puts everything there; returns {"name:number": version}, number 0 being the oldest."""
    versions = {}

    def put(name, count=1, make=lambda number: f"value {number}", **more):
        for number in range(count):
            versions[f"{name}:{number}"] = emulator.set_secret(name, make(number), created=1_700_000_000 + number * 3600, **more)
    for name, value in VALUES.items():
        emulator.set_secret(name, value)
    put("versioned", 3)
    put("history", 6)
    put("longhistory", 60)
    put("disabledhistory", 4)
    emulator.disable("secrets", "disabledhistory", versions["disabledhistory:2"])
    emulator.set_secret("disabled", "x")
    emulator.disable("secrets", "disabled")
    emulator.set_secret("typed", "plain", contentType="text/plain")
    emulator.set_secret("pfxtyped", "aGVsbG8=", contentType=PKCS12)
    emulator.add_vault("othervault", permissions=())
    emulator.add_vault("rbacvault", permissions=(), rbac=True)
    emulator.add_vault("firevault", firewall=True)
    emulator.add_vault("nolistvault", permissions=("get",))
    emulator.set_secret("secret1", "value", vault="nolistvault")
    emulator.set_secret("expired", "old", exp=1_700_000_000)
    emulator.set_secret("notyet", "young", nbf=4_000_000_000)
    emulator.set_secret("deleted", "gone")
    emulator.control("DELETE", f"/vaults/{tutorial.VAULT}/secrets/deleted")
    keys(emulator, directory, versions)
    certificates(emulator, directory)
    return {**versions, **clouds(emulator, directory)}


def clouds(emulator, directory):
    """Custom cloud files with less than the emulator's: {"cloud:name": path}."""
    whole = json.loads((emulator.directory / "cloud.json").read_text())
    endpoints = {"absent": {}, "empty": {"keyVaultEndpoint": ""}, "not applicable": {"keyVaultEndpoint": "N/A"},
                 "of another cloud": {"keyVaultEndpoint": "https://vault.unknown.example/"}}
    paths = {}
    for name, endpoint in endpoints.items():
        rest = {key: value for key, value in whole.items() if key != "keyVaultEndpoint"}
        path = directory / f"cloud-{name.replace(' ', '-')}.json"
        path.write_text(json.dumps({**rest, **endpoint}))
        paths[f"cloud:{name}"] = str(path)
    return paths


def keys(emulator, directory, versions):
    jwk = {}
    for name, kind in (("rsa2048", "rsa:2048"), ("rsa3072", "rsa:3072"), ("rsa4096", "rsa:4096"), ("p256", "ec:prime256v1"),
                       ("p384", "ec:secp384r1"), ("p521", "ec:secp521r1")):
        crypto.new_key(directory, name, kind)
        jwk[name] = crypto.jwk_of(crypto.public_of(directory, name))
        versions[f"{name}:0"] = emulator.set_key(name, jwk[name], created=1_700_000_000)
    emulator.set_key("p256", jwk["p256"], created=1_700_003_600)
    emulator.set_key("rsahsm", {**jwk["rsa2048"], "kty": "RSA-HSM"})
    emulator.set_key("echsm", {**jwk["p384"], "kty": "EC-HSM"})
    emulator.set_key("kcurve", {"kty": "EC", "crv": "P-256K", "x": "AQ", "y": "AQ"})
    crypto.new_key(directory, "koblitz", "ec:secp256k1")
    emulator.set_key("koblitz", crypto.jwk_of(crypto.public_of(directory, "koblitz")))
    emulator.set_key("octkey", {"kty": "oct-HSM"})
    found = []
    for point in ec_points.multiples(ec_points.P256):
        x, y = ec_points.coordinates(ec_points.P256, point)
        if len(found) < 3 and x[0] == 0 or len(found) >= 3 and y[0] == 0:
            found.append((x, y))
        if len(found) == 6:
            break
    for number, (x, y) in enumerate(found):
        cut = (lambda data: data.lstrip(b"\0")) if number % 2 else (lambda data: data)
        emulator.set_key(f"zero{number}", {"kty": "EC", "crv": "P-256", "x": crypto.b64url(cut(x)), "y": crypto.b64url(cut(y))})


def pem_forms(directory, pem, key):
    """What people import or paste as a certificate in PEM: {name: text}."""
    leaf, issuer = pem["leaf"].decode(), pem["int"].decode()
    bag = "Bag Attributes\n    localKeyID: 01 00 00 00 \n    friendlyName: 测试证书\nsubject=CN = leaf\n\nissuer=CN = int\n\n"
    openssl(directory, "genpkey -algorithm ed25519 -out ed.key")
    return {
        "pembags": bag + key + bag + leaf + bag + issuer,
        "pempkcs1": openssl(directory, "rsa -in leaf.key -traditional").decode() + leaf,
        "pemsec1": openssl(directory, "ecparam -name prime256v1").decode() + openssl(directory, "ec -in ec.key").decode() + pem["ec"].decode(),
        "pemexplicit": openssl(directory, "ec -in ec.key -param_enc explicit").decode() + pem["ec"].decode(),
        "pemed25519": (directory / "ed.key").read_text() + leaf,
        "pemlocked": openssl(directory, "pkcs8 -topk8 -in leaf.key -passout pass:x").decode() + leaf,
        "pemoldlocked": openssl(directory, "rsa -in leaf.key -traditional -aes128 -passout pass:x").decode() + leaf,
        "pemnoend": (key + leaf).rstrip(), "pemnul": key + leaf + "\0", "pemspaces": key + leaf + "  \n\n ", "pemblank": "\n\n" + key + leaf,
        "pemmark": "\ufeff" + key + leaf, "pemglued": key.rstrip() + leaf.rstrip() + issuer, "pemcertfirst": leaf + issuer + key,
        "pemtext": key + openssl(directory, "x509 -in leaf.pem -text").decode(), "pemtrusted": key + openssl(directory, "x509 -in leaf.pem -trustout").decode(),
        "pemcertsalone": leaf + issuer, "pemkeyalone": key, "pemtwokeys": key + (directory / "ec.key").read_text() + leaf,
        "pemotherkey": (directory / "other.key").read_text() + leaf + issuer, "pemx509": key + leaf.replace("CERTIFICATE", "X509 CERTIFICATE"),
        "pemlonglines": key + "-----BEGIN CERTIFICATE-----\n" + "".join(leaf.split("-----")[2].split()) + "\n-----END CERTIFICATE-----\n",
        "pemdashes": key + leaf.replace("-----END", "----END"), "pembase64": base64.b64encode((key + leaf).encode()).decode(), "pemempty": "", "pemonlyspaces": "   ",
    }


def pfx_texts(text, pem):
    """What is not quite base64 of a PFX: {name: text}."""
    return {"pfxunpadded": text.rstrip("="), "pfxlineend": text + "\n", "pfxquoted": f'"{text}"', "pfxcut": text[:800],
            "pfxpem": pem, "pfxurl": text.replace("+", "-").replace("/", "_")}


def certificates(emulator, directory):
    for name, kind in (("root", "rsa:2048"), ("int", "rsa:2048"), ("leaf", "rsa:2048"), ("ec", "ec:prime256v1"), ("other", "rsa:2048")):
        crypto.new_key(directory, name, kind)
    pem = {name: crypto.new_certificate(directory, name, issuer)
           for name, issuer in (("root", None), ("int", "root"), ("leaf", "int"), ("ec", None), ("other", None))}
    jwk = {name: crypto.jwk_of(crypto.public_of(directory, name)) for name in pem}
    cer = {name: base64.b64encode(crypto.der_of(text)).decode() for name, text in pem.items()}

    def pfx(name, others=(), options="-legacy", password=""):
        (directory / "others.pem").write_bytes(b"".join(pem[other] for other in others))
        more = "-certfile others.pem" if others else ""
        openssl(directory, f"pkcs12 -export {options} -passout pass:{password} -inkey {name}.key -in {name}.pem {more} -out made.pfx")
        return base64.b64encode((directory / "made.pfx").read_bytes()).decode()

    def put(name, of, value, content_type=PKCS12):
        emulator.set_certificate(name, cer[of], contentType=content_type, secret=value, key=jwk[of])
    put("certrsa", "leaf", pfx("leaf"))
    put("certec", "ec", pfx("ec"))
    put("certpem", "leaf", ((directory / "leaf.key").read_bytes() + pem["leaf"] + pem["int"]).decode(), PEM)
    put("chain", "leaf", pfx("leaf", ("root", "int")))
    put("broken", "leaf", pfx("leaf", ("root",)))
    key = (directory / "leaf.key").read_text()
    emulator.set_secret("plainpfx", pfx("leaf"), contentType=PKCS12)
    put("pemoneline", "leaf", (key + pem["leaf"].decode()).replace("\n", " "), PEM)
    put("pemrootfirst", "leaf", key + pem["root"].decode() + pem["int"].decode() + pem["leaf"].decode(), PEM)
    put("stranger", "leaf", pfx("leaf", ("other", "root", "int")))
    put("modernpfx", "leaf", pfx("leaf", options=""))
    put("certalone", "leaf", pfx("leaf", options="-legacy -nokeys"))
    put("keyalone", "leaf", pfx("leaf", options="-legacy -nocerts"))
    put("plainkey", "leaf", pfx("leaf", options="-legacy -keypbe NONE"))
    put("nomac", "leaf", pfx("leaf", options="-legacy -nomac"))
    put("pfx600k", "leaf", pfx("leaf", options="-iter 600000"))
    put("certlines", "leaf", "\n".join(textwrap.wrap(pfx("leaf"), 64)) + "\n")
    put("certcrlf", "leaf", ((directory / "leaf.key").read_bytes() + pem["leaf"]).decode().replace("\n", "\r\n"), PEM)
    put("locked", "leaf", pfx("leaf", password="secret"))
    put("pfxnames", "leaf", pfx("leaf", ("root", "int"), '-legacy -name 测试证书 -caname 中间 -CSP "Microsoft Software Key Storage Provider"'))
    put("pfxtriple", "leaf", pfx("leaf", options="-legacy -certpbe PBE-SHA1-3DES -keypbe PBE-SHA1-3DES -macalg sha1"))
    for name, text in pem_forms(directory, pem, key).items():
        put(name, "leaf", text, PEM)
    for name, text in pfx_texts(pfx("leaf"), key + pem["leaf"].decode()).items():
        put(name, "leaf", text)
    put("badpfx", "leaf", "aW52YWxpZA==")
    emulator.set_secret("oddtype", "whatever", contentType="application/x-other", managed=True, kid="https://vault/keys/oddtype/1")
    emulator.set_certificate("nocert", base64.b64encode(b"no certificate at all").decode())
    assert tutorial.VAULT
