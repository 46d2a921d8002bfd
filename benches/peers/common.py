"""What the suites share: ports, server processes with their CPU, certificates; what a round is worth, medians, rows."""

import itertools
import json
import os
import pathlib
import signal
import socket
import statistics
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
TICKS = os.sysconf("SC_CLK_TCK")
PORTS = itertools.cycle(range(21000, 21900))


def port():
    """A port that nobody listens on, below those that the system gives to clients."""
    for number in itertools.islice(PORTS, 900):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", number))
                return number
            except OSError:
                continue
    sys.exit("no free port")


def stolen():
    """Share of time that the hypervisor took since the start of the machine: (steal, all), in ticks."""
    fields = [int(field) for field in open("/proc/stat").readline().split()[1:]]
    return fields[7], sum(fields[:8])


class Failed(Exception):
    """A round could not be measured."""


class Process:
    """A server: started, waited for, ended by its id."""

    def __init__(self, name, command, folder, stdin=None):
        self.name, self.log = name, folder / f"{name}.log"
        with open(self.log, "w") as log:
            self.child = subprocess.Popen([str(part) for part in command], stdout=log, stderr=log, stdin=stdin, cwd=folder)

    def wait(self, ready_port):
        """Until it listens."""
        deadline = time.monotonic() + 20
        while True:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", ready_port)) == 0:
                    return
            if self.child.poll() is not None or time.monotonic() > deadline:
                raise Failed(f"{self.name} did not start: {self.log.read_text()[-500:].strip()}")
            time.sleep(0.02)

    def cpu_s(self):
        stat = open(f"/proc/{self.child.pid}/stat").read().rsplit(")", 1)[1].split()
        return (int(stat[11]) + int(stat[12])) / TICKS

    def end(self):
        if self.child.stdin:
            self.child.stdin.close()
        self.child.send_signal(signal.SIGTERM)
        try:
            self.child.wait(10)
        except subprocess.TimeoutExpired:
            self.child.kill()
            self.child.wait()


class Setting:
    """Servers that one case is measured on. They end with the `with` that they are started in, whatever ends that."""

    def __init__(self, folder):
        self.folder = folder
        self.processes = []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.end()

    def start(self, name, command, ready_port, stdin=None):
        self.processes.append(Process(name, command, self.folder, stdin))
        self.processes[-1].wait(ready_port)

    def cpu_s(self):
        return {process.name: process.cpu_s() for process in self.processes}

    def end(self):
        while self.processes:
            self.processes.pop().end()


def tls_section(certs):
    return f'[tls]\ncertificate = "{certs}/server.crt"\nkey = "{certs}/server.key"\nca = "{certs}/ca.crt"\n' if certs else ""


def certificates(binaries, folder):
    gm = binaries / "gm"
    run = lambda *args: subprocess.run([gm, *args], cwd=folder, check=True, stdout=subprocess.DEVNULL)
    run("ca", "--name", "benchmark")
    run("cert", "--name", "server", "--dns", "localhost", "--ip", "127.0.0.1", "--for", "both", "--out", "server")
    return folder


def ask(command, out, seconds):
    """Runs a client, which writes its report to `out`: the report, and what is against the round."""
    try:
        done = subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=seconds)
    except subprocess.TimeoutExpired:
        raise Failed(f"no end in {seconds} s") from None
    said = (done.stdout + done.stderr).strip().splitlines()[-1:]
    if not out.exists():
        raise Failed(f"exit code {done.returncode}: {' '.join(said)}")
    report = json.loads(out.read_text())
    return report, against(report, done.returncode)


# More late than this, and a percentile is in part the client's own (as in `loadgen`).
LATE_SHARE_MAX = 0.001


def against(report, code):
    """Why a client's report is not to be counted; nothing, if it is."""
    late, lost = report["schedule"]["late_share"], report["lost"]
    why = [f"lost {lost}"] if lost else []
    why += [f"out of order {report['out_of_order']}"] if report["out_of_order"] else []
    why += [f"refused {report['rejected']}"] if report["rejected"] else []
    why += ["the client did not hold its rate"] if report["schedule"]["verdict"] == "not_held" else []
    why += [f"the client was late with {late:.2%}"] if late > LATE_SHARE_MAX else []
    return why or ([f"exit code {code}"] if code else [])


# What is told of all rounds, whether they count or not.
ALWAYS = ("lost", "late_share", "steal")


def counted(figures, why):
    """A round's figures; of one that is not to be counted, only why, and what is told of all."""
    return {"failed": why} | {name: figures[name] for name in ALWAYS if name in figures} if why else figures


# A host that took more than this share of both cores' time while a client was late is why it was.
DISTURBED = 0.005
TRIES_MAX = 5


def undisturbed(measure, *about):
    """Measures, and measures again where the client was late while the host was elsewhere; never for another reason, and a bounded number of
    times. What is returned is the last try, whatever it is."""
    for tried in range(1, TRIES_MAX + 1):
        figures = measure(*about)
        late = "failed" in figures and all(why.startswith("the client ") for why in figures["failed"])
        if not late or figures.get("steal", 0) <= DISTURBED:
            break
    return figures | ({"tries": tried} if tried > 1 else {})


def median(runs, figure):
    values = [run[figure] for run in runs if figure in run]
    return statistics.median(values) if values else None


def row(suite, case, server, metric, values, ratio_to_floor=None, ratio_to_best_peer=None):
    """A row of the results: the median of the rounds that count, how many these are, and between what they were."""
    return {
        "suite": suite, "case": case, "server": server, "metric": metric, "median": statistics.median(values),
        "ratio_to_floor": ratio_to_floor, "ratio_to_best_peer": ratio_to_best_peer,
        "rounds": len(values), "min": min(values), "max": max(values),
    }


def rows_of(suite, results, metrics, floor_of, is_peer):
    """All rows of a suite. `results`: rounds by (case, server); `metrics`: whether more is better; `floor_of`: a server's floor."""
    rows = []
    for (case, server), runs in results.items():
        peers = [of for (other, name), of in results.items() if other == case and is_peer(name)]
        for metric, more_is_better in metrics.items():
            values = [run[metric] for run in runs if metric in run]
            if not values:
                continue
            value, ground = statistics.median(values), median(results.get((case, floor_of(server)), []), metric)
            best = [of for of in (median(peer, metric) for peer in peers) if of]
            best = (max if more_is_better else min)(best) if best else None
            rows.append(row(suite, case, server, metric, values, value / ground if ground else None, value / best if best else None))
        for metric in ALWAYS:
            values = [run[metric] for run in runs if metric in run]
            rows += [row(suite, case, server, metric, values)] if values else []
        failed = [float("failed" in run) for run in runs]
        rows.append(row(suite, case, server, "failed", failed) | {"median": sum(failed)})
    return rows


def build(scratch, name, source, *libraries):
    """A peer that is a program of a few lines here, or None where its library is not installed."""
    program = scratch / name
    command = ["c++", "-std=c++14", "-O2", "-w", "-o", program, HERE / source, *libraries]
    try:
        done = subprocess.run([str(part) for part in command], capture_output=True, text=True)
    except FileNotFoundError:
        done = None
    if done is None or done.returncode:
        print(f"without {source}: its library is not installed (bash .ci/peers installs it)", file=sys.stderr)
        return None
    return program
