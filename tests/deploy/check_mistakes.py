"""Plants mistakes that operators and programmers make in a copy of the tree, one at a time,
and sees that the check that should find it does."""

import importlib
import multiprocessing
import os
import shutil
import tempfile

from tree import UNREADABLE, read

KEYMANAGER = "deploy/kubernetes/keymanager.yaml"
ALERTS = "deploy/grafana/alerts.yml"
UNIT = "deploy/systemd/nark-keymanager@.service"

# Part, file, what is replaced by what, and what one finding must say.
MISTAKES = (
    # A field misspelt, of a wrong type, missing, in a wrong place, of no known value.
    ("kubernetes", KEYMANAGER, "readOnlyRootFilesystem:", "readOnlyRootFileSystem:", "no field readOnlyRootFileSystem"),
    ("kubernetes", KEYMANAGER, "containerPort: 7443", 'containerPort: "7443"', "'7443' is no int"),
    ("kubernetes", KEYMANAGER, "runAsNonRoot: true", 'runAsNonRoot: "true"', "'true' is no bool"),
    ("kubernetes", KEYMANAGER, "memory: 512Mi", "memory: 512MB", "is no quantity"),
    ("kubernetes", KEYMANAGER, "        - name: keymanager\n          image", "        - image", "V1Container needs name"),
    ("kubernetes", KEYMANAGER, "      serviceAccountName", "      hostNetworking: true\n      serviceAccountName", "no field hostNetworking"),
    ("kubernetes", KEYMANAGER, "apiVersion: policy/v1", "apiVersion: policy/v7", "has no such kind"),
    ("kubernetes", KEYMANAGER, "averageUtilization: 50", "averageUtilisation: 50", "no field averageUtilisation"),
    ("kubernetes", KEYMANAGER, "ScheduleAnyway", "ScheduleAnyways", "is none of DoNotSchedule"),
    ("kubernetes", KEYMANAGER, "      enableServiceLinks", "      enableServiceLinks: true\n      enableServiceLinks", "stands twice"),
    # Sound by itself, and of no use together.
    ("kubernetes", KEYMANAGER, "targetPort: grpc", "targetPort: rpc", "no port rpc"),
    ("kubernetes", KEYMANAGER, "    kind: Deployment\n    name: nark-keymanager", "    kind: Deployment\n    name: keymanager", "there is no Deployment keymanager"),
    ("kubernetes", KEYMANAGER, "path: /readyz", "path: /ready", "is not /readyz"),
    ("kubernetes", KEYMANAGER, "terminationGracePeriodSeconds: 15", "terminationGracePeriodSeconds: 10", "is killed after 10 s"),
    ("kubernetes", KEYMANAGER, "mountPath: /etc/nark/pool", "mountPath: /etc/nark/keys", "is mounted by nobody"),
    ("kubernetes", KEYMANAGER, "secretName: nark-pool", "secretName: pool", "nobody makes the Secret pool"),
    ("kubernetes", KEYMANAGER, 'drop: ["ALL"]', 'drop: ["NET_RAW"]', "capabilities are not dropped"),
    ("kubernetes", KEYMANAGER, "automountServiceAccountToken: false\n      enable", "enable", "token is mounted"),
    ("kubernetes", "deploy/kubernetes/keymanager.toml", "deny =", "denied =", "no flag --denied"),
    ("kubernetes", "deploy/kubernetes/keymanager.toml", ":7443", ":7444", "port grpc is 7443, listen is 7444"),
    ("kubernetes", "deploy/kubernetes/network.yaml", "port: 7443", "port: 7444", "lets anybody to grpc"),
    ("kubernetes", "deploy/kubernetes/keys", '"nark-pool"', '"nark-pools"', "the pods mount"),
    ("kubernetes", "deploy/kubernetes/keys", " if as_listed(name) in manifest", "", "of the pool it takes"),
    ("kubernetes", "deploy/kubernetes/kustomization.yaml", "newTag: 0.1.0", "newTag: 0.0.9", "the image is 0.0.9"),
    ("units", UNIT, "ProtectSystem=strict", "ProtectSytem=strict", "Unknown key 'ProtectSytem'"),
    ("units", UNIT, "TimeoutStopSec=15s", "TimeoutStopSec=15 parsecs", "Failed to parse time value"),
    ("units", UNIT, "NoNewPrivileges=yes", "NoNewPrivileges=no", "NoNewPrivileges=yes is missing"),
    ("units", UNIT, "User=nark-keymanager", "User=root", "runs as root"),
    ("units", UNIT, "SystemCallFilter=@system-service\nSystemCallFilter=~@privileged @resources\n", "", "at most 2.0 is wanted"),
    ("units", UNIT, "User=nark-keymanager", "User=nark-km", "does not make the user nark-km"),
    ("units", UNIT, "--config", "--configuration", "no flag --configuration"),
    ("units", UNIT, "ExecReload=kill -HUP $MAINPID\n", "", "ExecReload is missing"),
    ("units", UNIT, "AF_UNIX ", "", "can not tell systemd"),
    ("configuration", "deploy/systemd/examples/refunds.toml", "#pay-url", "#pay-uri", "no flag --pay-uri"),
    ("configuration", "deploy/systemd/examples/relay.toml", '"0.0.0.0:7600"', "0.0.0.0:7600", "relay.toml"),
    ("rules", ALERTS, "rate(nark_keymanager_shed_total[1m])", "rate(nark_keymanager_shed_total)", "promtool check rules"),
    ("rules", ALERTS, "> 0.25", "> 25", "promtool test rules"),
    ("rules", ALERTS, "incidents.md#narkshedding", "incidents.md#shedding", "NarkShedding: there is no page"),
    ("rules", ALERTS, "- alert: NarkMemory", "- alert: NarkMemories", "NarkMemories is not seen to fire"),
    ("rules", "docs/operations/incidents.md", "## NarkMemory", "## Memory", "NarkMemory: there is no page"),
    ("rules", "deploy/grafana/dashboard.json", "sum by (detail)", "sum by detail", "promtool check rules"),
    ("rules", "deploy/grafana/dashboard.json", "NarkMemory", "NarkMemoryHigh", "there is no alert NarkMemoryHigh"),
    ("rules", "deploy/grafana/scrape.yml", "static_configs", "static_config", "promtool check config"),
    ("metrics", ALERTS, "nark_relay_datagrams_lost_total", "nark_relay_lost_total", "the metric nark_relay_lost_total"),
    ("metrics", "deploy/grafana/dashboard.json", "nark_refunds_receipts_total", "nark_refunds_receipt_total", "the metric nark_refunds_receipt_total"),
    ("metrics", "deploy/grafana/dashboard.json", "sum by (currency)", "sum by (currencies)", "the label currencies"),
    ("package", "deploy/debian/postinst", "esac", "esca", "postinst"),
    ("package", "deploy/debian/build", "securespace sender)", "sender)", "the package has no nark-securespace"),
    ("container", "deploy/container/Containerfile", "USER 65532:65532", "USER nark", "not given by number"),
    ("container", "deploy/container/Containerfile", "FROM base AS", "FROM debian:12 AS", "would ask a registry"),
    ("pages", "docs/operations/rotate.md", "incidents.md#narkreloadfailed", "incidents.md#reloadfailed", "no part #reloadfailed"),
    ("pages", "docs/operations/rotate.md", "--reseal news.nark", "--re-seal news.nark", "no flag --re-seal"),
    ("pages", "docs/operations/install.md", "deploy/container/build", "deploy/container/make", "there is no deploy/container/make"),
)


def copy(top, folder):
    """The tree with its sources as links, and what may be changed as files."""
    for name in os.listdir(top):
        if name in ("deploy", "docs"):
            shutil.copytree(os.path.join(top, name), os.path.join(folder, name))
        elif not name.startswith((".", "bazel-", "out")):
            os.symlink(os.path.join(top, name), os.path.join(folder, name))


def plant(work):
    """What the check of one mistake says that it should not, or does not say."""
    top, (part, file, old, new, says) = work
    with tempfile.TemporaryDirectory() as folder:
        copy(top, folder)
        path = os.path.join(folder, file)
        right = read(path)
        if old not in right:
            return [f"{file}: has no {old!r}, so that mistake could not be planted"]
        with open(path, "w", encoding="utf-8") as wrong:
            wrong.write(right.replace(old, new))
        try:
            found = importlib.import_module("check_" + part).findings(folder)
        except UNREADABLE as error:
            found = [" ".join(str(error).split())]
    if any(says in one for one in found):
        return []
    return [f"{file}: {part} does not find {old.strip()!r} as {new.strip()!r}: says {found[:2] or 'nothing'}"]


def findings(top):
    with multiprocessing.Pool(2) as pool:
        return [finding for found in pool.map(plant, [(top, one) for one in MISTAKES], 1) for finding in found]
