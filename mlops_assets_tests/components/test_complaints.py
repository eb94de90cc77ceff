"""What only shows when the sections of a defs.yaml are read together, said about the real one."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from mlops_assets.components.complaints import columns_in_sql, find_source_complaints
from mlops_assets.components.specs import SourceSpec
from mlops_assets.defs import flight_delays

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
TEXT = (Path(flight_delays.__file__).parent / "defs.yaml").read_text()
WRITTEN = yaml.safe_load(TEXT)["attributes"]
FEATURES = ", ".join(
    name for kind in ("categorical", "numeric") for name in WRITTEN["features"][kind]
)
TAKEN = (
    "flight_id, scheduled_departure, predicted_at, known_at, moment, day, partition, request_id, "
    "row, version, digest, arm, received_at, entity, time, probability, milliseconds, model, routed"
)
WEATHER_DAYS = "partitioned_by: [year, month, day]\n      key: [origin"
WATCHED = "\n    minimum_rows: 300"
SLICE = "hour: departure_minute // 60"
BEHAVIOUR = "behaviour: [late_airports_raise_the_risk, seats_hardly_matter]"
SEED = "    seed: 7\n"
KEPT = "calibration: 1, "


def part(pattern: str) -> str:
    """The one part of the real text that fits a pattern."""
    (found,) = re.findall(pattern, TEXT)
    return found


TUNING = part(r"(?m)^  tuning: .*\n\n")
ENSEMBLE = part(r"(?m)^  ensemble: .*\n\n")
SPACE = part(r"(?m)^      space:\n(?:        .*\n)+")
OTHERS = part(r"(?m)(?:^    \w+: {estimator: \w+}\n)+")
ESTIMATORS = {name: stated["estimator"] for name, stated in WRITTEN["candidates"].items()}
(SEARCHED,) = [name for name, stated in WRITTEN["candidates"].items() if "space" in stated]
LAST, BUILDS_LAST = list(ESTIMATORS.items())[-1]
RANGE = "{low: 1, high: 2}"
FUNCTIONS = (
    "build_entities",
    "build_labels",
    "build_features",
    *ESTIMATORS.values(),
    "late_airports_raise_the_risk",
    "seats_hardly_matter",
)


def case(changes: dict[str, str], *said: tuple[str, str, str]):
    """A wrong text, and each line said about it: the text it lies at, the key, the rule."""
    named = "".join(next(iter(changes.values())).split())
    return pytest.param(changes, said, id=f"{said[0][1]}: {named[:40]}")


@pytest.fixture(scope="session")
def alone(flight_delays_text):
    """The real defs.yaml with one estimator in place of candidates and their ensemble."""
    text = flight_delays_text.replace(ENSEMBLE, "")
    begin, end = text.index("  candidates:"), text.index("  tuning:")
    text = text[:begin] + text[end:]
    return text.replace(SEED, f"    estimator: build_boosting\n{SEED}")


@pytest.fixture
def write_model(tmp_path):
    """A folder with a model.py of empty functions."""

    def write(*names: str):
        (tmp_path / "model.py").write_text("".join(f"def {name}(): ...\n" for name in names))
        return tmp_path

    return write


ENTITIES = [
    case(
        {"    source: flights": "    source: flight"},
        (
            "source: flight",
            "entities.source",
            f"unknown source 'flight', allowed are {SOURCES}; did you mean 'flights'?",
        ),
    ),
    case(
        {"[year, month, day, sched_dep_time,": "[year, month, day, sched_dep_tme,"},
        (
            "known:",
            "entities.known",
            f"unknown column 'sched_dep_tme', allowed are {FLIGHTS}; "
            "did you mean 'sched_dep_time'?",
        ),
    ),
]

SOURCE = [
    case(
        {"key: [tailnum]": "key: [tailnr]"},
        (
            "key: [tailnr]",
            "sources.planes.key",
            f"unknown column 'tailnr', allowed are {PLANES}; did you mean 'tailnum'?",
        ),
    ),
    case(
        {"key: [tailnum]": "key: [tailnum, tailnum]"},
        ("key: [tailnum,", "sources.planes.key", "column 'tailnum' is named twice"),
    ),
    case(
        {WEATHER_DAYS: WEATHER_DAYS.replace("year", "yer")},
        (
            "[yer,",
            "sources.weather.partitioned_by",
            f"unknown column 'yer', allowed are {WEATHER}; did you mean 'year'?",
        ),
    ),
    case(
        {WEATHER_DAYS: WEATHER_DAYS.replace(", day", "")},
        (
            "partitioned_by: [year, month]",
            "sources.weather.partitioned_by",
            "names one date or datetime column, or year, month and day; got 2 columns",
        ),
    ),
    case(
        {WEATHER_DAYS: WEATHER_DAYS.replace("day", "temp")},
        (
            "partitioned_by: [year, month, temp]",
            "sources.weather.partitioned_by",
            "column 'temp' has to be int, it is float",
        ),
    ),
    case(
        {WEATHER_DAYS: WEATHER_DAYS.replace("year, month, day", "temp")},
        (
            "partitioned_by: [temp]",
            "sources.weather.partitioned_by",
            "column 'temp' has to be date or datetime, it is float",
        ),
    ),
    case(
        {"time: time_hour\n": "time: hour_time\n"},
        (
            "time: hour_time",
            "sources.weather.time",
            f"unknown column 'hour_time', allowed are {WEATHER}; did you mean 'hour'?",
        ),
    ),
    case(
        {"time: time_hour\n": "time: temp\n"},
        (
            "time: temp",
            "sources.weather.time",
            "column 'temp' has to be date or datetime, it is float",
        ),
    ),
    case(
        {"distance / (air_time": "distance / (airtime"},
        (
            "speed_is_plausible:",
            "sources.flights.rules.speed_is_plausible",
            f"unknown column 'airtime', allowed are {FLIGHTS}; did you mean 'air_time'?",
        ),
    ),
    case(
        {"data/planes.csv": "data/planes-{partition}.csv"},
        (
            "data/planes-",
            "sources.planes.path",
            "has {partition}, so partitioned_by has to name the date column",
        ),
    ),
]

FEATURE = [
    case(
        {"categorical: [carrier,": "categorical: [late, carrier,"},
        ("[late, carrier", "features.categorical.0", "the label 'late' cannot be a feature"),
    ),
    case(
        {"categorical: [carrier,": "categorical: [carrier, origin,"},
        ("[carrier, origin, origin", "features.categorical.2", "feature 'origin' is named twice"),
    ),
    *(
        case(
            {"      - weekday\n": f"      - {name}\n"},
            (
                f"- {name}\n",
                "features.numeric.3",
                f"'{name}' cannot be a feature, taken are {TAKEN}",
            ),
        )
        for name in ["flight_id", "scheduled_departure", "predicted_at", "day", "routed"]
    ),
    case(
        {WATCHED: "\n    ignore: [month, carrier]"},
        ("ignore:", "monitoring.ignore.0", f"unknown feature 'month', allowed are {FEATURES}"),
    ),
    case(
        {WATCHED: f"\n    ignore: [{FEATURES}]"},
        ("ignore:", "monitoring.ignore", "names every feature, so none is left to watch"),
    ),
]

SLICES = [
    case(
        {"origin: origin": "seat: seat"},
        (
            "slices:",
            "evaluation.slices",
            f"unknown feature 'seat', allowed are {FEATURES}; did you mean 'seats'?",
        ),
    ),
    case(
        {SLICE: "hour: departure_minut // 60 + wekday"},
        (
            "slices:",
            "evaluation.slices",
            f"hour: unknown feature 'departure_minut', allowed are {FEATURES}; "
            "did you mean 'departure_minute'?",
        ),
        (
            "slices:",
            "evaluation.slices",
            f"hour: unknown feature 'wekday', allowed are {FEATURES}; did you mean 'weekday'?",
        ),
    ),
    case(  # what is to be predicted is known nowhere before it has happened
        {SLICE: "outcome: case when late then 'late' else 'in time' end"},
        (
            "slices:",
            "evaluation.slices",
            f"outcome: unknown feature 'late', allowed are {FEATURES}",
        ),
    ),
]

CANDIDATES = [
    *(
        case(
            {SEED: f"    {key}: {value}\n{SEED}"},
            (
                f"{key}: {value}\n",
                f"training.{key}",
                "has no meaning beside candidates; say it for each of them",
            ),
        )
        for key, value in [("estimator", "build_estimator"), ("parameters", "{}")]
    ),
    case(
        {f"    {LAST}: {{": "    ensemble: {"},
        (
            "ensemble: {estimator",
            "candidates.ensemble",
            "is what candidates together are called, name it otherwise",
        ),
    ),
    case(
        {OTHERS: ""},
        ("ensemble:", "ensemble", "needs at least 2 candidates, there are 1"),
    ),
    case(
        {KEPT: ""},
        (
            "split:",
            "training.split",
            "calibration has to be at least 1, for candidates and training.calibration: rows "
            "that no candidate was fitted on",
        ),
    ),
    case(
        {KEPT: "", "    calibration: sigmoid\n": ""},
        (
            "split:",
            "training.split",
            "calibration has to be at least 1, for candidates: rows that no candidate was fitted "
            "on",
        ),
    ),
    case(
        {KEPT: "", ENSEMBLE: "", OTHERS: ""},
        (
            "split:",
            "training.split",
            "calibration has to be at least 1, for training.calibration: rows that no candidate "
            "was fitted on",
        ),
    ),
]

SEARCHES = [
    case(
        {SPACE: f"{SPACE}      space_from: {BUILDS_LAST}\n"},
        (
            "space_from:",
            f"candidates.{SEARCHED}.space_from",
            "give either space or space_from",
        ),
    ),
    case(
        {TUNING: ""},
        (
            f"{SEARCHED}:",
            f"candidates.{SEARCHED}",
            "has a space to search, but there is no section tuning",
        ),
    ),
    case(
        {TUNING: "", SPACE: f"      space_from: {BUILDS_LAST}\n"},
        (
            f"{SEARCHED}:",
            f"candidates.{SEARCHED}",
            "has a space to search, but there is no section tuning",
        ),
    ),
    case({SPACE: ""}, ("tuning:", "tuning", "space must name at least one parameter")),
    *(
        case(
            {"  tuning: {": f"  tuning: {{{key}: {value}, "},
            (
                "tuning:",
                f"tuning.{key}",
                "has no meaning beside candidates; give it to one of them",
            ),
        )
        for key, value in [("space", f"{{a: {RANGE}}}"), ("space_from", BUILDS_LAST)]
    ),
]

MODEL_PY = [
    *(
        case(
            {f"estimator: {name}": f"estimator: {name[:-1]}"},
            (
                f"estimator: {name[:-1]}",
                f"candidates.{candidate}.estimator",
                f"model.py has no function '{name[:-1]}', it has "
                f"{', '.join(sorted(FUNCTIONS))}; did you mean '{name}'?",
            ),
        )
        for candidate, name in ESTIMATORS.items()
    ),
    case(
        {BEHAVIOUR: BEHAVIOUR.replace("hardly", "hardy")},
        (
            "behaviour:",
            "gates.behaviour.1",
            "model.py has no function 'seats_hardy_matter', it has "
            f"{', '.join(sorted(FUNCTIONS))}; did you mean 'seats_hardly_matter'?",
        ),
    ),
    case(
        {SPACE: "      space_from: build_bosting\n"},
        (
            "space_from:",
            f"candidates.{SEARCHED}.space_from",
            "model.py has no function 'build_bosting', it has "
            f"{', '.join(sorted(FUNCTIONS))}; did you mean 'build_boosting'?",
        ),
    ),
]

# A training.estimator beside candidates is no function that anything calls, so it is not looked up.
CASES = [*ENTITIES, *SOURCE, *FEATURE, *SLICES, *CANDIDATES, *SEARCHES, *MODEL_PY]


@pytest.mark.parametrize(("changes", "said"), CASES)
def test_given_sections_that_do_not_fit_then_each_line_says_where_what_came_and_what_is_allowed(
    change, lines_said, line_of, write_model, changes, said
):
    text = change(changes)
    assert lines_said(text, write_model(*FUNCTIONS)) == [
        f"defs.yaml:{line_of(text, at)}: {key}: {rule}" for at, key, rule in said
    ]


def test_the_real_file_asks_for_these_functions_and_no_more(flight_delays_text, read, write_model):
    assert read(flight_delays_text, write_model(*FUNCTIONS)).name == "flight_delays"


def test_given_two_wrong_sections_then_both_are_named_at_once(change, lines_said):
    text = change({"label: late\n": "label: seats\n", "    source: flights": "    source: flight"})
    keys = [line.split(": ")[1] for line in lines_said(text)]
    assert keys == ["entities.source", "features.numeric.5"]


def test_given_entities_of_a_source_without_partitions_then_that_and_each_column_is_named(
    change, lines_said
):
    source, *columns = lines_said(change({"    source: flights": "    source: airlines"}))
    assert source.endswith(": entities.source: source 'airlines' has to be partitioned")
    known = [name for name in WRITTEN["entities"]["known"] if name != "carrier"]
    assert len(columns) == len(known)
    for said, name in zip(columns, known, strict=True):
        assert f": entities.known: unknown column '{name}', allowed are carrier, name" in said


def test_given_slices_as_a_list_then_they_have_to_be_features_too(
    flight_delays_text, lines_said, line_of
):
    begin, end = flight_delays_text.index("    slices:\n"), flight_delays_text.index("    costs:")
    text = flight_delays_text[:begin] + "    slices: [carrier, seat]\n" + flight_delays_text[end:]
    assert lines_said(text) == [
        f"defs.yaml:{line_of(text, 'slices:')}: evaluation.slices: unknown feature 'seat', "
        f"allowed are {FEATURES}; did you mean 'seats'?"
    ]


def test_given_no_features_then_that_is_said_and_not_that_none_is_watched(
    flight_delays_text, lines_said, line_of
):
    begin = flight_delays_text.index("  features:\n")
    end, slices = flight_delays_text.index("  training:\n"), flight_delays_text.index("    slices:")
    costs = flight_delays_text.index("    costs:")
    text = (
        flight_delays_text[:begin]
        + "  features: {}\n"
        + flight_delays_text[end:slices]
        + flight_delays_text[costs:]
    )
    assert lines_said(text) == [
        f"defs.yaml:{line_of(text, 'features:')}: features: name at least one categorical or "
        "numeric feature"
    ]


# --- one estimator, no candidates ---------------------------------------------------------------


@pytest.mark.parametrize("space", [f"space: {{a: {RANGE}}}", f"space_from: {BUILDS_LAST}"])
def test_given_one_estimator_then_the_space_belongs_to_tuning(alone, read, space):
    spec = read(alone.replace("tuning: {", f"tuning: {{{space}, "))
    assert spec.candidates == {}
    assert bool(spec.tuning.space) != bool(spec.tuning.space_from)


@pytest.mark.parametrize(
    ("space", "said"),
    [
        ("", "tuning: space must name at least one parameter"),
        (
            f"space: {{a: {RANGE}}}, space_from: {BUILDS_LAST}, ",
            "tuning.space_from: give either space or space_from",
        ),
    ],
)
def test_given_one_estimator_then_there_has_to_be_one_space(
    alone, lines_said, line_of, space, said
):
    text = alone.replace("tuning: {", f"tuning: {{{space}")
    assert lines_said(text) == [f"defs.yaml:{line_of(text, 'tuning:')}: {said}"]


def test_given_one_estimator_and_its_calibration_then_rows_have_to_be_kept_for_it(
    alone, lines_said, line_of
):
    text = alone.replace(TUNING, "").replace(KEPT, "")
    assert lines_said(text) == [
        f"defs.yaml:{line_of(text, 'split:')}: training.split: calibration has to be at least 1, "
        "for training.calibration: rows that no candidate was fitted on"
    ]


def test_given_one_estimator_and_no_calibration_then_no_rows_have_to_be_kept(alone, read):
    text = alone.replace(TUNING, "").replace(KEPT, "").replace("    calibration: sigmoid\n", "")
    assert read(text).training.split.calibration == 0


def test_given_an_ensemble_of_one_estimator_then_it_is_refused(alone, lines_said, line_of):
    text = alone.replace(TUNING, ENSEMBLE)
    assert lines_said(text) == [
        f"defs.yaml:{line_of(text, 'ensemble:')}: ensemble: needs at least 2 candidates, "
        "there are 0"
    ]


def test_given_the_estimator_misspelt_then_the_functions_are_named_and_the_one_meant(
    alone, lines_said, line_of
):
    text = alone.replace(TUNING, "").replace("build_boosting", "build_bosting")
    (said,) = lines_said(text)
    where = line_of(text, "estimator:")
    assert said.startswith(
        f"defs.yaml:{where}: training.estimator: model.py has no function 'build_bosting', it has "
    )
    offered = said.split(", it has ")[1].split("; ")[0].split(", ")
    assert offered == sorted(offered)
    assert set(FUNCTIONS) <= set(offered)
    assert said.endswith("; did you mean 'build_boosting'?")


# --- model.py -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("function", "key", "at"),
    [
        ("build_entities", "entities", "entities:"),
        ("build_labels", "label", "label:"),
        ("build_features", "features", "features:"),
        (BUILDS_LAST, f"candidates.{LAST}.estimator", f"{LAST}:"),
        ("late_airports_raise_the_risk", "gates.behaviour.0", "behaviour:"),
    ],
)
def test_given_a_function_is_missing_in_model_py_then_the_section_that_needs_it_is_named(
    flight_delays_text, lines_said, line_of, write_model, function, key, at
):
    others = sorted(set(FUNCTIONS) - {function})
    (said,) = lines_said(flight_delays_text, write_model(*others))
    where = f"defs.yaml:{line_of(flight_delays_text, at)}: {key}: "
    assert said.startswith(
        f"{where}model.py has no function '{function}', it has {', '.join(others)}"
    )


def test_given_private_functions_then_they_are_not_offered_but_may_be_named(
    change, lines_said, write_model
):
    names = {*FUNCTIONS, "_minutes", "_make"} - {"build_labels", BUILDS_LAST}
    text = change({f"estimator: {BUILDS_LAST}": "estimator: _make"})
    (said,) = lines_said(text, write_model(*names))
    offered = ", ".join(sorted(name for name in names if not name.startswith("_")))
    assert f"no function 'build_labels', it has {offered}; did you mean" in said


def test_given_model_py_without_a_function_then_it_is_said_that_it_has_none(
    flight_delays_text, lines_said, tmp_path
):
    (tmp_path / "model.py").write_text("build_labels = print\n")
    said = lines_said(flight_delays_text, tmp_path)
    assert len(said) == len(FUNCTIONS)
    assert all(line.endswith(", it has none") for line in said)


# --- SQL ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("expression", "columns"),
    [
        ("distance <= 1e5", ["distance"]),
        ("distance <= 0x1F + 1_000", ["distance"]),
        ("departure_minute // 60", ["departure_minute"]),
        (
            "case when distance < 500 then 'short' when seats < 9 then 'few seats' else 'rest' end",
            ["distance", "seats"],
        ),
        ("carrier || '-' || origin", ["carrier", "origin"]),
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
        ("'no column at all'", []),
    ],
)
def test_the_columns_of_a_rule_are_its_words_that_are_no_sql(expression, columns):
    assert columns_in_sql(expression) == (["origin", "tz"] if columns is None else columns)


def test_a_source_without_faults_gives_no_complaint_and_each_fault_its_own():
    written = {"path": "a.csv", "key": ["id"], "columns": {"id": "str", "at": "datetime"}}
    good = SourceSpec.model_validate({**written, "partitioned_by": ["at"], "time": "at"})
    assert list(find_source_complaints(("s",), good)) == []
    bad = SourceSpec.model_validate({**written, "partitioned_by": ["id"], "time": "no"})
    assert [path for path, _ in find_source_complaints(("s",), bad)] == [
        ("s", "partitioned_by"),
        ("s", "time"),
    ]


RETRAINING = part(r"(?m)^  retraining:\n(?:    .*\n)+")


@pytest.mark.parametrize(
    ("stated", "said"),
    [
        ("windows: 1, violated: 1", "1 of 1 windows, .* up to 2.6 false retrainings a year, .* 1;"),
        (
            "windows: 8, violated: 1",
            "budget.false_per_year allows 1; raise violated, lower windows",
        ),
        ("windows: 1, violated: 1, budget: {false_per_year: 3}", None),
        ("windows: 1, violated: 1, triggers: {drift: false}", None),
        ("windows: 1, violated: 1, budget: {retrainings: 1}", None),
    ],
)
def test_a_policy_that_retrains_by_chance_more_often_than_its_budget_is_refused(
    change, read, lines_said, stated, said
):
    text = change({RETRAINING: f"  retraining: {{mode: enabled, {stated}}}\n"})
    if said is None:
        assert read(text).retraining.mode == "enabled"
        return
    (line,) = lines_said(text)
    assert re.search(rf": retraining: .*{said}", line), line


def test_a_policy_that_is_disabled_may_be_as_eager_as_it_likes(change, read):
    text = change({RETRAINING: "  retraining: {mode: disabled, windows: 1, violated: 1}\n"})
    assert read(text).retraining.windows == 1


@pytest.mark.parametrize(
    ("stated", "said"),
    [
        ("triggers: {evry: 4}", "retraining.triggers.evry: unknown key, allowed are drift, perf"),
        ("budget: {retraining: 4}", "retraining.budget.retraining: unknown key, allowed are retr"),
        (
            "triggers: {performance: {metric: brir}}",
            "metric 'brir' is not measured, allowed are auc, brier, log_loss, calibration_error; "
            "did you mean 'brier'?",
        ),
    ],
)
def test_what_a_trigger_or_budget_does_not_know_is_refused(change, lines_said, stated, said):
    (line,) = lines_said(change({RETRAINING: f"  retraining: {{{stated}}}\n"}))
    assert said in line
