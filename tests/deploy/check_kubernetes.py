"""deploy/kubernetes: builds, is of Kubernetes' types, fits together, and is what the
restricted pod security standard and an operator want."""

import os
import re
import subprocess
import sys
import tempfile
import tomllib

import tree
from kubernetes_types import Checker, check_object, models
from tree import Missing, flags_of, read, run, tool

FOLDER = "deploy/kubernetes"
# A pool folder after a rotation: what its manifest lists, and what was left over.
POOL = {
    "manifest.nark": b"\x12\x0f\x0a\x0dsigning-1.key",
    "signing-1.key": b"1",
    "signing-0.key": b"0",
    "signing-1.key.new": b"",
}
# Made by deploy/kubernetes/keys, or by the operator.
MADE = {
    "Secret": {"nark-pool", "nark-refunds", "nark-refunds-database"},
    "ConfigMap": {"nark-keymanager-lists", "nark-refunds-lists"},
}


def yaml():
    if tree.yaml is None:
        raise Missing("PyYAML is not installed (Debian package python3-yaml)")
    return tree.yaml


def strict_loader():
    """Refuses a key that stands twice: YAML keeps the last one in silence."""
    module = yaml()

    # libyaml's, where it is there, is ten times as quick.
    class Loader(getattr(module, "CSafeLoader", module.SafeLoader)):
        pass

    def mapping(loader, node, deep=False):
        keys = [loader.construct_object(key) for key, _ in node.value]
        for key in keys:
            if keys.count(key) > 1:
                raise module.YAMLError(f"line {node.start_mark.line + 1}: {key} stands twice")
        return module.constructor.SafeConstructor.construct_mapping(loader, node, deep)

    Loader.add_constructor("tag:yaml.org,2002:map", lambda l, n: mapping(l, n, True))
    return Loader


def read_sources(top):
    found = []
    folder = os.path.join(top, FOLDER)
    kustomization = yaml().safe_load(read(os.path.join(folder, "kustomization.yaml")))
    for name in sorted(os.listdir(folder)):
        if not name.endswith(".yaml"):
            continue
        if name != "kustomization.yaml" and name not in kustomization["resources"]:
            found.append(f"{FOLDER}/{name}: kustomization.yaml does not name it")
        try:
            list(yaml().load_all(read(os.path.join(folder, name)), strict_loader()))
        except yaml().YAMLError as error:
            found.append(f"{FOLDER}/{name}: {' '.join(str(error).split())}")
    return found


def build(top):
    status, said = run([tool("kubectl", "kubernetes-client"), "kustomize", os.path.join(top, FOLDER)])
    if status != 0:
        return [], [f"{FOLDER}: kubectl kustomize: {' '.join(said.split())}"]
    return [item for item in yaml().load_all(said, strict_loader()) if item], []


def named(items, kind):
    return {item["metadata"]["name"]: item for item in items if item["kind"] == kind}


def fits(selector, labels):
    return all(labels.get(key) == value for key, value in selector.items())


def seconds(text):
    match = re.fullmatch(r"([0-9]+)(s|ms)", text)
    return int(match.group(1)) / (1 if match.group(2) == "s" else 1000)


class Workload:
    """A Deployment with what belongs to it."""

    def __init__(self, top, items, item):
        self.top, self.items, self.item = top, items, item
        self.name = item["metadata"]["name"]
        self.where = f"Deployment/{self.name}"
        self.pod = item["spec"]["template"]["spec"]
        self.labels = item["spec"]["template"]["metadata"]["labels"]
        self.container = self.pod["containers"][0]
        self.found = []

    def want(self, holds, text):
        if not holds:
            self.found.append(f"{self.where}: {text}")

    def check_security(self):
        pod, own = self.pod.get("securityContext", {}), self.container.get("securityContext", {})
        self.want(pod.get("runAsNonRoot") is True, "runAsNonRoot is not true")
        self.want(pod.get("seccompProfile", {}).get("type") == "RuntimeDefault", "seccomp is not RuntimeDefault")
        self.want(own.get("readOnlyRootFilesystem") is True, "readOnlyRootFilesystem is not true")
        self.want(own.get("allowPrivilegeEscalation") is False, "allowPrivilegeEscalation is not false")
        self.want(own.get("capabilities", {}).get("drop") == ["ALL"], "capabilities are not dropped")
        self.want(self.pod.get("automountServiceAccountToken") is False, "a service account's token is mounted")
        account = named(self.items, "ServiceAccount").get(self.pod.get("serviceAccountName"))
        self.want(account is not None, "has no service account of its own")

    def check_selectors(self):
        selector = self.item["spec"]["selector"]["matchLabels"]
        self.want(fits(selector, self.labels), "its selector does not fit its pods")
        for spread in self.pod.get("topologySpreadConstraints", []):
            self.want(fits(spread["labelSelector"]["matchLabels"], self.labels), "is spread by labels of others")
        self.want(self.pod.get("topologySpreadConstraints"), "is not spread over nodes")
        budgets = named(self.items, "PodDisruptionBudget").values()
        covers = [b for b in budgets if fits(b["spec"]["selector"]["matchLabels"], self.labels)]
        self.want(len(covers) == 1, f"{len(covers)} disruption budgets cover it, want one")

    def check_mounts(self):
        volumes = {volume["name"]: volume for volume in self.pod.get("volumes", [])}
        mounts = {mount["name"]: mount for mount in self.container.get("volumeMounts", [])}
        for name in volumes.keys() ^ mounts.keys():
            self.want(False, f"volume {name} is only {'mounted' if name in mounts else 'declared'}")
        for mount in mounts.values():
            self.want("subPath" not in mount, f"{mount['mountPath']}: with subPath changed files never arrive")
            self.want(mount.get("readOnly") is True, f"{mount['mountPath']} is not mounted read-only")
        for volume in volumes.values():
            for kind, key, field in (("Secret", "secret", "secretName"), ("ConfigMap", "configMap", "name")):
                name = volume.get(key, {}).get(field)
                there = MADE[kind] | named(self.items, kind).keys()
                self.want(name is None or name in there, f"nobody makes the {kind} {name}")
        return {mount["mountPath"]: volumes.get(mount["name"], {}) for mount in mounts.values()}

    def check_program(self, mounts):
        command = self.container.get("command", [])
        room = command[0].removeprefix("nark-") if command else ""
        self.want(os.path.isdir(os.path.join(self.top, room)) and room, "its command is no program of Nark's")
        path = command[command.index("--config") + 1] if "--config" in command else ""
        volume = mounts.get(os.path.dirname(path), {})
        maps = named(self.items, "ConfigMap")
        text = maps.get(volume.get("configMap", {}).get("name"), {}).get("data", {}).get(os.path.basename(path))
        if text is None:
            self.want(False, "its --config is in none of its ConfigMaps")
            return
        try:
            configuration = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            self.want(False, f"{os.path.basename(path)}: {error}")
            return
        for key, value in configuration.items():
            self.want(key in flags_of(self.top, room), f"{os.path.basename(path)}: no flag --{key}")
            if isinstance(value, str) and value.startswith("/"):
                folders = [f for f in mounts if value == f or value.startswith(f + "/")]
                self.want(folders, f"{os.path.basename(path)}: {value} is mounted by nobody")
        self.check_ports(configuration)
        stop = self.container.get("lifecycle", {}).get("preStop", {}).get("exec", {}).get("command", ["", "0"])
        last = int(stop[1]) + seconds(configuration.get("drain", "5s"))
        grace = self.pod.get("terminationGracePeriodSeconds", 30)
        self.want(stop[0] == "sleep" and int(stop[1]) > 0, "preStop does not wait for proxies")
        self.want(grace > last, f"is killed after {grace} s: preStop and drain take {last:g} s")

    def check_ports(self, configuration):
        ports = {port["name"]: port["containerPort"] for port in self.container.get("ports", [])}
        for name, key in (("grpc", "listen"), ("http", "http")):
            port = int(configuration.get(key, ":0").rsplit(":", 1)[1])
            self.want(ports.get(name) == port, f"port {name} is {ports.get(name)}, {key} is {port}")
        for probe, path in (("readinessProbe", "/readyz"), ("livenessProbe", "/livez")):
            get = self.container.get(probe, {}).get("httpGet", {})
            self.want(get.get("path") == path and get.get("port") == "http", f"{probe} is not {path} at http")
        annotations = self.item["spec"]["template"]["metadata"].get("annotations", {})
        self.want(annotations.get("prometheus.io/port") == str(ports.get("http")), "Prometheus is sent elsewhere")
        policies = named(self.items, "NetworkPolicy").values()
        let_in = {
            port["port"]
            for policy in policies
            if fits(policy["spec"]["podSelector"].get("matchLabels", {"": ""}), self.labels)
            for rule in policy["spec"].get("ingress", [])
            for port in rule["ports"]
        }
        for name, port in ports.items():
            self.want(port in let_in, f"no network policy lets anybody to {name}")

    def check(self):
        self.check_security()
        self.check_selectors()
        self.check_program(self.check_mounts())
        resources = self.container.get("resources", {})
        self.want({"cpu", "memory"} <= resources.get("requests", {}).keys(), "requests no processor or memory")
        self.want("memory" in resources.get("limits", {}), "its memory has no limit")
        return self.found


def check_services(items):
    found = []
    pods = [d["spec"]["template"] for d in named(items, "Deployment").values()]
    for name, service in named(items, "Service").items():
        behind = [p for p in pods if fits(service["spec"]["selector"], p["metadata"]["labels"])]
        if len(behind) != 1:
            found.append(f"Service/{name}: selects pods of {len(behind)} Deployments, want one")
            continue
        names = {port["name"] for c in behind[0]["spec"]["containers"] for port in c["ports"]}
        for port in service["spec"]["ports"]:
            if port.get("targetPort") not in names:
                found.append(f"Service/{name}: its pods have no port {port.get('targetPort')}")
    for name, scaler in named(items, "HorizontalPodAutoscaler").items():
        target = scaler["spec"]["scaleTargetRef"]
        deployment = named(items, target["kind"]).get(target["name"])
        if deployment is None:
            found.append(f"HorizontalPodAutoscaler/{name}: there is no {target['kind']} {target['name']}")
        elif "replicas" in deployment["spec"]:
            found.append(f"HorizontalPodAutoscaler/{name}: an apply would reset the Deployment's replicas")
    return found


def check_keys(top, checker):
    """What deploy/kubernetes/keys prints, for folders that look like narkctl's."""
    with tempfile.TemporaryDirectory() as folder:
        for name in ("pool/root.pem", "provider/root.pem", "i.pem", "c.pem", "d.nark") + tuple(
            f"provider/refunds/{name}.pem" for name in ("certificate", "key", "tls", "tls-key")
        ):
            os.makedirs(os.path.dirname(os.path.join(folder, name)), exist_ok=True)
            with open(os.path.join(folder, name), "wb") as file:
                file.write(b"\xff\x00 not text")
        for name, content in POOL.items():
            with open(os.path.join(folder, "pool", name), "wb") as file:
                file.write(content)
        words = "--pool pool --issuer i.pem --crl c.pem --deny d.nark --provider provider".split()
        command = [sys.executable, "-B", os.path.join(top, FOLDER, "keys"), *words]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    if done.returncode != 0:
        return [f"{FOLDER}/keys: {' '.join(done.stderr.split())}"]
    items = yaml().safe_load(done.stdout)["items"]
    found = [f for item in items for f in check_object(checker, item)]
    made = {kind: set(named(items, kind)) for kind in MADE}
    made["Secret"].add("nark-refunds-database")  # the operator's
    if made != MADE:
        found.append(f"{FOLDER}/keys: makes {made}, the pods mount {MADE}")
    pool = set(named(items, "Secret").get("nark-pool", {}).get("data", {}))
    if pool != {"manifest.nark", "signing-1.key"}:
        found.append(f"{FOLDER}/keys: of the pool it takes {sorted(pool)}")
    return found


def check_version(top):
    version = re.search(r'kProgramVersion\[\] = "([^"]+)"', read(os.path.join(top, "common/base/version.h")))
    images = yaml().safe_load(read(os.path.join(top, FOLDER, "kustomization.yaml")))["images"]
    tags = {image["newTag"] for image in images}
    if tags != {version.group(1)}:
        return [f"{FOLDER}/kustomization.yaml: the image is {', '.join(tags)}, the project {version.group(1)}"]
    return []


def findings(top):
    checker = Checker(models())
    found = read_sources(top)
    items, failed = build(top)
    found += failed
    wrong = [f for item in items for f in check_object(checker, item)]
    # Where types are wrong, what follows would stumble over them.
    if wrong or failed:
        return found + wrong
    for item in items:
        if item["kind"] != "Namespace" and item["metadata"].get("namespace") != "nark":
            found.append(f"{item['kind']}/{item['metadata']['name']}: is not in the namespace nark")
    for item in named(items, "Deployment").values():
        found += Workload(top, items, item).check()
    found += check_services(items)
    found += check_keys(top, checker)
    found += check_version(top)
    return found
