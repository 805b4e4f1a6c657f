"""The Debian package's parts: maintainer scripts parse, and what they and units name is in
the package. The package itself is built and installed by tests/deploy/machine."""

import os
import re

from tree import paths, read, run

FOLDER = "deploy/debian"


def findings(top):
    found = []
    for name in ("postinst", "prerm", "postrm"):
        path = os.path.join(top, FOLDER, name)
        status, said = run(["/bin/sh", "-n", path])
        if status != 0:
            found.append(f"{FOLDER}/{name}: {said.strip()}")
        if "set -e" not in read(path).splitlines()[:3]:
            found.append(f"{FOLDER}/{name}: does not end at an error (set -e)")
    for script in (*paths(top, f"{FOLDER}/build"), *paths(top, "deploy/container/[bc]*")):
        status, said = run(["/bin/bash", "-n", os.path.join(top, script)])
        if status != 0:
            found.append(f"{script}: {said.strip()}")
    build = read(os.path.join(top, FOLDER, "build"))
    programs = {f"nark-{room}" for room in re.search(r"rooms=\(([^)]*)\)", build).group(1).split()}
    for unit in paths(top, "deploy/systemd/*.service"):
        program = re.search(r"^ExecStart=/usr/bin/(\S+)", read(os.path.join(top, unit)), re.M)
        if program and program.group(1) not in programs:
            found.append(f"{unit}: the package has no {program.group(1)}")
        for page in re.findall(r"file:///usr/share/doc/nark/(\S+)", read(os.path.join(top, unit))):
            if not os.path.exists(os.path.join(top, "docs", page)):
                found.append(f"{unit}: the package has no {page}")
    # `kill` is not of the base system.
    if re.search(r"^Depends: .*\bprocps\b", build, re.M) is None:
        found.append(f"{FOLDER}/build: the units' ExecReload needs procps")
    # Units without instances that a maintainer script forgets would stay masked after a purge.
    for unit in paths(top, "deploy/systemd/*.service"):
        name = os.path.basename(unit)
        for script in ("postinst", "postrm"):
            if "@" not in name and name not in read(os.path.join(top, FOLDER, script)):
                found.append(f"{FOLDER}/{script}: does not name {name}")
    return found
