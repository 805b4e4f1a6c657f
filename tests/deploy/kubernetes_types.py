"""Kubernetes' own types, as Debian's python3-kubernetes has them: which fields an object
has, of which type each is, and which are required. They are generated from Kubernetes'
OpenAPI document (1.22), so what passes here is what an API server of today parses, too."""

import re

from tree import Missing

# The version in which a type became stable is newer than the package; the shape is the same.
SAME_SHAPE = {("autoscaling/v2", "HorizontalPodAutoscaler"): "V2beta2HorizontalPodAutoscaler"}

# Texts that only may be what is listed; the generated types do not say so.
CHOICES = {
    ("V1Probe", "scheme"): {"HTTP", "HTTPS"},
    ("V1ContainerPort", "protocol"): {"TCP", "UDP", "SCTP"},
    ("V1ServicePort", "protocol"): {"TCP", "UDP", "SCTP"},
    ("V1NetworkPolicyPort", "protocol"): {"TCP", "UDP", "SCTP"},
    ("V1DeploymentStrategy", "type"): {"Recreate", "RollingUpdate"},
    ("V1TopologySpreadConstraint", "whenUnsatisfiable"): {"DoNotSchedule", "ScheduleAnyway"},
    ("V1SeccompProfile", "type"): {"RuntimeDefault", "Localhost", "Unconfined"},
    ("V1ServiceSpec", "type"): {"ClusterIP", "NodePort", "LoadBalancer", "ExternalName"},
    ("V1Container", "imagePullPolicy"): {"Always", "IfNotPresent", "Never"},
    ("V1PodSpec", "restartPolicy"): {"Always", "OnFailure", "Never"},
    ("V2beta2MetricTarget", "type"): {"Utilization", "Value", "AverageValue"},
}
QUANTITY = re.compile(r"^[0-9]+(\.[0-9]+)?(m|k|Ki|M|Mi|G|Gi|T|Ti)?$")
PLAIN = {"str": str, "int": int, "bool": bool, "float": (int, float), "datetime": str}


def models():
    try:
        import kubernetes.client
    except ImportError as missing:
        raise Missing("Kubernetes' types are not installed (Debian package python3-kubernetes)") from missing
    return kubernetes.client


def type_name(version, kind):
    if (version, kind) in SAME_SHAPE:
        return SAME_SHAPE[version, kind]
    *_, version = version.split("/")
    return version[0].upper() + version[1:] + kind


class Checker:
    def __init__(self, client):
        self.client = client
        self.configuration = client.Configuration()
        self.configuration.client_side_validation = True
        self.known_required = {}

    def required(self, kind):
        """What a type can not do without: the generated setters refuse None for it."""
        if kind not in self.known_required:
            model = getattr(self.client, kind)
            empty = model.__new__(model)
            empty.local_vars_configuration = self.configuration
            needed = set()
            for attribute in model.openapi_types:
                try:
                    setattr(empty, attribute, None)
                except ValueError:
                    needed.add(attribute)
            self.known_required[kind] = needed
        return self.known_required[kind]

    def check(self, kind, value, where):
        """What is wrong with a value of a type, in the notation of the generated types."""
        if kind == "object":  # a number or a name (IntOrString), or free
            return [] if value is not None else [f"{where}: has no value"]
        if kind in PLAIN:
            # bool is an int to Python.
            if not isinstance(value, PLAIN[kind]) or (isinstance(value, bool) and kind != "bool"):
                return [f"{where}: {value!r} is no {kind}"]
            return []
        if many := re.fullmatch(r"list\[(.+)\]", kind):
            if not isinstance(value, list):
                return [f"{where}: is no list"]
            return [f for i, one in enumerate(value) for f in self.check(many.group(1), one, f"{where}[{i}]")]
        if named := re.fullmatch(r"dict\(str, (.+)\)", kind):
            if not isinstance(value, dict):
                return [f"{where}: is no mapping"]
            found = []
            for key, one in value.items():
                found += self.check(named.group(1), one, f"{where}.{key}")
            return found
        return self.check_model(kind, value, where)

    def check_model(self, kind, value, where):
        model = getattr(self.client, kind)
        if not isinstance(value, dict):
            return [f"{where}: is no mapping"]
        attributes = {key: attribute for attribute, key in model.attribute_map.items()}
        found = []
        arguments = set()
        for key, one in value.items():
            if key not in attributes:
                found.append(f"{where}: {kind} has no field {key}")
                continue
            found += self.check(model.openapi_types[attributes[key]], one, f"{where}.{key}")
            choices = CHOICES.get((kind, key))
            if choices and one not in choices:
                found.append(f"{where}.{key}: {one!r} is none of {', '.join(sorted(choices))}")
            arguments.add(attributes[key])
        if kind == "V1ResourceRequirements":
            for key, amounts in value.items():
                for name, amount in (amounts or {}).items():
                    if not QUANTITY.match(str(amount)):
                        found.append(f"{where}.{key}.{name}: {amount!r} is no quantity")
        for attribute in self.required(kind) - arguments:
            found.append(f"{where}: {kind} needs {model.attribute_map[attribute]}")
        return found


def check_object(checker, item):
    where = f"{item.get('kind')}/{(item.get('metadata') or {}).get('name')}"
    name = type_name(str(item.get("apiVersion")), str(item.get("kind")))
    if not hasattr(checker.client, name):
        return [f"{where}: {item.get('apiVersion')} has no such kind"]
    return checker.check(name, item, where)
