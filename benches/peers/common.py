"""What the suites share: ports, server processes with their CPU, certificates, medians."""

import itertools
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


class Process:
    """A server: started, waited for, ended by its id."""

    def __init__(self, name, command, folder, ready_port=None, stdin=None):
        self.name = name
        log = open(folder / f"{name}.log", "w")
        self.child = subprocess.Popen([str(part) for part in command], stdout=log, stderr=log, stdin=stdin, cwd=folder)
        deadline = time.monotonic() + 20
        while ready_port:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", ready_port)) == 0:
                    break
            if self.child.poll() is not None or time.monotonic() > deadline:
                sys.exit(f"{name} did not start; see {folder / (name + '.log')}")
            time.sleep(0.02)

    def cpu_s(self):
        stat = open(f"/proc/{self.child.pid}/stat").read().rsplit(")", 1)[1].split()
        return (int(stat[11]) + int(stat[12])) / TICKS

    def end(self):
        self.child.send_signal(signal.SIGTERM)
        try:
            self.child.wait(10)
        except subprocess.TimeoutExpired:
            self.child.kill()
            self.child.wait()


class Setting:
    """Servers that one case is measured on."""

    def __init__(self, folder):
        self.folder = folder
        self.processes = []

    def start(self, name, command, ready_port, stdin=None):
        self.processes.append(Process(name, command, self.folder, ready_port, stdin))

    def cpu_s(self):
        return {process.name: process.cpu_s() for process in self.processes}

    def end(self):
        for process in reversed(self.processes):
            process.end()


def tls_section(certs):
    return f'[tls]\ncertificate = "{certs}/server.crt"\nkey = "{certs}/server.key"\nca = "{certs}/ca.crt"\n' if certs else ""


def certificates(binaries, folder):
    gm = binaries / "gm"
    run = lambda *args: subprocess.run([gm, *args], cwd=folder, check=True, stdout=subprocess.DEVNULL)
    run("ca", "--name", "benchmark")
    run("cert", "--name", "server", "--dns", "localhost", "--ip", "127.0.0.1", "--for", "both", "--out", "server")
    return folder


def median(runs, figure):
    values = [run[figure] for run in runs if figure in run]
    return statistics.median(values) if values else None


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
