"""Crypto: SM4-GCM, SM3, SM2 and TLS 1.3 handshakes of `gm` beside OpenSSL 4 and RustCrypto, on one core.

The measuring is criterion's (`cargo bench -p gm --features interop`), round after round; OpenSSL 4 is built by that, once, in about two
minutes. ring's AES-128-GCM is there as what another cipher reaches.
"""

import json
import os
import pathlib
import shutil
import subprocess
import sys

from common import ROOT, median, row

BENCHES = ("gcm", "sm2", "handshake")
PEERS = ("OpenSSL 4", "RustCrypto")
# What is not called in a table as in the bench.
CASES = {
    "sm3: digest": "SM3, 16384 B",
    "sm2: sign": "SM2 sign",
    "sm2: verify": "SM2 verify",
    "sm2: agree": "SM2 key agreement",
    "sm2: generate": "SM2 key",
    "handshake, server's side: one-sided": "TLS 1.3 handshake, server's side",
    "handshake, server's side: mutual": "TLS 1.3 handshake, mutual, server's side",
}
NAMES = {"openssl": "OpenSSL 4", "rustcrypto": "RustCrypto", "ring-aes-128": "ring, AES-128-GCM"}


def run(args, binaries, scratch):
    """One round after the other; the rows."""
    pinned = ["taskset", "-c", "1"] if shutil.which("taskset") else []
    command = [*pinned, "cargo", "bench", "--quiet", "-p", "gm", "--features", "interop", "--locked"]
    command += [part for bench in BENCHES for part in ("--bench", bench)]
    # Built by all cores, before one is measured.
    subprocess.run([*command[len(pinned):], "--no-run"], cwd=ROOT, check=True)
    results = {}
    for round_number in range(args.rounds):
        # Criterion's own memory of runs before is not wanted.
        folder = scratch / f"criterion-{round_number}"
        measuring = ["--warm-up-time", "0.2", "--measurement-time", "0.3" if args.quick else "1", "--noplot"]
        done = subprocess.run(
            [*command, "--", *measuring], cwd=ROOT, capture_output=True, text=True, env={**os.environ, "CRITERION_HOME": str(folder)}
        )
        if done.returncode:
            sys.exit(f"cargo bench failed:\n{done.stderr[-2000:]}")
        for (case, server), per_s in read(folder).items():
            results.setdefault((case, server), []).append({"per_s": per_s})
        print(f"round {round_number + 1}: {len(results)} figures", file=sys.stderr)
    return rows_of(results)


def read(folder):
    """By (case, server): bytes or operations a second."""
    found = {}
    for path in pathlib.Path(folder).glob("**/new/benchmark.json"):
        what = json.loads(path.read_text())
        mean_ns = json.loads((path.parent / "estimates.json").read_text())["mean"]["point_estimate"]
        bytes_each = (what.get("throughput") or {}).get("Bytes")
        case, server = named(what["group_id"], what["function_id"], what["value_str"])
        if case:
            found[(case, server)] = (bytes_each or 1) * 1e9 / mean_ns
    return found


def named(group, function, value):
    if group == "seal":
        return f"SM4-GCM, {value} B", NAMES.get(function, f"gm, {function}")
    if group == "lanes":
        return None, None
    function, _, peer = function.partition(", ")
    case = f"{group}: {function}"
    return CASES.get(case, case), NAMES.get(peer, "gm")


def rows_of(results):
    rows = []
    for case, server in sorted(results, key=lambda key: (key[0].partition(", ")[0], len(key[0]), key)):
        value = median(results[(case, server)], "per_s")
        peers = [median(runs, "per_s") for (of, name), runs in results.items() if of == case and name in PEERS]
        metric = "bytes_per_s" if case.startswith(("SM4", "SM3")) else "per_s"
        values = [run["per_s"] for run in results[(case, server)]]
        rows.append(row("crypto", case, server, metric, values, None, value / max(peers) if peers else None))
    return rows

