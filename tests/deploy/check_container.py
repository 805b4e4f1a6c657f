"""The Containerfile: from nothing but Debian's archive, and for a user that is not root. The
image itself is built and run by tests/deploy/image."""

import os
import re

from tree import read

FILE = "deploy/container/Containerfile"


def findings(top):
    text = read(os.path.join(top, FILE))
    found = []
    stages = {"scratch"}
    for base, name in re.findall(r"^FROM (\S+)(?: AS (\S+))?$", text, re.M):
        if base not in stages:
            found.append(f"{FILE}: FROM {base} would ask a registry")
        stages.add(name)
    last = text[text.rindex("\nFROM ") :]
    user = re.search(r"^USER (\S+)$", last, re.M)
    if not user or not re.fullmatch(r"[1-9]\d*:[1-9]\d*", user.group(1)):
        found.append(f"{FILE}: the image's user is not given by number, or is root")
        return found
    number = user.group(1).split(":")[0]
    collect = read(os.path.join(top, "deploy/container/collect"))
    if f"nark:x:{number}:" not in collect:
        found.append(f"deploy/container/collect: /etc/passwd has no user {number}")
    for path in ("keymanager.yaml", "refunds.yaml"):
        for kind in ("runAsUser", "runAsGroup", "fsGroup"):
            if f"{kind}: {number}\n" not in read(os.path.join(top, "deploy/kubernetes", path)):
                found.append(f"deploy/kubernetes/{path}: {kind} is not the image's user {number}")
    programs = set(re.search(r"programs=\(([^)]*)\)", collect).group(1).split())
    for path in ("keymanager.yaml", "refunds.yaml"):
        text = read(os.path.join(top, "deploy/kubernetes", path))
        for command in re.findall(r'command: \["(nark-[a-z]+)"', text):
            if command not in programs:
                found.append(f"deploy/kubernetes/{path}: the image has no {command}")
    return found
