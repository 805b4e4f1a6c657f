"""The operator's pages: links lead somewhere, and files, units and flags that they name exist."""

import os
import re

from check_rules import anchors
from tree import flags_of, paths, read

PROGRAMS = ("keymanager", "receiver", "refunds", "relay", "securespace", "sender")


def check_links(top, path, text):
    found = []
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"[a-z]+:", link):
            continue
        file, _, anchor = link.partition("#")
        target = os.path.normpath(os.path.join(os.path.dirname(path), file)) if file else path
        if not os.path.exists(os.path.join(top, target)):
            found.append(f"{path}: there is no {link}")
        elif anchor and anchor not in anchors(read(os.path.join(top, target))):
            found.append(f"{path}: {target} has no part #{anchor}")
    return found


def commands(text):
    """Lines of shell, continued ones joined; and commands in running text."""
    for block in re.findall(r"```sh\n(.*?)```", text, re.S):
        yield from block.replace("\\\n", " ").splitlines()
    yield from re.findall(r"`([^`\n]+)`", re.sub(r"```.*?```", "", text, flags=re.S))


def check_commands(top, path, text):
    found = []
    narkctl = set()
    for source in (*paths(top, "narkctl/*_command.cc"), *paths(top, "narkctl/*_flags.cc")):
        narkctl |= set(re.findall(r'"--([a-z][a-z0-9-]*)"', read(os.path.join(top, source))))
    for line in commands(text):
        # What a pipe or a semicolon separates are commands of their own.
        for command in re.split(r"\s[|;&]+\s|;\s", line):
            command = re.sub(r"^(?:runuser -u \S+ -- |sudo (?:-u \S+ )?|[A-Z_]+=\S* )*", "", command.strip())
            words = command.split() or [""]
            name = os.path.basename(words[0])
            if name == "narkctl":
                known = narkctl
            elif name.startswith("nark-") and name[5:] in PROGRAMS:
                known = flags_of(top, name[5:])
            else:
                continue
            for flag in re.findall(r"(?<=\s)--([a-z][a-z0-9-]*)", command):
                if flag not in known:
                    found.append(f"{path}: {name} has no flag --{flag}: {command[:60]}")
    return found


def check_files(top, path, text):
    found = []
    for name in set(re.findall(r"\b(?:deploy|tests|docs)/[\w./-]*\w", text)):
        if not os.path.exists(os.path.join(top, name)):
            found.append(f"{path}: there is no {name}")
    units = {os.path.basename(unit).split(".")[0].rstrip("@") for unit in paths(top, "deploy/systemd/*.service")}
    for unit in set(re.findall(r"systemctl [a-z-]+ (?:--now )?(nark-[a-z]+)", text)):
        if unit not in units:
            found.append(f"{path}: there is no unit {unit}")
    return found


def findings(top):
    found = []
    for path in ("docs/operations.md", *paths(top, "docs/operations/*.md")):
        text = read(os.path.join(top, path))
        found += check_links(top, path, text) + check_commands(top, path, text) + check_files(top, path, text)
    return sorted(set(found))
