"""Audit trails: the blocks of a family, the keys of streams, and what chameleon makes of them."""

import math

from encoding import filler, labelled_encoding, u8, u32, u64
from primitives import aes_ctr_keystream, aes_gcm_seal, hkdf_expand, sha256

SECRET = sha256(b"nark model audit secret")
SPACES = [sha256(b"nark model secure space %d" % i) for i in range(2)]


def expand(words_log2, label, part, size):
    """What an audit secret yields for blocks of 2^words_log2 words."""
    return hkdf_expand(SECRET, labelled_encoding(label, u8(words_log2), part), size)


def stream_of(words_log2, label, part, size):
    return aes_ctr_keystream(expand(words_log2, label, part, 16), size)


def symbols_of(words_log2):
    """A lane and a number of ones in 65,536 for each word."""
    code = stream_of(words_log2, b"nark audit code v1", b"", 1 << words_log2)
    return [(byte >> 6, round(65536 * math.sin(math.pi / 2 * ((byte & 63) + 0.5) / 64) ** 2))
            for byte in code]


def codeword_of(words_log2, space):
    symbols = symbols_of(words_log2)
    draws = stream_of(words_log2, b"nark audit codeword v1", space, 2 * len(symbols))
    return [int(int.from_bytes(draws[2 * i : 2 * i + 2], "little") < ones)
            for i, (_, ones) in enumerate(symbols)]


def base_block(words_log2):
    return stream_of(words_log2, b"nark audit base block v1", b"", 8 << words_log2)


def words_of(block):
    return [int.from_bytes(block[i : i + 8], "little") for i in range(0, len(block), 8)]


def marked_block(words_log2, space):
    marked = [word ^ symbol << 16 * lane for word, symbol, (lane, _) in
              zip(words_of(base_block(words_log2)), codeword_of(words_log2, space),
                  symbols_of(words_log2))]
    return b"".join(word.to_bytes(8, "little") for word in marked)


def chameleon(block, key, data):
    """Anderson and Manifavas, 1997, with four words."""
    words, out = words_of(block), b""
    choices = aes_ctr_keystream(key, len(data) + 7)
    for at in range(0, len(data), 8):
        mixed = 0
        for lane in range(0, 8, 2):
            mixed ^= words[int.from_bytes(choices[at + lane : at + lane + 2], "little") % len(words)]
        out += bytes(a ^ b for a, b in zip(data[at : at + 8], mixed.to_bytes(8, "little")))
    return out


def set_plane(key, samples):
    count = len(samples) // 2
    plane, out = aes_ctr_keystream(key, (count + 7) // 8), bytearray(samples)
    for t in range(count):
        out[2 * t] = out[2 * t] & 0xFE | plane[t // 8] >> t % 8 & 1
    return bytes(out)


def mark_keys(stream_key, adu_id):
    return [hkdf_expand(stream_key, labelled_encoding(label, u64(adu_id)), 16)
            for label in (b"nark audit index v1", b"nark audit plane v1")]


def member(words_log2, space, block_id):
    codeword, marked = codeword_of(words_log2, space), marked_block(words_log2, space)
    block_key = expand(words_log2, b"nark audit block key v1", space, 32)
    bound_to = labelled_encoding(b"nark marked block v1", block_id, space)
    sealed = block_id + aes_gcm_seal(block_key, bytes(12), bound_to, marked)
    return {
        "secure_space_id": space.hex(), "codeword": "".join(map(str, codeword[:64])),
        "codeword_sha256": sha256(bytes(codeword)).hex(), "block_sha256": sha256(marked).hex(),
        "block_key": block_key.hex(),
        "sealed_block_sha256": sha256(sealed).hex(),
    }


def family(words_log2):
    block_id = expand(words_log2, b"nark audit block id v1", b"", 32)
    symbols = symbols_of(words_log2)
    return {
        "words_log2": words_log2, "id": block_id.hex(),
        "symbols": [{"lane": lane, "ones": ones} for lane, ones in symbols[:8]],
        "symbols_sha256": sha256(b"".join(u8(lane) + u32(ones) for lane, ones in symbols)).hex(),
        "base_block_sha256": sha256(base_block(words_log2)).hex(),
        "members": [member(words_log2, space, block_id) for space in SPACES],
    }


def stream(provider, session_id, sub_session, sender_id):
    info = labelled_encoding(b"nark audit stream v1", provider, session_id, u32(sub_session),
                             u32(sender_id))
    key, adus = hkdf_expand(SECRET, info, 32), []
    for adu_id in (0, 1, 2**40 + 5):
        index, plane = mark_keys(key, adu_id)
        adus.append({"adu_id": adu_id, "index": index.hex(), "plane": plane.hex()})
    return {"sub_session": sub_session, "sender_id": sender_id, "key": key.hex(), "adus": adus}


def adu(words_log2, plaintext_bytes, offset, size):
    """An ADU under a data key, and what a member makes of it."""
    key, plaintext = sha256(b"nark model data key")[:16], filler("audit", plaintext_bytes)
    index, plane = mark_keys(sha256(b"nark model stream key"), 7)
    sent = set_plane(plane, plaintext[offset : offset + size])
    marked = chameleon(base_block(words_log2), index, sent)
    body = plaintext[:offset] + marked + plaintext[offset + size :]
    sealed = aes_gcm_seal(key, bytes(12), b"", index + u32(offset) + u32(size) + body)
    played = chameleon(marked_block(words_log2, SPACES[0]), index, marked)
    return {
        "words_log2": words_log2, "plaintext_bytes": plaintext_bytes, "key": key.hex(),
        "index": index.hex(), "plane": plane.hex(), "offset": offset, "bytes": size,
        "ciphertext_sha256": sha256(sealed).hex(),
        "played_sha256":
            sha256(plaintext[:offset] + played + plaintext[offset + size :]).hex(),
    }


def audit(provider, session_id):
    return {
        "secret": SECRET.hex(),
        "families": [family(10), family(11)],
        "streams": [stream(provider, session_id, 0, 1), stream(provider, session_id, 3, 77)],
        "adus": [adu(10, 1000, 44, 956), adu(10, 1001, 3, 901), adu(11, 64, 0, 0)],
    }
