"""Fan-out: a feed beside nats-server, redis-server, ZeroMQ and a bare broadcaster.

One publisher, one topic; every subscriber takes everything over a connection of its own. Publisher and subscribers are
`floor fanout` for all of them, so that only the server differs. The message is the same frame for all: the feed's own message, and
the others' payload.
"""

import pathlib
import resource
import shutil
import sys
import tempfile

from common import Failed, Setting, ask, build, certificates, counted, port, rows_of, stolen, undisturbed

SUITES = ["fanout.flat", "fanout.rate", "fanout.stalled"]
PEERS = ("NATS", "Redis", "ZeroMQ")
# What a feed holds for who is behind where one stops reading, bytes; elsewhere it is the default.
WINDOW_STALLED = 4 << 20
# Flat out, messages that the publisher may be ahead of the slowest subscriber: enough that nobody waits for it, little enough that
# no server holds gigabytes.
WINDOWS = {10: 16_384, 100: 8_192, 1_000: 2_048, 10_000: 512}

# metric: more is better
METRICS = {
    "delivered_per_s": True,
    "p50_us": False,
    "p99_us": False,
    "p999_us": False,
    "server_cpu_us_per_delivery": False,
    "server_kib_per_connection": False,
    "server_memory_mib": False,
}


def feed(binaries, folder, listen, publish, certs, window):
    tls = f'[tls]\ncertificate = "{certs}/server.crt"\nkey = "{certs}/server.key"\n' if certs else ""
    log = f"[log]\nwindow_bytes = {window}\n" if window else ""
    (folder / "feed.toml").write_text(
        f"""[listen]
address = "127.0.0.1:{listen}"
[[sources]]
name = "publisher"
address = "127.0.0.1:{publish}"
transport = "tcp"
heartbeat_s = 60
backoff_max_ms = 200
[arbitration]
from = "open"
{log}{tls}[admin]
listen = "127.0.0.1:{port()}"
"""
    )
    return [binaries / "feed", "--config", folder / "feed.toml"]


def nats(folder, listen):
    # Our subscribers do not answer its pings.
    (folder / "nats.conf").write_text(f'listen: "127.0.0.1:{listen}"\nping_interval: "10m"\n')
    return ["nats-server", "-c", folder / "nats.conf"]


def redis(listen, bounded):
    command = ["redis-server", "--port", listen, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
    return command if bounded else command + ["--client-output-buffer-limit", "pubsub 0 0 0"]


def kinds(scratch):
    """Which servers there are: name, kind, how."""
    found = [("floor", "floor", None), ("feed", "feed", None), ("feed, ShangMi TLS", "feed", "tls")]
    for name, program in [("NATS", "nats-server"), ("Redis", "redis-server")]:
        if shutil.which(program):
            found.append((name, name.lower(), None))
        else:
            print(f"without {name}: {program} is not installed (bash .ci/peers installs it)", file=sys.stderr)
    pub = build(scratch, "zeromq-pub", "zeromq/pub.cpp", "-lzmq")
    return found + ([("ZeroMQ", "zeromq", pub)] if pub else [])


def one(binaries, scratch, kind, how, subscribers, client, size, stalled):
    """Starts a server, runs the client against it, ends it; the figures."""
    folder = pathlib.Path(tempfile.mkdtemp(dir=scratch))
    try:
        with Setting(folder) as setting:
            return measured(setting, binaries, folder, kind, how, subscribers, client, size, stalled)
    except Failed as why:
        return {"failed": [str(why)]}
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def measured(setting, binaries, folder, kind, how, subscribers, client, size, stalled):
    listen, publish = port(), port()
    certs = certificates(binaries, folder) if how == "tls" else None
    if kind == "floor":
        command = [binaries / "floor", "broadcast", f"127.0.0.1:{listen}", f"127.0.0.1:{publish}"]
    elif kind == "feed":
        command = feed(binaries, folder, listen, publish, certs, WINDOW_STALLED if stalled is not None else None)
    elif kind == "zeromq":
        command = [how, publish, listen, size]
    else:
        publish = listen
        command = nats(folder, listen) if kind == "nats" else redis(listen, bounded=stalled is not None)
    setting.start(kind, command, listen)
    out = folder / "report.json"
    command = [binaries / "floor", "fanout", kind, f"127.0.0.1:{listen}", f"127.0.0.1:{publish}", "--subscribers", subscribers]
    command += ["--pid", setting.processes[0].child.pid, "--size", size, "--stalled", stalled or 0, "--json", out] + client
    command += ["--ca", certs / "ca.crt"] if certs else []
    steal, ticks = stolen()
    report, why = ask(command, out, 120)
    steal_after, ticks_after = stolen()
    figures = {
        "delivered_per_s": report["achieved_per_s"],
        "server_cpu_us_per_delivery": report["figures"]["server_cpu_us_per_delivery"],
        "server_kib_per_connection": report["figures"]["server_memory_bytes_per_connection"] / 1024,
        "server_memory_mib": report["figures"]["server_memory_bytes"] / 2**20,
        "lost": report["lost"],
        "late_share": report["schedule"]["late_share"],
        "steal": (steal_after - steal) / max(ticks_after - ticks, 1),
    }
    if report["latency_ns"]["count"]:
        figures |= {f"{name}_us": report["latency_ns"][name] / 1e3 for name in ("p50", "p99", "p999")}
    return counted(figures, why)


def cases(suite, quick):
    """case, subscribers, size, stalled, client's options."""
    seconds = ["--seconds", 1 if quick else 2]
    if suite == "fanout.flat":
        counts = (10, 100) if quick else (10, 100, 1_000, 10_000)
        return [(f"{n} subscribers", n, 128, None, ["--window", WINDOWS[n], *seconds]) for n in counts]
    if suite == "fanout.rate":
        pairs = ((500, 100), (2_000, 100), (5_000, 10))
        return [(f"{rate}/s, {n} subscribers", n, 128, None, ["--rate", rate, *seconds]) for rate, n in pairs]
    # Long enough that no socket's buffers hide it.
    seconds = ["--seconds", 2 if quick else 5]
    return [(f"{n} of 10 stopped, 20000/s, 512 B", 10, 512, n, ["--rate", 20_000, *seconds]) for n in (0, 1)]


def run(suite, args, binaries, scratch):
    """Measures a suite: its rows."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    results, servers = {}, kinds(scratch)
    for round_number in range(args.rounds):
        for case, subscribers, size, stalled, client in cases(suite, args.quick):
            for name, kind, how in servers:
                # So many are asked of the feed alone: how its cost for a delivery grows.
                if subscribers > 1_000 and (name in PEERS or how):
                    continue
                # It has no policy for who does not read.
                if stalled and kind == "floor":
                    continue
                figures = undisturbed(one, binaries, scratch, kind, how, subscribers, client, size, stalled)
                print(f"round {round_number + 1}: {case}: {name}: {figures}", file=sys.stderr)
                results.setdefault((case, name), []).append(figures)
    return rows_of(suite, results, METRICS, lambda _: "floor", lambda name: name in PEERS)
