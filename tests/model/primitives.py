"""The cryptography that the model needs, written out from the standards.

Slow, readable, standard library only, and sharing nothing with the project's code
or with OpenSSL: what both agree on is what the standards say. `self_test` holds
each primitive against a published example.
"""

import hashlib
import hmac


def sha256(data):
    return hashlib.sha256(data).digest()


def hmac_sha256(key, data):
    return hmac.new(key, data, hashlib.sha256).digest()


def hkdf_extract(salt, input_key):
    """RFC 5869, 2.2."""
    return hmac_sha256(salt, input_key)


def hkdf_expand(key, info, length):
    """RFC 5869, 2.3."""
    out, block, number = b"", b"", 1
    while len(out) < length:
        block = hmac_sha256(key, block + info + bytes([number]))
        out += block
        number += 1
    return out[:length]


# AES, FIPS 197: encryption only.


def _times_x(byte):
    return (byte << 1 ^ (0x11B if byte & 0x80 else 0)) & 0xFF


def _make_sbox():
    powers, value = [], 1
    for _ in range(255):
        powers.append(value)
        value ^= _times_x(value)  # times x + 1, which generates the field
    inverse = [0] * 256
    for i, power in enumerate(powers):
        inverse[power] = powers[-i % 255]
    sbox = []
    for byte in range(256):
        x = result = inverse[byte]
        for _ in range(4):
            x = (x << 1 | x >> 7) & 0xFF
            result ^= x
        sbox.append(result ^ 0x63)
    return sbox


_SBOX = _make_sbox()
# One column of MixColumns over one substituted byte, for each row of the state.
_TABLES = [[], [], [], []]
for _s in _SBOX:
    _2, _3 = _times_x(_s), _times_x(_s) ^ _s
    _column = [_2, _s, _s, _3]
    for _row in range(4):
        _rotated = _column[-_row:] + _column[:-_row] if _row else _column
        _TABLES[_row].append(int.from_bytes(bytes(_rotated), "big"))


def _expand_key(key):
    words = [int.from_bytes(key[i : i + 4], "big") for i in range(0, len(key), 4)]
    count, constant = len(words), 1
    while len(words) < 4 * (count + 7):
        word = words[-1]
        if len(words) % count == 0:
            word = (word << 8 | word >> 24) & 0xFFFFFFFF
            word = _substitute(word) ^ constant << 24
            constant = _times_x(constant)
        elif count > 6 and len(words) % count == 4:
            word = _substitute(word)
        words.append(words[-count] ^ word)
    return words


def _substitute(word):
    return int.from_bytes(bytes(_SBOX[b] for b in word.to_bytes(4, "big")), "big")


def _encrypt_block(words, block):
    state = [int.from_bytes(block[4 * i : 4 * i + 4], "big") ^ words[i] for i in range(4)]
    t0, t1, t2, t3 = _TABLES
    last = len(words) // 4 - 1
    for r in range(1, last):
        a, b, c, d = state
        state = [
            t0[p >> 24] ^ t1[q >> 16 & 255] ^ t2[s >> 8 & 255] ^ t3[t & 255] ^ words[4 * r + i]
            for i, (p, q, s, t) in enumerate(((a, b, c, d), (b, c, d, a), (c, d, a, b), (d, a, b, c)))
        ]
    out = b""
    for i in range(4):
        column = bytes(_SBOX[state[(i + row) % 4] >> (24 - 8 * row) & 255] for row in range(4))
        out += (int.from_bytes(column, "big") ^ words[4 * last + i]).to_bytes(4, "big")
    return out


def aes_ctr_keystream(key, size, counter=0):
    """NIST SP 800-38A, 6.5, the counter being the whole block."""
    words = _expand_key(key)
    blocks = [_encrypt_block(words, (counter + i).to_bytes(16, "big")) for i in range((size + 15) // 16)]
    return b"".join(blocks)[:size]


def _ghash(key, associated_data, ciphertext):
    """NIST SP 800-38D, 6.4, over the padded parts and their lengths."""
    shifted, value = [], int.from_bytes(key, "big")
    for _ in range(128):
        shifted.append(value)
        value = value >> 1 ^ (0xE1 << 120 if value & 1 else 0)
    padded = b"".join(part + bytes(-len(part) % 16) for part in (associated_data, ciphertext))
    padded += (8 * len(associated_data)).to_bytes(8, "big") + (8 * len(ciphertext)).to_bytes(8, "big")
    result = 0
    for at in range(0, len(padded), 16):
        result ^= int.from_bytes(padded[at : at + 16], "big")
        product = 0
        while result:
            bit = result.bit_length() - 1
            product ^= shifted[127 - bit]
            result ^= 1 << bit
        result = product
    return result.to_bytes(16, "big")


def aes_gcm_seal(key, nonce, associated_data, plaintext):
    """NIST SP 800-38D, 7.1, with a nonce of 12 bytes."""
    words = _expand_key(key)
    stream = bytearray()
    for counter in range(2, 2 + (len(plaintext) + 15) // 16):
        stream += _encrypt_block(words, nonce + counter.to_bytes(4, "big"))
    ciphertext = bytes(a ^ b for a, b in zip(plaintext, stream))
    mask = _encrypt_block(words, nonce + b"\0\0\0\1")
    hashed = _ghash(_encrypt_block(words, bytes(16)), associated_data, ciphertext)
    return ciphertext + bytes(a ^ b for a, b in zip(mask, hashed))


# ChaCha20-Poly1305, RFC 8439.


def _chacha_block(key, counter, nonce):
    def words(data):
        return [int.from_bytes(data[i : i + 4], "little") for i in range(0, len(data), 4)]

    initial = words(b"expand 32-byte k") + words(key) + [counter] + words(nonce)
    state = initial[:]

    def step(a, b, c, shift):
        state[a] = state[a] + state[b] & 0xFFFFFFFF
        mixed = state[c] ^ state[a]
        state[c] = (mixed << shift | mixed >> 32 - shift) & 0xFFFFFFFF

    rows = [(0, 4, 8, 12), (1, 5, 9, 13), (2, 6, 10, 14), (3, 7, 11, 15)]
    diagonals = [(0, 5, 10, 15), (1, 6, 11, 12), (2, 7, 8, 13), (3, 4, 9, 14)]
    for _ in range(10):
        for a, b, c, d in rows + diagonals:
            step(a, b, d, 16)
            step(c, d, b, 12)
            step(a, b, d, 8)
            step(c, d, b, 7)
    return b"".join((x + y & 0xFFFFFFFF).to_bytes(4, "little") for x, y in zip(state, initial))


def _poly1305(key, message):
    r = int.from_bytes(key[:16], "little") & 0x0FFFFFFC0FFFFFFC0FFFFFFC0FFFFFFF
    total = 0
    for at in range(0, len(message), 16):
        total = (total + int.from_bytes(message[at : at + 16] + b"\1", "little")) * r % (2**130 - 5)
    return (total + int.from_bytes(key[16:], "little") & 2**128 - 1).to_bytes(16, "little")


def chacha20_poly1305_seal(key, nonce, associated_data, plaintext):
    stream = b"".join(
        _chacha_block(key, 1 + i, nonce) for i in range((len(plaintext) + 63) // 64)
    )
    ciphertext = bytes(a ^ b for a, b in zip(plaintext, stream))
    padded = b"".join(part + bytes(-len(part) % 16) for part in (associated_data, ciphertext))
    padded += len(associated_data).to_bytes(8, "little") + len(ciphertext).to_bytes(8, "little")
    return ciphertext + _poly1305(_chacha_block(key, 0, nonce)[:32], padded)


# DES, FIPS 46-3, in CBC mode, FIPS 81, with the padding of PKCS#7. Bits are numbered
# from 1, the most significant first, as in the standard.

_DES_IP = [start - 8 * i for start in (58, 60, 62, 64, 57, 59, 61, 63) for i in range(8)]
_DES_E = [(4 * i + j - 1) % 32 + 1 for i in range(8) for j in range(6)]
_DES_P = [16, 7, 20, 21, 29, 12, 28, 17, 1, 15, 23, 26, 5, 18, 31, 10,
          2, 8, 24, 14, 32, 27, 3, 9, 19, 13, 30, 6, 22, 11, 4, 25]
_DES_PC1 = [57, 49, 41, 33, 25, 17, 9, 1, 58, 50, 42, 34, 26, 18, 10, 2, 59, 51, 43, 35, 27, 19,
            11, 3, 60, 52, 44, 36, 63, 55, 47, 39, 31, 23, 15, 7, 62, 54, 46, 38, 30, 22, 14, 6,
            61, 53, 45, 37, 29, 21, 13, 5, 28, 20, 12, 4]
_DES_PC2 = [14, 17, 11, 24, 1, 5, 3, 28, 15, 6, 21, 10, 23, 19, 12, 4, 26, 8, 16, 7, 27, 20, 13, 2,
            41, 52, 31, 37, 47, 55, 30, 40, 51, 45, 33, 48, 44, 49, 39, 56, 34, 53, 46, 42, 50, 36,
            29, 32]
_DES_SHIFTS = [1, 1, 2, 2, 2, 2, 2, 2, 1, 2, 2, 2, 2, 2, 2, 1]
_DES_S = [[int(digit, 16) for digit in box] for box in (  # four rows of 16 each
    "e4d12fb83a6c59070f74e2d1a6cb953841e8d62bfc973a50fc8249175b3ea06d",
    "f18e6b34972dc05a3d47f28ec01a69b50e7ba4d158c6932fd8a13f42b67c05e9",
    "a09e63f51dc7b428d709346a285ecbf1d6498f30b12c5ae71ad069874fe3b52c",
    "7de3069a1285bc4fd8b56f03472c1ae9a690cb7df13e52843f06a1d8945bc72e",
    "2c417ab6853fd0e9eb2c47d150fa3986421bad78f9c5630eb8c71e2d6f09a453",
    "c1af92680d34e75baf427c9561de0b389ef528c3704a1db6432c95fabe17608d",
    "4b2ef08d3c975a61d0b7491ae35c2f8614bdc37eaf6805926bd814a7950fe23c",
    "d2846fb1a93e50c71fd8a374c56b0e927b419ce206adf35821e74a8dfc90356b",
)]


def _des_permute(value, bits, table):
    return sum((value >> bits - at & 1) << len(table) - 1 - i for i, at in enumerate(table))


def _des_round_keys(key):
    halves = _des_permute(int.from_bytes(key, "big"), 64, _DES_PC1)
    left, right = halves >> 28, halves & 0xFFFFFFF
    for shift in _DES_SHIFTS:
        left = (left << shift | left >> 28 - shift) & 0xFFFFFFF
        right = (right << shift | right >> 28 - shift) & 0xFFFFFFF
        yield _des_permute(left << 28 | right, 56, _DES_PC2)


def _des_f(half, round_key):
    mixed = _des_permute(half, 32, _DES_E) ^ round_key
    out = 0
    for i, box in enumerate(_DES_S):
        six = mixed >> 42 - 6 * i & 63
        out = out << 4 | box[(six >> 4 & 2 | six & 1) * 16 + (six >> 1 & 15)]
    return _des_permute(out, 32, _DES_P)


def _des_encrypt_block(key, block):
    state = _des_permute(int.from_bytes(block, "big"), 64, _DES_IP)
    left, right = state >> 32, state & 0xFFFFFFFF
    for round_key in _des_round_keys(key):
        left, right = right, left ^ _des_f(right, round_key)
    inverse = [_DES_IP.index(at) + 1 for at in range(1, 65)]
    return _des_permute(right << 32 | left, 64, inverse).to_bytes(8, "big")


def des_cbc_seal(key, vector, plaintext):
    pad = 8 - len(plaintext) % 8
    padded, out = plaintext + bytes([pad]) * pad, b""
    for at in range(0, len(padded), 8):
        mixed = bytes(a ^ b for a, b in zip(padded[at : at + 8], vector))
        vector = _des_encrypt_block(key, mixed)
        out += vector
    return out


# ECDSA P-256 with SHA-256, FIPS 186-4, and the nonces of RFC 6979: so that the
# model's signatures are the same every time.

_P = 2**256 - 2**224 + 2**192 + 2**96 - 1
_N = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
_G = (
    0x6B17D1F2E12C4247F8BCE6E563A440F277037D812DEB33A0F4A13945D898C296,
    0x4FE342E2FE1A7F9B8EE7EB4A7C0F9E162BCE33576B315ECECBB6406837BF51F5,
)
# SubjectPublicKeyInfo of an uncompressed P-256 point, RFC 5480.
_SPKI_PREFIX = bytes.fromhex("3059301306072a8648ce3d020106082a8648ce3d03010703420004")


def _add(a, b):
    if a is None or b is None:
        return a or b
    if a[0] == b[0] and (a[1] + b[1]) % _P == 0:
        return None
    if a == b:
        slope = 3 * (a[0] * a[0] - 1) * pow(2 * a[1], -1, _P)  # the curve's a is -3
    else:
        slope = (b[1] - a[1]) * pow(b[0] - a[0], -1, _P)
    x = (slope * slope - a[0] - b[0]) % _P
    return x, (slope * (a[0] - x) - a[1]) % _P


def _multiply(scalar, point):
    result = None
    while scalar:
        if scalar & 1:
            result = _add(result, point)
        point = _add(point, point)
        scalar >>= 1
    return result


def private_key(label):
    return int.from_bytes(sha256(b"nark model key " + label), "big") % (_N - 1) + 1


def spki(private):
    x, y = _multiply(private, _G)
    return _SPKI_PREFIX + x.to_bytes(32, "big") + y.to_bytes(32, "big")


def ecdsa_sign(private, message):
    """r and s, 32 bytes each."""
    digest = sha256(message)
    z = int.from_bytes(digest, "big")
    seed = private.to_bytes(32, "big") + (z % _N).to_bytes(32, "big")
    k, v = bytes(32), b"\1" * 32
    for separator in (b"\0", b"\1"):
        k = hmac_sha256(k, v + separator + seed)
        v = hmac_sha256(k, v)
    while True:
        v = hmac_sha256(k, v)
        nonce = int.from_bytes(v, "big")
        if 0 < nonce < _N:
            r = _multiply(nonce, _G)[0] % _N
            s = pow(nonce, -1, _N) * (z + r * private) % _N
            if r and s:
                return r.to_bytes(32, "big") + s.to_bytes(32, "big")
        k = hmac_sha256(k, v + b"\0")
        v = hmac_sha256(k, v)


def self_test():
    """Raises where a primitive differs from its published example."""
    unhex = bytes.fromhex

    def equal(source, got, expected):
        if got != unhex(expected):
            raise AssertionError(f"{source}: {got.hex()}")

    words = _expand_key(unhex("000102030405060708090a0b0c0d0e0f"))
    equal("FIPS 197, C.1", _encrypt_block(words, unhex("00112233445566778899aabbccddeeff")),
          "69c4e0d86a7b0430d8cdb78070b4c55a")
    words = _expand_key(bytes(range(32)))
    equal("FIPS 197, C.3", _encrypt_block(words, unhex("00112233445566778899aabbccddeeff")),
          "8ea2b7ca516745bfeafc49904b496089")
    equal("SP 800-38A, F.5.1",
          aes_ctr_keystream(unhex("2b7e151628aed2a6abf7158809cf4f3c"), 32,
                            0xF0F1F2F3F4F5F6F7F8F9FAFBFCFDFEFF),
          "ec8cdf7398607cb0f2d21675ea9ea1e4362b7c3c6773516318a077d7fc5073ae")
    equal("GCM specification, test case 4",
          aes_gcm_seal(unhex("feffe9928665731c6d6a8f9467308308"), unhex("cafebabefacedbaddecaf888"),
                       unhex("feedfacedeadbeeffeedfacedeadbeefabaddad2"),
                       unhex("d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72"
                             "1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39")),
          "42831ec2217774244b7221b784d0d49ce3aa212f2c02a4e035c17e2329aca12e21d514b25466931c7d8f6a5a"
          "ac84aa051ba30b396a0aac973d58e0915bc94fbc3221a5db94fae95ae7121a47")
    equal("RFC 8439, 2.8.2",
          chacha20_poly1305_seal(bytes(range(0x80, 0xA0)), unhex("070000004041424344454647"),
                                 unhex("50515253c0c1c2c3c4c5c6c7"),
                                 b"Ladies and Gentlemen of the class of '99: If I could offer you "
                                 b"only one tip for the future, sunscreen would be it."),
          "d31a8d34648e60db7b86afbc53ef7ec2a4aded51296e08fea9e2b5a736ee62d63dbea45e8ca9671282fafb69"
          "da92728b1a71de0a9e060b2905d6a5b67ecd3b3692ddbd7f2d778b8c9803aee328091b58fab324e4fad67594"
          "5585808b4831d7bc3ff4def08e4b7a9de576d26586cec64b61161ae10b594f09e26a7e902ecbd0600691")
    equal("SP 800-17, table A.1, 1",
          _des_encrypt_block(unhex("0101010101010101"), unhex("8000000000000000")),
          "95f8a5e5dd31d900")
    equal("FIPS 81, table C1",
          des_cbc_seal(unhex("0123456789abcdef"), unhex("1234567890abcdef"),
                       b"Now is the time for all ")[:24],
          "e5c7cdde872bf27c43e934008c389c0f683788499a7c05f6")
    equal("RFC 5869, A.1",
          hkdf_expand(hkdf_extract(bytes(range(13)), b"\x0b" * 22), bytes(range(0xF0, 0xFA)), 42),
          "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865")
    private = 0xC9AFA9D845BA75166B5C215767B1D6934E50C3DB36E89B127B8A622B120F6721
    equal("RFC 6979, A.2.5, key", spki(private)[27:59],
          "60fed4ba255a9d31c961eb74c6356d68c049b8923b61fa6ce669622e60f29fb6")
    equal("RFC 6979, A.2.5, SHA-256", ecdsa_sign(private, b"sample"),
          "efd48b2aacb6a8fd1140dd9cd45e81d69d2c877b56aaf991c34d0ea84eaf3716"
          "f7cb1c942d657c41d436c7a1b6e29f65f3e900dbb9aff4064dc4ab2f843acda8")
