"""Model cards: all the evidence, in a form people read, and nothing beside it."""

from __future__ import annotations

import math
import re
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlops_assets.lifecycle.evaluation import EvaluationReport
from mlops_assets.lifecycle.model_card import (
    CardFacts,
    ChampionFacts,
    MakingFacts,
    RowsUsed,
    write_card,
)
from mlops_assets.lifecycle.resampling import Interval
from mlops_assets.lifecycle.training import Feature, ModelSignature
from mlops_assets.lifecycle.verdicts import Verdict

SIGNATURE = ModelSignature(
    model="flight_delays",
    features=(Feature("distance", "numeric"), Feature("carrier", "categorical")),
    entity_key="flight_id",
    time="scheduled_departure",
    label="late",
    train_as_of="2013-03-04",
    training_set="d" * 64,
    estimator="build_estimator",
    parameters={"classifier__max_leaf_nodes": 31},
)
REPORT = EvaluationReport(
    rows=12_345,
    positive_rate=0.2468,
    metrics={"auc": 0.7, "brier": 0.17, "log_loss": 0.5, "calibration_error": 0.02},
    calibration={"predicted": [0.1, 0.3], "observed": [0.15, 0.25], "rows": [6173.0, 6172.0]},
    slices={
        "carrier": {
            "UA": {
                "rows": 9000.0,
                "positive_rate": 0.2,
                "auc": 0.7,
                "brier": 0.15,
                "brier_low": 0.14,
                "brier_high": 0.16,
                "days": 14,
            },
            "HA": {"rows": 12.0, "positive_rate": 0.5, "auc": None, "brier": 0.31},
        },
        "hour": {"8": {"rows": 500.0, "positive_rate": 0.3, "auc": 0.6, "brier": 0.22}},
    },
    importance={"distance": 0.05, "carrier": 0.01},
    intervals={
        metric: {"value": 0.5, "low": 0.4321, "high": 0.5432, "days": 14}
        for metric in ("auc", "brier", "log_loss", "calibration_error")
    },
    costs={
        "false_alarm": 1.0,
        "miss": 4.0,
        "threshold": 0.2,
        "cost": 0.4,
        "flagged_share": 0.35,
        "precision": 0.44,
        "recall": 0.85,
        "cost_never": 0.99,
        "cost_always": 0.75,
        "interval": {"value": 0.4, "low": 0.38, "high": 0.42, "days": 14},
    },
)
CHAMPION = ChampionFacts(
    "v3",
    replace(REPORT, metrics={**REPORT.metrics, "brier": 0.19}),
    {"brier": Interval(-0.02, -0.03, -0.01, 14)},
)
FACTS = CardFacts(
    signature=SIGNATURE,
    digest="a" * 64,
    report=REPORT,
    verdict=Verdict("may_become_challenger", "failed", "brier is too high"),
    gates=[Verdict("brier_is_low_enough", "failed", "brier 0.1700, at most 0.16 is asked")],
    description="Will a flight be late?",
    owners=["team:flights"],
    rows=[RowsUsed("fit", 50_000, "2013-01-07", "2013-02-11")],
    making=MakingFacts(
        "ensemble",
        "log loss 0.44 against 0.45",
        {"boosting": 0.61, "logistic": 0.39},
        "sigmoid",
        "log loss 0.43 against 0.44",
    ),
    champion=CHAMPION,
    override="overridden by the flight desk until 2013-05-05: needed for a drill",
)
BARE = CardFacts(SIGNATURE, "a" * 64, EvaluationReport(5, 0.2, {"auc": 0.7}), FACTS.verdict)

SECTIONS = [
    "Inputs",
    "Rows",
    "How it was made",
    "Metrics on later rows",
    "Against the champion",
    "Gates",
    "Slices, worst first",
    "Calibration",
    "Costs",
    "Importance",
]


def sections(card):
    return re.findall(r"(?m)^## (.*)$", card)


def table(card, section):
    """The cells of the one table of a section, its head first."""
    text = card.split(f"## {section}\n")[1].split("\n## ")[0]
    lines = [line for line in text.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]


def test_a_card_has_all_its_sections_in_their_order():
    assert sections(write_card(FACTS)) == SECTIONS


def test_sections_without_evidence_are_left_out():
    assert sections(write_card(BARE)) == ["Inputs", "How it was made", "Metrics on later rows"]


@pytest.mark.parametrize(
    "said",
    [
        "# flight_delays, as of 2013-03-04",
        "Will a flight be late?",
        "Verdict **failed**: brier is too high",
        "**overridden by the flight desk until 2013-05-05: needed for a drill**",
        "Model `aaaaaaaaaaaa`, training set `dddddddddddd`.",
        "Owners: team:flights.",
        "The probability of `late`, one row per `flight_id`, from 2 features.",
        "- 1 categorical: `carrier`",
        "Estimator `build_estimator` with `classifier__max_leaf_nodes` 31.",
        "Chosen **ensemble**: log loss 0.44 against 0.45",
        "Weights: boosting 0.610, logistic 0.390.",
        "Calibration **sigmoid**: log loss 0.43 against 0.44",
        "12,345 rows, 24.7% of them positive.",
        "Intervals of 95%, whole days resampled (14 days).",
        "v3 on the same 12,345 rows.",
        "A false alarm costs 1, a miss 4. Rows of probability 0.200 or more are flagged: 35.0% of "
        "the rows, precision 44.0%, recall 85.0%.",
    ],
)
def test_a_card_says(said):
    assert said in write_card(FACTS).splitlines()


def test_metrics_stand_beside_their_intervals():
    assert table(write_card(FACTS), "Metrics on later rows")[:3] == [
        ["metric", "value", "interval"],
        ["auc", "0.7000", "0.4321 to 0.5432"],
        ["brier", "0.1700", "0.4321 to 0.5432"],
    ]


def test_the_champion_stands_beside_this_model_with_the_paired_difference():
    rows = table(write_card(FACTS), "Against the champion")
    assert rows[0] == ["metric", "this model", "v3", "worse by (interval)"]
    assert rows[2] == ["brier", "0.1700", "0.1900", "-0.0200 (-0.0300 to -0.0100)"]
    assert rows[1] == ["auc", "0.7000", "0.7000", ""]


def test_gates_stand_with_outcome_and_reason():
    assert table(write_card(FACTS), "Gates")[1:] == [
        ["brier_is_low_enough", "failed", "brier 0.1700, at most 0.16 is asked"]
    ]


def test_slices_come_worst_first():
    assert table(write_card(FACTS), "Slices, worst first")[1:] == [
        ["carrier", "HA", "12", "50.0%", "0.3100", "", "none"],
        ["hour", "8", "500", "30.0%", "0.2200", "", "0.6000"],
        ["carrier", "UA", "9,000", "20.0%", "0.1500", "0.1400 to 0.1600", "0.7000"],
    ]


def test_of_many_slices_the_worst_are_shown_and_their_number_said():
    parts = {f"v{n:02}": {"rows": 9.0, "brier": n / 100, "auc": None} for n in range(40)}
    card = write_card(replace(FACTS, report=replace(REPORT, slices={"s": parts})))
    assert "The worst 15 of 40 by Brier score." in card
    shown = [row[1] for row in table(card, "Slices, worst first")[1:]]
    assert shown == [f"v{n:02}" for n in range(39, 24, -1)]


def test_costs_stand_with_their_interval_and_beside_deciding_nothing():
    assert table(write_card(FACTS), "Costs")[1:] == [
        ["at the threshold", "0.4000", "0.3800 to 0.4200"],
        ["flagging no row", "0.9900", ""],
        ["flagging every row", "0.7500", ""],
    ]


def test_where_no_row_is_flagged_there_is_no_precision():
    costs = {**REPORT.costs, "precision": None}
    card = write_card(replace(FACTS, report=replace(REPORT, costs=costs)))
    assert "precision none, recall 85.0%" in card


def test_an_interval_without_ends_says_why():
    one_day = {"auc": {"value": 0.7, "low": None, "high": None, "days": 1}}
    card = write_card(replace(FACTS, report=replace(REPORT, intervals=one_day)))
    assert table(card, "Metrics on later rows")[1] == ["auc", "0.7000", "too few days"]
    unknown = {"brier": Interval(0.01, -math.inf, math.inf, 1)}
    card = write_card(replace(FACTS, champion=replace(CHAMPION, worse_by=unknown)))
    assert table(card, "Against the champion")[2][3] == "+0.0100 (too few days)"


def test_a_model_that_passed_is_not_called_overridden():
    assert "overridden" not in write_card(replace(FACTS, override=None))


@settings(max_examples=60)
@given(text=st.text(max_size=40))
def test_no_text_breaks_a_table_or_begins_a_section(text):
    slices = {"s": {text: {"rows": 9.0, "brier": 0.1, "auc": None}}}
    card = write_card(
        replace(
            FACTS,
            report=replace(REPORT, slices=slices),
            gates=[Verdict("gate", "failed", f"{text}\n## {text}")],
            override=f"by {text}",
        )
    )
    assert sections(card) == SECTIONS
    for section in ("Gates", "Slices, worst first"):
        head, *rows = table(card, section)
        assert {len(row) for row in rows} == {len(head)}
        assert len(rows) == 1


def test_the_same_facts_give_the_same_card():
    assert write_card(FACTS) == write_card(replace(FACTS))
