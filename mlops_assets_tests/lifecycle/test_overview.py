"""An overview says first what a person has to know."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mlops_assets.lifecycle.overview import MonitoredPartition, draw_sparks, summarise
from mlops_assets.lifecycle.rollout.state import Champion, RolloutState

CHAMPION = Champion("v2", "b" * 64, "2013-05-06", "promoted")
ROLLED_BACK = RolloutState(
    "v3", "c" * 64, "2013-05-13", "failed", 1, 0, "2013-05-20T00:00:00+00:00", "errors"
)
FINE = MonitoredPartition(
    partition="2013-05-20",
    version="v2",
    predictions=600,
    labelled=580,
    maturity="partial",
    positive_rate=0.25,
    estimated=0.149,
    realised=0.152,
    drift="passed",
    said="no column drifted",
)
DRIFTED = replace(FINE, drift="failed", cause="covariate_drift", said="temp (effect 0.31)")
BROKEN = replace(FINE, cause="data_bug", said="temp is in Celsius")


def overview(*partitions, champion=CHAMPION, rollout=None, tested=0.15):
    return summarise(partitions, champion, rollout, tested, "nothing asks for it")


@pytest.mark.parametrize(
    ("given", "status", "piece"),
    [
        (overview(FINE), "all is well", "nothing stands out in 2013-05-20"),
        (overview(DRIFTED), "worth a look", "covariate drift in 2013-05-20: temp (effect 0.31)"),
        (overview(BROKEN), "somebody has to act", "the data of 2013-05-20 are broken"),
        (overview(replace(FINE, drift="failed")), "worth a look", "drift in 2013-05-20"),
        (overview(replace(FINE, drift="inconclusive")), "worth a look", "could not be judged"),
        (overview(replace(FINE, cause="concept_drift")), "worth a look", "concept drift in"),
        (overview(FINE, rollout=ROLLED_BACK), "worth a look", "v3 was rolled back: errors"),
        (overview(BROKEN, rollout=ROLLED_BACK), "somebody has to act", "are broken"),
        (overview(), "worth a look", "no partition has been monitored yet"),
        (overview(FINE, champion=None), "somebody has to act", "no version serves yet"),
        (overview(BROKEN, FINE), "all is well", "nothing stands out"),
    ],
)
def test_the_status_is_that_of_what_matters_most(given, status, piece):
    assert given.status == status
    assert piece in given.reason


def test_each_question_has_an_answer_with_its_numbers():
    answers = dict(overview(DRIFTED, FINE).answers)
    assert answers == {
        "What serves?": "v2, trained as of 2013-05-06",
        "Is it as good as tested?": "Brier score 2013-05-20 0.152 (580 labels), 2013-05-20 0.152 "
        "(580 labels), 0.150 when it was tested",
        "Is the data as in training?": "1 of the last 2 partitions drifted; 2013-05-20: no column "
        "drifted",
        "Is it trained again?": "nothing asks for it",
    }


def test_before_any_label_the_estimate_is_told_as_one():
    waiting = replace(FINE, labelled=0, maturity="estimated", realised=None)
    assert dict(overview(waiting, tested=None).answers)["Is it as good as tested?"] == (
        "Brier score 2013-05-20 estimated 0.149"
    )
    unknown = replace(waiting, estimated=None)
    assert dict(overview(unknown).answers)["Is it as good as tested?"].startswith("no label yet")


def test_only_the_newest_partitions_are_spoken_of():
    keys = [f"2013-0{month}-01" for month in range(1, 8)]
    answers = dict(overview(*[replace(FINE, partition=key) for key in keys]).answers)
    assert "2013-04-01" not in answers["Is it as good as tested?"]
    assert "2013-05-01" in answers["Is it as good as tested?"]
    assert answers["Is the data as in training?"].startswith("0 of the last 3 partitions")


def test_a_version_on_its_way_is_told_with_its_share():
    going = replace(ROLLED_BACK, phase="progressing", weight=10)
    assert dict(overview(FINE, rollout=going).answers)["What serves?"].endswith(
        "v3 is being rolled out, at 10 %"
    )


def test_without_anything_every_question_still_has_an_answer():
    answers = dict(overview(champion=None, tested=None).answers)
    assert answers["What serves?"] == "nothing"
    assert answers["Is it as good as tested?"] == "no label yet"
    assert answers["Is the data as in training?"] == "not compared yet"


@pytest.mark.parametrize(
    ("values", "sparks"),
    [
        ([0.1, 0.2, 0.3], "▁▅█"),
        ([0.3, None, 0.1], "█ ▁"),
        ([0.2, 0.2], "▁▁"),
        ([None, None], "  "),
        ([], ""),
    ],
)
def test_sparks_rise_with_the_values_and_leave_a_gap_where_there_is_none(values, sparks):
    assert draw_sparks(values) == sparks
