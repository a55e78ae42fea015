"""Points of the NIST curves by plain arithmetic (SEC 1, 2.2.1): many public keys without a process for each, and rare ones on purpose."""

P256 = ("P-256", 0xffffffff00000001000000000000000000000000ffffffffffffffffffffffff,
        0x6b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296,
        0x4fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5, 32, "06082a8648ce3d030107")
P384 = ("P-384", 0xfffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffeffffffff0000000000000000ffffffff,
        0xaa87ca22be8b05378eb1c71ef320ad746e1d3b628ba79b9859f741e082542a385502f25dbf55296c3a545e3872760ab7,
        0x3617de4a96262c6f5d9e98bf9292dc29f8f41dbd289a147ce9da3113b5f0b8c00a60b1ce1d7e819d7a431d7c90ea0e5f, 48, "06052b81040022")
P521 = ("P-521", 2**521 - 1,
        0xc6858e06b70404e9cd9e3ecb662395b4429c648139053fb521f828af606b4d3dbaa14b5e77efe75928fe1dc127a2ffa8de3348b3c1856a429bf97e7e31c2e5bd66,
        0x11839296a789a3bc0045c8a5fb42c7d1bd998f54449579b446817afbd17273e662c97ee72995ef42640c550b9013fad0761353c7086a272c24088be94769fd16650,
        66, "06052b81040023")


def add(curve, left, right):
    """The sum of two points that are not each other's inverse."""
    p = curve[1]
    (x1, y1), (x2, y2) = left, right
    slope = (3 * (x1 * x1 - 1) * pow(2 * y1, -1, p) if left == right else (y2 - y1) * pow(x2 - x1, -1, p)) % p
    x3 = (slope * slope - x1 - x2) % p
    return x3, (slope * (x1 - x3) - y1) % p


def multiples(curve):
    """G, 2G, 3G, ..."""
    generator = point = curve[2], curve[3]
    while True:
        yield point
        point = add(curve, point, generator)


def coordinates(curve, point):
    return tuple(value.to_bytes(curve[4], "big") for value in point)


def spki(curve, point):
    """SubjectPublicKeyInfo in DER (RFC 5480)."""
    def wrap(tag, content):
        length = len(content)
        return bytes([tag]) + (bytes([length]) if length < 128 else bytes([0x81, length])) + content
    algorithm = wrap(0x30, bytes.fromhex("06072a8648ce3d0201") + bytes.fromhex(curve[5]))
    return wrap(0x30, algorithm + wrap(0x03, b"\0\4" + b"".join(coordinates(curve, point))))
