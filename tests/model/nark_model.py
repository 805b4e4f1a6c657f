#!/usr/bin/env python3
"""An independent model of Nark's key schedule, headers and signed objects.

Written from docs/wire.md and sharing no code with the project. Prints the byte
vectors that the project's tests are held against:

    python3 tests/model/nark_model.py > tests/model/vectors.json

--self-test checks the model's own cryptography against published examples.
"""

import json
import sys

from audit import audit
from encoding import filler, labelled_encoding, labelled_hash, u8, u16, u32, u64
from fec import parity_of
from primitives import (aes_gcm_seal, chacha20_poly1305_seal, des_cbc_seal, ecdsa_sign,
                        hkdf_expand, hkdf_extract, private_key, self_test, sha256, spki)

HEADER_TYPE = b"application/vnd.nark.adu-header.v1"
BATCH_TYPE = b"application/vnd.nark.adu-batch.v1"
CIPHERS = {  # id: wire number, key bytes, seal (key, clear bytes, the others)
    "aes-128-gcm": (1, 16, lambda key, clear, rest: aes_gcm_seal(key, bytes(12), clear, rest)),
    "aes-256-gcm": (2, 32, lambda key, clear, rest: aes_gcm_seal(key, bytes(12), clear, rest)),
    "chacha20-poly1305":
        (3, 32, lambda key, clear, rest: chacha20_poly1305_seal(key, bytes(12), clear, rest)),
    "des-cbc": (5, 8, lambda key, clear, rest: des_cbc_seal(key, bytes(8), rest)),
}
PROVIDER = sha256(b"nark model provider")
SESSION_ID = sha256(b"nark model session")[:16]
SEED = sha256(b"nark model seed")


# Signed objects.


def pre_authentication_encoding(payload_type, payload):
    return b"DSSEv1 %d %s %d %s" % (len(payload_type), payload_type, len(payload), payload)


def protobuf_field(number, data):
    """A length-delimited field of fewer than 16384 bytes."""
    size = len(data)
    varint = u8(size) if size < 128 else bytes([size & 127 | 128, size >> 7])
    return u8(number << 3 | 2) + varint + data


# Key schedule.


def session_context(sub_session):
    return labelled_hash(b"nark session context v1", PROVIDER, SESSION_ID, u32(sub_session))


def sender_root(generator, depth, sub_session, sender_id):
    info = PROVIDER + SESSION_ID + u32(sub_session)
    info += u8(len(generator)) + generator.encode() + u8(depth) + u32(sender_id)
    return hkdf_expand(hkdf_extract(b"nark sender root v1", SEED), info, 32)


def marks_node(root, level, prefix):
    node = root
    for step in range(level):
        node = sha256(node + u8(prefix >> (level - 1 - step) & 1))
    return node


def chain_node(root, adu_id):
    node = root
    for _ in range(adu_id):
        node = sha256(node + u8(2))
    return node


def logistic_leaf(root, adu_id):
    """Four states of x -> 4 x (1 - x), 64 bits behind the point."""
    state, states = int.from_bytes(root[:8], "big") or 1, []
    for _ in range(64 + 4 * adu_id + 4):
        state = min(state * (2**64 - state) // 2**62, 2**64 - 1)
        states = (states + [state])[-4:]
    return b"".join(u64(state) for state in states)


def leaf_of(generator, root, depth, adu_id):
    if generator == "marks":
        return marks_node(root, depth, adu_id)
    if generator == "hash-chain":
        return sha256(chain_node(root, adu_id) + u8(3))
    if generator == "logistic-map":
        return logistic_leaf(root, adu_id)
    return hkdf_expand(root, b"nark hkdf leaf v1" + u64(adu_id), 32)


def cover_of(generator, root, depth, first, last):
    """The largest aligned block that begins at the first id left, until none is."""
    if generator in ("hkdf", "logistic-map"):
        return [(0, 0, root)]
    if generator == "hash-chain":
        return [(depth if first else 0, first, chain_node(root, first))]
    nodes = []
    while first <= last:
        height = 0
        while height < depth and first % (2 << height) == 0 and first + (2 << height) - 1 <= last:
            height += 1
        nodes.append((depth - height, first >> height, marks_node(root, depth - height, first >> height)))
        first += 1 << height
    return nodes


def control_key(leaf, context, core):
    return hkdf_expand(leaf, b"nark control key v1" + context + core, 16)


def data_key(leaf, context, core, control_block, key_bytes):
    return hkdf_expand(leaf, b"nark data key v1" + context + sha256(control_block) + core, key_bytes)


# ADUs.


def control_plaintext(entries, size):
    block = b"".join(u8(a) + u64(n) + u8(len(t)) + t for a, n, t in entries)
    return block + bytes(size - len(block))


def plaintext_of(adu):
    """Filler, with some of its bytes replaced."""
    plaintext = bytearray(filler(adu["plaintext_label"], adu["plaintext_bytes"]))
    for offset, replacement in adu["plaintext_with"]:
        replacement = bytes.fromhex(replacement)
        plaintext[offset : offset + len(replacement)] = replacement
    return bytes(plaintext)


def clear_at(adu, plaintext):
    """The offsets of the clear bytes, by the map or by the rule."""
    if "packet_rule" not in adu:
        return {at for offset, length in adu["clear_map"] for at in range(offset, offset + length)}
    rule, clear = adu["packet_rule"], set()
    for at in range(rule["phase"], len(plaintext) - 187, 188):
        packet = plaintext[at : at + 188]
        if packet[0] != 0x47:
            continue
        clear_bytes = 188
        if int.from_bytes(packet[1:3], "big") % 2**13 in rule["pids"]:
            clear_bytes = 4
            if packet[3] & 0x20:
                clear_bytes = 5 + packet[4] if packet[4] <= 183 else 5
        clear |= set(range(at, at + clear_bytes))
    return clear


def seal_body(adu, key, plaintext):
    """Clear bytes stay in place; what the cipher adds to the others is last."""
    clear = clear_at(adu, plaintext)
    clear_bytes = bytes(b for at, b in enumerate(plaintext) if at in clear)
    secret = bytes(b for at, b in enumerate(plaintext) if at not in clear)
    sealed = CIPHERS[adu["cipher"]][2](key, clear_bytes, secret)
    encrypted = iter(sealed[: len(secret)])
    body = bytes(b if at in clear else next(encrypted) for at, b in enumerate(plaintext))
    return body + sealed[len(secret) :]


def hash_tree(fragments, fragment_bytes):
    """The pages of hashes, from the level above the fragments upwards, and the root."""
    most, per_page = min(48, fragment_bytes // 32), fragment_bytes // 16
    hashes, pages = [sha256(f)[:16] for f in fragments], []
    while len(hashes) > most:
        level = [b"".join(hashes[i : i + per_page]) for i in range(0, len(hashes), per_page)]
        pages += level
        hashes = [sha256(page)[:16] for page in level]
    return pages, hashes


def core_of(adu, context, ciphertext_bytes, source_fragments):
    core = u8(1) + u8(1 if adu["random_access"] else 0) + u8(CIPHERS[adu["cipher"]][0]) + u8(1)
    core += context[:8] + u32(adu["sender_id"]) + u64(adu["adu_id"])
    core += u64(adu["signed_time_us"]) + u64(adu["deadline_us"])
    core += u32(adu["plaintext_bytes"]) + u32(ciphertext_bytes)
    core += u16(adu["fragment_bytes"]) + u16(source_fragments) + u16(adu["parity_fragments"])
    core += bytes.fromhex(adu["fresh"]) + u16(adu["control_block_bytes"] + 16)
    if "packet_rule" in adu:
        rule = adu["packet_rule"]
        core += u8(255) + u8(rule["phase"]) + u8(len(rule["pids"]))
        return core + b"".join(u16(pid) for pid in rule["pids"]) + u32(rule["encrypted_bytes"])
    core += u8(len(adu["clear_map"]))
    return core + b"".join(u32(offset) + u32(length) for offset, length in adu["clear_map"])


def seal_adu(adu):
    """All but the authentication: fills in what follows from an ADU's description."""
    context = session_context(adu["sub_session"])
    root = sender_root(adu["generator"], adu["depth"], adu["sub_session"], adu["sender_id"])
    leaf = leaf_of(adu["generator"], root, adu["depth"], adu["adu_id"])
    plaintext = plaintext_of(adu)
    encrypted = len(plaintext) - len(clear_at(adu, plaintext))
    if "packet_rule" in adu:
        adu["packet_rule"]["encrypted_bytes"] = encrypted
    growth = 8 - encrypted % 8 if adu["cipher"] == "des-cbc" else 16
    ciphertext_bytes, size = len(plaintext) + growth, adu["fragment_bytes"]
    source = (ciphertext_bytes + size - 1) // size
    core = core_of(adu, context, ciphertext_bytes, source)
    entries = [(e["action"], e["number"], bytes.fromhex(e["target"])) for e in adu["control"]]
    block = control_plaintext(entries, adu["control_block_bytes"])
    block_key = control_key(leaf, context, core)
    block_sealed = aes_gcm_seal(block_key, bytes(12), b"", block)
    key = data_key(leaf, context, core, block_sealed, CIPHERS[adu["cipher"]][1])
    ciphertext = seal_body(adu, key, plaintext)
    fragments = [ciphertext[i : i + size] for i in range(0, len(ciphertext), size)]
    fragments += parity_of(fragments, adu["parity_fragments"], size)
    pages, hashes = hash_tree(fragments, size)
    header = core + block_sealed + u16(len(hashes)) + b"".join(hashes)
    derived = {
        "leaf": leaf, "core": core, "control_plaintext": block, "control_key": block_key,
        "control_block": block_sealed, "data_key": key, "ciphertext_sha256": sha256(ciphertext),
        "header": header,
    }
    adu.update({name: value.hex() for name, value in derived.items()})
    adu.update({
        "ciphertext_bytes": ciphertext_bytes, "source_fragments": source,
        "page_sha256": [sha256(page).hex() for page in pages],
        "hashes": [h.hex() for h in hashes],
    })
    if len(ciphertext) <= 2048:
        adu["ciphertext"] = ciphertext.hex()
    return header, context, ciphertext


def authenticate_single(context, header, key):
    message = pre_authentication_encoding(HEADER_TYPE, context + header)
    return u16(len(header)) + header + u8(1) + ecdsa_sign(key, message)


def split_of(leaves):
    """The largest power of two smaller than their number."""
    return 1 << (len(leaves) - 1).bit_length() - 1


def merkle_root(leaves):
    """RFC 6962, 2.1, by its own recursion; leaves are hashed already."""
    if len(leaves) == 1:
        return leaves[0]
    half = split_of(leaves)
    return sha256(b"\1" + merkle_root(leaves[:half]) + merkle_root(leaves[half:]))


def merkle_path(index, leaves):
    """RFC 6962, 2.1.1."""
    if len(leaves) == 1:
        return []
    half = split_of(leaves)
    if index < half:
        return merkle_path(index, leaves[:half]) + [merkle_root(leaves[half:])]
    return merkle_path(index - half, leaves[half:]) + [merkle_root(leaves[:half])]


def authenticate_batch(context, sender_id, headers, key):
    leaves = [sha256(b"\0" + pre_authentication_encoding(HEADER_TYPE, context + h)) for h in headers]
    payload = context + u32(sender_id) + u16(len(headers)) + merkle_root(leaves)
    signature = ecdsa_sign(key, pre_authentication_encoding(BATCH_TYPE, payload))
    signed = []
    for i, header in enumerate(headers):
        path = merkle_path(i, leaves)
        signed.append(u16(len(header)) + header + u8(2) + u16(i) + u16(len(headers)) +
                      u8(len(path)) + b"".join(path) + signature)
    return signed


def datagram(kind, context, adu, index, payload):
    return (b"NK" + u8(1) + u8(kind) + context[:8] + u32(adu["sender_id"]) + u64(adu["adu_id"]) +
            u32(index) + payload)


# The vectors.


def describe(name, **changes):
    adu = {
        "name": name, "generator": "marks", "depth": 32, "sub_session": 0, "sender_id": 1,
        "adu_id": 5, "random_access": False, "cipher": "aes-128-gcm",
        "signed_time_us": 1700000000000000, "deadline_us": 0, "plaintext_bytes": 100,
        "plaintext_label": "plaintext of " + name,
        "fragment_bytes": 1424, "parity_fragments": 0,
        "fresh": sha256(b"fresh " + name.encode())[:16].hex(),
        "control_block_bytes": 80, "control": [], "clear_map": [], "plaintext_with": [],
    }
    adu.update(changes)
    return adu


def packets(name, **changes):
    """Eight packets of a transport stream behind 100 bytes, and 60 bytes more."""
    headers = [
        "47410110",      # video, begins a unit
        "47010130" "07", # video with an adaptation field of 7 bytes
        "47010210",      # audio
        "46010110",      # no sync byte
        "47010120" "b7", # video, an adaptation field and nothing else
        "47010130" "b8", # video, an adaptation field that does not fit
        "47010310",      # a second video
        "47400010",      # a table
    ]
    with_headers = [[100 + 188 * i, header] for i, header in enumerate(headers)]
    return describe(name, plaintext_bytes=100 + 188 * len(headers) + 60, adu_id=8,
                    plaintext_with=with_headers,
                    packet_rule={"phase": 100, "pids": [0x101, 0x103]}, **changes)


def entry(action, number, target):
    return {"action": action, "number": number, "target": target.hex()}


def single_adus(key):
    adus = [
        describe("one fragment"),
        describe("many fragments", adu_id=4000000000, random_access=True, plaintext_bytes=20000,
                 deadline_us=1700000010000000, parity_fragments=3,
                 control=[entry(1, 1699999999000000, filler("member", 32)),
                          entry(2, 7, filler("group", 16))]),
        describe("two levels", cipher="chacha20-poly1305", fragment_bytes=512, parity_fragments=5,
                 plaintext_bytes=40000, sub_session=2, sender_id=9, depth=16, adu_id=65535),
        describe("three levels", cipher="aes-256-gcm", fragment_bytes=512, plaintext_bytes=280000,
                 generator="hkdf", sender_id=0xFFFFFFFF, adu_id=77, control_block_bytes=256),
        describe("clear map", plaintext_bytes=1504, adu_id=6,
                 clear_map=[[0, 188], [188, 4], [1000, 1], [1500, 4]],
                 control=[entry(3, 5, filler("digest", 32))]),
        describe("all but a byte clear", plaintext_bytes=64, adu_id=7,
                 clear_map=[[0, 63]], cipher="chacha20-poly1305"),
        describe("des", cipher="des-cbc", generator="logistic-map", depth=20, adu_id=300),
        describe("des whole blocks clear map", cipher="des-cbc", generator="hash-chain",
                 depth=20, adu_id=1000, plaintext_bytes=96, clear_map=[[3, 10], [20, 6]]),
        packets("packets", cipher="aes-128-gcm"),
        packets("packets des", cipher="des-cbc"),
    ]
    for adu in adus:
        header, context, ciphertext = seal_adu(adu)
        signed = authenticate_single(context, header, key)
        adu["signed_header"] = signed.hex()
        if adu["name"] == "one fragment":
            whole = u16(len(signed)) + signed + ciphertext
            adu["datagrams"] = {
                "header": datagram(1, context, adu, 0, signed).hex(),
                "source": datagram(2, context, adu, 0, ciphertext).hex(),
                "whole": datagram(5, context, adu, 0, whole).hex(),
            }
    return adus


def batches(key):
    result = []
    for count in (1, 2, 5, 8):
        adus = [describe(f"batch of {count}, {i}", adu_id=100 + i, plaintext_bytes=40 + i)
                for i in range(count)]
        headers = [seal_adu(adu)[0] for adu in adus]
        signed = authenticate_batch(session_context(0), 1, headers, key)
        result.append({"sub_session": 0, "sender_id": 1, "headers": [h.hex() for h in headers],
                       "signed_headers": [s.hex() for s in signed]})
    return result


def fec():
    result = []
    for source, parity, size, last in ((1, 1, 512, 7), (10, 2, 512, 512), (213, 43, 512, 300),
                                       (214, 43, 512, 1), (420, 84, 512, 511), (430, 86, 512, 2)):
        text = filler(f"source of {source}", (source - 1) * size + last)
        coded = parity_of([text[i : i + size] for i in range(0, len(text), size)], parity, size)
        result.append({"source_fragments": source, "parity_fragments": parity,
                       "fragment_bytes": size, "source_bytes": len(text),
                       "parity_sha256": [sha256(fragment).hex() for fragment in coded]})
    return result


def schedule():
    roots = []
    for generator, depth, sub_session, sender_id, ids, ranges in (
        ("marks", 32, 0, 1, [0, 1, 2, 5, 2**31, 2**32 - 1],
         [(0, 2**32 - 1), (5, 5), (10, 99), (1, 2**32 - 2), (0, 2**31 - 1), (7, 8)]),
        ("marks", 4, 3, 2, list(range(16)), [(0, 15), (1, 14), (3, 3), (8, 11)]),
        ("marks", 63, 0, 1, [0, 2**63 - 1], [(2**62 - 1, 2**62)]),
        ("marks", 1, 0, 0xFFFFFFFF, [0, 1], [(0, 0), (0, 1)]),
        ("hkdf", 32, 0, 1, [0, 1, 2**32 - 1], [(5, 9)]),
        ("hash-chain", 20, 0, 1, [0, 1, 2, 1023, 1024, 1025, 5000, 2**20 - 1],
         [(0, 9), (1, 1), (2000, 2**20 - 1)]),
        ("hash-chain", 3, 1, 2, list(range(8)), [(0, 7), (5, 6)]),
        ("logistic-map", 20, 0, 1, [0, 1, 2, 1023, 1024, 1025, 5000], [(0, 9), (2000, 3000)]),
        ("logistic-map", 3, 1, 2, list(range(8)), [(5, 6)]),
    ):
        root = sender_root(generator, depth, sub_session, sender_id)
        roots.append({
            "generator": generator, "depth": depth, "sub_session": sub_session,
            "sender_id": sender_id, "root": root.hex(),
            "leaves": [{"id": i, "leaf": leaf_of(generator, root, depth, i).hex()} for i in ids],
            "covers": [{"first": first, "last": last,
                        "nodes": [{"level": level, "prefix": prefix, "key": node.hex()}
                                  for level, prefix, node in
                                  cover_of(generator, root, depth, first, last)]}
                       for first, last in ranges],
        })
    return {"seed": SEED.hex(), "roots": roots}


def envelopes():
    key, result = private_key(b"envelope"), []
    for payload_type, payload in (
        (b"application/vnd.nark.voucher.v1+protobuf", filler("voucher", 200)),
        (b"application/vnd.nark.terms.v1+protobuf", filler("terms", 7)),
        (b"application/vnd.nark.evidence.v1+protobuf", b""),
    ):
        encoding = pre_authentication_encoding(payload_type, payload)
        signature = ecdsa_sign(key, encoding)
        fields = [(1, payload_type), (2, payload), (3, sha256(spki(key))), (4, signature)]
        result.append({
            "payload_type": payload_type.decode(), "payload": payload.hex(),
            "pre_authentication_encoding": encoding.hex(), "identity": sha256(encoding).hex(),
            "spki": spki(key).hex(), "key_id": sha256(spki(key)).hex(), "signature": signature.hex(),
            "envelope": b"".join(protobuf_field(n, data) for n, data in fields if data).hex(),
        })
    return result


def objects():
    identities = [sha256(b"identity " + name) for name in
                  (b"descriptor", b"challenge", b"evidence", b"voucher", b"terms")]
    descriptor, challenge, evidence, voucher, terms = identities
    attestation, note = spki(private_key(b"attestation")), spki(private_key(b"note"))
    space = labelled_hash(b"nark secure space id v1", attestation, note)
    return {
        "descriptor_identity": descriptor.hex(), "challenge_identity": challenge.hex(),
        "evidence_identity": evidence.hex(), "voucher_identity": voucher.hex(),
        "terms_identity": terms.hex(), "attestation_spki": attestation.hex(),
        "note_spki": note.hex(), "secure_space_id": space.hex(),
        "transcript": labelled_hash(b"nark transcript v1", descriptor, challenge, evidence,
                                    voucher).hex(),
        "grant_id": labelled_hash(b"nark grant id v1", voucher, space).hex(),
        "sealed_session_info": labelled_encoding(b"nark sealed session v1", PROVIDER, SESSION_ID,
                                                 terms).hex(),
    }


def vectors():
    sender_key = private_key(b"sender")
    return {
        "session": {
            "provider": PROVIDER.hex(), "session_id": SESSION_ID.hex(),
            "contexts": [{"sub_session": s, "context": session_context(s).hex(),
                          "tag": session_context(s)[:8].hex()} for s in (0, 1, 2, 0xFFFFFFFF)],
        },
        "sender_spki": spki(sender_key).hex(),
        "schedule": schedule(),
        "adus": single_adus(sender_key),
        "batches": batches(sender_key),
        "fec": fec(),
        "envelopes": envelopes(),
        "objects": objects(),
        "audit": audit(PROVIDER, SESSION_ID),
    }


def main(arguments):
    if arguments == ["--self-test"]:
        self_test()
    elif arguments:
        sys.exit(__doc__)
    else:
        print(json.dumps(vectors(), indent=1))


if __name__ == "__main__":
    main(sys.argv[1:])
