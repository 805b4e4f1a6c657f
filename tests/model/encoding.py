"""How the model writes numbers, labels and plaintexts."""

from primitives import sha256


def u8(n):
    return n.to_bytes(1, "big")


def u16(n):
    return n.to_bytes(2, "big")


def u32(n):
    return n.to_bytes(4, "big")


def u64(n):
    return n.to_bytes(8, "big")


def filler(label, size):
    """`size` bytes: SHA-256(label || u32 block), block after block."""
    blocks = [sha256(label.encode() + u32(i)) for i in range((size + 31) // 32)]
    return b"".join(blocks)[:size]


def labelled_encoding(label, *parts):
    encoding = u16(len(label)) + label
    for part in parts:
        encoding += u32(len(part)) + part
    return encoding


def labelled_hash(label, *parts):
    return sha256(labelled_encoding(label, *parts))
