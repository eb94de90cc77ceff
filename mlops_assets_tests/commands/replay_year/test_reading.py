"""What is read of a week: answers callers got, each row once, and the estimate over versions."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import polars as pl
import pytest

from mlops_assets.adapters.in_memory import InMemoryLedger, InMemoryTables
from mlops_assets.adapters.journal import write_once
from mlops_assets.commands.replay_year.reading import read_answers, read_estimate
from mlops_assets.commands.replay_year.traffic import Traffic
from mlops_assets_tests.examples.reading import read_example

MONTH = "2015-01-01"
MODEL = read_example("seattle_rain")
MORNING = datetime(2015, 1, 1, 15, tzinfo=UTC)


def answer(day: int, probability: float | None, arm: str | None = "primary", later: int = 0):
    moment = MORNING + timedelta(days=day - 1)
    return {
        "entity": f"2015-01-{day:02d}",
        "moment": moment,
        "received_at": moment + timedelta(hours=later),
        "probability": probability,
        "arm": arm,
        "partition": MONTH,
    }


def tables(*answers: dict, rain: dict[int, bool | None]) -> InMemoryTables:
    made = InMemoryTables()
    made.write("seattle_rain/predictions", {MONTH: pl.DataFrame(list(answers)).drop("partition")})
    labels = {"day": [f"2015-01-{day:02d}" for day in rain], "rain": list(rain.values())}
    made.write("seattle_rain/labels", {MONTH: pl.DataFrame(labels)})
    return made


def test_squared_errors_are_summed_by_local_day():
    found = read_answers(
        MODEL, MONTH, tables(answer(1, 0.9), answer(2, 0.2), rain={1: True, 2: False})
    )
    assert found.rows == 2
    assert found.late_rate == 0.5
    assert found.days == {
        "2015-01-01": (pytest.approx(0.01), 1),
        "2015-01-02": (pytest.approx(0.04), 1),
    }


def test_copies_rows_without_a_label_and_later_answers_to_the_same_row_do_not_count():
    found = read_answers(
        MODEL,
        MONTH,
        tables(
            answer(1, 0.5),
            answer(1, 0.9, later=1),
            answer(1, 0.7, arm="shadow", later=-1),
            answer(2, 0.9),
            rain={1: True, 2: None},
        ),
    )
    assert found.days == {"2015-01-01": (pytest.approx(0.25), 1)}


def told(brier: float | None, predictions: int) -> dict:
    return {"predictions": predictions, "estimated": {} if brier is None else {"brier": brier}}


def test_the_estimate_is_over_all_answers_callers_got():
    ledger = InMemoryLedger()
    body = {"v1": told(0.2, 30), "v2": told(0.1, 10), "v3 (shadow)": told(0.9, 40)}
    write_once(ledger, "performance", MODEL.name, MONTH, body, MORNING)
    assert read_estimate(ledger, MODEL.name, MONTH) == pytest.approx(0.175)


@pytest.mark.parametrize("body", [None, {"v1": told(None, 30)}])
def test_where_nothing_was_estimated_there_is_no_estimate(body):
    ledger = InMemoryLedger()
    if body:
        write_once(ledger, "performance", MODEL.name, MONTH, body, MORNING)
    assert read_estimate(ledger, MODEL.name, MONTH) is None


def test_traffic_is_in_order_of_time_and_thinned_evenly():
    made = InMemoryTables()
    hours = [MORNING + timedelta(hours=hour) for hour in range(300)]
    rows = pl.DataFrame({"morning": hours[::-1], "day": [f"{at:%dT%H}" for at in hours[::-1]]})
    made.write("seattle_rain/features", {MONTH: rows})
    every = Traffic(MODEL, {"tables": made}, 1).rows(MONTH)
    assert every["morning"].to_list() == hours
    assert Traffic(MODEL, {"tables": made}, 3).rows(MONTH)["morning"].to_list() == hours[::3]
