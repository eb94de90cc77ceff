"""The jobs by which a person steps in do what their stages do, with who and why asked for."""

from __future__ import annotations

import dagster as dg
import pytest

from mlops_assets.adapters.journal import read_rollout
from mlops_assets.components.intervention_jobs import build_intervention_jobs
from mlops_assets.components.stages.rollout_steps import step_rollout


def launch(world, resources, job: str, op: str, **config: str) -> dg.ExecuteInProcessResult:
    """Launch a job as a person does in the UI."""
    (made,) = [
        made for made in build_intervention_jobs(world.model) if made.name.endswith(f"__{job}")
    ]
    return made.execute_in_process(
        run_config={"ops": {f"flight_delays__{op}": {"config": config}}} if config else None,
        resources=resources(world),
        raise_on_error=False,
    )


class TestApprove:
    def approve(self, world, resources, **config: str) -> dg.ExecuteInProcessResult:
        given = {"version": "v1", "by": "the flight desk", "reason": "looked at it", **config}
        return launch(world, resources, "approve", "approve_version", **given)

    def test_given_a_version_that_passed_then_the_approval_is_recorded(self, world, resources):
        version = world.add_version("a" * 64)
        assert self.approve(world, resources).success
        (approval,) = world.rows("approval", "a" * 64)
        assert (approval["version"], approval["by"]) == (version, "the flight desk")

    @pytest.mark.parametrize(
        ("config", "said"),
        [
            ({"version": "v9"}, "flight_delays has no version 'v9', it has v1"),
            ({"by": ""}, "approve: 'by' is empty; name the person who answers for it"),
            ({"reason": "ok"}, "approve: reason 'ok' is shorter than 10 characters"),
        ],
    )
    def test_given_a_refusal_then_the_job_fails_in_words_and_writes_nothing(
        self, world, resources, config, said
    ):
        world.add_version("a" * 64)
        before = world.ledger.position()
        done = self.approve(world, resources, **config)
        assert not done.success
        assert said in done.failure_data_for_node("flight_delays__approve_version").error.message
        assert world.ledger.position() == before

    @pytest.mark.parametrize("missing", ["version", "by", "reason"])
    def test_nobody_approves_without_saying_which_who_and_why(self, world, missing):
        config = {"version": "v1", "by": "the flight desk", "reason": "looked at it"}
        del config[missing]
        with pytest.raises(dg.DagsterInvalidConfigError, match=missing):
            dg.validate_run_config(
                build_intervention_jobs(world.model)[-1],
                {"ops": {"flight_delays__approve_version": {"config": config}}},
            )


WHO = {"by": "the flight desk", "reason": "callers report odd answers"}


class TestAskForRetraining:
    def ask(self, world, resources, **config: str) -> dg.ExecuteInProcessResult:
        return launch(world, resources, "ask_for_retraining", "request_retraining", **WHO | config)

    def test_who_asks_why_and_as_of_when_is_recorded(self, world, resources):
        assert self.ask(world, resources, as_of="2013-05-27").success
        assert self.ask(world, resources, as_of="2013-06-03").success
        first, second = world.rows("retraining_request")
        assert (first["by"], first["reason"]) == (WHO["by"], WHO["reason"])
        assert (first["as_of"], second["as_of"]) == ("2013-05-27", "2013-06-03")

    def test_without_a_date_it_is_the_partition_after_the_newest_monitored(self, world, resources):
        world.crown("v1", "a" * 64)
        world.drift("2013-05-20", "passed")
        assert self.ask(world, resources).success
        (request,) = world.rows("retraining_request")
        assert (request["window"], request["as_of"]) == ("2013-05-20", "2013-05-27")

    @pytest.mark.parametrize(
        ("config", "said"),
        [
            ({"by": ""}, "ask_for_retraining: 'by' is empty"),
            ({"reason": "ok"}, "reason 'ok' is shorter than 10 characters"),
            ({}, "ask_for_retraining: as_of is missing; give a partition from 2013-"),
            ({"as_of": "2013-05-28"}, "ask_for_retraining: as_of is 2013-05-28; give a partition"),
        ],
    )
    def test_given_a_refusal_then_the_job_fails_in_words_and_writes_nothing(
        self, world, resources, config, said
    ):
        before = world.ledger.position()
        done = self.ask(world, resources, **config)
        assert not done.success
        assert said in done.failure_data_for_node("flight_delays__request_retraining").error.message
        assert world.ledger.position() == before


class TestInterventions:
    """What they do is tested with their stage; here, that each job does it."""

    @pytest.fixture
    def canary(self, world):
        """A champion v1, and v2 at the first step of its rollout."""
        ports = (world.ledger, world.registry, world.serving, world.telemetry, world.tables)
        for digest, as_of in (("a" * 64, "2013-03-04"), ("b" * 64, "2013-05-06")):
            version = world.add_version(digest, as_of)
            step_rollout(world.model, version, *ports, world.clock)
        return world

    def state(self, world):
        return read_rollout(world.ledger, world.name)

    def test_a_rollout_is_held_let_go_on_and_ended(self, canary, resources):
        assert launch(canary, resources, "pause", "pause_rollout", **WHO).success
        assert self.state(canary).paused
        assert launch(canary, resources, "resume", "resume_rollout", **WHO).success
        assert not self.state(canary).paused
        assert launch(canary, resources, "abort", "abort_rollout", **WHO).success
        assert self.state(canary).phase == "failed"
        told = canary.rows("intervention")
        assert [row["action"] for row in told] == ["pause", "resume", "abort"]
        assert {row["by"] for row in told} == {"the flight desk"}
        assert len({row["request"] for row in told}) == 3

    def test_a_roll_back_asks_for_nothing(self, canary, resources):
        assert launch(canary, resources, "roll_back", "roll_back_release").success
        assert self.state(canary).reason == "rolled back by hand"

    @pytest.mark.parametrize(
        ("job", "op"), [("abort", "abort_rollout"), ("pause", "pause_rollout")]
    )
    def test_given_nothing_in_progress_then_the_job_fails_in_words(self, world, resources, job, op):
        done = launch(world, resources, job, op, **WHO)
        assert not done.success
        said = done.failure_data_for_node(f"flight_delays__{op}").error.message
        assert f"{job}: flight_delays has no rollout in progress" in said

    def test_all_that_touch_a_rollout_wait_for_a_step_under_way(self, world):
        jobs = build_intervention_jobs(world.model)
        for job in (job for job in jobs if not job.name.endswith("ask_for_retraining")):
            assert {node.definition.pool for node in job.nodes} == {"flight_delays__deployment"}
