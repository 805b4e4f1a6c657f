"""The example configurations: TOML, with every key a flag of its program, those that are
commented out too."""

import os
import re
import tomllib

from tree import flags_of, paths, read

# "#key = value" is an example that is switched off; "# Text." is for people.
SWITCHED_OFF = re.compile(r"^#([a-z][a-z0-9-]* = .*)$")


def switched_on(text):
    """Each variant of the text in which one of its commented examples is in force."""
    lines = text.splitlines()
    for number, line in enumerate(lines):
        match = SWITCHED_OFF.match(line)
        if not match:
            continue
        key = match.group(1).split(" = ")[0]
        others = [other for other in lines if not other.startswith(key + " = ")]
        place = len([other for other in lines[:number] if not other.startswith(key + " = ")])
        yield "\n".join([*others[:place], match.group(1), *others[place + 1 :]])


def keys_of(table):
    for key, value in table.items():
        if isinstance(value, dict):
            yield from keys_of(value)
        else:
            yield key


def findings(top):
    found = []
    for path in paths(top, "deploy/systemd/examples/*.toml"):
        text = read(os.path.join(top, path))
        room = os.path.basename(path).removesuffix(".toml")
        known = flags_of(top, room)
        for variant in (text, *switched_on(text)):
            try:
                keys = set(keys_of(tomllib.loads(variant)))
            except tomllib.TOMLDecodeError as error:
                found.append(f"{path}: {error}")
                continue
            found += [f"{path}: nark-{room} has no flag --{key}" for key in sorted(keys - known)]
    return sorted(set(found))
