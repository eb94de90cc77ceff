"""The whole life of a second model, in process, with every adapter a real one."""

from __future__ import annotations

import csv
import gzip
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

import dagster as dg
import httpx
import pytest
import yaml
from dagster._core.errors import DagsterUnknownPartitionError
from dagster.components.testing import create_defs_folder_sandbox
from sklearn.metrics import brier_score_loss, log_loss, roc_auc_score
from vega_datasets import data as vega

from mlops_assets.adapters.journal import read_champion, read_rollout
from mlops_assets.adapters.mlflow_tracking import connect
from mlops_assets.commands.replay import build_request
from mlops_assets.components.model_lifecycle import ModelLifecycleComponent
from mlops_assets.lifecycle.training import predict_probability
from mlops_assets_tests.examples.reading import read_example, written
from mlops_assets_tests.loop.conftest import (
    AS_OF,
    EXAMPLE,
    RAIN,
    MakeWorld,
    World,
    failure,
)

MODEL = "seattle_rain"
DRIFTING = ("2015-05-01", "2015-06-01")
"""Two months that are drier than the twelve before the first training."""


def published() -> list[dict[str, str]]:
    """The data set as it is published, read without anything of ours."""
    with Path(vega.seattle_weather.filepath).open() as file:
        return list(csv.DictReader(file))


def rain_by_day() -> dict[date, bool]:
    return {
        date(*map(int, row["date"].split("/"))): float(row["precipitation"]) > 0
        for row in published()
    }


BY_HAND = ("roll_back", "abort", "pause", "resume", "approve", "ask_for_retraining")
JOBS = ("ingest", "train", "walk_forward", "release", "monitor", "drill", *BY_HAND)


def test_the_folder_is_all_that_dagster_needs_to_load_the_model():
    with create_defs_folder_sandbox() as sandbox:
        place = sandbox.scaffold_component(
            ModelLifecycleComponent,
            defs_path="seattle_rain",
            defs_yaml_contents=yaml.safe_load((EXAMPLE / "defs.yaml").read_text()),
        )
        (place / "model.py").write_text((EXAMPLE / "model.py").read_text())
        with sandbox.load_component_and_build_defs(place) as (component, definitions):
            assert component.model.spec == read_example(RAIN).spec
            loaded = {key.path[-1] for asset in definitions.assets or () for key in asset.keys}
            jobs = {job.name for job in definitions.jobs or ()}
    data = {"raw_days", "validated_days", "quarantined_days", "labels", "features"}
    training = {"training_set", "trained_model", "evaluation", "model_version"}
    by_hand = {"gate_override", "backtest"}
    life = {"deployment", "rollback_drill", "predictions", "performance", "drift_report"}
    life |= {"retraining_decision", "retraining_outcome", "overview"}
    assert loaded == data | training | by_hand | life
    assert jobs == {f"{MODEL}__{job}" for job in JOBS}


# From raw rows to features ------------------------------------------------------------------


def test_every_published_row_is_in_exactly_one_month_and_validated_or_set_aside(ingested):
    expected = Counter(f"{row['date'][:7].replace('/', '-')}-01" for row in published())
    counts = {
        part: Counter(ingested.read(f"{part}_days")["partition"])
        for part in ("raw", "validated", "quarantined")
    }
    assert counts["raw"] == expected
    assert counts["raw"] == counts["validated"] + counts["quarantined"]


def test_features_are_what_a_person_would_count_from_the_days_before(ingested):
    rained = rain_by_day()
    for row in ingested.read("features").iter_rows(named=True):
        day = date.fromisoformat(row["day"])
        for days, name in ((1, "rained_yesterday"), (3, "rain_rate_3d"), (28, "rain_rate_28d")):
            before = [rained.get(day - timedelta(days=back)) for back in range(1, days + 1)]
            known = [value for value in before if value is not None]
            assert row[name] == (pytest.approx(sum(known) / len(known)) if known else None), row


def test_months_ingested_one_by_one_have_the_features_of_a_range_run(ingested, make_world):
    world = make_world()
    months = world.model.calendar.keys[:4]
    for month in months:
        assert world.job("ingest", month).success
    assert world.read("features").equals(ingested.read("features", *months))


# From features to the endpoint --------------------------------------------------------------


def test_the_first_version_is_registered_and_champion_once_released(serving):
    (version,) = serving.resources["registry"].versions(MODEL)
    champion = read_champion(serving.ledger, MODEL)
    trained = serving.ledger.latest("trained_model", MODEL, AS_OF)
    assert (version.version, version.aliases) == ("v1", ("champion",))
    assert version.digest == champion.digest == trained.body["digest"]
    assert (champion.version, champion.train_as_of) == ("v1", AS_OF)
    assert read_rollout(serving.ledger, MODEL, "v1").phase == "succeeded"
    assert serving.ask("advance_rollout") == "no rollout in progress and no new version"


def test_a_model_trained_twice_from_the_same_data_has_the_same_digest(serving, strict):
    first = serving.ledger.latest("trained_model", MODEL, AS_OF).body
    assert serving.launch("train", AS_OF, trained_model={"again": True}).success
    again = serving.ledger.latest("trained_model", MODEL, AS_OF).body
    elsewhere = strict.ledger.latest("trained_model", MODEL, AS_OF).body
    assert again["tracking_run"] != first["tracking_run"]
    assert first["digest"] == again["digest"] == elsewhere["digest"]
    assert len(serving.resources["registry"].versions(MODEL)) == 1


@dataclass(frozen=True)
class Traffic:
    """What was answered over HTTP for each day of the months sent, before any monitoring."""

    world: World
    url: str
    answers: dict[str, float]


@pytest.fixture(scope="module")
def traffic(serving) -> Traffic:
    model, url = serving.model, serving.resources["serving"].ensure_running().url
    answers = {}
    with httpx.Client(base_url=url, timeout=30, trust_env=False) as client:
        for row in serving.read("features", *DRIFTING).iter_slices(1):
            body = build_request(row, model.features, "day", "morning")
            answer = client.post(f"/v2/models/{MODEL}/infer", json=body)
            assert answer.status_code == 200, answer.text
            answers[row["day"].item()] = answer.json()["outputs"][0]["data"][0]
    for month in DRIFTING:
        assert serving.job("monitor", month).success
    return Traffic(serving, url, answers)


def test_the_endpoint_answers_what_the_model_says_offline(traffic):
    world = traffic.world
    champion = read_champion(world.ledger, MODEL)
    fitted, signature = world.resources["model_files"].load(champion.digest)
    rows = world.read("features", *DRIFTING)
    offline = predict_probability(fitted, rows, signature.features)
    assert traffic.answers == pytest.approx(dict(zip(rows["day"], offline, strict=True)), abs=1e-12)


def test_every_answer_is_collected_once_however_often_it_is_asked_for(traffic):
    assert traffic.world.job("monitor", DRIFTING[0]).success
    predictions = traffic.world.read("predictions")
    assert dict(zip(predictions["entity"], predictions["probability"], strict=True)) == (
        traffic.answers
    )
    assert predictions.height == len(traffic.answers)
    assert set(predictions["version"]) == {"v1"}
    features = traffic.world.read("features", *DRIFTING)
    names = [feature.name for feature in traffic.world.model.features]
    assert predictions.select(names).equals(features.select(names))


@pytest.mark.parametrize("month", DRIFTING)
def test_performance_is_what_scikit_learn_says_of_answers_and_labels(traffic, month):
    rained = rain_by_day()
    days = [day for day in traffic.answers if day.startswith(month[:7])]
    truth = [rained[date.fromisoformat(day)] for day in days]
    answers = [traffic.answers[day] for day in days]
    report = traffic.world.ledger.latest("performance", MODEL, month).body["v1"]
    assert report["predictions"] == report["labelled"] == len(days)
    assert report["positive_rate"] == pytest.approx(sum(truth) / len(truth))
    assert report["metrics"]["auc"] == pytest.approx(roc_auc_score(truth, answers))
    assert report["metrics"]["brier"] == pytest.approx(brier_score_loss(truth, answers))
    assert report["metrics"]["log_loss"] == pytest.approx(log_loss(truth, answers))


def test_drift_is_reported_against_the_champion_with_a_page_to_look_at(traffic):
    for month in DRIFTING:
        drift = traffic.world.ledger.latest("drift", MODEL, month).body
        assert (drift["version"], drift["outcome"]) == ("v1", "failed")
        assert {"rained_yesterday", "rain_rate_28d"} <= {
            column["column"] for column in drift["columns"] if column["drifted"]
        }
        reports = traffic.world.resources["reports"].root
        assert len(list(reports.rglob(f"*{month}*.html"))) == 1


@pytest.fixture(scope="module")
def retrained(traffic) -> World:
    """The world after drift asked for a training, which was released as the sensors asked."""
    world = traffic.world
    request = world.ask("retrain_on_drift")
    assert isinstance(request, dg.RunRequest)
    assert world.job("train", request.partition_key).success
    release = world.ask("advance_rollout")
    while isinstance(release, dg.RunRequest):
        assert world.job("release", release.partition_key).success
        release = world.ask("advance_rollout")
    return world


def test_drift_is_answered_by_a_new_champion_and_the_endpoint_follows(retrained):
    decision = retrained.ledger.latest("retraining", MODEL, DRIFTING[-1]).body
    assert (decision["action"], decision["as_of"]) == ("retrain", "2015-07-01")
    aliases = {v.version: v.aliases for v in retrained.resources["registry"].versions(MODEL)}
    assert aliases == {"v1": (), "v2": ("champion",)}
    assert read_champion(retrained.ledger, MODEL).train_as_of == decision["as_of"]
    assert retrained.resources["serving"].wait_until_ready(MODEL, "v2", 30)
    assert retrained.ask("retrain_on_drift") == "no drift report against v2 yet"


def test_a_backtest_of_an_earlier_month_does_not_ask_to_replace_a_newer_champion(retrained):
    retrained.job("train", "2014-10-01")
    assert not isinstance(retrained.ask("advance_rollout"), dg.RunRequest)


# What is refused ----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def strict(ingested: World) -> World:
    """A training that its gates have stopped."""
    assert "auc_is_high_enough" in failure(ingested.job("train", AS_OF))
    return ingested


def digest_of(world: World, as_of: str) -> str:
    digest: str = world.ledger.latest("trained_model", MODEL, as_of).body["digest"]
    return digest


def test_a_version_whose_gates_failed_is_not_registered_by_its_asset_alone(strict):
    said = failure(strict.materialize("model_version", AS_OF))
    assert said.startswith(f"{MODEL}: model {digest_of(strict, AS_OF)[:12]} was judged failed: ")
    assert "auc_is_high_enough" in said
    assert strict.ledger.latest("version", MODEL) is None


def test_a_version_that_was_never_evaluated_is_not_registered(strict):
    later = "2015-02-01"
    for asset in ("training_set", "trained_model"):
        assert strict.materialize(asset, later).success
    assert failure(strict.materialize("model_version", later)) == (
        f"{MODEL}: model {digest_of(strict, later)[:12]} has no verdict; "
        "materialize its evaluation first"
    )


def test_a_version_that_is_not_there_cannot_be_deployed(strict):
    with pytest.raises(DagsterUnknownPartitionError, match="v99"):
        strict.materialize("deployment", "v99")


def test_a_version_registered_by_other_hands_is_not_deployed(strict):
    registry = strict.resources["registry"]
    trained = strict.ledger.latest("trained_model", MODEL, AS_OF).body
    version = registry.register(MODEL, trained["digest"], trained["model_uri"], {}).version
    strict.instance.add_dynamic_partitions(f"{MODEL}__versions", [version])
    for refused in (strict.job("release", version), strict.materialize("deployment", version)):
        assert failure(refused) == (
            f"{MODEL} {version}: the registry's digest is not the recorded one; it was registered "
            "or edited by other hands, train and register it again"
        )
    assert read_rollout(strict.ledger, MODEL) is None
    assert strict.resources["serving"].stop() is False


def test_a_version_that_passed_weaker_gates_is_not_deployed_under_stricter_ones(strict):
    later = "2015-03-01"
    lenient = strict.stating({"gates": {"minimum": {"auc": 0.55}, "minimum_rows": 150}})
    assert lenient.job("train", later).success
    version = strict.ledger.latest("version", MODEL).subject
    said = failure(strict.materialize("deployment", version))
    assert said == (
        f"{MODEL}: model {digest_of(strict, later)[:12]} was judged by other gates than defs.yaml "
        "states now; materialize its evaluation again"
    )
    assert read_champion(strict.ledger, MODEL) is None


def test_a_version_registered_in_mlflow_without_our_tags_does_not_stop_the_others(strict, tmp_path):
    registry = strict.resources["registry"]
    client = connect(registry.uri)
    client.create_registered_model("by_hand")
    client.create_model_version("by_hand", tmp_path.as_uri())
    assert registry.register("by_hand", "0" * 64, tmp_path.as_uri(), {}).version == "v2"


# What is wrong with a file ------------------------------------------------------------------

MONTHS = [f"2012-{month:02d}-01" for month in range(1, 7)]
GOOD, MISSING, WRONG, TWICE, TORN, ABSENT = MONTHS


@pytest.fixture
def delivered(tmp_path: Path) -> Path:
    """The example's folder with one file for each of six months beside its defs.yaml."""
    (tmp_path / "model.py").write_text((EXAMPLE / "model.py").read_text())
    (tmp_path / "days").mkdir()
    for month in MONTHS:
        edit(tmp_path, month, lambda _: month_of(month))  # noqa: B023
    return tmp_path


def month_of(month: str) -> list[str]:
    """A month's lines of the published file, after its heading."""
    heading, *lines = Path(vega.seattle_weather.filepath).read_text().splitlines()
    return [heading, *(line for line in lines if line.startswith(month[:7].replace("-", "/")))]


def edit(folder: Path, month: str, change: Callable[[list[str]], list[str]]) -> None:
    path = folder / "days" / f"{month}.csv.gz"
    lines = gzip.decompress(path.read_bytes()).decode().splitlines() if path.exists() else []
    path.write_bytes(gzip.compress("\n".join(change(lines)).encode()))


def replaced(line: int, column: int, text: str) -> Callable[[list[str]], list[str]]:
    """A change of one value; the first line, the heading, is line 1."""

    def change(lines: list[str]) -> list[str]:
        values = lines[line - 1].split(",")
        values[column] = text
        return [*lines[: line - 1], ",".join(values), *lines[line:]]

    return change


@pytest.fixture
def monthly(make_world: MakeWorld, delivered: Path) -> World:
    """Six good months ingested, before any file is broken."""
    days = {**written(RAIN)["sources"]["days"], "path": "days/{partition}.csv.gz"}
    world = make_world({"sources": {"days": days}}, folder=delivered)
    assert world.ingest(GOOD, ABSENT).success
    return world


def test_a_bad_file_fails_its_own_month_alone_and_says_what_is_wrong_where(monthly, delivered):
    tables = ("raw_days", "validated_days", "labels", "features")
    before = {table: monthly.read(table) for table in tables}
    edit(delivered, GOOD, replaced(2, 1, "7.5"))
    edit(delivered, MISSING, replaced(1, 4, "windspeed"))
    edit(delivered, WRONG, replaced(5, 2, "warm"))
    edit(delivered, TWICE, lambda lines: [*lines, lines[3]])
    torn = delivered / "days" / f"{TORN}.csv.gz"
    torn.write_bytes(torn.read_bytes()[:-20])
    (delivered / "days" / f"{ABSENT}.csv.gz").unlink()

    said = failure(monthly.ingest(GOOD, ABSENT))

    summary, *reasons = said.splitlines()
    assert summary == "5 partition(s) of seattle_rain/raw_days not written, 1 written."
    assert reasons[:3] == [
        f"{MISSING}.csv.gz: column 'wind' is missing, the file has date, precipitation, temp_max, "
        "temp_min, windspeed, weather; did you mean 'windspeed'?",
        f"{WRONG}.csv.gz: column 'temp_max' must be float, 1 row(s) are not: line 5 ('warm')",
        f"{TWICE}.csv.gz: key (date) must be unique, 2 row(s) share one: "
        "line 4 (datetime.date(2012, 4, 3)), line 32 (datetime.date(2012, 4, 3))",
    ]
    assert reasons[3].startswith(f"{TORN}.csv.gz: the archive is truncated or damaged")
    assert reasons[4].startswith(f"{ABSENT}.csv.gz: the file cannot be read (No such file")
    for table, rows in before.items():
        assert monthly.read(table, *MONTHS[1:]).equals(rows.filter(rows["partition"] != GOOD))
    assert monthly.read("raw_days", GOOD)["precipitation"][0] == 7.5


def test_a_mended_file_is_ingested_again_and_an_implausible_row_is_set_aside(monthly, delivered):
    edit(delivered, GOOD, replaced(3, 1, "-4"))
    result = monthly.job("ingest", GOOD)
    assert not result.success  # 1 of 31 rows is more than the policy lets pass
    (aside,) = monthly.read("quarantined_days", GOOD).iter_rows(named=True)
    assert (aside["source_line"], aside["date"]) == (3, date(2012, 1, 2))
    assert aside["quarantine_reason"] == "precipitation: greater_than_or_equal_to(0.0)"
    assert monthly.read("validated_days", GOOD).height == 30
    edit(delivered, GOOD, replaced(3, 1, "4"))
    assert monthly.job("ingest", GOOD).success
    assert monthly.read("quarantined_days", GOOD).is_empty()
    assert monthly.read("validated_days", GOOD).height == 31
