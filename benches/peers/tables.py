"""The tables of the suites, made from rows of the results: what a run prints, and what stands in docs/benchmarks.md between
`<!-- peers:NAME -->` and `<!-- /peers:NAME -->`. One line for each server, one group of columns for each case. What does not count is said below.
"""

import re

# Servers in the order of a table, and what they are called there; one that is not here comes last, by its own name.
LABELS = {
    "direct": "direct",
    "floor, 3 hops": "floor, 3 hops",
    "floor": "floor",
    "floor, growing file": "floor, a file that grows",
    "floor, prewritten file": "floor, a file written before",
    "journal": "the journal",
    "tongdao binary tcp": "binary, TCP",
    "tongdao binary tcp, audit": "binary, TCP, audit on",
    "tongdao binary tls": "binary, ShangMi TLS",
    "tongdao fix tcp": "FIX, TCP",
    "tongdao fix tls": "FIX, ShangMi TLS",
    "feed": "feed",
    "feed, ShangMi TLS": "feed, ShangMi TLS",
    "slb": "slb",
    "floor, 1 hop": "floor, 1 hop",
    "QuickFIX C++, memory store": "QuickFIX, memory",
    "QuickFIX C++, file store": "QuickFIX, files",
    "JetStream, 1 node": "JetStream, 1 node (in memory of the system, not on the disk)",
    "gm": "`gm`",
    "gm, gfni-avx2": "`gm`, GFNI",
    "gm, vaes-avx2": "`gm`, VAES",
    "gm, aes-avx2": "`gm`, AES-NI and AVX2",
    "gm, sm4e": "`gm`, SM4E",
    "gm, portable": "`gm`, portable, constant time",
    "OpenSSL 4": "OpenSSL 4",
    "RustCrypto": "RustCrypto",
    "ring, AES-128-GCM": "ring, AES-128-GCM",
}


def microseconds(value):
    return f"{value:.0f} us" if value < 1_000 else f"{value / 1e3:.1f} ms"


def thousands(value):
    return f"{value / 1e3:.1f}k" if value < 99_950 else f"{value / 1e3:,.0f}k"


def named(case):
    """A case as a table calls it: `1 session, 1,000/s`."""
    case = re.sub(r"^1 (\w+)s\b", r"1 \1", case)
    return re.sub(r"\d+", lambda number: f"{int(number[0]):,}", case)


class Figures:
    """Rows by suite, case, server and metric."""

    def __init__(self, rows):
        self.rows = {(row["suite"], row["case"], row["server"], row["metric"]): row for row in rows}

    def cases(self, suite):
        """By their numbers, whatever order they were measured in."""
        found = {case for of, case, _, _ in self.rows if of == suite}
        return sorted(found, key=lambda case: ([int(number) for number in re.findall(r"\d+", case)], case))

    def servers(self, suites):
        found = list(dict.fromkeys(server for suite, _, server, _ in self.rows if suite in suites))
        order = list(LABELS)
        return sorted(found, key=lambda server: order.index(server) if server in order else len(order))

    def of(self, suite, case, server):
        """What one server did in one case: rows by metric."""
        return {row["metric"]: row for (*where, _), row in self.rows.items() if where == [suite, case, server]}


def cell(metric, form, ratio=None, of=lambda server: True):
    """A cell with a metric's median, and in brackets the row's `ratio`, for the servers that `of` says."""

    def told(figures):
        row = figures.get(metric)
        if row is None:
            return ""
        shown = row.get(ratio) if of(row["server"]) else None
        return form(row["median"]) + (f" ({shown:.2f})" if shown else "")

    return told


def joined(between, *cells):
    return lambda figures: between.join(filter(None, (told(figures) for told in cells)))


def cpu(figures):
    """What an order costs the server that it is about; a process that is not ours by its name."""
    for metric, form in [("gateway", "{}"), ("executor", "(executor: {})"), ("relay0", "(a relay: {})")]:
        if f"cpu_us {metric}" in figures:
            return form, figures[f"cpu_us {metric}"]["median"]
    return None


def cpu_of_last(found, suite, server):
    told = cpu(found.of(suite, found.cases(suite)[-1], server))
    return told[0].format(f"{told[1]:.0f} us") if told else ""


def cpu_of_all(found, suite, server):
    told = [cpu(found.of(suite, case, server)) for case in found.cases(suite)]
    form = next((form for form, _ in filter(None, told)), "")
    return form.format(" / ".join(f"{one[1]:.1f}" if one else "-" for one in told) + " us")


def latencies(figures):
    """p50, p99 and p99.9 in one cell."""
    rows = [figures.get(metric) for metric in ("p50_us", "p99_us", "p999_us")]
    return " / ".join(f"{row['median'] / 1e3:.2f}" for row in rows) + " ms" if all(rows) else ""


RATIO = {"ratio": "ratio_to_best_peer", "of": lambda server: server == "slb"}
delivery = cell("server_cpu_us_per_delivery", "{:.3f} us".format)

# By name: suites; columns of each case, each a title and a cell; and a last column, a title and what it says of suite and server.
TABLES = {
    "orders": (["orders"], [
        ("p50 (of the floor's)", cell("p50_us", microseconds, "ratio_to_floor", lambda server: not server.startswith("floor"))),
        ("p99", cell("p99_us", microseconds)),
        ("p99.9", cell("p999_us", microseconds)),
    ], ("gateway's CPU for one of the last", cpu_of_last)),
    "capacity": (["capacity"], [("orders/s", cell("achieved_per_s", thousands))], ("gateway's CPU for an order", cpu_of_all)),
    "journal": (["journal"], [
        ("records/s, p50, p99", joined(", ", cell("records_per_s", thousands), cell("p50_us", microseconds), cell("p99_us", microseconds))),
    ], None),
    "crypto.bytes": (["crypto"], [("MiB/s", cell("bytes_per_s", lambda value: f"{value / 2**20:,.0f}"))], None),
    "crypto.operations": (["crypto"], [("a second and core", cell("per_s", "{:,.0f}".format))], None),
    "fanout.flat": (["fanout.flat"], [
        ("M deliveries/s, CPU for one", joined(", ", cell("delivered_per_s", lambda value: f"{value / 1e6:.2f}"), delivery)),
    ], None),
    "fanout.memory": (["fanout.flat"], [("KiB a connection", cell("server_kib_per_connection", "{:.1f}".format))], None),
    "fanout.rate": (["fanout.rate"], [
        ("p50 / p99 / p99.9, CPU for a delivery", joined(", ", latencies, cell("server_cpu_us_per_delivery", "{:.1f} us".format))),
    ], None),
    "fanout.stalled": (["fanout.stalled"], [
        ("p50 / p99 / p99.9, CPU for a delivery, memory", joined(", ", latencies, delivery, cell("server_memory_mib", "{:.0f} MiB".format))),
    ], None),
    "balancer.pingpong": (["balancer.pingpong"], [
        ("round trips/s, CPU for one", joined(", ", cell("round_trips_per_s", thousands, **RATIO), cell("cpu_us_per_round_trip", "{:.1f} us".format, **RATIO))),
    ], None),
    "balancer.rest": (["balancer.bulk", "balancer.storm", "balancer.idle"], [
        ("bulk", cell("mb_per_s", "{:,.0f} MB/s".format, **RATIO)),
        ("CPU for a GB", cell("cpu_s_per_gb", "{:.2f} s".format, **RATIO)),
        ("new connections/s", cell("connections_per_s", thousands, **RATIO)),
        ("CPU for one", cell("cpu_us_per_connection", "{:.0f} us".format, **RATIO)),
        ("memory of an idle one", cell("kib_per_idle_connection", "{:.2f} KiB".format, **RATIO)),
    ], None),
    "balancer.rate": (["balancer.rate"], [
        ("p50 / p99", joined(" / ", cell("p50_us", microseconds, **RATIO), cell("p99_us", microseconds, **RATIO))),
    ], None),
}


def line(cells):
    return "|" + "|".join(f" {cell} " if cell else " " for cell in cells) + "|"


def lines(found, suites, columns, last):
    """A table's lines: a column without any figure is not there, nor is such a server. A title that all columns share stands in the corner."""
    servers = found.servers(suites)
    shared = len(suites) == len(columns) == 1
    made = []
    for suite in suites:
        for case in found.cases(suite):
            cells = [(title, [told(found.of(suite, case, server)) for server in servers]) for title, told in columns]
            for at, (title, column) in enumerate([(title, column) for title, column in cells if any(column)]):
                made.append((named(case) if shared else f"{named(case)}: {title}" if at == 0 else title, column))
    if last:
        made.append((last[0], [last[1](found, suites[0], server) for server in servers]))
    yield line([columns[0][0] if shared else "", *(head for head, _ in made)])
    yield "|---" * (len(made) + 1) + "|"
    for at, server in enumerate(servers):
        cells = [column[at] for _, column in made]
        if any(cells):
            yield line([LABELS.get(server, server), *cells])


def below(found, suites, metas):
    """What is said below a table: how it was measured, what was lost, late and stolen, and which rounds do not count."""
    said = []
    for measured in dict.fromkeys("; ".join(how(metas[suite])) for suite in suites if suite in metas):
        said.append(measured + ".")
    worst = {}
    for (suite, _, _, metric), row in found.rows.items():
        if suite in suites and metric in ("lost", "late_share", "steal"):
            worst[metric] = max(worst.get(metric, 0), row["max"])
    if "lost" in worst:
        said.append(f"At most in a round: {worst['lost']:.0f} lost, {worst['late_share'] * 100:.2f} % late, {worst.get('steal', 0) * 100:.2f} % of the machine stolen.")
    failed = [
        f"{LABELS.get(server, server)}, {named(case)}: {row['median']:.0f} of {row['rounds']}"
        for (suite, case, server, metric), row in found.rows.items() if suite in suites and metric == "failed" and row["median"]
    ]
    said += [f"Rounds that do not count: {'; '.join(failed)}."] if failed else []
    earlier = sorted({server for suite in suites for server in metas.get(suite, {}).get("earlier", [])})
    said += [f"Of an earlier run: {'; '.join(LABELS.get(server, server) for server in earlier)}."] if earlier else []
    return " ".join(said)


def how(meta):
    machine = meta["machine"]
    yield f"{meta['date'][:10]}, commit {meta['commit'][:10]}{'+' * meta['commit'].endswith('+')}"
    yield f"{machine['cores']} cores of {machine['cpu']}, Linux {machine['kernel']}"
    yield f"the median of {meta['rounds']} rounds" if meta["rounds"] > 1 else "one round"


def made(results):
    """All tables that results have figures for, by name, in Markdown. `results`: as in results/latest.json; a bare list of rows has no `meta`."""
    rows, metas = (results["rows"], results["meta"]) if isinstance(results, dict) else (results, {})
    found = Figures(rows)
    measured = {row["suite"] for row in rows}
    tables = {}
    for name, (suites, columns, last) in TABLES.items():
        if measured & set(suites):
            text = "\n".join(lines(found, suites, columns, last))
            said = below(found, suites, metas)
            tables[name] = f"{text}\n\n{said}" if said else text
    return tables


def filled(page, tables):
    """A page with these tables between its markers; what is between markers of a table that is not among them stays."""

    def one(block):
        name = block[1]
        if name not in TABLES:
            raise ValueError(f"there is no table {name}: {', '.join(TABLES)}")
        return f"<!-- peers:{name} -->\n\n{tables[name]}\n\n<!-- /peers:{name} -->" if name in tables else block[0]

    return re.sub(r"<!-- peers:([\w.]+) -->\n.*?<!-- /peers:\1 -->", one, page, flags=re.DOTALL)
