"""Prometheus' rules: as promtool takes them, each alert tested, and with a page of its own;
and the dashboard: sound, and with alerts that exist."""

import json
import os
import re
import tempfile

from check_kubernetes import yaml
from tree import read, run, tool

FOLDER = "deploy/grafana"
PAGE = "docs/operations/incidents.md"


def promtool(top, *words):
    status, said = run([tool("promtool", "prometheus"), *words], cwd=os.path.join(top, FOLDER))
    if status == 0:
        return []
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    what = " ".join(line for line in lines[:14] if not line.startswith(("Checking", "Unit"))) or f"ended with {status}"
    return [f"{FOLDER}: promtool {' '.join(words[:2])}: {what}"]


def check_scraping(top):
    found = promtool(top, "check", "config", "--syntax-only", "scrape.yml")
    # Debian's Prometheus knows no Kubernetes; all but its discovery is checked.
    config = yaml().safe_load(read(os.path.join(top, FOLDER, "scrape-kubernetes.yml")))
    for job in config["scrape_configs"]:
        if not job.pop("kubernetes_sd_configs", None):
            found.append(f"{FOLDER}/scrape-kubernetes.yml: {job['job_name']} discovers nothing")
    with tempfile.NamedTemporaryFile("w", suffix=".yml") as file:
        json.dump(config, file)
        file.flush()
        found += promtool(top, "check", "config", "--syntax-only", file.name)
    return found


def anchors(text):
    """As forges make them of headings."""
    headings = re.findall(r"^#+ (.+)$", text, re.M)
    return {re.sub(r"[^a-z0-9 _-]", "", heading.lower()).replace(" ", "-") for heading in headings}


def check_alerts(top):
    rules = yaml().safe_load(read(os.path.join(top, FOLDER, "alerts.yml")))
    tests = yaml().safe_load(read(os.path.join(top, FOLDER, "alerts_test.yml")))
    page = read(os.path.join(top, PAGE))
    fires, rests = set(), set()
    for test in tests["tests"]:
        for case in test.get("alert_rule_test", []):
            (fires if case["exp_alerts"] else rests).add(case["alertname"])
    found, names = [], set()
    for group in rules["groups"]:
        for rule in group["rules"]:
            if "alert" not in rule:
                continue
            name = rule["alert"]
            names.add(name)
            for seen, how in ((fires, "fire"), (rests, "rest")):
                if name not in seen:
                    found.append(f"{FOLDER}/alerts_test.yml: {name} is not seen to {how}")
            if rule.get("labels", {}).get("severity") not in ("warning", "critical"):
                found.append(f"{FOLDER}/alerts.yml: {name} has no severity")
            link = rule.get("annotations", {}).get("runbook_url", "")
            path, _, anchor = link.partition("#")
            if path != PAGE or anchor not in anchors(page):
                found.append(f"{FOLDER}/alerts.yml: {name}: there is no page {link or 'at all'}")
    for anchor in sorted(a for a in anchors(page) if a.startswith("nark")):
        links = {r.get("annotations", {}).get("runbook_url") for g in rules["groups"] for r in g["rules"]}
        if f"{PAGE}#{anchor}" not in links:
            found.append(f"{PAGE}: no alert leads to #{anchor}")
    mentioned = set(re.findall(r"\bNark[A-Z]\w+", read(os.path.join(top, FOLDER, "dashboard.json"))))
    for name in sorted(mentioned - names):
        found.append(f"{FOLDER}/dashboard.json: there is no alert {name}")
    return found


def check_dashboard(top):
    try:
        dashboard = json.loads(read(os.path.join(top, FOLDER, "dashboard.json")))
    except ValueError as error:
        return [f"{FOLDER}/dashboard.json: {error}"]
    found, ids, taken = [], set(), {}
    for panel in dashboard["panels"]:
        where = f"{FOLDER}/dashboard.json: {panel['title']}"
        if panel["id"] in ids:
            found.append(f"{where}: another panel has its id")
        ids.add(panel["id"])
        place = panel["gridPos"]
        if place["x"] + place["w"] > 24:
            found.append(f"{where}: is wider than the page")
        for x in range(place["x"], place["x"] + place["w"]):
            for y in range(place["y"], place["y"] + place["h"]):
                other = taken.setdefault((x, y), panel["title"])
                if other != panel["title"]:
                    found.append(f"{where}: lies on {other}")
        if panel["type"] != "row" and not panel.get("targets"):
            found.append(f"{where}: shows nothing")
    return sorted(set(found))


def expressions(top):
    """Every PromQL expression of the dashboard and the rules, with where it stands."""
    dashboard = json.loads(read(os.path.join(top, FOLDER, "dashboard.json")))
    for panel in dashboard["panels"]:
        for target in panel.get("targets", []):
            yield f"dashboard.json, {panel['title']}", target["expr"]
    for variable in dashboard["templating"]["list"]:
        if variable["type"] == "query":
            yield f"dashboard.json, ${variable['name']}", variable["query"]["query"]
    for note in dashboard["annotations"]["list"]:
        yield f"dashboard.json, {note['name']}", note["expr"]
    for group in yaml().safe_load(read(os.path.join(top, FOLDER, "alerts.yml")))["groups"]:
        for rule in group["rules"]:
            yield f"alerts.yml, {rule.get('alert') or rule['record']}", rule["expr"]


def check_expressions(top):
    """promtool parses the dashboard's expressions too, as if they were rules."""
    rules = []
    for where, expression in expressions(top):
        if not where.startswith("dashboard.json") or where.startswith("dashboard.json, $"):
            continue
        plain = expression.replace("$__rate_interval", "1m").replace("$instance", ".*")
        alert = "Panel" + re.sub(r"\W", "", where)
        rules.append({"alert": alert, "expr": plain, "labels": {"n": str(len(rules))}})
    with tempfile.NamedTemporaryFile("w", suffix=".yml") as file:
        json.dump({"groups": [{"name": "panels", "rules": rules}]}, file)
        file.flush()
        return [f.replace(file.name, "dashboard.json") for f in promtool(top, "check", "rules", file.name)]


def findings(top):
    found = check_dashboard(top) + promtool(top, "check", "rules", "alerts.yml")
    if not found:
        found = check_expressions(top) + check_scraping(top) + check_alerts(top)
    # Slowest, so last.
    return found or promtool(top, "test", "rules", "alerts_test.yml")
