"""The FEC of docs/wire.md, section 17, by its definition: slow and short."""

CONSTANT = 32  # z^2 = z + 32


def byte_product(a, b):
    product = 0
    while b:
        if b & 1:
            product ^= a
        a <<= 1
        if a & 256:
            a ^= 0x11D
        b >>= 1
    return product


# What multiplying by each byte makes of each byte, for bytes.translate.
TIMES = [bytes(byte_product(a, b) for b in range(256)) for a in range(256)]
BYTE_INVERSE = [0] + [TIMES[a].index(1) for a in range(1, 256)]


def product(a, b):
    """Of two elements, 256 high + low for high z + low."""
    (a1, a0), (b1, b0) = divmod(a, 256), divmod(b, 256)
    square = byte_product(a1, b1)
    high = byte_product(a1, b0) ^ byte_product(a0, b1) ^ square
    return high * 256 + (byte_product(a0, b0) ^ byte_product(square, CONSTANT))


def inverse(element):
    """The field has 2^16 - 1 units, so it is the power 2^16 - 2."""
    if element < 256:
        return BYTE_INVERSE[element]
    result, exponent = 1, 2**16 - 2
    while exponent:
        if exponent & 1:
            result = product(result, element)
        element = product(element, element)
        exponent >>= 1
    return result


def add(a, b):
    return (int.from_bytes(a, "big") ^ int.from_bytes(b, "big")).to_bytes(len(a), "big")


def times(element, fragment):
    """A fragment times an element: byte by byte, or the elements of its two halves."""
    if element < 256:
        return fragment.translate(TIMES[element])
    high, low = divmod(element, 256)
    lows, highs = fragment[: len(fragment) // 2], fragment[len(fragment) // 2 :]
    new_low = add(lows.translate(TIMES[low]), highs.translate(TIMES[byte_product(high, CONSTANT)]))
    new_high = add(lows.translate(TIMES[high]), highs.translate(TIMES[low ^ high]))
    return new_low + new_high


def parity_of_block(source, parity_fragments):
    inverses = {n: inverse(n) for n in range(1, 1024)}
    result = []
    for row in range(parity_fragments):
        total = bytes(len(source[0])) if source else None
        for column, fragment in enumerate(source):
            total = add(total, times(inverses[(len(source) + row) ^ column], fragment))
        result.append(total)
    return result


def parity_of(fragments, parity_fragments, fragment_bytes):
    """The parity fragments of an ADU's source fragments."""
    blocks = (len(fragments) + parity_fragments + 511) // 512
    padded = [fragment + bytes(fragment_bytes - len(fragment)) for fragment in fragments]
    parity = [None] * parity_fragments
    for block in range(blocks):
        of_block = len(range(block, parity_fragments, blocks))
        coded = parity_of_block(padded[block::blocks], of_block)
        for number, fragment in enumerate(coded):
            parity[number * blocks + block] = fragment or bytes(fragment_bytes)
    return parity
