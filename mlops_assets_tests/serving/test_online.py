"""Looking up what a request leaves out, while tables come, go, and are damaged."""

from __future__ import annotations

import logging
import math
import threading
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_assets.adapters.in_memory import InMemoryOnlineTables
from mlops_assets.adapters.online_tables import FolderOnlineTables
from mlops_assets.lifecycle.errors import RequestError
from mlops_assets.lifecycle.online import OnlineGroup, OnlineTable
from mlops_assets.serving.answering.online import ALONE_SECONDS, FOLLOW_SECONDS, OnlineLookups

AS_OF = "2013-06-01T05:00:00+00:00"
LATER = "2013-06-01T06:00:00+00:00"
RIDES = "rides"

LINES = {("A",): (0.1, "bus"), ("B",): (None, "tram"), (None,): (0.9, None)}
PAIRS = {("A", 1545.0): (0.5,), ("A", None): (0.6,), ("B", 2.5): (0.7,)}


def table_of(as_of: str = AS_OF, load: float = 0.25) -> OnlineTable:
    return OnlineTable(
        RIDES,
        as_of,
        "c" * 64,
        (
            OnlineGroup(("line",), ("line_rate", "kind"), LINES),
            OnlineGroup(("line", "number"), ("pair_rate",), PAIRS),
            OnlineGroup((), ("load",), {(): (load,)}),
        ),
    )


class Monotonic:
    """Seconds that pass when told to."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Monotonic:
    return Monotonic()


@pytest.fixture
def tables() -> InMemoryOnlineTables:
    tables = InMemoryOnlineTables()
    tables.publish(table_of())
    return tables


@pytest.fixture
def lookups(tables, clock) -> OnlineLookups:
    return OnlineLookups(tables, clock)


def test_a_request_is_told_what_to_send_and_what_it_may_leave_out(lookups):
    assert lookups.inputs(RIDES) == {"line", "number"}
    assert lookups.kinds(RIDES) == {"line": "categorical", "number": "numeric"}
    assert lookups.features(RIDES) == {"line_rate", "kind", "pair_rate", "load"}
    assert lookups.features(RIDES) is lookups.features(RIDES)


def test_a_model_without_a_table_has_nothing_to_look_up(lookups):
    columns = {"line": ["A"]}
    assert (lookups.inputs("other"), lookups.features("other")) == (frozenset(), frozenset())
    assert lookups.fill("other", columns, 1) is None
    assert columns == {"line": ["A"]}
    assert (lookups.age("other", datetime.now(UTC)), lookups.as_of("other")) == (None, None)
    assert lookups.problem("other") is None


def test_what_was_left_out_is_filled_in_with_the_moment_it_is_of(lookups):
    columns: dict[str, list[Any]] = {"line": ["A"], "number": [1545.0]}
    assert lookups.fill(RIDES, columns, 1) == AS_OF
    assert columns == {
        **{"line": ["A"], "number": [1545.0]},
        **{"line_rate": [0.1], "kind": ["bus"], "pair_rate": [0.5], "load": [0.25]},
    }


def test_what_the_caller_sent_stays_even_where_it_is_missing(lookups):
    columns: dict[str, list[Any]] = {"line": ["A"], "number": [2.5], "line_rate": [None]}
    assert lookups.fill(RIDES, columns, 1) == AS_OF
    assert (columns["line_rate"], columns["kind"]) == ([None], ["bus"])


def test_when_everything_was_sent_then_nothing_is_looked_up(lookups):
    columns: dict[str, list[Any]] = {name: [1.0] for name in lookups.features(RIDES)}
    assert lookups.fill(RIDES, columns, 1) is None


def test_a_group_whose_features_were_all_sent_needs_no_key(lookups):
    columns: dict[str, list[Any]] = {"line_rate": [0.3], "kind": ["x"], "pair_rate": [0.4]}
    assert lookups.fill(RIDES, columns, 1) == AS_OF
    assert columns["load"] == [0.25]


@pytest.mark.parametrize("height", [1, 3])
def test_an_unknown_key_gives_missing_values(lookups, height):
    columns: dict[str, list[Any]] = {"line": ["Z"] * height, "number": [7.0] * height}
    lookups.fill(RIDES, columns, height)
    for name in ("line_rate", "kind", "pair_rate"):
        assert columns[name] == [None] * height
    assert columns["load"] == [0.25] * height


def test_a_key_that_did_not_come_is_named_with_what_needs_it(lookups):
    columns: dict[str, list[Any]] = {"line": ["A"], "kind": ["bus"]}
    with pytest.raises(RequestError, match=r"missing input number: pair_rate are looked up by it"):
        lookups.fill(RIDES, columns, 1)
    with pytest.raises(RequestError, match=r"missing input line: line_rate are looked up by it"):
        lookups.fill(RIDES, {"kind": ["bus"]}, 1)


def test_a_key_of_features_that_the_version_does_not_have_need_not_come(lookups):
    columns: dict[str, list[Any]] = {"line": ["A"]}
    assert lookups.fill(RIDES, columns, 1, {"line_rate", "load"}) == AS_OF
    assert columns == {"line": ["A"], "line_rate": [0.1], "kind": ["bus"], "load": [0.25]}
    with pytest.raises(RequestError, match="missing input number: pair_rate"):
        lookups.fill(RIDES, {"line": ["A"]}, 1, {"pair_rate"})


@pytest.mark.parametrize("number", [1545, 1545.0, "1545", "1545.0"])
def test_a_number_is_found_whichever_way_it_is_sent(lookups, number):
    columns: dict[str, list[Any]] = {"line": ["A"], "number": [number]}
    lookups.fill(RIDES, columns, 1)
    assert columns["pair_rate"] == [0.5]


@pytest.mark.parametrize("code", ["12", 12, 12.0])
def test_a_text_is_found_when_it_is_sent_as_a_number(tables, lookups, code):
    tables.publish(
        OnlineTable(RIDES, AS_OF, "c", (OnlineGroup(("code",), ("rate",), {("12",): (1.0,)}),))
    )
    columns: dict[str, list[Any]] = {"code": [code]}
    lookups.fill(RIDES, columns, 1)
    assert columns["rate"] == [1.0]


@pytest.mark.parametrize(
    ("number", "wanted"),
    [(None, 0.6), (math.nan, 0.6), ("x", None), ("nan", None), (math.inf, None)],
)
def test_only_what_is_missing_finds_the_row_of_the_missing_key(lookups, number, wanted):
    columns: dict[str, list[Any]] = {"line": ["A"], "number": [number]}
    lookups.fill(RIDES, columns, 1)
    assert columns["pair_rate"] == [wanted]


KEYS = st.tuples(
    st.sampled_from(["A", "B", "Z", None]), st.sampled_from([1545.0, "1545", 2.5, None, "x", 9])
)


@given(st.lists(KEYS, min_size=1, max_size=8), st.sets(st.sampled_from(["kind", "load"])))
def test_many_rows_are_filled_as_each_of_them_alone(keys, sent):
    tables = InMemoryOnlineTables()
    tables.publish(table_of())
    lookups = OnlineLookups(tables)

    def asked(some):
        columns = {"line": [line for line, _ in some], "number": [number for _, number in some]}
        return columns | {name: ["sent"] * len(some) for name in sent}

    whole = asked(keys)
    lookups.fill(RIDES, whole, len(keys))
    alone = [asked([key]) for key in keys]
    for columns in alone:
        lookups.fill(RIDES, columns, 1)
    assert whole == {name: [columns[name][0] for columns in alone] for name in whole}


# --- tables that change -------------------------------------------------------------------------


def load_of(lookups: OnlineLookups) -> Any:
    columns: dict[str, list[Any]] = {"line": ["A"], "number": [1545.0]}
    as_of = lookups.fill(RIDES, columns, 1)
    return as_of, columns["load"][0]


def test_a_table_that_was_replaced_is_followed(tables, lookups, clock):
    assert load_of(lookups) == (AS_OF, 0.25)
    tables.publish(table_of(LATER, 0.75))
    lookups.follow()
    assert load_of(lookups) == (AS_OF, 0.25)
    clock.now += FOLLOW_SECONDS
    lookups.follow()
    assert load_of(lookups) == (LATER, 0.75)


def test_without_anybody_who_follows_a_request_looks_by_itself(tables, lookups, clock):
    assert load_of(lookups) == (AS_OF, 0.25)
    tables.publish(table_of(LATER, 0.75))
    clock.now += ALONE_SECONDS
    assert load_of(lookups) == (AS_OF, 0.25)
    clock.now += 0.01
    assert load_of(lookups) == (LATER, 0.75)


def test_a_first_table_is_found_although_there_was_none(clock):
    tables = InMemoryOnlineTables()
    lookups = OnlineLookups(tables, clock)
    assert lookups.features(RIDES) == frozenset()
    tables.publish(table_of())
    clock.now += FOLLOW_SECONDS
    lookups.follow()
    assert load_of(lookups) == (AS_OF, 0.25)


def test_a_model_that_is_named_is_read_before_its_first_request(tables, lookups):
    lookups.follow([RIDES])
    tables.damaged.add(RIDES)
    assert load_of(lookups) == (AS_OF, 0.25)
    assert lookups.problem(RIDES) is None


def test_a_damaged_table_leaves_the_last_good_one_and_is_said_once(tables, lookups, clock, caplog):
    assert load_of(lookups) == (AS_OF, 0.25)
    tables.damaged.add(RIDES)
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            clock.now += FOLLOW_SECONDS
            lookups.follow()
    assert load_of(lookups) == (AS_OF, 0.25)
    assert "damaged" in str(lookups.problem(RIDES))
    assert len(caplog.records) == 1
    assert f"the one of {AS_OF} stays in use" in caplog.text
    tables.publish(table_of(LATER, 0.75))
    clock.now += FOLLOW_SECONDS
    lookups.follow()
    assert load_of(lookups) == (LATER, 0.75)
    assert lookups.problem(RIDES) is None


def test_a_table_that_is_damaged_from_the_start_is_no_table(tables, lookups, caplog):
    tables.damaged.add(RIDES)
    assert lookups.features(RIDES) == frozenset()
    assert "there is none" in caplog.text
    assert "damaged" in str(lookups.problem(RIDES))


def test_a_table_without_a_moment_is_no_table(lookups, tables):
    tables.publish(table_of("yesterday"))
    assert lookups.features(RIDES) == frozenset()
    assert "has no moment" in str(lookups.problem(RIDES))


def test_age_is_counted_from_the_moment_of_the_values(lookups):
    assert lookups.age(RIDES, datetime(2013, 6, 1, 6, 30, tzinfo=UTC)) == 5400.0
    assert lookups.as_of(RIDES) == AS_OF


def test_real_files_are_followed_replaced_damaged_and_gone(tmp_path, clock):
    tables = FolderOnlineTables(tmp_path)
    lookups = OnlineLookups(FolderOnlineTables(tmp_path), clock)
    (file, seen) = (tmp_path / f"{RIDES}.msgpack", [])
    steps = [
        lambda: tables.publish(table_of()),
        lambda: file.write_bytes(file.read_bytes()[:-1]),
        lambda: tables.publish(table_of(LATER, 0.75)),
        file.unlink,
    ]
    lookups.follow([RIDES])
    for step in steps:
        step()
        clock.now += FOLLOW_SECONDS
        lookups.follow()
        seen.append((lookups.as_of(RIDES), lookups.problem(RIDES) is None))
    assert seen == [(AS_OF, True), (AS_OF, False), (LATER, True), (LATER, False)]
    assert "gone" in str(lookups.problem(RIDES))


def test_a_row_is_of_one_table_while_another_thread_follows(tables):
    """Whatever the moment a request says, its values are of that moment."""
    seconds = iter(range(10**9))
    lookups = OnlineLookups(tables, lambda: float(next(seconds)))
    moments = {f"2013-06-01T{hour:02d}:00:00+00:00": float(hour) for hour in range(24)}
    tables.publish(table_of("2013-06-01T00:00:00+00:00", 0.0))
    stopped = threading.Event()

    def replace_tables():
        while not stopped.is_set():
            for as_of, load in moments.items():
                tables.publish(table_of(as_of, load))
                lookups.follow()

    writer = threading.Thread(target=replace_tables)
    writer.start()
    try:
        seen = {load_of(lookups) for _ in range(3000)}
    finally:
        stopped.set()
        writer.join()
    assert seen <= set(moments.items())


# --- through the server -------------------------------------------------------------------------

DELAYS = OnlineTable(
    "delays",
    AS_OF,
    "c" * 64,
    (
        OnlineGroup(
            ("tailnum", "seat"), ("distance",), {("N1", 7.0): (500.0,), ("N2", 7.0): (None,)}
        ),
    ),
)


@pytest.fixture
def looking_up(world, start, tmp_path):
    """A server with champion v1 that looks up the distance by aircraft and seat."""
    FolderOnlineTables(tmp_path / "online").publish(DELAYS)
    world.train("v1")
    world.promote("v1")
    return start(online=tmp_path / "online")


def asked(tensor: Any, *leave_out: str, **data: list[Any]) -> dict[str, Any]:
    sent = {"carrier": ["UA"], "tailnum": ["N1"], "seat": [7], **data}
    kinds = {"seat": "INT64", "distance": "FP64"}
    return {
        "inputs": [
            tensor(name, values, kinds.get(name, "BYTES"))
            for name, values in sent.items()
            if name not in leave_out
        ]
    }


def test_an_answer_with_looked_up_features_is_that_with_the_same_ones_sent(
    looking_up, tensor, request_body
):
    found = looking_up.infer(asked(tensor)).json()
    sent = looking_up.infer(request_body([500.0], ["UA"])).json()
    assert found["outputs"][0]["data"] == sent["outputs"][0]["data"]
    assert found["parameters"]["features_as_of"] == AS_OF
    assert "features_as_of" not in sent["parameters"]
    assert looking_up.log()[0]["features"]["distance"] == [500.0]


def test_what_a_caller_sends_beside_the_key_is_what_is_used(looking_up, tensor):
    sent = looking_up.infer(asked(tensor, distance=[90.0]))
    assert sent.status_code == 200
    assert looking_up.log()[0]["features"]["distance"] == [90.0]


def test_a_request_without_feature_and_key_is_told_what_to_send(looking_up, tensor):
    refused = looking_up.infer(asked(tensor, "tailnum"))
    assert refused.status_code == 400
    assert "missing input tailnum: distance are looked up by it" in refused.json()["error"]
