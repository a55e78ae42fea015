"""The first certificate of a file is that of its private key: files that are not one plain chain, stored in every order, as PKCS#12, as PEM and
in a synced Secret; OpenSSL loads each result as a server would."""

import base64
import ssl
from itertools import permutations

import pytest

from harness import crypto, pfx, rpc
from harness.azure_mounts import files, item, mount, objects_of
from harness.crypto import openssl
from harness.secret_sync import secret_object

CA = "basicConstraints=critical,CA:TRUE\nsubjectKeyIdentifier=hash\n"
CA_WITH_ISSUER = CA + "authorityKeyIdentifier=keyid:always\n"
SERVER = "basicConstraints=CA:FALSE\nsubjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid\n"
BARE = "subjectKeyIdentifier=none\nauthorityKeyIdentifier=none\n"
BY_SERIAL = "basicConstraints=CA:FALSE\nsubjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid,issuer:always\n"
NOW, LATER, PAST = "-days 300", "-days 900", "-not_before 20150101000000Z -not_after 20200101000000Z"

# name -> (subject, key, issuer (None: itself), extensions, validity)
CERTIFICATES = {
    "root": ("Root", "root", None, CA, LATER),
    "old": ("Old", "old", None, CA, LATER),
    "root-cross": ("Root", "root", "old", CA_WITH_ISSUER, NOW),            # the root, certified by an older one
    "root-renewed": ("Root", "root", None, CA, "-days 2000"),              # the same key for longer
    "root-rekeyed": ("Root", "rekeyed", None, CA, LATER),                  # the same name with another key
    "int": ("Int", "int", "root", CA_WITH_ISSUER, NOW),
    "int-renewed": ("Int", "int", "root", CA_WITH_ISSUER, LATER),
    "int-expired": ("Int", "int", "old", CA_WITH_ISSUER, PAST),
    "sub": ("Sub", "sub", "int", CA_WITH_ISSUER, NOW),
    "twin": ("Twin", "int", "root", CA_WITH_ISSUER, NOW),                  # another authority with the same key
    "leaf": ("leaf", "leaf", "int", SERVER, NOW),
    "deep": ("leaf", "leaf", "sub", SERVER, NOW),
    "second": ("second", "second", "int", SERVER, NOW),
    "bare-root": ("Bare", "bare", None, BARE, NOW),
    "bare-leaf": ("leaf", "leaf", "bare-root", BARE, NOW),
    "by-serial": ("leaf", "leaf", "root", BY_SERIAL, NOW),
    "stranger": ("Stranger", "old", None, CA, NOW),
    "self": ("Self", "leaf", None, SERVER, NOW),
    "self-renewed": ("Self", "leaf", None, SERVER, LATER),
    "self-before": ("Self", "second", None, SERVER, NOW),                  # the same name, the key before
    "ca-of-key": ("Own", "leaf", None, CA, LATER),                         # an authority with the leaf's key
}

# name -> certificates in the wanted order up to "|"; the others in any
SHAPES = {
    "plain chain": "deep sub int root",
    "cross-signed and self-signed root": "leaf int root-cross | root",
    "cross-signed root with its issuer": "leaf int root-cross old | root",
    "renewed root": "leaf int root-renewed | root",
    "renewed intermediate": "leaf int-renewed root | int",
    "expired cross certificate": "leaf int root | int-expired old",
    "authorities with one key": "leaf int root | twin",
    "authorities with one name": "leaf int root | root-rekeyed",
    "missing intermediate": "leaf | root",
    "missing link": "deep sub | root old",
    "stray root": "leaf int root | stranger",
    "second leaf": "leaf int root | second",
    "only two leaves": "leaf | second",
    "old and renewed self-signed": "self-renewed | self",
    "self-signed before a change of keys": "self | self-before",
    "without key identifiers": "bare-leaf bare-root",
    "issuer by its serial number": "by-serial root | root-renewed",
    "authority with the key of the leaf": "leaf int root | ca-of-key",
    "leaf alone": "leaf",
}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """name -> PEM, and "<name>.key" -> key."""
    directory = tmp_path_factory.mktemp("order")
    pems = {}
    for subject, key, issuer, extensions, validity in CERTIFICATES.values():
        if not (directory / f"{key}.key").exists():
            pems[f"{key}.key"] = crypto.new_key(directory, key, "ec:prime256v1" if key != "leaf" else "rsa:2048")
    for name, (subject, key, issuer, extensions, validity) in CERTIFICATES.items():
        (directory / "ext").write_text(f"[ext]\n{extensions}[ca]\ndatabase=db\nserial=serial\nnew_certs_dir=.\ndefault_md=sha256\npolicy=any\n"
                                       "unique_subject=no\nrand_serial=yes\n[any]\ncommonName=supplied\n")
        (directory / "db").write_text("")
        openssl(directory, f"req -new -key {key}.key -subj /CN={subject} -out csr")
        if "-not_before" in validity:
            start, end = validity.split()[1::2]
            openssl(directory, f"ca -batch -notext -config ext -name ca -extensions ext -in csr -cert {issuer}.pem -keyfile {CERTIFICATES[issuer][1]}.key"
                               f" -startdate {start} -enddate {end} -out {name}.pem")
        else:
            signer = f"-signkey {key}.key" if issuer is None else f"-CA {issuer}.pem -CAkey {CERTIFICATES[issuer][1]}.key -CAcreateserial"
            openssl(directory, f"x509 -req -in csr {signer} -extfile ext -extensions ext {validity} -out {name}.pem")
        pems[name] = (directory / f"{name}.pem").read_bytes()
    return pems


def wanted_of(shape):
    first, _, others = SHAPES[shape].partition("|")
    return first.split(), others.split()


def orders(shape):
    return list(permutations(sum(wanted_of(shape), [])))


def key_of(shape):
    return CERTIFICATES[SHAPES[shape].split()[0]][1]


def check(text, made, shape, stored, scratch):
    """The order by construction, and what OpenSSL says of the file."""
    first, others = wanted_of(shape)
    names = {made[name].decode(): name for name in CERTIFICATES}
    got = [names[block] for label, block in crypto.blocks(text) if label == "CERTIFICATE"]
    assert got == first + [name for name in stored if name in others], f"{shape}, stored as {stored}"
    path = scratch / "server.pem"
    path.write_bytes(text)
    ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(path)


@pytest.mark.parametrize("form", ["pfx", "pem", "pem-key-last"])
@pytest.mark.parametrize("shape", SHAPES)
def test_every_order_of_storing(client, emulator, made, scratch, shape, form):
    key = made[f"{key_of(shape)}.key"]
    for number, stored in enumerate(orders(shape)):
        if form == "pfx":
            value = base64.b64encode(pfx.build([[pfx.certificate_bag(crypto.der_of(made[name])) for name in stored],
                                                [pfx.key_bag(crypto.der_of(key))]], iterations=1)).decode()
        else:
            chain = b"".join(made[name] for name in stored)
            value = (key + chain if form == "pem" else chain + key).decode()
        emulator.set_secret(f"order{number}", value, contentType="application/x-pkcs12" if form == "pfx" else "application/x-pem-file",
                            managed=True, kid="https://v/keys/n/1")
    got = files(mount(client, objects=objects_of(*(item(f"order{number}") for number in range(len(orders(shape)))))))
    for number, stored in enumerate(orders(shape)):
        check(got[f"order{number}"], made, shape, stored, scratch)


def test_a_local_key_id_decides_among_certificates_of_one_key(client, emulator, made, scratch):
    for chosen in ("self", "self-renewed"):
        bags = [pfx.certificate_bag(crypto.der_of(made[name]), key_id=b"\1" if name == chosen else None) for name in ("self", "self-renewed")]
        data = pfx.build([bags, [pfx.key_bag(crypto.der_of(made["leaf.key"]), key_id=b"\1")]])
        emulator.set_secret("renewed", base64.b64encode(data).decode(), contentType="application/x-pkcs12", managed=True, kid="https://v/keys/n/1")
        text = files(mount(client, "renewed", pod=chosen))["renewed"]
        assert [block.encode() for label, block in crypto.blocks(text) if label == "CERTIFICATE"][0] == made[chosen]


def test_pem_with_text_around_its_blocks_keeps_it(client, emulator, made):
    value = f"a note\n{made['root'].decode()}{made['leaf'].decode()}another\n{made['leaf.key'].decode()}"
    emulator.set_secret("noted", value, contentType="application/x-pem-file", managed=True, kid="https://v/keys/n/1")
    assert files(mount(client, "noted"))["noted"].decode() == value.replace(made["root"].decode(), "#").replace(
        made["leaf"].decode(), made["root"].decode()).replace("#", made["leaf"].decode())


def test_without_chain_construction_pem_stays_as_it_is(start_azure, emulator, made):
    value = (made["root"] + made["leaf"] + made["leaf.key"]).decode()
    emulator.set_secret("stored", value, contentType="application/x-pem-file", managed=True, kid="https://v/keys/n/1")
    with rpc.Client(start_azure("--construct-pem-chain=false").socket) as client:
        assert files(mount(client, "stored"))["stored"].decode() == value


@pytest.mark.parametrize("form", ["pfx", "pem"])
def test_a_synced_tls_secret_begins_with_the_certificate_of_its_key(synced, provider, files, made, scratch, form):
    """Each shape in its reversed order and in one more, as a file and a Secret of its own."""
    expected = {}
    for shape in SHAPES:
        key = made[f"{key_of(shape)}.key"]
        for stored in (orders(shape)[-1], orders(shape)[len(orders(shape)) // 2]):
            name = f"tls-{len(expected)}"
            certificates = [pfx.certificate_bag(crypto.der_of(made[one])) for one in stored]
            files[name] = pfx.build([certificates, [pfx.key_bag(crypto.der_of(key))]], iterations=1) if form == "pfx" \
                else b"".join(made[one] for one in stored) + key
            expected[name] = (shape, stored)
    synced.add_class(*(secret_object(name, type_="kubernetes.io/tls", data=[(name, "tls.crt"), (name, "tls.key")]) for name in expected))
    synced.start()
    synced.publish()
    for name, (shape, stored) in expected.items():
        data = synced.data(name)
        check(data["tls.key"] + data["tls.crt"], made, shape, stored, scratch)
