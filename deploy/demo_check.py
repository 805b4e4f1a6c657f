"""Holds what the demo's receivers wrote against what was sent.

The sender's index says where each ADU begins in the input. It is not believed
blindly: every cut must lie on a random-access point of the video, found here
independently.
"""

import argparse
import json
import pathlib
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


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--input", required=True)
    parser.add_argument("--middle", type=int, required=True)
    parser.add_argument("--refused", action="append", default=[])
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

    header = ("receiver", "has", "got", "as it should")
    widths = [max(len(row[i]) for row in rows + [header]) for i in range(4)]
    for row in [header] + rows:
        print("  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip())
    for failure in failures:
        print(f"demo: does not hold: {failure}", file=sys.stderr)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
