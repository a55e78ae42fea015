"""Conversion on a generated corpus: hundreds of keys, certificates and PFX files, each result compared byte for byte with what OpenSSL's
command line makes of the same input.

What is made is decided by SEED alone; keys are new in every run. A failure names the recipe of its file.
"""

import base64
import random
from concurrent.futures import ThreadPoolExecutor
from itertools import islice, permutations

import pytest

from harness import crypto, ec_points, pfx
from harness.azure_mounts import files, item, mount, mount_failure, objects_of
from harness.crypto import openssl
from harness.rpc import CODES

SEED = 20240229
BATCH = 40
POOL = ["rsa:2048"] * 6 + ["rsa:3072", "rsa:4096"] + ["ec:prime256v1"] * 4 + ["ec:secp384r1"] * 3 + ["ec:secp521r1"] * 3
FOREIGN = 0  # the key of a certificate that belongs to no chain


NO_KEY_IDS = "basicConstraints=CA:TRUE\nsubjectKeyIdentifier=none\nauthorityKeyIdentifier=none\n"


def in_parallel(function, arguments):
    with ThreadPoolExecutor(2) as pool:
        return list(pool.map(function, arguments))


def pem_blocks(text, *labels):
    return "".join(block for label, block in crypto.blocks(text) if label in labels).encode()


@pytest.fixture(scope="module")
def pool(tmp_path_factory):
    """Keys to make chains of, in one directory: key0.key, key1.key, ..."""
    directory = tmp_path_factory.mktemp("corpus")
    in_parallel(lambda number: crypto.new_key(directory, f"key{number}", POOL[number]), range(len(POOL)))
    return directory


def subjects(text):
    """For a failure: which certificates, and how many keys."""
    blocks = crypto.blocks(text)
    return [openssl("/", "x509 -noout -subject", block.encode()).decode().strip() if label == "CERTIFICATE" else label for label, block in blocks]


def compare(client, wanted, kind="secret", **fields):
    """Mounts all objects of `wanted` (name -> (bytes, recipe)) and compares."""
    names = iter(wanted)
    while batch := list(islice(names, BATCH)):
        got = files(mount(client, objects=objects_of(*(item(name, kind, **fields) for name in batch)), timeout=150))
        for name in batch:
            assert got[name] == wanted[name][0], f"{name}: {wanted[name][1]}: {subjects(got[name])} instead of {subjects(wanted[name][0])}"


# ---- JSON web keys -------------------------------------------------------------------------------------------------------------------


def chosen_points(curve, plain):
    """The first multiples of the generator, and from further on those with leading zeros in x, in y, or in both bytes that matter."""
    found = list(islice(ec_points.multiples(curve), plain))
    wanted = {"x": 2, "y": 2}
    limit = 4000 if curve is not ec_points.P521 else plain * 20
    for point in islice(ec_points.multiples(curve), plain, limit):
        for which, value in zip("xy", ec_points.coordinates(curve, point)):
            zeros = 2 if curve is ec_points.P521 else 1  # the first byte of P-521 is 0 or 1 anyway
            if wanted[which] > 0 and value[:zeros] == bytes(zeros):
                wanted[which] -= 1
                found.append(point)
        if not any(wanted.values()):
            break
    return found


def test_ec_keys(client, emulator, pool):
    recipes = []
    for curve in (ec_points.P256, ec_points.P384, ec_points.P521):
        for number, point in enumerate(chosen_points(curve, 50)):
            recipes.append((f"{curve[0].replace('-', '').lower()}-{number}", curve, point, number))

    def reference(recipe):
        return openssl(pool, "pkey -pubin -pubcheck -inform DER -outform PEM", ec_points.spki(recipe[1], recipe[2])).partition(b"-----")[2]
    wanted = {}
    for (name, curve, point, number), pem in zip(recipes, in_parallel(reference, recipes)):
        x, y = ec_points.coordinates(curve, point)
        if number % 3 == 1:  # as Key Vault has been seen to write them
            x, y = x.lstrip(b"\0"), y.lstrip(b"\0")
        elif number % 3 == 2:
            x, y = b"\0" * 3 + x, b"\0" + y
        emulator.set_key(name, {"kty": ("EC", "EC-HSM")[number % 2], "crv": curve[0], "x": crypto.b64url(x), "y": crypto.b64url(y)})
        wanted[name] = (b"-----" + pem, f"{curve[0]} x={x.hex()} y={y.hex()}")
    assert len(wanted) > 150
    compare(client, wanted, "key")


def test_keys_on_the_koblitz_curve(client, emulator, pool):
    """Key Vault calls it P-256K, and SECP256K1 before."""
    wanted = {}
    for number, name in enumerate(("P-256K", "SECP256K1") * 3):
        crypto.new_key(pool, f"koblitz{number}", "ec:secp256k1")
        public = crypto.public_of(pool, f"koblitz{number}")
        emulator.set_key(f"koblitz{number}", {**crypto.jwk_of(public, ("", "-HSM")[number % 2], strip=True), "crv": name})
        wanted[f"koblitz{number}"] = (public, name)
    compare(client, wanted, "key")


def test_rsa_keys(client, emulator, pool):
    wanted = {}
    rsa = [number for number, kind in enumerate(POOL) if kind.startswith("rsa")]
    for number in rsa:
        public = crypto.public_of(pool, f"key{number}")
        for suffix in ("", "-HSM"):
            for zeros in (0, 1, 4):
                key = crypto.jwk_of(public, suffix)
                padded = bytes(zeros) + base64.urlsafe_b64decode(key["n"] + "==")
                name = f"rsa{number}{suffix.lower()}-{zeros}"
                emulator.set_key(name, {**key, "n": crypto.b64url(padded)})
                wanted[name] = (public, f"{POOL[number]}{suffix}, {zeros} zero bytes in front of n")
    for exponent in ("3", "17"):  # a short exponent, as old tools chose it
        openssl(pool, f"genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -pkeyopt rsa_keygen_pubexp:{exponent} -out e{exponent}.key")
        public = crypto.public_of(pool, f"e{exponent}")
        emulator.set_key(f"e{exponent}", crypto.jwk_of(public))
        wanted[f"e{exponent}"] = (public, f"exponent {exponent}")
    compare(client, wanted, "key")


# ---- chains --------------------------------------------------------------------------------------------------------------------------


class Chain:
    """Leaf first; `keys` are numbers of pool keys. The names make all file names different."""

    def __init__(self, directory, prefix, keys, extensions=crypto.EXTENSIONS):
        self.key = (directory / f"key{keys[0]}.key").read_bytes()
        self.pems = []
        issuer = None
        for depth, number in reversed(list(enumerate(keys))):
            name = f"{prefix}-{depth}"
            (directory / f"{name}.key").write_bytes((directory / f"key{number}.key").read_bytes())
            self.pems.insert(0, crypto.new_certificate(directory, name, issuer, extensions))
            issuer = name
        self.ders = [crypto.der_of(pem) for pem in self.pems]


@pytest.fixture(scope="module")
def chains(pool):
    """Chains of 1 to 4 certificates over keys of all kinds, with key identifiers and (every third) without."""
    dice = random.Random(SEED)
    recipes = []
    for number in range(28):
        length = number % 4 + 1
        recipes.append((f"c{number}", dice.sample(range(FOREIGN + 1, len(POOL)), length),
                        NO_KEY_IDS if number % 3 == 2 else crypto.EXTENSIONS))
    recipes.append(("foreign", [FOREIGN], crypto.EXTENSIONS))
    made = in_parallel(lambda recipe: Chain(pool, *recipe), recipes)
    (pool / "foreign.pem").write_bytes(made.pop().pems[0])
    return made


def test_certificates(client, emulator, pool, chains):
    wanted = {}
    for number, chain in enumerate(chains):
        for depth, der in enumerate(chain.ders):
            name = f"cert-{number}-{depth}"
            emulator.set_certificate(name, base64.b64encode(der).decode())
            wanted[name] = (openssl(pool, "x509 -inform DER -outform PEM", der), f"chain {number}, depth {depth}")
    assert len(wanted) >= 60
    compare(client, wanted, "cert")


# ---- PFX made by OpenSSL -------------------------------------------------------------------------------------------------------------


CIPHERS = {
    "default": "", "legacy": "-legacy", "rc2-40": "-legacy -certpbe PBE-SHA1-RC2-40 -keypbe PBE-SHA1-RC2-40",
    "rc2-128": "-legacy -certpbe PBE-SHA1-RC2-128 -keypbe PBE-SHA1-RC2-128", "3des": "-certpbe PBE-SHA1-3DES -keypbe PBE-SHA1-3DES",
    "2des": "-legacy -certpbe PBE-SHA1-2DES -keypbe PBE-SHA1-2DES", "aes-128": "-certpbe AES-128-CBC -keypbe AES-128-CBC",
    "aes-192": "-certpbe AES-192-CBC -keypbe AES-192-CBC", "aes-256": "-certpbe AES-256-CBC -keypbe AES-256-CBC",
    "pbes2-3des": "-certpbe DES-EDE3-CBC -keypbe DES-EDE3-CBC", "plain-certificates": "-certpbe NONE", "plain-key": "-keypbe NONE",
    "plain": "-certpbe NONE -keypbe NONE", "mixed": "-certpbe AES-256-CBC -keypbe PBE-SHA1-3DES",
}
MACS = ["", "-macalg sha1", "-macalg sha224", "-macalg sha256", "-macalg sha384", "-macalg sha512"]
ITERATIONS = ["", "-noiter -nomaciter", "-iter 1", "-iter 2000", "-iter 7"]
NAMES = ["", "-name friendly", "-name 'a name with blanks and ünïcödé' -caname other"]


def openssl_recipes():
    """Every cipher with every MAC; iterations, names and what is in the file by dice."""
    dice = random.Random(SEED)
    recipes = []
    for cipher in CIPHERS:
        for mac in MACS:
            for what in ("all", dice.choice(["all", "no key", "only leaf", "duplicate", "missing", "foreign"])):
                recipes.append((cipher, mac, dice.choice(ITERATIONS), dice.choice(NAMES), what, dice.randrange(28)))
    recipes += [(cipher, mac, "-iter 100000", "", "all", number)
                for number, (cipher, mac) in enumerate((c, m) for c in ("3des", "aes-256", "rc2-40") for m in MACS[1:4:2])]
    return recipes


def ordered_by(chain, stored):
    """The chain from its leaf as far as it goes, then the others as they are stored."""
    upwards = [pem.decode() for pem in chain.pems]
    found = next((n for n, pem in enumerate(upwards) if pem not in stored), len(upwards))
    return upwards[:found] + [pem for pem in stored if pem not in upwards[:found]]


def make_with_openssl(pool, chains, number, recipe):
    """Returns (PFX, wanted text): the order by construction, the blocks as OpenSSL reads them back."""
    cipher, mac, iterations, names, what, which = recipe
    chain = chains[which]
    others = list(chain.pems[1:])
    random.Random(SEED + number).shuffle(others)
    if what == "only leaf":
        others = []
    elif what == "duplicate":
        others = others + others[-1:] + others[:1]
    elif what == "missing" and len(others) > 1:
        others.remove(chain.pems[1])
    elif what == "foreign":
        others = others + [(pool / "foreign.pem").read_bytes()]
    stem = f"pfx{number}"
    (pool / f"{stem}.leaf").write_bytes(chain.pems[0])
    (pool / f"{stem}.others").write_bytes(b"".join(others))
    (pool / f"{stem}.all").write_bytes(chain.pems[0] + b"".join(others))
    (pool / f"{stem}.key").write_bytes(chain.key)
    source = (f"-nokeys -in {stem}.all" if what == "no key" else
              f"-inkey {stem}.key -in {stem}.leaf" + (f" -certfile {stem}.others" if others else ""))
    openssl(pool, f"pkcs12 -export -passout pass: {CIPHERS[cipher]} {mac} {iterations} {names} {source} -out {stem}.pfx")
    text = openssl(pool, f"pkcs12 -legacy -nodes -passin pass: -in {stem}.pfx")
    stored = [block for label, block in crypto.blocks(text) if label == "CERTIFICATE"]
    assert len(stored) == 1 + len(others), "OpenSSL reads back what it wrote"
    unique = list(dict.fromkeys(stored))
    certificates = ordered_by(chain, unique)
    return (pool / f"{stem}.pfx").read_bytes(), pem_blocks(text, "PRIVATE KEY") + "".join(certificates).encode()


def test_pfx_files_of_openssl(client, emulator, pool, chains):
    recipes = openssl_recipes()
    made = in_parallel(lambda pair: make_with_openssl(pool, chains, *pair), list(enumerate(recipes)))
    wanted = {}
    for number, (recipe, (data, text)) in enumerate(zip(recipes, made)):
        put(emulator, f"pfx{number}", data)
        wanted[f"pfx{number}"] = (text, recipe)
    assert len(wanted) > 150
    compare(client, wanted)


def put(emulator, name, data):
    emulator.set_secret(name, base64.b64encode(data).decode(), contentType="application/x-pkcs12", managed=True, kid="https://v/keys/n/1")


# ---- PFX of other shapes -------------------------------------------------------------------------------------------------------------


def put_built(emulator, pool, name, data, certificates):
    """Puts a PFX; the wanted text is OpenSSL's keys and the given certificates, which OpenSSL must find in it, too."""
    text = openssl(pool, "pkcs12 -nodes -passin pass:", data)
    assert set(certificates) <= {block.encode() for label, block in crypto.blocks(text) if label == "CERTIFICATE"}
    put(emulator, name, data)
    return pem_blocks(text, "PRIVATE KEY") + b"".join(certificates)


def test_chains_in_any_order_in_any_number_of_content_items(client, emulator, pool, chains):
    dice = random.Random(SEED)
    wanted = {}
    for number, chain in enumerate(chains):
        key = crypto.der_of(chain.key)
        for count, order in enumerate(islice(permutations(range(len(chain.ders))), 6)):
            bags = [pfx.certificate_bag(chain.ders[i], dice.choice([None, "naïve ☃"])) for i in order]
            bags.insert(dice.randrange(len(bags) + 1), pfx.key_bag(key))
            cuts = sorted(dice.sample(range(len(bags) + 1), dice.randrange(0, 3)))
            items = [bags[a:b] for a, b in zip([0, *cuts], [*cuts, len(bags)])]
            data = pfx.build(items, dice.choice(list(pfx.DIGESTS)), dice.choice([1, 2, 2000]), absent_password=dice.random() < 0.3)
            name = f"any{number}-{count}"
            wanted[name] = (put_built(emulator, pool, name, data, chain.pems), f"chain {number} as {order} in {len(items)} items")
    assert len(wanted) > 80
    compare(client, wanted)


def test_several_keys_repeated_roots_cycles_and_forks(client, emulator, pool, chains):
    long = next(chain for chain in chains if len(chain.ders) == 4)
    foreign = (pool / "foreign.pem").read_bytes()
    key = crypto.der_of(long.key)
    # two authorities that have certified each other, and a leaf of one of them
    for name, number in (("xa", 0), ("xb", 1), ("xl", 2)):
        (pool / f"{name}.key").write_bytes((pool / f"key{number}.key").read_bytes())
    self_signed = {name: crypto.new_certificate(pool, name) for name in ("xa", "xb")}
    cross = {name: crypto.new_certificate(pool, name, issuer) for name, issuer in (("xl", "xa"),)}
    (pool / "xa.self").write_bytes(self_signed["xa"])
    cross["xa"] = crypto.new_certificate(pool, "xa", "xb")
    (pool / "xa.pem").write_bytes(self_signed["xa"])
    cross["xb"] = crypto.new_certificate(pool, "xb", "xa")

    def bag(pem):
        return pfx.certificate_bag(crypto.der_of(pem))

    leaf, one, two, root = long.pems
    cases = {
        "three-keys": ([[pfx.key_bag(crypto.der_of((pool / f"key{n}.key").read_bytes())) for n in (1, 8, 12)], [bag(leaf)]], [leaf]),
        "root-twice": ([[pfx.key_bag(key)], [bag(root), bag(leaf), bag(root), bag(two), bag(one), bag(root)]], [leaf, one, two, root]),
        "all-twice": ([[bag(pem) for pem in long.pems * 2], [pfx.key_bag(key)]], [leaf, one, two, root]),
        "cycle": ([[bag(cross["xb"]), bag(cross["xl"]), bag(cross["xa"])], [pfx.key_bag(key)]], [cross["xl"], cross["xa"], cross["xb"]]),
        "nothing-but-a-cycle": ([[bag(cross["xb"]), bag(cross["xa"])], [pfx.key_bag(key)]], [cross["xb"], cross["xa"]]),
        "two-roots": ([[bag(cross["xl"]), bag(self_signed["xb"]), bag(self_signed["xa"])]], [cross["xl"], self_signed["xa"], self_signed["xb"]]),
        "two-leaves": ([[bag(root), bag(leaf), bag(foreign), bag(two), bag(one)]], [leaf, one, two, root, foreign]),
        "no-intermediate": ([[bag(root), bag(leaf), bag(two)], [pfx.key_bag(key)]], [leaf, root, two]),
        "no-root": ([[bag(two), bag(leaf), bag(one)], [pfx.key_bag(key)]], [leaf, one, two]),
        "only-a-key": ([[pfx.key_bag(key)]], []),
        "only-certificates": ([[bag(root), bag(one), bag(two), bag(leaf)]], [leaf, one, two, root]),
        "empty-items": ([[], [pfx.key_bag(key)], [], [bag(leaf)], []], [leaf]),
    }
    wanted = {name: (put_built(emulator, pool, name, pfx.build(items), certificates), name)
              for name, (items, certificates) in cases.items()}
    compare(client, wanted)


def test_files_as_other_tools_write_them(client, emulator, pool, chains):
    """Indefinite lengths (NSS, macOS, Bouncy Castle), PBMAC1 (RFC 9579), no MAC, 600,000 rounds (GnuTLS)."""
    chain = next(chain for chain in chains if len(chain.ders) == 3)
    (pool / "tools.key").write_bytes(chain.key)
    (pool / "tools.pem").write_bytes(b"".join(chain.pems))
    items = [[pfx.certificate_bag(der, "friendly") for der in chain.ders], [pfx.key_bag(crypto.der_of(chain.key))]]
    made = {}
    for mac in ("pkcs12", "pbmac1", "none"):
        made[f"{mac}-der"] = pfx.build(items, mac=mac)
        for segment in (1, 100, 4096):
            made[f"{mac}-ber-{segment}"] = pfx.build(items, mac=mac, form=lambda data, size=segment: pfx.ber(data, size))
    made["ber-absent"] = pfx.build(items, absent_password=True, form=pfx.ber)
    made["pbmac1-sha512"] = pfx.build(items, "sha512", mac="pbmac1")
    made["pbmac1-600k"] = pfx.build(items, "sha256", 600000, mac="pbmac1")
    for name, options in (("nomac", "-nomac"), ("nomac-legacy", "-nomac -legacy"), ("600k", "-iter 600000"),
                          ("600k-sha1", "-iter 600000 -macalg sha1 -legacy -certpbe PBE-SHA1-RC2-40 -keypbe PBE-SHA1-3DES")):
        openssl(pool, f"pkcs12 -export {options} -passout pass: -inkey tools.key -in tools.pem -out tools.pfx")
        made[name] = (pool / "tools.pfx").read_bytes()
        made[f"{name}-outer-ber"] = pfx.ber(made[name])  # what is encrypted, and the content of the MAC, stay as they are
    for name, data in made.items():
        put(emulator, name, data)
    compare(client, {name: (chain.key + b"".join(chain.pems), name) for name in made})


def stored_forms(usual):
    """The ways to store an EC key: `usual` is OpenSSL's PrivateKeyInfo. {what: PrivateKeyInfo}"""
    (_, info), = pfx.elements(usual)
    version, algorithm, (_, octets) = pfx.elements(info)
    (_, fields), = pfx.elements(octets)
    one, number, public = (pfx.wrap(tag, content) for tag, content in pfx.elements(fields))
    curve = pfx.wrap(*list(pfx.elements(algorithm[1]))[1])
    stripped = pfx.wrap(pfx.OCTETS, next(pfx.elements(number))[1].lstrip(b"\0"))

    def key(*parts, more=b""):
        return pfx.wrap(pfx.SEQUENCE, pfx.wrap(*version), pfx.wrap(*algorithm), pfx.wrap(pfx.OCTETS, pfx.wrap(pfx.SEQUENCE, *parts)), more)
    usage = pfx.wrap(pfx.CONTEXT_0, pfx.wrap(pfx.SEQUENCE, pfx.oid("2.5.29.15"), pfx.wrap(pfx.SET, b"\x03\x02\x07\x80")))
    return {"as OpenSSL": usual, "as Java": key(one, number), "as GnuTLS": key(one, number, pfx.wrap(pfx.CONTEXT_0, curve), public),
            "with the curve alone": key(one, number, pfx.wrap(pfx.CONTEXT_0, curve)), "without leading zeros": key(one, stripped, public),
            "as Windows": key(one, number, public, more=usage)}


def test_ec_keys_get_one_form_however_they_are_stored(client, emulator, pool):
    """Java leaves the public part out, GnuTLS and Bouncy Castle name the curve twice; ring (rustls) reads neither."""
    wanted = {}
    for number, kind in enumerate(["ec:prime256v1"] * 2 + ["ec:secp384r1", "ec:secp521r1"]):
        text = crypto.new_key(pool, f"form{number}", kind)
        certificate = crypto.new_certificate(pool, f"form{number}")
        for count, (what, key) in enumerate(stored_forms(crypto.der_of(text)).items()):
            put(emulator, f"form{number}-{count}", pfx.build([[pfx.key_bag(key)], [pfx.certificate_bag(crypto.der_of(certificate))]]))
            wanted[f"form{number}-{count}"] = (text + certificate, f"{kind} {what}")
    compare(client, wanted)


def test_more_rounds_than_the_budget_are_refused_at_once(client, emulator, chains):
    """The number is read as wide as it is written; nothing is derived."""
    for number in (8_400_001, 2**31, 2**32 + 1, 2**63, 2**80):
        data = pfx.build([[]], mac="none")
        start = data[2:] if data[1] < 128 else data[2 + (data[1] & 0x7f):]
        info = pfx.wrap(pfx.SEQUENCE, pfx.wrap(pfx.SEQUENCE, pfx.oid(pfx.DIGESTS["sha256"])), pfx.wrap(pfx.OCTETS, bytes(32)))
        put(emulator, "rounds", pfx.wrap(pfx.SEQUENCE, start, pfx.wrap(pfx.SEQUENCE, info, pfx.wrap(pfx.OCTETS, b"saltsalt"), pfx.integer(number))))
        code, message = mount_failure(client, "rounds", pod=f"rounds{number}")
        assert code == CODES.FAILED_PRECONDITION and f"pkcs12: {min(number, 2**64 - 1)} iterations are not accepted" in message, message


def test_odd_files_are_errors_that_name_the_object(client, emulator, pool, chains):
    chain = chains[3]
    good = pfx.build([[pfx.key_bag(crypto.der_of(chain.key))], [pfx.certificate_bag(der) for der in chain.ders]])
    for name, more in (("nomac-password", "-nomac -passout pass:secret"), ("password", "-passout pass:secret")):
        (pool / "odd.pem").write_bytes(chain.pems[0])
        (pool / "odd.key").write_bytes(chain.key)
        openssl(pool, f"pkcs12 -export {more} -inkey odd.key -in odd.pem -out {name}.pfx")
    odd = {
        "nomac-password": ((pool / "nomac-password.pfx").read_bytes(), "pkcs12: damaged encrypted content"),
        "password": ((pool / "password.pfx").read_bytes(), "pkcs12: decryption password incorrect"),
        "flipped": (good[:200] + bytes([good[200] ^ 1]) + good[201:], "pkcs12:"),
        "cut": (good[:-20], "pkcs12:"),
        "longer": (good + b"x", "pkcs12:"),
        "empty": (b"", "pkcs12:"),
        "rounds": (pfx.build([[]], iterations=10), None),
    }
    for name, (data, _) in odd.items():
        put(emulator, name, data)
    for name, (_, text) in odd.items():
        if text is None:
            assert files(mount(client, name)) == {name: b""}, "a PFX may be empty"
            continue
        code, message = mount_failure(client, name)
        assert code == CODES.FAILED_PRECONDITION and f"objectName:{name}" in message and text in message, (name, message)
