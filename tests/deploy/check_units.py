"""systemd's own opinion of the units, and what it has none of."""

import json
import os
import re
import tempfile

from tree import flags_of, paths, read, run, tool

MOST_EXPOSURE = 20  # tenths
# Rooms whose programs take over changed files on SIGHUP.
RELOADS = ("keymanager", "refunds", "relay")
WANTED = {
    "Type": "notify",
    "LimitCORE": "0",
    "ProtectSystem": "strict",
    "MemoryDenyWriteExecute": "yes",
    "NoNewPrivileges": "yes",
    "CapabilityBoundingSet": "",
}


def values(text, key):
    return re.findall(rf"^{key}=(.*)$", text, re.M)


def check_text(top, unit, text):
    found = []
    for key, value in WANTED.items():
        if value not in values(text, key):
            found.append(f"{unit}: {key}={value} is missing")
    if "yes" not in values(text, "DynamicUser") and values(text, "User") in ([], ["root"]):
        found.append(f"{unit}: runs as root")
    if not values(text, "WatchdogSec"):
        found.append(f"{unit}: WatchdogSec is missing")
    if int((values(text, "LimitNOFILE") or ["0"])[0]) < 16384:
        found.append(f"{unit}: LimitNOFILE is below 16384")
    families = " ".join(values(text, "RestrictAddressFamilies")).split()
    if "AF_UNIX" not in families:
        found.append(f"{unit}: without AF_UNIX it can not tell systemd that it is ready")
    start = (values(text, "ExecStart") or [""])[0]
    program = re.match(r"/usr/bin/nark-([a-z]+)( |$)", start)
    if not program:
        return found + [f"{unit}: ExecStart starts no program of Nark's"]
    room = program.group(1)
    for flag in re.findall(r" --([a-z-]+)", start):
        if flag not in flags_of(top, room):
            found.append(f"{unit}: nark-{room} has no flag --{flag}")
    reload = "kill -HUP $MAINPID" in values(text, "ExecReload")
    if reload != (room in RELOADS):
        found.append(f"{unit}: ExecReload is {'of no use' if reload else 'missing'}: see {room}/main.cc")
    return found


def verify(folder, units):
    """What `systemd-analyze verify` says about units, and instances of templates."""
    names = [unit.replace("@.", "@name.") for unit in units]
    environment = dict(os.environ, SYSTEMD_UNIT_PATH=f"{folder}:", SYSTEMD_LOG_COLOR="0")
    command = [tool("systemd-analyze", "systemd"), "verify", "--man=no", *names]
    status, said = run(command, env=environment)
    lines = [line for line in said.splitlines() if folder in line or "nark" in line]
    if status != 0 and not lines:
        lines = said.splitlines()[-1:] or [f"systemd-analyze verify ended with {status}"]
    return [line.replace(folder + "/", "") for line in lines]


def exposure(folder, units):
    command = [tool("systemd-analyze", "systemd"), "security", "--offline=true", "--no-pager"]
    command.append(f"--threshold={MOST_EXPOSURE}")
    status, said = run([*command, *(os.path.join(folder, unit) for unit in units)])
    if status == 0:
        return []
    if len(units) > 1:
        return [finding for unit in units for finding in exposure(folder, [unit])]
    level = re.search(r"Overall exposure level for \S+: ([0-9.]+)", said)
    _, said = run([*command, "--json=short", os.path.join(folder, units[0])])
    try:
        rated = [row for row in json.loads(said) if row["exposure"]]
        rated.sort(key=lambda row: -float(row["exposure"]))
    except ValueError:
        rated = []
    worst = " ".join(row["name"] for row in rated[:3])
    return [
        f"{units[0]}: exposure {level.group(1) if level else 'unknown'}, at most "
        f"{MOST_EXPOSURE / 10} is wanted; most by {worst}"
    ]


def findings(top):
    units = paths(top, "deploy/systemd/*.service")
    found = []
    with tempfile.TemporaryDirectory() as folder:
        for path in units:
            # The programs need not be installed where this runs.
            text = read(os.path.join(top, path))
            text = re.sub(r"(?m)^(ExecStart=)/usr/bin/nark-[a-z]+", r"\1/bin/true", text)
            with open(os.path.join(folder, os.path.basename(path)), "w", encoding="utf-8") as copy:
                copy.write(text)
        for path in units:
            found += check_text(top, os.path.basename(path), read(os.path.join(top, path)))
        names = [os.path.basename(path) for path in units]
        found += verify(folder, names) + exposure(folder, names)
    users = read(os.path.join(top, "deploy/systemd/nark.sysusers"))
    folders = read(os.path.join(top, "deploy/systemd/nark.tmpfiles"))
    made = set(re.findall(r"^u (\S+)", users, re.M)) | {"root"}
    for path in units:
        for user in values(read(os.path.join(top, path)), "User"):
            if user not in made:
                found.append(f"{os.path.basename(path)}: nark.sysusers does not make the user {user}")
    for owner, group in re.findall(r"^d \S+ \d+ (\S+) (\S+)", folders, re.M):
        for name in (owner, group):
            if name not in made:
                found.append(f"nark.tmpfiles: nark.sysusers does not make {name}")
    return found
