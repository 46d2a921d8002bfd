"""Checks that every metric which a rule or a dashboard names is one that a server declares: python3 deploy/prometheus/names.py"""

import json
import pathlib
import re
import sys

TOP = pathlib.Path(__file__).resolve().parent.parent.parent
# Prometheus' own, and those of the crate `prometheus` for a process.
OTHERS = {"up", "ALERTS", "process_cpu_seconds_total", "process_resident_memory_bytes", "process_open_fds", "process_max_fds"}
FUNCTIONS = {"sum", "by", "rate", "increase", "max", "min", "and", "or", "on", "changes", "time", "histogram_quantile", "min_over_time", "max_over_time", "absent", "unless", "count", "abs", "group_left"}


def declared():
    """The names in `service::metrics!` and in the collectors that are written by hand."""
    names = set()
    for path in TOP.glob("*/src/**/*.rs"):
        text = path.read_text()
        for kind, name in re.findall(r':\s*(IntCounter|IntCounterVec|IntGauge|IntGaugeVec|Histogram)\s*=\s*"(\w+)"', text):
            names |= {f"{name}{end}" for end in ("_bucket", "_sum", "_count")} if kind == "Histogram" else {name}
        names |= set(re.findall(r'(?:IntGauge::new|Opts::new)\(\s*"(\w+)"', text))
    return names


def used(expr):
    expr = re.sub(r'"(\\.|[^"])*"', "", expr)
    expr = re.sub(r"\{[^}]*\}|\[[^]]*\]|\b(by|on|group_left) \([^)]*\)", "", expr)
    return set(re.findall(r"[A-Za-z_][\w:]*", expr)) - FUNCTIONS


def seconds(text):
    return sum(int(count) * {"s": 1, "m": 60, "h": 3600}[unit] for count, unit in re.findall(r"(\d+)([smh])", text))


def fire_and_clear(tests):
    """The alerts that a test shows firing and, at a later time of the same test, not firing."""
    shown = set()
    for test in re.split(r"(?m)^  - name: ", tests)[1:]:
        looks = re.findall(r"- \{?eval_time: (\w+)(?:,|\n +)\s*alertname: (\w+)\}?(\n +exp_alerts:\n)?", test)
        fires = {}
        for time, alert, firing in looks:
            if firing:
                fires[alert] = min(seconds(time), fires.get(alert, seconds(time)))
        shown |= {alert for time, alert, firing in looks if not firing and seconds(time) > fires.get(alert, 1 << 30)}
    return shown


def main():
    rules = (TOP / "deploy/prometheus/rules.yml").read_text()
    known = declared() | OTHERS | set(re.findall(r"record: (\S+)", rules))
    where = {}
    for expr in re.findall(r"expr: (?:>-\n)?((?:(?!\n +(?:labels|for|annotations):|\n +- |\n\n)[\s\S])+)", rules):
        for name in used(expr):
            where.setdefault(name, "rules.yml")
    for path in (TOP / "deploy/grafana/dashboards").glob("*.json"):
        board = json.loads(path.read_text())
        exprs = [target["expr"] for panel in board["panels"] for target in panel.get("targets", [])]
        exprs += [re.sub(r"label_values\((\w+),.*", r"\1", chosen["query"]) for chosen in board["templating"]["list"]]
        for name in set().union(*map(used, exprs)):
            where.setdefault(name, path.name)
    if len(where) < 20:
        sys.exit("found too few names to be right")
    alerts = re.findall(r"alert: (\w+)", rules)
    for runbook in ("docs/runbook.md", "docs/runbook.zh-CN.md"):
        sections = re.findall(r"(?m)^### (\w+)$", (TOP / runbook).read_text())
        if sorted(sections) != sorted(alerts):
            sys.exit(f"{runbook}: sections and alerts differ: {set(sections) ^ set(alerts)}")
    shown = fire_and_clear((TOP / "deploy/prometheus/rules.test.yml").read_text())
    if left := set(alerts) - shown:
        sys.exit(f"rules.test.yml: these are not seen to fire and to be clear after it: {left}")
    sys.exit("\n".join(f"{where[name]}: no server declares {name}" for name in sorted(set(where) - known)) or 0)


main()
