"""What the checks share: files of the tree, tools of the machine, flags in the source."""

import glob
import os
import re
import shutil
import subprocess


class Missing(Exception):
    """A tool that a check needs is not installed."""


# What files that do not parse make parsers raise. PyYAML's own is added where it is there.
UNREADABLE = (OSError, KeyError, TypeError, ValueError)
try:
    import yaml

    UNREADABLE += (yaml.YAMLError,)
except ImportError:
    yaml = None


def tool(name, package):
    """The path of a program; where it is not installed, says which package has it."""
    # A copy that a machine's owner put in front may be of another version or syntax.
    path = f"/usr/bin/{name}" if os.path.exists(f"/usr/bin/{name}") else shutil.which(name)
    if path is None:
        raise Missing(f"{name} is not installed (Debian package {package})")
    return path


def run(command, **more):
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", **more)
    return done.returncode, done.stdout + done.stderr


def read(path):
    with open(path, encoding="utf-8") as file:
        return file.read()


def paths(top, pattern):
    """Files that match, relative to `top`. None at all is a mistake of the caller's."""
    found = sorted(os.path.relpath(path, top) for path in glob.glob(os.path.join(top, pattern)))
    if not found:
        raise AssertionError(f"{pattern}: no such file")
    return found


def sources(top, folders):
    """Text of the C++ sources in `folders`, tests left out."""
    texts = []
    for folder in folders:
        for where, _, names in os.walk(os.path.join(top, folder)):
            for name in sorted(names):
                if name.endswith((".cc", ".h")) and not name.endswith(("_test.cc", "_fuzzer.cc")):
                    texts.append(read(os.path.join(where, name)))
    return "\n".join(texts)


def flags_of(top, room):
    """The names of the flags that a program declares, subcommands' among them."""
    text = read(os.path.join(top, room, "main.cc")) + read(os.path.join(top, "common/cli/program.cc"))
    return set(re.findall(r'"--([a-z][a-z0-9-]*)"', text))
