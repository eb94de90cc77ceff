"""Did it help: the old model and the new one on the same rows, once their labels are there."""

from __future__ import annotations

from dataclasses import asdict

import numpy as np
import polars as pl
import pytest

from mlops_assets.adapters.in_memory import InMemoryModelFiles
from mlops_assets.adapters.journal import write_once
from mlops_assets.components.assets.retraining import describe_outcomes
from mlops_assets.components.stages.retraining_outcomes import Evaluation, evaluate_retrainings
from mlops_assets.lifecycle.training import predict_probability
from mlops_assets_tests.components.bench import ALONE, MONTHS, NAME, Bench, make_bench

OLD, AS_OF, LATER, LAST = MONTHS[8:]
POLICY = {"mode": "enabled", "windows": 1, "violated": 1, "cooldown": 0}
MOMENT = pl.Datetime("us", "UTC")


@pytest.fixture
def bench() -> Bench:
    """Drift before ``AS_OF`` asked for a training; v1 serves, trained a month before."""
    made = make_bench(ALONE | {"retraining": POLICY})
    made.make(OLD)
    made.world.crown("v1", made.world.rows("trained_model", OLD)[-1]["digest"], as_of=OLD)
    made.world.drift(OLD, "failed")
    ask(made, OLD, AS_OF)
    return made


def ask(bench: Bench, window: str, as_of: str) -> None:
    body = {"action": "retrain", "window": window, "as_of": as_of, "trigger": "drift"}
    body |= {"version": "v1", "episode": f"v1/{window}", "reason": "drift"}
    write_once(bench.world.ledger, "retraining", NAME, window, body, bench.world.clock.now())


def serve(bench: Bench) -> None:
    """What was asked for is trained and becomes v2."""
    bench.make(AS_OF)
    digest = bench.world.rows("trained_model", AS_OF)[-1]["digest"]
    bench.world.judge(digest)
    bench.world.crown("v2", digest, as_of=AS_OF)


def answer(bench: Bench, month: str, pending: int = 0, rows: int = 60) -> None:
    """v2 answers the first rows of a month, and labels arrive of all but those pending."""
    days = bench.tables.read(f"{NAME}/labels", [month])["day"].head(rows).to_list()
    nothing = [None] * len(days)
    frame = pl.DataFrame(
        {
            "request_id": [f"{month} {n}" for n in range(len(days))],
            "row": [0] * len(days),
            "version": ["v2"] * len(days),
            "arm": ["primary"] * len(days),
            "entity": days,
            "probability": [0.5] * len(days),
            "received_at": pl.Series(nothing, dtype=MOMENT),
        }
    )
    bench.tables.write(f"{NAME}/predictions", {month: frame})
    known = {"predictions": len(days) + pending, "labelled": len(days), "pending": pending}
    report = {**known, "maturity": "partial" if pending else "final"}
    body = {"v2": report}
    write_once(bench.world.ledger, "performance", NAME, month, body, bench.world.clock.now())


def evaluate(bench: Bench) -> Evaluation:
    w = bench.world
    return evaluate_retrainings(bench.model, bench.tables, w.ledger, bench.files, w.clock)


def relabel(bench: Bench, month: str, change) -> None:
    rows = bench.tables.read(f"{NAME}/labels", [month]).drop("partition")
    bench.tables.write(f"{NAME}/labels", {month: rows.with_columns(change.alias("rain"))})


def test_given_labels_of_enough_months_then_both_models_answer_the_same_rows(bench):
    serve(bench)
    for month in (AS_OF, LATER):
        answer(bench, month, rows=40)
    (found,) = evaluate(bench).outcomes
    assert (found.before, found.after, found.partitions, found.rows) == (
        "v1",
        "v2",
        (AS_OF, LATER),
        80,
    )
    labels = bench.tables.read(f"{NAME}/labels", [AS_OF, LATER]).select("day", "rain")
    features = bench.tables.read(f"{NAME}/features", [AS_OF, LATER])
    rows = features.join(labels, on="day").filter(
        pl.col("day").str.split(" ").list.last().cast(int) < 40
    )
    for which, as_of in (("before", OLD), ("after", AS_OF)):
        model, signature = bench.files.load(bench.world.rows("trained_model", as_of)[-1]["digest"])
        probability = predict_probability(model, rows, signature.features)
        expected = np.mean((rows["rain"].cast(int).to_numpy() - probability) ** 2)
        assert found.brier[which] == pytest.approx(expected)
    assert bench.world.rows("did_it_help", AS_OF)[0]["outcome"] == found.outcome


def test_given_the_old_model_learned_from_labels_that_were_wrong_then_the_new_one_helped(bench):
    for month in MONTHS[:8]:
        relabel(bench, month, ~pl.col("rain"))
    bench.make(OLD)
    bench.world.crown("v1", bench.world.rows("trained_model", OLD)[-1]["digest"], as_of=OLD)
    for month in MONTHS[:8]:
        relabel(bench, month, ~pl.col("rain"))
    serve(bench)
    for month in (AS_OF, LATER):
        answer(bench, month)
    (found,) = evaluate(bench).outcomes
    assert found.outcome == "helped"
    assert found.difference["high"] < 0


def test_given_fewer_months_with_labels_then_it_waits(bench):
    serve(bench)
    answer(bench, AS_OF)
    answer(bench, LATER, pending=2)
    done = evaluate(bench)
    assert done.outcomes == []
    assert done.waiting == [f"{AS_OF}: 1 of 2 partitions answered by v2 have labels"]
    assert bench.world.rows("did_it_help") == []


def test_given_a_request_for_what_no_table_knows_then_its_label_is_not_waited_for(bench):
    serve(bench)
    answer(bench, AS_OF)
    answer(bench, LATER, pending=1, rows=59)
    assert len(evaluate(bench).outcomes) == 1


def test_it_is_recorded_once_and_again_when_labels_change(bench):
    serve(bench)
    for month in (AS_OF, LATER):
        answer(bench, month)
    first, again = evaluate(bench), evaluate(bench)
    assert first == again
    assert len(bench.world.rows("did_it_help")) == 1
    answer(bench, LAST)  # a further month changes nothing
    evaluate(bench)
    assert len(bench.world.rows("did_it_help")) == 1
    relabel(bench, LATER, ~pl.col("rain"))
    (changed,) = evaluate(bench).outcomes
    assert len(bench.world.rows("did_it_help")) == 2
    assert changed.brier != first.outcomes[0].brier


def test_what_is_known_is_read_without_the_models(bench, monkeypatch):
    serve(bench)
    for month in (AS_OF, LATER):
        answer(bench, month)
    first = evaluate(bench)
    monkeypatch.setattr(bench.files, "load", None)
    assert evaluate(bench) == first


def test_given_a_refusal_by_the_gates_then_it_is_recorded_that_it_did_not_serve(bench):
    bench.make(AS_OF)
    digest = bench.world.rows("trained_model", AS_OF)[-1]["digest"]
    bench.world.judge(digest, outcome="failed", reason="auc 0.5 is below 0.6")
    (found,) = evaluate(bench).outcomes
    assert (found.outcome, found.before) == ("did_not_serve", "v1")
    assert found.reason == "refused by its gates: auc 0.5 is below 0.6"
    (row,) = bench.world.rows("did_it_help", AS_OF)
    assert row == {**asdict(found), "partitions": []}


def test_given_a_training_that_failed_then_it_is_waited_for_and_then_recorded(bench):
    assert evaluate(bench).waiting == [f"{AS_OF}: not trained yet"]
    for month in (AS_OF, LATER):
        bench.world.drift(month, "failed")
    (found,) = evaluate(bench).outcomes
    assert (found.outcome, found.reason) == ("did_not_serve", "not trained yet after 2 partitions")


def test_given_it_serves_after_all_then_that_is_recorded_too(bench):
    for month in (AS_OF, LATER):
        bench.world.drift(month, "failed")
    evaluate(bench)
    serve(bench)
    assert evaluate(bench).outcomes == []
    for month in (AS_OF, LATER):
        answer(bench, month)
    evaluate(bench)
    outcomes = [row["outcome"] for row in bench.world.rows("did_it_help", AS_OF)]
    assert outcomes[0] == "did_not_serve"
    assert len(outcomes) == 2
    assert outcomes[1] != "did_not_serve"


def test_given_it_was_replaced_before_it_answered_enough_then_that_is_recorded(bench):
    old = bench.world.rows("trained_model", OLD)[-1]["digest"]
    serve(bench)
    answer(bench, AS_OF)
    bench.world.crown("v1", old, as_of=OLD)
    (found,) = evaluate(bench).outcomes
    assert (found.outcome, found.after) == ("did_not_serve", "v2")
    assert found.reason.startswith("v2 answered in 1 partition(s) before v1 took its place")


def test_given_labels_of_one_class_then_it_waits(bench):
    serve(bench)
    for month in (AS_OF, LATER):
        answer(bench, month)
        relabel(bench, month, pl.lit(value=True))
    assert evaluate(bench).waiting == [f"{AS_OF}: the labels of {AS_OF}, {LATER} are all the same"]


def test_given_the_files_of_the_old_model_are_gone_then_that_is_said_and_others_are_judged(
    bench, monkeypatch
):
    serve(bench)
    for month in (AS_OF, LATER):
        answer(bench, month)
    monkeypatch.setattr(bench, "files", InMemoryModelFiles())
    ask(bench, AS_OF, LATER)
    bench.world.drift(LAST, "failed")
    bench.world.drift(LATER, "failed")
    done = evaluate(bench)
    (said,) = done.waiting
    assert said.startswith(f"{AS_OF}: v1 and v2 cannot both be asked: model files: ")
    assert [found.as_of for found in done.outcomes] == [LATER]


def test_the_newest_outcome_is_shown_first_and_what_is_waited_for_is_named(bench):
    serve(bench)
    for month in (AS_OF, LATER):
        answer(bench, month)
    bench.world.drift(LATER, "failed")
    ask(bench, LATER, LAST)
    shown = describe_outcomes(evaluate(bench))
    assert shown["retrainings"].value.splitlines()[2].startswith(f"| {AS_OF} | drift | ")
    assert shown["waiting"].value == f"- {LAST}: not trained yet"
    assert shown["newest_outcome"] in ("helped", "hurt", "undecided")
    assert "brier_difference" in shown
    nothing = describe_outcomes(Evaluation([], []))
    assert (nothing["newest_outcome"], nothing["waiting"].value) == ("none yet", "*none*")
