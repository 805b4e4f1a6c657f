"""The part `bench` of tests/run: every figure beside the limit of the same run.

A benchmark is a program with the tag "bench". It prints one JSON object a line:
{"figure","value","limit","ratio","unit"}, and may add "limit_is" (what the limit is)
and "detail" (more numbers by name); other lines are for people.
"""

import json
import os
import subprocess

from cases import FAILED, PASSED, Case

# What docs/figures.md sets out to reach: the least ratio, or the least value; with "most"
# in front, the largest.
TARGETS = {
    "marks sequential": ("value", 4e6),
    "marks random": ("value", 3e5),
    "joins warm": ("ratio", 0.80),
    "joins plaintext": ("ratio", 0.80),
    "joins cold": ("ratio", 0.75),
    "joins resumed": ("ratio", 0.75),
    "fleet of 2": ("ratio", 0.95),
    "fleet of 4": ("ratio", 0.95),
    "sender 16 KiB": ("ratio", 0.85),
    "sender 256 KiB": ("ratio", 0.85),
    "receiver 16 KiB": ("ratio", 0.85),
    "receiver 256 KiB": ("ratio", 0.85),
    "fec encode 184": ("ratio", 0.75),
    "fec encode 400": ("ratio", 0.75),
    "fec sender 184": ("ratio", 0.85),
    "fec sender 400": ("ratio", 0.85),
    "fec receiver 184": ("ratio", 0.75),
    "fec receiver 400": ("ratio", 0.75),
    "1,000 slow peers: p99 of who is connected": ("most ratio", 2),
    "1,000 slow peers: p99 of strangers": ("most ratio", 2),
    "1,000 slow peers: strangers served": ("value", 1),
    "1,000 slow peers: service after": ("most value", 2),
    "1,500 peers for 500 places: p99 of who is connected": ("most ratio", 2),
    "1,500 peers for 500 places: p99 of strangers": ("most ratio", 2),
    "1,500 peers for 500 places: strangers served": ("value", 1),
    "1,500 peers for 500 places: service after": ("most value", 2),
    # Half a million ADUs a second.
    "sender 1284 B": ("value", 5.136),
    "receiver 1284 B": ("value", 5.136),
    "note receipts random": ("most ratio", 1.05),
    "note receipts bursty": ("most ratio", 1.05),
    "note besides receipts random": ("most value", 1024),
    "note besides receipts bursty": ("most value", 1024),
    "releases": ("value", 5e5),
    "releases durable": ("value", 5e4),
    "refunds sqlite": ("value", 1000),
    "refunds postgresql": ("value", 500),
    "process single p99": ("most value", 150),
    "process batched": ("value", 2e5),
    "chameleon portable": ("value", 2.5),
    "chameleon avx512": ("value", 4.5),
    "relay 100 subscribers": ("ratio", 0.85),
}


def reached(figure, kind, bound):
    """Whether the figure keeps to a target."""
    value = figure[kind.removeprefix("most ")]
    return value <= bound if kind.startswith("most ") else value >= bound


def programs_of(root):
    """The benchmarks' labels."""
    command = ["bazel", "query", "--noshow_progress", "--ui_event_filters=-info"]
    command.append("attr(tags, 'bench', kind(cc_binary, //tests/bench/...))")
    done = subprocess.run(command, cwd=root, capture_output=True, text=True)
    if done.returncode != 0:
        raise SystemExit(f"tests/run: bazel query failed:\n{done.stderr}")
    return sorted(done.stdout.split())


def figures_in(text):
    """The figures among the lines that a benchmark printed."""
    figures = []
    for line in text.splitlines():
        if not line.startswith("{"):
            continue
        figure = json.loads(line)
        missing = {"figure", "value", "unit"} - figure.keys()
        if missing:
            raise ValueError(f"a figure lacks {', '.join(sorted(missing))}: {line}")
        target = TARGETS.get(figure["figure"])
        if target is not None:
            figure["target"] = {target[0]: target[1]}
            figure["reached"] = reached(figure, *target)
        figures.append(figure)
    return figures


def number(value):
    """Four digits that count, with thousands apart."""
    if value is None:
        return "-"
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.4g}"


def table(figures):
    """The figures as aligned text."""
    rows = [("figure", "value", "unit", "limit", "ratio", "target")]
    for figure in figures:
        target = "".join(
            f"{'<=' if kind.startswith('most ') else '>='} {number(bound)}"
            f"{' of limit' if kind.endswith('ratio') else ''}"
            for kind, bound in figure.get("target", {}).items()
        )
        if target:
            target += "" if figure["reached"] else "  (not yet)"
        ratio = figure.get("ratio")
        rows.append(
            (
                figure["figure"],
                number(figure["value"]),
                figure["unit"],
                number(figure.get("limit")),
                "-" if ratio is None else f"{ratio:.2f}",
                target or "-",
            )
        )
    widths = [max(len(row[i]) for row in rows) for i in range(6)]
    lines = []
    for row, figure in zip(rows, [None, *figures]):
        cells = [
            row[i].rjust(widths[i]) if i in (1, 3, 4) else row[i].ljust(widths[i]) for i in range(6)
        ]
        lines.append("  ".join(cells).rstrip())
        if figure and "limit_is" in figure:
            lines.append(f"    limit: {figure['limit_is']}")
        if figure and "detail" in figure:
            pairs = (f"{name} {number(value)}" for name, value in figure["detail"].items())
            lines.append(f"    {', '.join(pairs)}")
    return "\n".join(lines)


def run(root, arguments, bazel, progress):
    """Builds and runs every benchmark; a case for each. Prints what they found."""
    programs = programs_of(root)
    status, said = bazel("build", ["--compilation_mode=opt"], programs)
    if status != 0:
        return [Case("bazel", f"bench: bazel ended with status {status}", FAILED, said)]
    found, figures = [], []
    for label in programs:
        progress(label)
        package, name = label.removeprefix("//").split(":")
        program = os.path.join(root, "bazel-bin", package, name)
        done = subprocess.run([program], cwd=root, capture_output=True, text=True)
        try:
            figures += figures_in(done.stdout)
            outcome = PASSED if done.returncode == 0 else FAILED
            output = f"exit status {done.returncode}\n{done.stderr}"
        except (ValueError, KeyError) as error:
            outcome, output = FAILED, str(error)
        found.append(Case(label, name, outcome, output if outcome == FAILED else ""))
    if arguments.json:
        print(json.dumps({"figures": figures}, indent=1))
    else:
        print(table(figures))
    return found
