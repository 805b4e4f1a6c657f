"""Holds what the demo's receivers wrote against what was sent.

The sender's index says where each ADU begins in the input. It is not believed
blindly: every cut must lie on a random-access point of the video, found here
independently.
"""

import argparse
import contextlib
import json
import pathlib
import sqlite3
import sys

REASONS = {"D": "VOUCHER_OTHER_SECURE_SPACE", "E": "NOT_ATTESTED"}


def random_access_points(ts):
    """Byte offsets of packets whose adaptation field says random access, by PID."""
    points = {}
    for at in range(0, len(ts) - 187, 188):
        pid = (ts[at + 1] & 0x1F) << 8 | ts[at + 2]
        if ts[at + 3] & 0x20 and ts[at + 4] > 0 and ts[at + 5] & 0x40:
            points.setdefault(pid, set()).add(at)
    return points


def check_refund(sent, index, check):
    """F: what was written, what the note says, and what was paid for the rest."""
    note = json.load(open("F.note.json"))
    refund = json.load(open("refund.json"))
    by_curl = json.load(open("refund.curl.json"))
    orders = [json.loads(line) for line in open("payments.jsonl")]
    adus = {e["adu_id"]: sent[e["offset"] : e["offset"] + e["bytes"]] for e in index}
    ranges = [r for sender in note["senders"] for r in sender["delivered_ranges"]]
    delivered = [adu for first, last in ranges for adu in range(first, last + 1)]
    written = pathlib.Path("F.ts").read_bytes()
    price = 5 * note["bought"]  # minor units
    amount = price * note["missing"] // note["bought"]
    with contextlib.closing(sqlite3.connect("ledger.db")) as ledger:
        paid = ledger.execute("SELECT sum(amount_minor), count(*) FROM refunds").fetchone()
    holds = [
        check(written == b"".join(adus[adu] for adu in delivered), "F wrote what its note says"),
        check(0 < note["missing"] < note["bought"], "the network lost some of F's ADUs, not all"),
        check(note["delivered"] == len(delivered), "F's note counts what it lists"),
        check(refund["status"] == "paid", "F is paid"),
        check(refund["owed"] == note["missing"], "F is owed what did not arrive"),
        check(refund["amount_minor"] == amount, f"F is paid {amount} cents"),
        check(
            pathlib.Path("F.refund").read_bytes() == pathlib.Path("F.refund.again").read_bytes(),
            "the second submission is answered with the same bytes",
        ),
        check(
            all(by_curl[name] == refund[name] for name in ("status", "owed", "ledger_id")),
            "curl is answered as the receiver was",
        ),
        check(paid == (amount, 1), "the ledger's total is what F got, once"),
        check(
            [(o["idempotency_key"], o["payer_reference"], o["amount_minor"]) for o in orders]
            == [(refund["ledger_id"], "customer F", amount)],
            "one payment was ordered",
        ),
    ]
    got = f"{note['delivered']} ADUs; {refund['owed']} owed, {amount / 100:.2f} EUR paid once"
    return got, "yes" if all(held == "yes" for held in holds) else "NO"


def check_song(listeners, check):
    """What each listener heard of the song, and what the traces of leaks say."""
    song = pathlib.Path("song.wav").read_bytes()
    data = song.index(b"data") + 8
    heard = {name: pathlib.Path(f"song-{name}.wav").read_bytes() for name in listeners}
    leak, nobody = (json.load(open(f"{name}.json")) for name in ("leak", "nobody"))
    rows = []
    for name, space in listeners.items():
        copy = heard[name]
        differs = [i for i, (a, b) in enumerate(zip(song, copy)) if a != b]
        lowest = all(i >= data and (i - data) % 2 == 0 and song[i] ^ copy[i] == 1 for i in differs)
        leaked = space in leak["accused"]
        holds = [
            check(len(copy) == len(song) and lowest, f"{name} hears the song but for lowest bits"),
            check(len(differs) > len(song) // 8, f"{name}'s copy bears a mark"),
            check(leaked == (name == "B"), f"a piece of B's copy accuses B, not A: {name}"),
        ]
        score = next(c["score"] for c in leak["candidates"] if c["id"] == space)
        verdict = f"score {score:.1f} of {leak['threshold']:.1f}: {'accused' if leaked else 'not accused'}"
        held = "yes" if all(one == "yes" for one in holds) else "NO"
        rows.append((name, "the marked song", verdict, held))
    check(heard["A"] != heard["B"], "no two copies are alike")
    check(len(leak["candidates"]) == 20, "the leak is held against all twenty who bought")
    check(nobody["accused"] == [], "the song itself accuses nobody")
    return rows


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--input", required=True)
    parser.add_argument("--middle", type=int, required=True)
    parser.add_argument("--last", type=int, required=True)
    parser.add_argument("--refused", action="append", default=[])
    parser.add_argument("--listener", action="append", default=[])
    arguments = parser.parse_args()

    sent = pathlib.Path(arguments.input).read_bytes()
    index = [json.loads(line) for line in open("index.json")]
    offsets = {entry["adu_id"]: entry["offset"] for entry in index}
    failures = []
    rows = []

    def check(holds, what):
        if not holds:
            failures.append(what)
        return "yes" if holds else "NO"

    check(sum(entry["bytes"] for entry in index) == len(sent), "the index covers the whole input")
    check([e["adu_id"] for e in index] == list(range(len(index))), "ADU ids are consecutive")
    cuts = {offset for offset in offsets.values() if offset > 0}
    check(
        len(sent) % 188 != 0 or any(cuts <= points for points in random_access_points(sent).values()),
        "every cut lies on a random-access point of one PID",
    )

    received = {name: pathlib.Path(f"{name}.ts").read_bytes() for name in "ABC"}
    statistics = {name: json.load(open(f"{name}.json")) for name in "ABC"}
    middle = min(arguments.middle, len(index) - 1)
    expected = {"A": sent, "B": sent[offsets[middle]:]}
    start = len(sent) - len(received["C"])
    late = start in offsets.values() and 0 < start
    expected["C"] = sent[start:]
    bought = {"A": "everything", "B": f"from ADU {middle}", "C": "everything, joined late"}
    for name in "ABC":
        same = received[name] == expected[name] and received[name] != b""
        if name == "C":
            same = same and late
        text = check(same, f"{name}'s output is exactly what was bought")
        numbers = statistics[name]
        rows.append((name, bought[name], f"{numbers['delivered']} ADUs, {len(received[name])} bytes", text))
    for word in arguments.refused:
        name, status = word.split("=")
        log = open(f"logs/receiver-{name}.log").read()
        holds = status == "2" and REASONS[name] in log
        what = "another's voucher" if name == "D" else "an untrusted issuer"
        text = check(holds, f"{name} is refused with status 2 and {REASONS[name]}")
        rows.append((name, what, f"refused: {REASONS[name]}", text))

    rows.append(("F", f"0 to {arguments.last}, 10 % lost", *check_refund(sent, index, check)))

    rows += check_song(dict(word.split("=") for word in arguments.listener), check)

    header = ("receiver", "has", "got", "as it should")
    widths = [max(len(row[i]) for row in rows + [header]) for i in range(4)]
    for row in [header] + rows:
        print("  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip())
    for failure in failures:
        print(f"demo: does not hold: {failure}", file=sys.stderr)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
