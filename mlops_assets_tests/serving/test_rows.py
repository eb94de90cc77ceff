"""Reading rows: the short way for sound requests says what the long way says."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlops_assets.lifecycle.errors import RequestError
from mlops_assets.lifecycle.training import Feature, ModelSignature
from mlops_assets.serving.answering import rows
from mlops_assets.serving.answering.inputs import Inputs, plan_inputs
from mlops_assets.serving.answering.rows import Rows, read_rows
from mlops_assets.serving.protocol import InputTensor


def signature(*features: Feature, entity_key: str = "flight") -> ModelSignature:
    return ModelSignature(
        "delays", features, entity_key, "departs_at", "late", "2013-06-01", "s", "boosting"
    )


DISTANCE, CARRIER = Feature("distance", "numeric"), Feature("carrier", "categorical")
GUSTS = Feature("gusts", "numeric")
PLAIN = plan_inputs([signature(DISTANCE, CARRIER)])
WIDE = plan_inputs([signature(DISTANCE, CARRIER), signature(DISTANCE, CARRIER, GUSTS)])


def tensor(name: str, data: list[Any], datatype: str = "", shape: list[int] | None = None) -> Any:
    guessed = "FP64" if name in ("distance", "gusts") else "BYTES"
    return InputTensor(name, shape or [len(data)], datatype or guessed, data)


def sound(*more: InputTensor) -> list[InputTensor]:
    return [tensor("distance", [1.0]), tensor("carrier", ["UA"]), *more]


def read_either_way(tensors: list[InputTensor], inputs: Inputs) -> list[Rows | str]:
    """What comes of the request as it is read, and when it is looked at closely."""
    outcomes: list[Rows | str] = []
    for short in (True, False):
        with pytest.MonkeyPatch.context() as patch:
            if not short:
                patch.setattr(rows, "_read_plain", lambda *_: None)
            try:
                outcomes.append(read_rows(tensors, inputs, 3))
            except RequestError as error:
                outcomes.append(f"{error.status} {error}")
    return outcomes


VALUES = (
    st.none()
    | st.booleans()
    | st.sampled_from(["UA", "", "2013-06-01", "2013-06-01T10:00:00+02:00", "é", "1"])
    | st.floats()
    | st.integers(-(2**60), 2**60)
    | st.just([1.0])
)
TENSORS = st.builds(
    lambda name, datatype, data, height: InputTensor(name, height or [len(data)], datatype, data),
    st.sampled_from(["distance", "carrier", "gusts", "flight", "departs_at", "tail"]),
    st.sampled_from(["FP64", "FP64", "BYTES", "BYTES", "BYTES", "INT8", "BOOL"]),
    st.lists(VALUES, min_size=1, max_size=2) | st.lists(st.floats(), min_size=1, max_size=4),
    st.none() | st.sampled_from([[1], [2], [1, 1], [0], []]),
)


@settings(max_examples=300)
@given(st.lists(TENSORS, max_size=5), st.sampled_from([PLAIN, WIDE]))
def test_the_short_way_and_the_long_way_agree(tensors: list[InputTensor], inputs: Inputs) -> None:
    short, long = read_either_way(tensors, inputs)
    assert short == long


@given(
    st.lists(
        st.tuples(
            st.none() | st.floats(-1e15, 1e15) | st.integers(-9, 9),
            st.none() | st.text(),
            st.none() | st.datetimes().map(lambda moment: moment.isoformat()),
        ),
        min_size=1,
        max_size=3,
    )
)
def test_sound_requests_go_the_short_way(values: list[tuple[Any, Any, Any]]) -> None:
    distance, carrier, departs_at = map(list, zip(*values, strict=True))
    tensors = [
        tensor("distance", distance),
        tensor("carrier", carrier),
        tensor("departs_at", departs_at),
    ]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rows, "_read_closely", lambda *_: pytest.fail("it went the long way"))
        read = read_rows(tensors, PLAIN, 3)
    assert read.columns == {"distance": distance, "carrier": carrier}
    assert all(value is None or type(value) is float for value in read.columns["distance"])
    assert read.height == len(values)


def test_a_number_that_is_none_is_missing_as_binary_tensors_write_it() -> None:
    tensors = [tensor("distance", [math.nan, 2.0]), tensor("carrier", ["UA", None])]
    assert read_rows(tensors, PLAIN, 9).columns["distance"] == [None, 2.0]


@pytest.mark.parametrize("value", [math.inf, -math.inf])
@pytest.mark.parametrize("others", [[], [1.0, 2.0], [None], [-math.inf]])
def test_an_infinite_number_is_refused(value: float, others: list[float | None]) -> None:
    data = [*others, value]
    with pytest.raises(RequestError, match=r"'distance' .* an infinite number"):
        read_rows([tensor("distance", data), tensor("carrier", ["UA"] * len(data))], PLAIN, 9)


def test_large_numbers_whose_sum_is_infinite_are_numbers() -> None:
    data = [1.7e308, 1.7e308]
    tensors = [tensor("distance", data), tensor("carrier", ["UA", "UA"])]
    assert read_rows(tensors, PLAIN, 9).columns["distance"] == data


def test_what_identifies_a_row_is_no_column_unless_it_is_a_feature() -> None:
    tensors = sound(tensor("flight", ["f1"]))
    assert read_rows(tensors, PLAIN, 9).columns.keys() == {"distance", "carrier"}
    by_carrier = plan_inputs([signature(DISTANCE, CARRIER, entity_key="carrier")])
    read = read_rows(sound(), by_carrier, 9)
    assert (read.entity, read.columns["carrier"]) == (["UA"], ["UA"])
    by_number = plan_inputs([signature(DISTANCE, CARRIER, entity_key="distance")])
    assert read_rows(sound(), by_number, 9).entity is None


def test_what_a_canary_takes_may_come_and_need_not() -> None:
    assert read_rows(sound(), WIDE, 9).columns.keys() == {"distance", "carrier"}
    wider = read_rows(sound(tensor("gusts", [None])), WIDE, 9)
    assert wider.columns["gusts"] == [None]
    with pytest.raises(RequestError, match="'gusts' is not known"):
        read_rows(sound(tensor("gusts", [1.0])), PLAIN, 9)


LOOKED_UP = plan_inputs(
    [signature(DISTANCE, CARRIER, GUSTS)],
    keys=frozenset({"tail", "carrier"}),
    optional=frozenset({"gusts", "unheard"}),
)


@pytest.mark.parametrize(
    ("datatype", "sent", "kept"),
    [("BYTES", "N1", "N1"), ("FP64", 7.0, 7.0), ("INT64", 7, 7.0), ("BYTES", None, None)],
)
def test_what_is_looked_up_by_may_be_a_text_or_a_number(
    datatype: str, sent: Any, kept: Any
) -> None:
    read = read_rows(sound(tensor("tail", [sent], datatype)), LOOKED_UP, 9)
    assert read.columns == {"distance": [1.0], "carrier": ["UA"], "tail": [kept]}


def test_what_is_looked_up_may_be_left_out_and_nothing_else() -> None:
    assert LOOKED_UP.optional == {"gusts"}
    with pytest.raises(RequestError, match=r"missing input distance;"):
        read_rows([tensor("carrier", ["UA"]), tensor("tail", ["N1"])], LOOKED_UP, 9)
