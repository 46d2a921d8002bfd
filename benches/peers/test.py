#!/usr/bin/env python3
"""What a round of benches/peers/run is worth, what stays of earlier results, whether docs/benchmarks.md has their tables, and what benches/history keeps: `python3 benches/peers/test.py`, without any server."""

import argparse
import contextlib
import importlib.machinery
import importlib.util
import io
import itertools
import json
import pathlib
import subprocess
import sys
import tempfile
import unittest
import unittest.mock

sys.dont_write_bytecode = True
HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
import balancer
import common
import crypto
import tables



def loaded(path):
    """A script as a module: its name has no ending."""
    loader = importlib.machinery.SourceFileLoader(path.name, str(path))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader(path.name, loader))
    loader.exec_module(module)
    return module


run, history = loaded(HERE / "run"), loaded(HERE.parent / "history")


def report(**other):
    return {"lost": 0, "out_of_order": 0, "rejected": 0, "schedule": {"late_share": 0.0, "verdict": "held"}} | other


class Rounds(unittest.TestCase):
    def test_what_is_against_a_round(self):
        self.assertEqual(common.against(report(), 0), [])
        self.assertEqual(common.against(report(lost=3), 1), ["lost 3"])
        late = report(schedule={"late_share": 0.002, "verdict": "late"})
        self.assertEqual(common.against(late, 0), ["the client was late with 0.20%"])
        behind = report(schedule={"late_share": 0.0, "verdict": "not_held"})
        self.assertEqual(common.against(behind, 3), ["the client did not hold its rate"])
        self.assertEqual(common.against(report(), 2), ["exit code 2"])

    def test_a_round_that_does_not_count_is_in_no_median_and_is_shown(self):
        good = {"p50_us": 10.0, "lost": 0, "late_share": 0.0, "steal": 0.0}
        bad = common.counted({"p50_us": 900.0, "lost": 2, "late_share": 0.01, "steal": 0.2}, ["lost 2"])
        runs = [good, bad, good | {"p50_us": 12.0}]
        self.assertEqual(common.median(runs, "p50_us"), 11.0)
        rows = {row["metric"]: row for row in common.rows_of("s", {("c", "x"): runs}, {"p50_us": False}, lambda _: "x", lambda _: False)}
        self.assertEqual((rows["p50_us"]["min"], rows["p50_us"]["max"], rows["p50_us"]["rounds"]), (10.0, 12.0, 2))
        self.assertEqual((rows["lost"]["max"], rows["steal"]["max"], rows["failed"]["median"]), (2, 0.2, 1.0))
        self.assertNotIn("p50_us", common.counted(good, ["x"]))
        nothing = common.rows_of("s", {("c", "x"): [bad]}, {"p50_us": False}, lambda _: "x", lambda _: False)
        self.assertEqual([row["metric"] for row in nothing], ["lost", "late_share", "steal", "failed"])

    def test_a_round_that_the_host_disturbed_is_made_again_and_no_other(self):
        late = common.counted({"lost": 0, "late_share": 0.01, "steal": 0.2}, ["the client was late with 1.00%"])
        good = {"p50_us": 10.0, "lost": 0, "late_share": 0.0, "steal": 0.2}
        for rounds, tries in [
            ([good], 1),
            ([late, late, good], 3),
            ([late] * 9, common.TRIES_MAX),
            ([late | {"steal": 0.0}, good], 1),
            ([late | {"failed": ["lost 1", "the client was late with 1.00%"]}, good], 1),
            ([{"failed": ["exit code 2"]}, good], 1),
        ]:
            left = iter(rounds)
            figures = common.undisturbed(lambda: next(left))
            self.assertEqual(figures.get("tries", 1), tries)
            self.assertEqual(figures | {"tries": 0}, rounds[tries - 1] | {"tries": 0})

    def test_the_best_peer_is_the_one_with_most_where_more_is_better(self):
        results = {
            ("c", "ours"): [{"achieved_per_s": 300.0, "p50_us": 10.0}],
            ("c", "QuickFIX, a"): [{"achieved_per_s": 100.0, "p50_us": 5.0}],
            ("c", "QuickFIX, b"): [{"achieved_per_s": 50.0, "p50_us": 20.0}],
        }
        rows = {(row["server"], row["metric"]): row for row in run.all_rows("capacity", results)}
        self.assertEqual(rows[("ours", "achieved_per_s")]["ratio_to_best_peer"], 3.0)
        self.assertEqual(rows[("ours", "p50_us")]["ratio_to_best_peer"], 2.0)

    def test_a_lost_round_trip_costs_a_balancer_one_round(self):
        rounds = itertools.cycle([{"mb_per_s": 10.0}, common.counted({"mb_per_s": 90.0, "lost": 1}, ["lost 1"]), {"mb_per_s": 12.0}])
        args = argparse.Namespace(rounds=3, quick=False)
        kinds = lambda: [("slb", "slb", False, False)]
        with unittest.mock.patch.multiple(balancer, one=lambda *_: next(rounds), kinds=kinds), contextlib.redirect_stderr(io.StringIO()):
            rows = {row["metric"]: row for row in balancer.run("balancer.bulk", args, None, None)}
        self.assertEqual((rows["mb_per_s"]["median"], rows["mb_per_s"]["rounds"], rows["lost"]["max"]), (11.0, 2, 1))

    def test_each_haproxy_is_there_with_buffers_or_pipes_as_large_as_those_of_slb(self):
        is_there = unittest.mock.patch.object(balancer.shutil, "which", lambda name: f"/usr/sbin/{name}")
        with is_there, contextlib.redirect_stderr(io.StringIO()):
            found = [one for one in balancer.kinds() if one[1] == "haproxy"]
        self.assertEqual({(splice, large) for _, _, splice, large in found}, {(False, False), (False, True), (True, False), (True, True)})
        self.assertLessEqual({name for name, *_ in found}, set(balancer.PEERS))
        with tempfile.TemporaryDirectory() as folder:
            folder = pathlib.Path(folder)
            for _, _, splice, large in found:
                balancer.haproxy(folder, 1, 2, splice, large)
                tuned = [line.split() for line in (folder / "haproxy.cfg").read_text().splitlines() if "tune." in line]
                self.assertEqual(tuned, [["tune.pipesize" if splice else "tune.bufsize", "1048576"]] if large else [])

    def test_servers_end_whatever_ends_their_round(self):
        with tempfile.TemporaryDirectory() as folder:
            with self.assertRaises(common.Failed):
                with common.Setting(pathlib.Path(folder)) as setting:
                    setting.processes.append(common.Process("sleep", ["sleep", "60"], setting.folder))
                    child = setting.processes[0].child
                    common.ask(["sleep", "60"], setting.folder / "none", 0.1)
            self.assertIsNotNone(child.poll())
            with self.assertRaises(common.Failed) as failed:
                with common.Setting(pathlib.Path(folder)) as setting:
                    setting.start("false", ["sh", "-c", "echo no; false"], common.port())
            self.assertIn("did not start: no", str(failed.exception))

    def test_a_client_that_leaves_no_report_fails_its_round(self):
        with self.assertRaises(common.Failed) as failed:
            common.ask(["sh", "-c", "echo broken; exit 7"], pathlib.Path("/none"), 5)
        self.assertIn("exit code 7: broken", str(failed.exception))


class Tables(unittest.TestCase):
    def test_the_page_has_the_tables_of_the_results(self):
        page, results = run.PAGE.read_text(), json.loads(run.LATEST.read_text())
        made = tables.made(results)
        self.assertTrue(tables.filled(page, made) == page, f"{run.PAGE} is not what {run.LATEST} says: benches/peers/run --tables")
        marked = {name for name in tables.TABLES if f"<!-- peers:{name} -->\n" in page}
        self.assertEqual(marked, set(tables.TABLES))

    def test_what_does_not_count_is_said_below(self):
        good = {"delivered_per_s": 28.8e6, "server_cpu_us_per_delivery": 0.0342, "lost": 0, "late_share": 0.0004, "steal": 0.01}
        bad = common.counted(good | {"lost": 7}, ["lost 7"])
        results = {("100 subscribers", "NATS"): [bad, bad], ("10 subscribers", "NATS"): [good, bad], ("10 subscribers", "feed"): [good, good]}
        rows = common.rows_of("fanout.flat", results, {"delivered_per_s": True, "server_cpu_us_per_delivery": False}, lambda _: "x", lambda _: False)
        machine = {"cores": 2, "cpu": "Z80", "kernel": "6.18"}
        meta = {"machine": machine, "date": "2026-11-28T00:00:00Z", "commit": "0123456789abcdef+", "rounds": 2, "earlier": ["Redis"]}
        table = tables.made({"rows": rows, "meta": {"fanout.flat": meta}})["fanout.flat"].splitlines()
        self.assertEqual(table[:4], [
            "| M deliveries/s, CPU for one | 10 subscribers |",
            "|---|---|",
            "| feed | 28.80, 0.034 us |",
            "| NATS | 28.80, 0.034 us |",
        ])
        self.assertEqual(table[5], (
            "2026-11-28, commit 0123456789+; 2 cores of Z80, Linux 6.18; the median of 2 rounds. At most in a round: 7 lost, 0.04 % late, "
            "1.00 % of the machine stolen. Rounds that do not count: NATS, 100 subscribers: 2 of 2; NATS, 10 subscribers: 1 of 2. "
            "Of an earlier run: Redis."
        ))

    def test_crypto_has_a_table_of_bytes_and_one_of_operations(self):
        measured = [
            (("seal", "gfni-avx2", "64"), 300 * 2**20), (("seal", "openssl", "64"), 100 * 2**20), (("lanes", "together", "65"), 1.0),
            (("sm3", "digest", None), 500 * 2**20), (("sm2", "sign", None), 112_000), (("sm2", "sign, openssl", None), 4_000),
            (("handshake, server's side", "mutual, openssl", None), 680),
        ]
        rows = crypto.rows_of({crypto.named(*what): [{"per_s": per_s}] for what, per_s in measured if crypto.named(*what)[0]})
        self.assertEqual({row["ratio_to_best_peer"] for row in rows if row["server"].startswith("gm")}, {3.0, 28.0, None})
        made = tables.made(rows)
        self.assertEqual(made["crypto.bytes"].splitlines(), [
            "| MiB/s | SM3, 16,384 B | SM4-GCM, 64 B |",
            "|---|---|---|",
            "| `gm` | 500 | |",
            "| `gm`, GFNI | | 300 |",
            "| OpenSSL 4 | | 100 |",
        ])
        self.assertEqual(made["crypto.operations"].splitlines(), [
            "| a second and core | TLS 1.3 handshake, mutual, server's side | SM2 sign |",
            "|---|---|---|",
            "| `gm` | | 112,000 |",
            "| OpenSSL 4 | 680 | 4,000 |",
        ])

    def test_only_what_is_between_known_markers_changes(self):
        page = "a\n<!-- peers:journal -->\nold\n<!-- /peers:journal -->\nb\n<!-- peers:orders -->\nby hand\n<!-- /peers:orders -->\n"
        filled = tables.filled(page, {"journal": "new"})
        self.assertEqual(filled, page.replace("\nold\n", "\n\nnew\n\n"))
        self.assertEqual(tables.filled(filled, {"journal": "new"}), filled)
        with self.assertRaises(ValueError):
            tables.filled(page.replace("journal", "jurnal"), {})


class Results(unittest.TestCase):
    def test_other_suites_and_peers_that_are_not_there_keep_their_rows(self):
        before = [{"suite": "orders", "server": "QuickFIX C++"}, {"suite": "orders", "server": "ours"}, {"suite": "journal", "server": "x"}]
        results, old = run.merged(before, [{"suite": "orders", "server": "ours", "new": True}], ["orders"], {"rounds": 3})
        self.assertEqual(old, [("orders", "QuickFIX C++")])
        self.assertEqual(results["meta"], {"orders": {"rounds": 3, "earlier": ["QuickFIX C++"]}})
        self.assertEqual([row["server"] for row in results["rows"]], ["QuickFIX C++", "x", "ours"])
        self.assertTrue(results["rows"][2]["new"])
        rows = [{"suite": "orders", "server": server, "new": True} for server in ("ours", "QuickFIX C++")]
        again, old = run.merged(results, rows, ["orders"], {"rounds": 1})
        self.assertEqual((len(again["rows"]), old, again["meta"]["orders"]["earlier"]), (3, [], []))

    def test_without_one_of_the_peers_there_is_no_best_one(self):
        ratios = lambda results: {one["server"]: one["ratio_to_best_peer"] for one in results["rows"]}
        row = lambda server, ratio: {"suite": "balancer.bulk", "server": server, "ratio_to_best_peer": ratio}
        before, _ = run.merged([], [row("slb", 1.1), row("HAProxy", 1.0), row("nginx", 0.9)], ["balancer.bulk"], {})
        self.assertEqual(ratios(before), {"slb": 1.1, "HAProxy": 1.0, "nginx": 0.9})
        other = {"suite": "orders", "server": "ours", "ratio_to_best_peer": 3.0}
        results, _ = run.merged(before, [row("slb", 1.5), row("nginx", 1.0), other], ["balancer.bulk", "orders"], {})
        self.assertEqual(ratios(results), {"HAProxy": 1.0, "slb": None, "nginx": None, "ours": 3.0})
        again, _ = run.merged(results, [row("slb", 1.2), row("HAProxy", 1.0), row("nginx", 0.8)], ["balancer.bulk"], {})
        self.assertEqual(ratios(again), {"ours": 3.0, "slb": 1.2, "HAProxy": 1.0, "nginx": 0.8})

    def test_how_it_was_made_is_told(self):
        meta = run.made_how(type("Args", (), {"rounds": 3}))
        head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=HERE, capture_output=True, text=True).stdout.strip()
        self.assertTrue(meta["commit"].startswith(head))
        self.assertGreater(meta["machine"]["memory_bytes"], 0)


class History(unittest.TestCase):
    """benches/history, with a `cargo bench` that says this, as criterion does."""

    SAID = "test append/128B ... bench:          {} ns/iter (+/- 3)\ntest read, whole ... bench:     1,234 ns/iter (+/- 5)\n\n"

    def ran(self, folder, outcomes, *arguments):
        outcomes = iter(outcomes)

        def cargo(command, **_):
            code, said = next(outcomes)
            return subprocess.CompletedProcess(command, code, said, "broken")

        with contextlib.ExitStack() as stack:
            stack.enter_context(unittest.mock.patch.object(history, "HISTORY", folder / "history.md"))
            stack.enter_context(unittest.mock.patch.object(history, "benches", lambda only: [("flow", "log"), ("fix", "codec")]))
            stack.enter_context(unittest.mock.patch.object(history, "said", lambda *command: {"rustc": "rustc 1.95.0 (x)"}.get(command[0], "abc")))
            stack.enter_context(unittest.mock.patch.object(history.subprocess, "run", cargo))
            stack.enter_context(unittest.mock.patch.object(sys, "argv", ["history", *arguments]))
            stack.enter_context(contextlib.redirect_stdout(io.StringIO()))
            history.main()
        return (folder / "history.md").read_text()

    def test_a_run_adds_a_section_with_its_machine_beside_the_last_of_its_kind(self):
        with tempfile.TemporaryDirectory() as folder:
            folder = pathlib.Path(folder)
            fine = lambda ns: [(0, self.SAID.format(ns)), (0, self.SAID.format(ns))]
            first = self.ran(folder, fine("100"))
            self.assertTrue(first.startswith(history.HEAD + "\n## 2"), first)
            heading = first.splitlines()[4]
            for part in ("abc+", history.processor(), "cores, Linux", "rustc 1.95.0"):
                self.assertIn(part, heading)
            self.assertIn("| flow: append/128B | 100 |  |\n| flow: read, whole | 1,234 |  |\n| fix: append/128B | 100 |  |\n", first)
            quick = self.ran(folder, fine("150"), "--quick")
            self.assertIn("| flow: append/128B | 150 |  |\n", quick, "quick ones are another kind")
            again = self.ran(folder, fine("110"))
            self.assertTrue(again.startswith(quick))
            self.assertIn("| flow: append/128B | 110 | 1.10 |\n", again)

    def test_a_run_that_fails_on_its_way_adds_nothing(self):
        with tempfile.TemporaryDirectory() as folder:
            folder = pathlib.Path(folder)
            before = self.ran(folder, [(0, self.SAID.format("100"))] * 2)
            for second in [(101, ""), (0, "another format")]:
                with self.assertRaises(SystemExit):
                    self.ran(folder, [(0, self.SAID.format("100")), second])
                self.assertEqual((folder / "history.md").read_text(), before)
            self.ran(folder, [(0, self.SAID.format("100"))] * 2, "--print")
            self.assertEqual([path.name for path in folder.iterdir()], ["history.md"])
            self.assertEqual((folder / "history.md").read_text(), before)


if __name__ == "__main__":
    unittest.main()
