"""The daemon that launches retrainings is killed again and again: no episode is answered twice."""

from __future__ import annotations

import os
import random
import runpy
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import dagster as dg
import pytest

from mlops_assets.adapters.in_memory import FixedClock
from mlops_assets.adapters.journal import write_champion, write_once
from mlops_assets.components.retraining_runs import EPISODE
from mlops_assets.components.stages.retraining import (
    consider_retraining,
    record_retraining,
    request_retraining,
)
from mlops_assets.lifecycle.rollout.state import Champion
from mlops_assets_tests.faults import retraining_location
from mlops_assets_tests.faults.retraining_location import LEDGER, NAME, open_ledger, read_model

SHARED = runpy.run_path(str(Path(__file__).parent / "conftest.py"))
wait_until, free_port = SHARED["wait_until"], SHARED["free_port"]
ROOT = Path(__file__).parents[2]
MODEL = read_model()
MONTHS = MODEL.calendar.keys[12:]
NOW = MODEL.calendar.finish(MONTHS[-1])

INSTANCE = """\
telemetry: {enabled: false}
nux: {enabled: false}
concurrency: {runs: {max_concurrent_runs: 0}}
"""
"""Nothing is taken off the queue: what was asked for stays, and costs nothing."""


@dataclass
class Site:
    """A Dagster instance, a ledger, a code server that lives on, and a daemon that does not."""

    folder: Path
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.home = self.folder / "home"
        self.home.mkdir()
        (self.home / "dagster.yaml").write_text(INSTANCE)
        self.environment = {
            **os.environ,
            "DAGSTER_HOME": str(self.home),
            LEDGER: str(self.folder),
        }
        self.instance = dg.DagsterInstance.from_config(str(self.home))
        self.ledger = open_ledger(self.folder)
        self.month = MONTHS[0]
        write_champion(self.ledger, NAME, Champion("v1", "a" * 64, self.month, ""), NOW)

    def start_code_server(self) -> None:
        self.port = free_port()
        module = retraining_location.__name__
        place = ["--host", "127.0.0.1", "--port", str(self.port), "--location-name", "retraining"]
        self.start(["dagster", "api", "grpc", "-m", module, *place])
        workspace = f"{{host: 127.0.0.1, port: {self.port}, location_name: retraining}}"
        (self.folder / "workspace.yaml").write_text(f"load_from: [{{grpc_server: {workspace}}}]")

    def start_daemon(self) -> subprocess.Popen[bytes]:
        workspace = str(self.folder / "workspace.yaml")
        return self.start(["dagster._daemon", "run", "--workspace", workspace])

    def start(self, command: list[str]) -> subprocess.Popen[bytes]:
        with (self.folder / f"{command[0]}.log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", *command],
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=ROOT,
                start_new_session=True,  # it is killed with all its children
            )
        self.processes.append(process)
        return process

    def kill(self, process: subprocess.Popen[bytes]) -> None:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        self.processes.remove(process)

    def monitor(self, *outcomes: str) -> None:
        """So many months pass, and what each is found to be; what it calls for is recorded."""
        for outcome in outcomes:
            self.month = MONTHS[MONTHS.index(self.month) + 1]
            body = {"version": "v1", "outcome": outcome, "reason": f"{self.month} {outcome}"}
            write_once(self.ledger, "drift", NAME, self.month, body, NOW)
            record_retraining(MODEL, self.month, self.ledger, FixedClock(NOW))

    def ask_anew(self, number: int) -> None:
        """Another episode of drift, or a person once the calendar has come to its end."""
        if MONTHS.index(self.month) + 4 < len(MONTHS):
            self.monitor("passed", "failed", "failed")
            return
        who, clock = ("the desk", "ask once more, please"), FixedClock(NOW)
        name = f"launch {number}"
        request_retraining(MODEL, *who, self.month, self.ledger, clock, request=name)

    def ticks(self) -> int:
        """How many ticks the daemon has begun so far."""
        states = self.instance.all_instigator_state()
        ids = [(state.instigator_origin_id, state.selector_id) for state in states]
        return sum(len(self.instance.get_ticks(*each)) for each in ids)

    def launched(self) -> Counter[str]:
        """How many runs there are of each episode."""
        return Counter(run.tags[EPISODE] for run in self.instance.get_runs())


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    made = Site(tmp_path)
    made.start_code_server()
    yield made
    for process in list(made.processes):
        made.kill(process)
    made.instance.dispose()


def live(site: Site) -> None:
    """One life of the daemon, ended at some moment: before, in, or after a tick."""
    before = site.ticks()
    daemon = site.start_daemon()
    if random.random() < 0.2:
        time.sleep(random.uniform(0, 4))
    else:
        wait_until(lambda: site.ticks() > before, "a tick")
        time.sleep(random.choice([0, random.uniform(0, 0.3), random.uniform(0, 2)]))
    site.kill(daemon)


def test_daemon_of_retraining_killed(site, times, seen):
    """Exactly one run for each episode of drift, and for each request of a person, wherever the
    daemon is killed on its way."""
    random.seed(7)
    site.monitor("passed", "failed", "failed")
    asked, lives, ticked = 1, times(3, 100), 0
    for life in range(lives):
        before = site.ticks()
        live(site)
        ticked += site.ticks() > before
        launched = site.launched()
        assert max(launched.values(), default=1) == 1
        if len(launched) < asked:
            continue  # killed before it was launched: the next one has to
        if life % 3 == 2:
            site.ask_anew(life)
            asked += 1
        elif consider_retraining(MODEL, site.ledger).trigger == "drift" and life % 3 == 0:
            site.monitor("failed")  # the episode goes on, and is answered
    last, before = site.start_daemon(), site.ticks()
    wait_until(lambda: len(site.launched()) == asked, "what was asked for last")
    wait_until(lambda: site.ticks() >= before + 2, "two ticks of a daemon that lives")
    site.kill(last)
    assert site.launched() == Counter(dict.fromkeys(site.launched(), 1))
    assert len(site.launched()) == asked
    seen(f"{lives} lives, {ticked} of them ticked; asked for {asked} times, a run for each")
