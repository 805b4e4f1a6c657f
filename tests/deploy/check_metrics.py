"""Every metric that the dashboard or a rule names is made by the code, with the labels that
they select and sum by; so one that is renamed does not leave an empty panel, or an alert that
can never fire."""

import re

from check_rules import expressions
from tree import sources

ROOMS = ("common", "keymanager", "receiver", "refunds", "relay", "securespace", "sender")
# Prometheus' own, blackbox-exporter's and kube-state-metrics'.
OTHERS = {"up", "probe_success", "kube_pod_status_ready", "ALERTS"}
# What they add to every series.
ADDED = {"job", "instance", "le", "alertname", "alertstate", "namespace", "condition"}
NAME = re.compile(r"(?<![\w:$.\"])([a-zA-Z_:][a-zA-Z0-9_:]*)(?![\w:]*\s*\()")
WORDS = {"by", "without", "on", "ignoring", "group_left", "group_right", "or", "and", "unless", "bool", "offset"}


def metrics_of(expression):
    text = re.sub(r'"[^"]*"', '""', expression)
    text = re.sub(r"\b(by|without|on|ignoring|group_left|group_right)\s*\([^)]*\)", " ", text)
    text = re.sub(r"\{[^}]*\}", " ", text)
    text = re.sub(r"\[[^\]]*\]", " ", text)
    if match := re.fullmatch(r"label_values\((.*), *\w+\)", text.strip()):
        text = match.group(1)
    return {name for name in NAME.findall(text) if name not in WORDS}


def labels_of(expression):
    """Labels that are selected or kept, of metrics that the code makes."""
    labels = set()
    for selector in re.findall(r"\{([^}]*)\}", expression):
        labels |= set(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", selector))
    for kept in re.findall(r"\b(?:by|on)\s*\(([^)]*)\)", expression):
        labels |= {label.strip() for label in kept.split(",") if label.strip()}
    return labels - ADDED


def findings(top):
    source = sources(top, ROOMS)
    made = set(re.findall(r'"((?:nark|process)_[a-z0-9_]+)"', source))
    known = {label for label in re.findall(r'\{\s*"([a-z_]+)"\s*,', source)}
    recorded = {where.split(", ")[1] for where, _ in expressions(top)}
    found = []
    for where, expression in expressions(top):
        for name in sorted(metrics_of(expression)):
            plain = re.sub(r"_(bucket|sum|count)$", "", name)
            if name in OTHERS or name in recorded or name in made or plain in made:
                continue
            found.append(f"deploy/grafana/{where}: no program has the metric {name}")
        for label in sorted(labels_of(expression) - known):
            found.append(f"deploy/grafana/{where}: no metric has the label {label}")
    return found
