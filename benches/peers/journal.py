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

from common import Failed, Setting, port, rows_of, stolen

GROUPS = (1, 64, 1024)
# metric: more is better
METRICS = {"records_per_s": True, "p50_us": False, "p99_us": False, "p999_us": False}
FLOOR = "floor, prewritten file"
KINDS = [
    ("floor, growing file", "growing", 0),
    (FLOOR, "prewritten", 0),
    ("journal", "journal", 0),
    ("JetStream, 1 node", "jetstream", 1),
    ("JetStream, 3 nodes", "jetstream", 3),
]


def cluster(setting, folder, nodes):
    """So many servers of one cluster; the address of one."""
    ports, routes = [port() for _ in range(nodes)], [port() for _ in range(nodes)]
    for at in range(nodes):
        command = ["nats-server", "-a", "127.0.0.1", "-p", ports[at], "-js", "-sd", folder / f"n{at}", "--server_name", f"n{at}"]
        if nodes > 1:
            others = ",".join(f"nats://127.0.0.1:{route}" for route in routes)
            command += ["--cluster_name", "bench", "--cluster", f"nats://127.0.0.1:{routes[at]}", "--routes", others]
        setting.start(f"n{at}", command, ports[at])
    return f"nats://127.0.0.1:{ports[0]}"


def one(binaries, scratch, kind, nodes, group, seconds):
    folder = pathlib.Path(tempfile.mkdtemp(dir=scratch))
    command = [binaries / "floor", "journal", kind, "--group", group, "--seconds", seconds]
    try:
        with Setting(folder) as setting:
            if nodes:
                command += ["--nats", cluster(setting, folder, nodes), "--replicas", nodes]
            else:
                command += ["--directory", folder]
            steal, ticks = stolen()
            done = subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=120)
            steal_after, ticks_after = stolen()
    except subprocess.TimeoutExpired:
        return {"failed": ["no end in 120 s"]}
    except Failed as why:
        return {"failed": [str(why)]}
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    if done.returncode:
        return {"failed": [f"exit code {done.returncode}: {' '.join(done.stderr.strip().splitlines()[-1:])}"]}
    return json.loads(done.stdout) | {"steal": (steal_after - steal) / max(ticks_after - ticks, 1)}


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
                results.setdefault((f"groups of {group}", server), []).append(figures)
                # What one has left to be written back is not the next one's.
                time.sleep(0.2)
    return rows_of("journal", results, METRICS, lambda _: FLOOR, lambda name: name.startswith("JetStream"))
