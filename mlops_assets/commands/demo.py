"""The whole loop once, on the real flights: what ``make demo`` runs."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import timedelta
from getpass import getuser
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlops_assets.adapters.journal import (
    read_champion,
    read_cut_off,
    read_rollout,
    read_rollout_history,
)
from mlops_assets.commands.home import prepare_home
from mlops_assets.commands.location import JobFailedError, Location
from mlops_assets.commands.ports import free_port
from mlops_assets.commands.replay import await_routing, replay
from mlops_assets.commands.story import Story, describe_version
from mlops_assets.lifecycle.errors import MlopsAssetsError

if TYPE_CHECKING:
    import polars as pl

MODEL = "flight_delays"
FIRST_TRAINING = "2013-04-08"
"""The spring week the first version is trained as of."""

REQUESTS_PER_WEEK = 600
CHUNK = 100
"""Requests between two looks at a rollout."""

MAX_CHUNKS = 60
DRILL = "a drill: the canary has to catch what the gates have found"


class DemoError(MlopsAssetsError):
    """The loop did not come out as it should; the message says where."""


class Demo:
    """One run of the loop in a state folder of its own."""

    def __init__(self) -> None:
        from mlops_assets.defs.platform.resources import build_resources, read_settings

        self.resources = build_resources(read_settings(os.environ))
        self.location = Location(MODEL)
        self.model = self.location.model
        self.story = Story()

    # The loop -------------------------------------------------------------------------------

    def run(self) -> Story:
        """From raw rows to a rolled-back version."""
        with self._stage("ingest", "raw files to features, the whole year as one run"):
            self._ingest()
        with self._stage("train", f"train as of {FIRST_TRAINING}, gate, register"):
            self._train(FIRST_TRAINING)
        with self._stage("release", "deploy the first version"):
            self._roll_out(None)
        with self._stage("replay and monitor", "live traffic week by week, until the data drifts"):
            as_of = self._serve_until_drift(FIRST_TRAINING)
        with self._stage("retrain", f"train as of {as_of}, gate against the champion, register"):
            self._train(as_of)
        with self._stage("canary", "roll the new version out on live traffic"):
            self._roll_out(as_of)
        later = self.model.calendar.next(as_of)
        assert later is not None
        with self._stage("broken version", "one that refuses missing values, let out by hand"):
            self._let_out_broken(later)
        with self._stage("rollback", "its canary on live traffic"):
            self._roll_out(later)
        self._collect([as_of, later])
        return self.story

    def _ingest(self) -> None:
        keys = self.model.calendar.keys
        self.location.run_job("ingest", span=(keys[0], keys[-1]))
        tables, name = self.resources["tables"], self.model.table
        rows = {
            part: tables.read(name(f"{part}_flights"), columns=["partition"]).height
            for part in ("raw", "validated", "quarantined")
        }
        self.story.counts = {
            **{f"{part}_rows": n for part, n in rows.items()},
            "partitions": len(keys),
        }
        self._say(
            f"{rows['raw']:,} flights in {len(keys)} weeks: {rows['validated']:,} validated, "
            f"{rows['quarantined']} quarantined"
        )

    def _train(self, as_of: str) -> None:
        self.location.run_job("train", partition=as_of)
        self._note_version(as_of)

    def _let_out_broken(self, as_of: str) -> None:
        """Train a version that its gates refuse, and override them, to see the rollout catch it."""
        ops = {
            f"{MODEL}__training_set": {"config": {"rows": "complete_cases"}},
            f"{MODEL}__trained_model": {"config": {"estimator": "build_strict_estimator"}},
        }
        try:
            self.location.run_job("train", partition=as_of, ops=ops)
        except JobFailedError:
            ledger = self.resources["ledger"]
            digest = ledger.latest("trained_model", MODEL, as_of).body["digest"]
            gates = ledger.latest("verdict", MODEL, digest).body["gates"]
            refused = next(gate for gate in gates if gate["outcome"] != "passed")
            self._say(f"its gates refuse it: {refused['name']}: {refused['reason'][:90]}")
        else:
            raise DemoError("the broken version passed its gates")
        expires = (self.resources["clock"].now() + timedelta(hours=1)).isoformat()
        answer = {"config": {"by": getuser(), "reason": DRILL, "expires": expires}}
        ops = {f"{MODEL}__gate_override": answer}
        self.location.materialize("gate_override", partition=as_of, ops=ops)
        self.location.materialize("model_version", partition=as_of)
        self._note_version(as_of)

    def _note_version(self, as_of: str) -> None:
        noted = describe_version(self.resources["ledger"], MODEL, as_of)
        self.story.versions.append(noted)
        self._say(
            f"{noted['version']} trained on {noted['fit_rows']:,} flights ({noted['chosen']}): AUC "
            f"{noted['auc']:.3f}, Brier {noted['brier']:.3f}, gates {noted['verdict']}"
            f"{', overridden' if noted['override'] else ''}"
        )

    def _serve_until_drift(self, week: str | None) -> str:
        while week is not None:
            self._send(self._rows(week, REQUESTS_PER_WEEK))
            self.location.run_job("monitor", partition=week)
            drift = self.resources["ledger"].latest("drift", MODEL, week).body
            request, reason = self.location.ask_sensor("retrain_on_drift", self.resources)
            self._say(f"week {week}: {drift['reason'].split(':')[0]}")
            if request:
                decision = self.resources["ledger"].latest("retraining", MODEL, week).body
                self.story.retraining = {
                    "reason": decision["reason"],
                    "week": week,
                    "train_as_of": request.partition_key,
                }
                self._say(f"retrain_on_drift: {decision['reason'].split(';')[0]}")
                return str(request.partition_key)
            self._say(f"retrain_on_drift skips: {reason}")
            week = self.model.calendar.next(week)
        raise DemoError("the year ended without a drift that asks for a retraining")

    def _roll_out(self, week: str | None) -> None:
        """Let the sensor take the newest version to the end of its rollout, on live traffic."""
        chunks = self._chunks(week) if week else iter(())
        requests_sent = 0
        for _ in range(MAX_CHUNKS):
            due, _ = self.location.ask_sensor("advance_rollout", self.resources)
            if due:
                self.location.run_job("release", partition=due.partition_key)
                await_routing(self.resources, MODEL)
            state = self._rollout()
            if not state["active"]:
                self._note_rollout(state["version"], requests_sent)
                return
            chunk = next(chunks, None)
            if chunk is None:
                if due:
                    continue
                raise DemoError(f"traffic ended before {state['version']} was decided")
            self._send(chunk)
            requests_sent += chunk.height
        raise DemoError(f"no decision after {MAX_CHUNKS} looks")

    def _collect(self, weeks: list[str]) -> None:
        """Move what was logged during the rollouts to its table, and count it."""
        for week in weeks:
            self.location.run_job("monitor", partition=week)
        logged = self.resources["tables"].read(self.model.table("predictions"))
        self.story.counts["predictions_sent"] = self.story.replayed.sent
        self.story.counts["predictions_failed"] = self.story.replayed.failed
        answered = logged.drop_nulls("probability")  # a canary's failed attempts are logged too
        self.story.counts["predictions_logged"] = answered.height

    # Its parts ------------------------------------------------------------------------------

    def _send(self, rows: pl.DataFrame) -> None:
        entities = self.model.spec.entities
        url = self.resources["serving"].ensure_running().url
        done = replay(rows, url, MODEL, self.model.features, entities.key, entities.time)
        self.story.replayed += done

    def _rows(self, week: str, count: int | None = None) -> pl.DataFrame:
        """Rows of a week in order of time, evenly thinned to ``count``."""
        rows: pl.DataFrame = self.resources["tables"].read(self.model.table("features"), [week])
        rows = rows.sort(self.model.spec.entities.time, self.model.spec.entities.key)
        return rows if count is None else rows.gather_every(max(rows.height // count, 1))[:count]

    def _chunks(self, week: str) -> Iterator[pl.DataFrame]:
        rows = self._rows(week)
        step = max(rows.height // (CHUNK * MAX_CHUNKS), 1)
        return rows.gather_every(step).iter_slices(CHUNK)

    def _rollout(self) -> dict[str, Any]:
        state = read_rollout(self.resources["ledger"], MODEL)
        if state is None:
            raise DemoError("no rollout has begun")
        return {"version": state.version, "active": state.active, "phase": state.phase}

    def _note_rollout(self, version: str, requests: int) -> None:
        ledger, shown = self.resources["ledger"], ("phase", "weight", "since", "reason")
        states = [asdict(state) for state in read_rollout_history(ledger, MODEL, version)]
        steps = [{key: state[key] for key in shown} for state in states]
        last = states[-1]
        seen = [judged.get("canary_units", 0) for judged in last["evidence"].values()]
        cut_off = read_cut_off(ledger, MODEL, last["digest"])
        self.story.rollouts.append(
            {
                "version": version,
                "steps": steps,
                "outcome": {"succeeded": "promoted", "failed": "rolled back"}[last["phase"]],
                "requests_to_decision": requests,
                "canary_units": max(seen, default=0),
                "cut_off": cut_off.reason if cut_off else None,
                "reason": last["reason"],
            }
        )
        self._say(
            f"{version} {self.story.rollouts[-1]['outcome']} after {requests} requests: "
            f"{last['reason']}"
        )

    @contextmanager
    def _stage(self, name: str, said: str) -> Iterator[None]:
        print(f"{name}: {said}", flush=True)
        begun = time.perf_counter()
        yield
        self.story.seconds[name] = round(time.perf_counter() - begun, 2)

    def _say(self, text: str) -> None:
        print(f"  {text}", flush=True)


def run_demo(build: Path) -> dict[str, Any]:
    """Run the loop below ``build/demo`` from nothing; writes and returns ``build/demo.json``."""
    state = (build / "demo").absolute()
    prepare_home(state, os.environ)
    _stop_server()  # one that an interrupted run left behind
    shutil.rmtree(state)
    prepare_home(state, os.environ)
    os.environ["MLOPS_ASSETS_SERVING_PORT"] = str(free_port())
    begun = time.perf_counter()
    try:
        demo = Demo()
        told = demo.run()
        champion = read_champion(demo.resources["ledger"], MODEL)
    finally:
        _stop_server()
    result = {
        **told.counts,
        "versions": told.versions,
        "champion": champion.version if champion else None,
        "retraining": told.retraining,
        "rollouts": told.rollouts,
        "seconds": {**told.seconds, "total": round(time.perf_counter() - begun, 2)},
    }
    written = build / "demo.json.writing"
    written.write_text(json.dumps(result, indent=2) + "\n")
    written.replace(build / "demo.json")
    return result


def _stop_server() -> None:
    from mlops_assets.defs.platform.resources import build_serving, read_settings

    build_serving(read_settings(os.environ)).stop()
