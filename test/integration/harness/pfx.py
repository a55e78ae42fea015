"""PFX files (RFC 7292) that OpenSSL's command line reads but does not write: any order, any number of keys and content items, plain bags."""

import functools
import hashlib
import hmac

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes


def wrap(tag, *parts):
    content = b"".join(parts)
    length = len(content)
    if length < 128:
        return bytes([tag, length]) + content
    size = (length.bit_length() + 7) // 8
    return bytes([tag, 0x80 | size]) + length.to_bytes(size, "big") + content


def oid(dotted):
    numbers = [int(number) for number in dotted.split(".")]
    out = bytearray()
    for number in [40 * numbers[0] + numbers[1], *numbers[2:]]:
        digits = [number & 0x7f]
        while number > 0x7f:
            number >>= 7
            digits.insert(0, number & 0x7f | 0x80)
        out += bytes(digits)
    return wrap(0x06, bytes(out))


def integer(value):
    return wrap(0x02, value.to_bytes(value.bit_length() // 8 + 1, "big"))


SEQUENCE, SET, OCTETS, CONTEXT_0 = 0x30, 0x31, 0x04, 0xa0
DATA = oid("1.2.840.113549.1.7.1")
DIGESTS = {"sha1": "1.3.14.3.2.26", "sha256": "2.16.840.1.101.3.4.2.1", "sha512": "2.16.840.1.101.3.4.2.3"}
PRFS = {"sha1": "1.2.840.113549.2.7", "sha256": "1.2.840.113549.2.9", "sha512": "1.2.840.113549.2.11"}


@functools.cache
def mac_key(digest, password, salt, iterations):
    """Appendix B.2 with ID 3, for a key as long as the digest."""
    block = hashlib.new(digest).block_size

    def stretch(text):
        return (text * (block // max(len(text), 1) + 1))[:-(-len(text) // block) * block] if text else b""
    value = b"\3" * block + stretch(salt) + stretch(password)
    for _ in range(iterations):
        value = hashlib.new(digest, value).digest()
    return value


def attributes(name, key_id):
    """friendlyName and localKeyId."""
    both = []
    if name:
        both.append(wrap(SEQUENCE, oid("1.2.840.113549.1.9.20"), wrap(SET, wrap(0x1e, name.encode("utf-16-be")))))
    if key_id:
        both.append(wrap(SEQUENCE, oid("1.2.840.113549.1.9.21"), wrap(SET, wrap(OCTETS, key_id))))
    return wrap(SET, *both) if both else b""


def key_bag(pkcs8, name=None, key_id=None):
    return wrap(SEQUENCE, oid("1.2.840.113549.1.12.10.1.1"), wrap(CONTEXT_0, pkcs8), attributes(name, key_id))


def certificate_bag(der, name=None, key_id=None):
    value = wrap(SEQUENCE, oid("1.2.840.113549.1.9.22.1"), wrap(CONTEXT_0, wrap(OCTETS, der)))
    return wrap(SEQUENCE, oid("1.2.840.113549.1.12.10.1.3"), wrap(CONTEXT_0, value), attributes(name, key_id))


def elements(data):
    """The DER elements in `data` as (tag, content)."""
    at = 0
    while at < len(data):
        tag, length, at = data[at], data[at + 1], at + 2
        if length & 0x80:
            size = length & 0x7f
            length, at = int.from_bytes(data[at:at + size], "big"), at + size
        yield tag, data[at:at + length]
        at += length


def ber(data, segment=100):
    """DER as NSS and Bouncy Castle write it: indefinite lengths, OCTET STRINGs and encrypted content in segments."""
    out = b""
    for tag, content in elements(data):
        if tag in (OCTETS, 0x80) and len(content) > segment:
            parts = [wrap(OCTETS, content[at:at + segment]) for at in range(0, len(content), segment)]
            out += bytes([tag | 0x20, 0x80]) + b"".join(parts) + b"\0\0"
        elif tag & 0x20:
            out += bytes([tag, 0x80]) + ber(content, segment) + b"\0\0"
        else:
            out += wrap(tag, content)
    return out


def pbmac1(safe, digest, iterations):
    """RFC 9579: the DigestInfo of a MAC whose key comes from PBKDF2; the empty password."""
    prf = wrap(SEQUENCE, oid(PRFS[digest]), wrap(0x05))
    size = hashlib.new(digest).digest_size
    kdf = wrap(SEQUENCE, oid("1.2.840.113549.1.5.12"), wrap(SEQUENCE, wrap(OCTETS, b"saltsalt"), integer(iterations), integer(size), prf))
    mac = hmac.new(hashlib.pbkdf2_hmac(digest, b"", b"saltsalt", iterations, size), safe, digest).digest()
    return wrap(SEQUENCE, wrap(SEQUENCE, oid("1.2.840.113549.1.5.14"), wrap(SEQUENCE, kdf, prf)), wrap(OCTETS, mac))


def build(items, digest="sha256", iterations=2000, absent_password=False, mac="pkcs12", form=lambda data: data):
    """`items`: lists of bags, one content item each. `mac`: "pkcs12", "pbmac1" or "none"; `form`: for example `ber`, of all that is not a MAC."""
    contents = [wrap(SEQUENCE, DATA, wrap(CONTEXT_0, wrap(OCTETS, form(wrap(SEQUENCE, *bags))))) for bags in items]
    safe = form(wrap(SEQUENCE, *contents))
    start = integer(3) + wrap(SEQUENCE, DATA, wrap(CONTEXT_0, wrap(OCTETS, safe)))
    if mac == "none":
        return form(wrap(SEQUENCE, start))
    if mac == "pbmac1":
        return form(wrap(SEQUENCE, start, wrap(SEQUENCE, pbmac1(safe, digest, iterations), wrap(OCTETS, b""))))
    salt = hashlib.sha256(safe).digest()[:8]
    value = hmac.new(mac_key(digest, b"" if absent_password else b"\0\0", salt, iterations), safe, digest).digest()
    info = wrap(SEQUENCE, wrap(SEQUENCE, oid(DIGESTS[digest]), wrap(0x05)), wrap(OCTETS, value))
    mac_data = wrap(SEQUENCE, info, wrap(OCTETS, salt), b"" if iterations == 1 else integer(iterations))
    return form(wrap(SEQUENCE, start, mac_data))


@functools.cache
def _pbkdf2(digest, salt, iterations, size):
    return hashlib.pbkdf2_hmac(digest, b"", salt, iterations, size)


def encrypted(plain, iterations, digest="sha512", iv=bytes(16)):
    """A content item under the empty password: PBES2 with PBKDF2 and AES-256-CBC."""
    salt, padding = b"saltsalt", 16 - len(plain) % 16
    encryptor = Cipher(algorithms.AES(_pbkdf2(digest, salt, iterations, 32)), modes.CBC(iv)).encryptor()
    text = encryptor.update(plain + bytes([padding]) * padding) + encryptor.finalize()
    kdf = wrap(SEQUENCE, oid("1.2.840.113549.1.5.12"),
               wrap(SEQUENCE, wrap(OCTETS, salt), integer(iterations), wrap(SEQUENCE, oid(PRFS[digest]), wrap(0x05))))
    cipher = wrap(SEQUENCE, oid("2.16.840.1.101.3.4.1.42"), wrap(OCTETS, iv))
    algorithm = wrap(SEQUENCE, oid("1.2.840.113549.1.5.13"), wrap(SEQUENCE, kdf, cipher))
    return wrap(SEQUENCE, oid("1.2.840.113549.1.7.6"),
                wrap(CONTEXT_0, wrap(SEQUENCE, integer(0), wrap(SEQUENCE, DATA, algorithm, wrap(0x80, text)))))


def costly(iterations=200_000, items=2, number=0):
    """Some hundred bytes that hold nothing and cost a second of derivation: other bytes for each number, of the same derived keys."""
    salt = b"12345678"
    safe = wrap(SEQUENCE, *[encrypted(wrap(SEQUENCE), iterations, iv=number.to_bytes(16, "big"))] * items)
    mac = hmac.new(mac_key("sha512", b"\0\0", salt, iterations), safe, "sha512").digest()
    info = wrap(SEQUENCE, wrap(SEQUENCE, oid(DIGESTS["sha512"]), wrap(0x05)), wrap(OCTETS, mac))
    return wrap(SEQUENCE, integer(3), wrap(SEQUENCE, DATA, wrap(CONTEXT_0, wrap(OCTETS, safe))),
                wrap(SEQUENCE, info, wrap(OCTETS, salt), integer(iterations)))
