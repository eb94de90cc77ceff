"""Sound requests and what has to be in their answers."""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest


def nested(flat, shape):
    """The same elements as lists within lists, row by row."""
    if len(shape) < 2:
        return flat
    size = len(flat) // shape[0]
    rows = [flat[start : start + size] for start in range(0, len(flat), size)]
    return [nested(row, shape[1:]) for row in rows]


def flattened(data):
    return [v for part in data for v in flattened(part)] if isinstance(data, list) else [data]


@pytest.mark.parametrize("rows", [1, 2, 100])
def test_each_row_is_answered(endpoint, rows):
    for output in endpoint.outputs(endpoint.template.request(rows)):
        assert output["shape"][0] == rows
        assert len(flattened(output["data"])) == math.prod(output["shape"])


def test_an_answer_names_its_model(endpoint):
    assert endpoint.answered(endpoint.template.request())["model_name"] == endpoint.model


def test_an_output_has_a_name_a_datatype_a_shape_and_data(endpoint):
    outputs = endpoint.outputs(endpoint.template.request())
    assert outputs
    for output in outputs:
        assert {"name", "datatype", "shape", "data"} <= output.keys()


@pytest.mark.parametrize("identity", ["a-1", "7", "with space", "ünïcode \U0001f600", "x" * 64])
def test_an_id_comes_back(endpoint, identity):
    assert endpoint.answered(endpoint.template.request(id=identity))["id"] == identity


def test_parameters_that_nobody_knows_are_ignored(endpoint):
    request = endpoint.template.request(parameters={"no-such-parameter": "x"})
    request["inputs"][0]["parameters"] = {"neither": 1}
    assert endpoint.outputs(request)


def test_data_may_be_nested_as_its_shape(endpoint):
    request = endpoint.template.request(2)
    for tensor in request["inputs"]:
        tensor["data"] = nested(tensor["data"], tensor["shape"])
    assert endpoint.outputs(request) == endpoint.outputs(endpoint.template.request(2))


def test_the_order_of_the_inputs_does_not_matter(endpoint):
    request = endpoint.template.request(2)
    request["inputs"].reverse()
    assert endpoint.outputs(request) == endpoint.outputs(endpoint.template.request(2))


def test_the_order_within_objects_does_not_matter(endpoint):
    request = endpoint.template.request(2, id="x")
    turned = dict(reversed(request.items()))
    turned["inputs"] = [dict(reversed(tensor.items())) for tensor in request["inputs"]]
    assert endpoint.outputs(turned) == endpoint.outputs(request)


def test_an_output_may_be_asked_for_by_name(endpoint):
    name = endpoint.outputs(endpoint.template.request())[0]["name"]
    outputs = endpoint.outputs(endpoint.template.request(outputs=[{"name": name}]))
    assert [output["name"] for output in outputs] == [name]


def test_the_same_request_gets_the_same_answer(endpoint):
    answers = [endpoint.outputs(endpoint.template.request(3)) for _ in range(5)]
    assert all(answer == answers[0] for answer in answers)


def test_a_row_is_answered_alike_alone_and_among_others(endpoint):
    alone = endpoint.outputs(endpoint.template.request(1))
    among = endpoint.outputs(endpoint.template.request(3))
    for one, many in zip(alone, among, strict=True):
        assert flattened(many["data"]) == flattened(one["data"]) * 3


def test_many_callers_at_once_get_the_answers_they_would_get_alone(endpoint):
    expected = endpoint.outputs(endpoint.template.request(2))

    def ask(number: int):
        identity = f"caller-{number}"
        with httpx.Client(base_url=endpoint.client.base_url, timeout=60, trust_env=False) as own:
            path = f"{endpoint.path}/infer"
            return identity, own.post(path, json=endpoint.template.request(2, id=identity)).json()

    with ThreadPoolExecutor(16) as callers:
        for identity, answer in callers.map(ask, range(64)):
            assert answer["id"] == identity
            assert answer["outputs"] == expected


@pytest.mark.extension
def test_a_missing_number_may_be_null(endpoint, numeric):
    endpoint.answered(endpoint.template.changed(numeric, data=[None]))


@pytest.mark.extension
def test_a_text_nobody_has_seen_is_answered(endpoint, text):
    given = endpoint.template.changed(text, data=["no such value \U0001f600"])
    assert endpoint.outputs(given)


@pytest.mark.extension
@pytest.mark.parametrize("datatype", ["FP32", "INT64", "INT8", "UINT16"])
def test_numbers_may_come_in_another_datatype(endpoint, numeric, datatype):
    given = endpoint.template.changed(numeric, datatype=datatype, data=[1])
    assert endpoint.outputs(given)


@pytest.mark.extension
def test_without_an_id_there_is_one_for_the_log(endpoint):
    assert endpoint.answered(endpoint.template.request())["id"]


@pytest.mark.extension
def test_an_answer_says_which_version_made_it(endpoint):
    assert endpoint.answered(endpoint.template.request())["model_version"]
