"""Balancers: slb beside HAProxy, nginx and a bare epoll proxy, and the same without a proxy.

One server behind them and one client in front, the same for all (`floor`), so that only what is between them differs. Each of
them has one thread. HAProxy and nginx are those of Debian, with their default buffers (16 KiB), and once more with buffers as large
as slb's reads may become (1 MiB); HAProxy that splices with the system's pipes (64 KiB), and once more with pipes as large as slb's (1 MiB).
"""

import pathlib
import resource
import shutil
import sys
import tempfile

from common import Failed, Setting, ask, counted, port, rows_of, stolen, undisturbed

SUITES = ["balancer.pingpong", "balancer.rate", "balancer.bulk", "balancer.storm", "balancer.idle"]
PEERS = ("HAProxy", "HAProxy, 1 MiB", "HAProxy, splice", "HAProxy, splice, 1 MiB", "nginx", "nginx, 1 MiB")
LARGE = 1 << 20
NGINX_STREAM = pathlib.Path("/usr/lib/nginx/modules/ngx_stream_module.so")
# Two sockets for each connection, and some.
FILES = min(21_000, resource.getrlimit(resource.RLIMIT_NOFILE)[1])
IDLE = (FILES - 1_000) // 2

# metric: more is better
METRICS = {
    "round_trips_per_s": True,
    "mb_per_s": True,
    "connections_per_s": True,
    "p50_us": False,
    "p99_us": False,
    "cpu_us_per_round_trip": False,
    "cpu_s_per_gb": False,
    "cpu_us_per_connection": False,
    "kib_per_idle_connection": False,
}


def haproxy(folder, listen, to, splice, large):
    size = "tune.pipesize" if splice else "tune.bufsize"
    (folder / "haproxy.cfg").write_text(
        f"""global
  nbthread 1
  maxconn {IDLE + 100}
  maxpipes 64
  {f"{size} {LARGE}" if large else ""}
defaults
  mode tcp
  timeout connect 5s
  timeout client 15m
  timeout server 15m
  {"" if splice else "no "}option splice-request
  {"" if splice else "no "}option splice-response
listen orders
  bind 127.0.0.1:{listen}
  server a 127.0.0.1:{to}
"""
    )
    return ["haproxy", "-db", "-f", folder / "haproxy.cfg"]


def nginx(folder, listen, to, large):
    (folder / "nginx.conf").write_text(
        f"""load_module {NGINX_STREAM};
daemon off;
master_process off;
worker_rlimit_nofile {FILES};
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{ worker_connections {FILES}; }}
stream {{
  server {{
    listen 127.0.0.1:{listen} backlog=4096;
    proxy_pass 127.0.0.1:{to};
    proxy_timeout 15m;
    {f"proxy_buffer_size {LARGE};" if large else ""}
  }}
}}
"""
    )
    return ["nginx", "-c", folder / "nginx.conf", "-e", folder / "error.log"]


def slb(binaries, folder, listen, to):
    (folder / "slb.toml").write_text(
        f"""workers = 1
[admin]
listen = "127.0.0.1:{port()}"
[[listeners]]
name = "orders"
listen = "127.0.0.1:{listen}"
pool = "gateways"
[[pools]]
name = "gateways"
[[pools.backends]]
name = "a"
address = "127.0.0.1:{to}"
"""
    )
    return [binaries / "slb", "--config", folder / "slb.toml"]


def kinds():
    """What stands between client and server: name, kind, whether it splices, whether its buffers (its pipes, where it splices) are large."""
    found = [("direct", None, False, False), ("floor", "floor", False, False), ("slb", "slb", False, False)]
    if shutil.which("haproxy"):
        found += [("HAProxy", "haproxy", False, False), ("HAProxy, 1 MiB", "haproxy", False, True)]
        found += [("HAProxy, splice", "haproxy", True, False), ("HAProxy, splice, 1 MiB", "haproxy", True, True)]
    else:
        print("without HAProxy: it is not installed (bash .ci/peers installs it)", file=sys.stderr)
    if shutil.which("nginx") and NGINX_STREAM.exists():
        found += [("nginx", "nginx", False, False), ("nginx, 1 MiB", "nginx", False, True)]
    else:
        print("without nginx: it or its stream module is not installed (bash .ci/peers installs it)", file=sys.stderr)
    return found


def one(suite, binaries, scratch, kind, splice, large, client):
    """Starts server and proxy, runs the client through it, ends them; the figures."""
    folder = pathlib.Path(tempfile.mkdtemp(dir=scratch))
    try:
        with Setting(folder) as setting:
            return measured(setting, suite, binaries, folder, kind, splice, large, client)
    except Failed as why:
        return {"failed": [str(why)]}
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def measured(setting, suite, binaries, folder, kind, splice, large, client):
    behind, front = port(), port()
    server = "source" if suite == "balancer.bulk" else "echo"
    setting.start(server, [binaries / "floor", server, f"127.0.0.1:{behind}"], behind)
    commands = {
        None: lambda: None,
        "floor": lambda: [binaries / "floor", "relay", f"127.0.0.1:{front}", f"127.0.0.1:{behind}"],
        "slb": lambda: slb(binaries, folder, front, behind),
        "haproxy": lambda: haproxy(folder, front, behind, splice, large),
        "nginx": lambda: nginx(folder, front, behind, large),
    }
    command = commands[kind]()
    if command:
        setting.start("proxy", command, front)
    proxy = setting.processes[-1]
    out = folder / "report.json"
    action = {"balancer.bulk": "bulk", "balancer.storm": "storm", "balancer.idle": "idle"}.get(suite, "ping")
    asked = [binaries / "floor", action, f"127.0.0.1:{front if command else behind}", "--json", out] + client
    asked += ["--pid", proxy.child.pid] if action != "ping" else []
    (steal, ticks), cpu_s = stolen(), proxy.cpu_s()
    report, why = ask(asked, out, 120)
    (steal_after, ticks_after), cpu_s = stolen(), proxy.cpu_s() - cpu_s
    figures = figures_of(suite, report, cpu_s)
    if not command:
        figures = {name: value for name, value in figures.items() if "cpu" not in name and "kib" not in name}
    figures |= {"lost": report["lost"], "late_share": report["schedule"]["late_share"]}
    return counted(figures | {"steal": (steal_after - steal) / max(ticks_after - ticks, 1)}, why)


def figures_of(suite, report, cpu_s):
    said, count = report["figures"], max(report["received"], 1)
    latency = {name + "_us": report["latency_ns"][name] / 1e3 for name in ("p50", "p99")}
    cpu = {"cpu_us_per_round_trip": cpu_s / count * 1e6}
    if suite == "balancer.pingpong":
        return {"round_trips_per_s": report["achieved_per_s"]} | cpu
    if suite == "balancer.rate":
        return latency | cpu
    if suite == "balancer.bulk":
        return {"mb_per_s": said["bytes_per_s"] / 1e6, "cpu_s_per_gb": said["server_cpu_s_per_gb"]}
    if suite == "balancer.storm":
        return {"connections_per_s": report["achieved_per_s"], "cpu_us_per_connection": said["server_cpu_us_per_connection"]}
    return {"kib_per_idle_connection": said["server_memory_bytes_per_connection"] / 1024}


def cases(suite, quick):
    """case, client's options."""
    seconds = ["--seconds", 1 if quick else 2]
    if suite == "balancer.pingpong":
        return [(f"{n} connections", ["--sessions", n, "--in-flight", 1, "--size", 128, *seconds]) for n in (1, 16, 64)]
    if suite == "balancer.rate":
        return [(f"{rate}/s, {n} connections", ["--sessions", n, "--rate", rate, "--size", 128, *seconds]) for n, rate in ((16, 2_000), (64, 15_000))]
    if suite == "balancer.bulk":
        return [("4 connections", ["--sessions", 4, *seconds])]
    if suite == "balancer.storm":
        return [("16 at a time", ["--sessions", 16, *seconds])]
    return [(f"{n} connections", ["--sessions", n]) for n in ((1_000,) if quick else (IDLE,))]


def run(suite, args, binaries, scratch):
    """Measures a suite: its rows."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (FILES, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    results = {}
    for round_number in range(args.rounds):
        for case, client in cases(suite, args.quick):
            for name, kind, splice, large in kinds():
                # Ten thousand buffers of a megabyte are not what an idle connection costs by default.
                if suite == "balancer.idle" and (large or not kind):
                    continue
                figures = undisturbed(one, suite, binaries, scratch, kind, splice, large, client)
                print(f"round {round_number + 1}: {case}: {name}: {figures}", file=sys.stderr)
                results.setdefault((case, name), []).append(figures)
    return rows_of(suite, results, METRICS, lambda _: "floor", lambda name: name in PEERS)
