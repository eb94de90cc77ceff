"""One policy through the year: traffic, monitoring, training and rollouts, week by week."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from mlops_assets.adapters.in_memory.clock import FixedClock
from mlops_assets.adapters.journal import read_champion, read_rollout
from mlops_assets.commands.location import JobFailedError, Location
from mlops_assets.commands.replay import await_routing
from mlops_assets.commands.replay_year.gain import ReplayError
from mlops_assets.commands.replay_year.reading import Answers, read_answers, read_estimate
from mlops_assets.commands.replay_year.traffic import Traffic
from mlops_assets.commands.replay_year.weeks import Week

if TYPE_CHECKING:
    import polars as pl

AFTER = timedelta(hours=6)
"""From the end of a partition until it is monitored: its last labels have mostly come by then."""

CHUNK = 200
"""Single requests between two looks at a rollout."""

BATCH = 50
"""Rows of a request while no rollout is on."""

MAX_STEPS = 20
"""Steps that a rollout may take without traffic in between."""


class Stream:
    """The loop of one model in one state folder, by a clock that follows the traffic."""

    def __init__(
        self,
        location: Location,
        resources: Mapping[str, Any],
        clock: FixedClock,
        *,
        every: int = 1,
    ) -> None:
        """``every``: of the rows of a partition each so-manieth is sent."""
        self.location, self.resources, self.clock = location, resources, clock
        self.model = location.model
        self.traffic = Traffic(self.model, resources, every)
        self.refused: str | None = None

    def run(self, weeks: Sequence[str]) -> Iterator[Week]:
        """Train and release as of the first week, then live through all of them."""
        self.clock.at = self.model.calendar.begin(weeks[0])
        if not self._train(weeks[0]):
            raise ReplayError(f"replay-year: no first version as of {weeks[0]}: {self.refused}")
        self._step_while_due()
        for week in weeks:
            yield self._live_through(week)

    def _live_through(self, week: str) -> Week:
        before = self._count_states()
        failed = self._answer(week)
        self.clock.at = self.model.calendar.finish(week) + AFTER
        self.location.run_job("monitor", partition=week, ops=self._quiet())
        asked = self._retrain()
        return self._note(week, before, asked, failed)

    # Traffic and rollouts -------------------------------------------------------------------

    def _answer(self, week: str) -> int:
        """Send the rows of a week; singly while a rollout is on, as its units are requests."""
        rows, failed = self.traffic.rows(week), 0
        self.clock.at = self.model.calendar.begin(week)
        self._step_while_due()
        while rows.height and self._rolling():
            chunk, rows = rows.head(CHUNK), rows.slice(CHUNK)
            failed += self.traffic.send(chunk, 1)
            self._follow(chunk)
            self._step_while_due()
        failed += self.traffic.send(rows, BATCH)
        self._follow(rows)
        return failed

    def _follow(self, sent: pl.DataFrame) -> None:
        """It is now as late as the last row that was sent."""
        if sent.height:
            moments: list[datetime] = sent[self.model.spec.entities.time].to_list()
            self.clock.at = max(self.clock.at, *moments)

    def _step_while_due(self) -> None:
        """Take the rollout further as often as the sensor asks for it."""
        for _ in range(MAX_STEPS):
            due, _ = self.location.ask_sensor("advance_rollout", self.resources)
            if due is None:
                return
            self.location.run_job("release", partition=due.partition_key)
            await_routing(self.resources, self.model.name)
        raise ReplayError(f"replay-year: a rollout took {MAX_STEPS} steps without any traffic")

    def _rolling(self) -> bool:
        state = read_rollout(self.resources["ledger"], self.model.name)
        return state is not None and state.active

    # Monitoring and training ----------------------------------------------------------------

    def _quiet(self) -> dict[str, Any]:
        """Pages for people are not drawn: nobody looks at them meanwhile."""
        return {f"{self.model.name}__drift_report": {"config": {"render": "never"}}}

    def _retrain(self) -> str | None:
        """Train if the sensor asks for it; as of which partition, None when it does not."""
        self.refused = None
        request, _ = self.location.ask_sensor("retrain_on_drift", self.resources)
        if request is None:
            return None
        self._train(str(request.partition_key))
        return str(request.partition_key)

    def _train(self, as_of: str) -> bool:
        """Train, judge and register as of a partition; False when its gates refused it."""
        try:
            self.location.run_job("train", partition=as_of)
        except JobFailedError as error:
            refused = self._read_refusal(as_of)
            if refused is None:
                raise ReplayError(f"replay-year: {error}") from error
            self.refused = refused
            return False
        return True

    def _read_refusal(self, as_of: str) -> str | None:
        """What the gates said against the model as of a partition, None if they passed."""
        ledger, name = self.resources["ledger"], self.model.name
        trained = ledger.latest("trained_model", name, as_of)
        verdict = ledger.latest("verdict", name, trained.body["digest"]) if trained else None
        if verdict is None or verdict.body["outcome"] == "passed":
            return None
        return str(verdict.body["reason"])

    # What is kept ---------------------------------------------------------------------------

    def _count_states(self) -> int:
        return len(self.resources["ledger"].history("rollout", self.model.name))

    def _note(self, week: str, before: int, asked: str | None, failed: int) -> Week:
        ledger, name = self.resources["ledger"], self.model.name
        answers: Answers = read_answers(self.model, week, self.resources["tables"])
        drift = ledger.latest("drift", name, week).body
        champion = read_champion(ledger, name)
        assert champion is not None
        states = [row.body for row in ledger.history("rollout", name)[before:]]
        ended = {
            phase: tuple(s["version"] for s in states if s["phase"] == phase)
            for phase in ("succeeded", "failed")
        }
        return Week(
            week=week,
            champion=champion.version,
            rows=answers.rows,
            late_rate=answers.late_rate,
            days=answers.days,
            estimated=read_estimate(ledger, name, week),
            alarm="failed" in (drift["outcome"], drift.get("intact")),
            cause=drift.get("triage", {}).get("cause", "nothing"),
            asked=asked,
            refused=self.refused,
            promoted=ended["succeeded"],
            rolled_back=ended["failed"],
            failed_requests=failed,
        )
