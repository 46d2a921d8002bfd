"""Journal: records of 256 bytes made durable in groups, by the system calls alone, by the journal, by JetStream.

`floor journal` is the writer for all. Of a stream on one node the acknowledgement does not mean that the disk has it.
"""

import json
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time

from common import Setting, median, port

GROUPS = (1, 64, 1024)
METRICS = ("records_per_s", "p50_us", "p99_us", "p999_us")
FLOOR = "floor, prewritten file"
KINDS = [
    ("floor, growing file", "growing", 0),
    (FLOOR, "prewritten", 0),
    ("journal", "journal", 0),
    ("JetStream, 1 node", "jetstream", 1),
    ("JetStream, 3 nodes", "jetstream", 3),
]


def cluster(folder, nodes):
    """So many servers of one cluster; the setting and the address of one."""
    setting, ports, routes = Setting(folder), [port() for _ in range(nodes)], [port() for _ in range(nodes)]
    for at in range(nodes):
        command = ["nats-server", "-a", "127.0.0.1", "-p", ports[at], "-js", "-sd", folder / f"n{at}", "--server_name", f"n{at}"]
        if nodes > 1:
            others = ",".join(f"nats://127.0.0.1:{route}" for route in routes)
            command += ["--cluster_name", "bench", "--cluster", f"nats://127.0.0.1:{routes[at]}", "--routes", others]
        setting.start(f"n{at}", command, ports[at])
    return setting, f"nats://127.0.0.1:{ports[0]}"


def one(binaries, scratch, kind, nodes, group, seconds):
    folder = pathlib.Path(tempfile.mkdtemp(dir=scratch))
    setting, command = Setting(folder), [binaries / "floor", "journal", kind, "--group", group, "--seconds", seconds]
    if nodes:
        setting, address = cluster(folder, nodes)
        command += ["--nats", address, "--replicas", nodes]
    else:
        command += ["--directory", folder]
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=120)
    setting.end()
    shutil.rmtree(folder)
    return json.loads(done.stdout) if done.returncode == 0 else {"failed": done.stderr.strip().splitlines()[-1:]}


def run(args, binaries, scratch):
    kinds = [kind for kind in KINDS if kind[1] != "jetstream" or shutil.which("nats-server")]
    if len(kinds) < len(KINDS):
        print("without JetStream: nats-server is not installed (bash .ci/peers installs it)", file=sys.stderr)
    results = {}
    for round_number in range(args.rounds):
        for group in GROUPS:
            for server, kind, nodes in kinds:
                figures = one(binaries, scratch, kind, nodes, group, 1 if args.quick else 2)
                print(f"round {round_number + 1}: groups of {group}: {server}: {figures}", file=sys.stderr)
                results.setdefault((group, server), []).append(figures)
                # What one has left to be written back is not the next one's.
                time.sleep(0.2)
    print("| records of a group | by | records/s | a group: p50 | p99 | p99.9 |")
    print("|---|---|---|---|---|---|")
    for (group, server), runs in results.items():
        if median(runs, "p50_us") is None:
            print(f"| {group} | {server} | failed: {runs[0].get('failed')} | | | |")
            continue
        times = " | ".join(f"{median(runs, metric):.0f} us" for metric in METRICS[1:])
        print(f"| {group} | {server} | {median(runs, 'records_per_s') / 1e3:.1f}k | {times} |")
    return rows_of(results)


def rows_of(results):
    rows = []
    for (group, server), runs in results.items():
        for metric in METRICS:
            value, ground = median(runs, metric), median(results.get((group, FLOOR), []), metric)
            peers = [median(of, metric) for (size, name), of in results.items() if size == group and name.startswith("JetStream")]
            peers = [peer for peer in peers if peer]
            best = (max if metric == "records_per_s" else min)(peers) if peers else None
            rows.append({
                "suite": "journal", "case": f"groups of {group}", "server": server, "metric": metric, "median": value,
                "ratio_to_floor": value / ground if value and ground else None,
                "ratio_to_best_peer": value / best if value and best else None,
            })
    return rows
