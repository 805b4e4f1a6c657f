"""Counts test cases from what Bazel reports about a run."""

import dataclasses
import json
import os
import re
import urllib.parse
import xml.etree.ElementTree as ElementTree

PASSED, FAILED, SKIPPED = "passed", "failed", "skipped"


@dataclasses.dataclass
class Case:
    """One test case: a GoogleTest case, or a whole script."""

    target: str
    name: str
    outcome: str
    output: str = ""  # why it failed or was skipped; of one that passed, what it recorded


@dataclasses.dataclass
class TargetRun:
    """One run of one test target (one shard of it)."""

    label: str
    status: str  # Bazel's: PASSED, FLAKY, FAILED, TIMEOUT, ...
    xml: str | None
    log: str | None


def _path(uri):
    parsed = urllib.parse.urlparse(uri)
    return urllib.parse.unquote(parsed.path) if parsed.scheme == "file" else None


def target_runs(event_lines):
    """The last attempt of every test run in a build event stream (JSON lines)."""
    runs = {}
    for line in event_lines:
        if not line.strip():
            continue
        event = json.loads(line)
        key = event.get("id", {}).get("testResult")
        result = event.get("testResult")
        if key is None or result is None:
            continue
        files = {f["name"]: _path(f.get("uri", "")) for f in result.get("testActionOutput", [])}
        where = (key["label"], key.get("run", 1), key.get("shard", 1))
        runs[where] = TargetRun(
            key["label"], result.get("status", "NO_STATUS"), files.get("test.xml"), files.get("test.log")
        )
    return [runs[where] for where in sorted(runs)]


def _read(path, limit=1 << 20):
    if path is None or not os.path.exists(path):
        return ""
    with open(path, encoding="utf-8", errors="replace") as file:
        return file.read(limit)


def _tail(text, lines=80):
    return "\n".join(text.splitlines()[-lines:])


def _output_of(log, name):
    """What a GoogleTest case printed, from the log of its target."""
    match = re.search(
        r"^\[ RUN      \] " + re.escape(name) + r"\n(.*?)^\[ {2}FAILED {2}\] " + re.escape(name),
        log,
        re.DOTALL | re.MULTILINE,
    )
    return _tail(match.group(1), 200) if match else ""


def _messages(element, tag):
    return "\n".join((e.get("message") or e.text or "").strip() for e in element.findall(tag))


def _recorded(element):
    """What a GoogleTest case gave to RecordProperty, a line each."""
    return "\n".join(f"{p.get('name')}: {p.get('value')}" for p in element.iter("property"))


def _case(run, element, log):
    suite, name = element.get("classname"), element.get("name", "?")
    full = f"{suite}.{name}" if suite else name
    failures = element.findall("failure") + element.findall("error")
    if failures:
        output = _output_of(log, full)
        if not output and suite:
            output = "\n".join((e.text or e.get("message") or "").strip() for e in failures)
        elif not output:  # Bazel's own account of a program that crashed or hung
            full, output = f"{run.label} ({run.status.lower()})", _tail(log)
        return Case(run.label, full, FAILED, output)
    disabled = element.get("status") == "notrun"
    if disabled or element.get("result") == "skipped" or element.find("skipped") is not None:
        why = "disabled" if disabled else _messages(element, "skipped")
        return Case(run.label, full, SKIPPED, why)
    return Case(run.label, full, PASSED, _recorded(element))


def cases_of(run):
    """The cases of a run. A target that failed without a failed case (it crashed,
    or took too long) is one failed case of its own."""
    log = _read(run.log)
    cases = []
    try:
        if run.xml is not None and os.path.getsize(run.xml) > 0:
            root = ElementTree.parse(run.xml).getroot()
            cases = [_case(run, element, log) for element in root.iter("testcase")]
    except (OSError, ElementTree.ParseError) as error:
        cases = [Case(run.label, "test.xml", FAILED, str(error))]
    good = run.status in ("PASSED", "FLAKY")
    if not good and not any(case.outcome == FAILED for case in cases):
        cases.append(Case(run.label, run.status.lower(), FAILED, _tail(log)))
    for case in cases:
        if case.outcome == FAILED and not case.output.strip():
            case.output = _tail(log)
    return cases
