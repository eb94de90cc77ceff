"""Requests that cannot be answered: a 4xx with ``{"error": text}``, never a 5xx."""

from __future__ import annotations

import json

import pytest

from mlops_assets_tests.conformance.endpoint import check_refusal

HUGE = 10**400


@pytest.mark.parametrize("rows", [1, 2])
def test_an_input_that_is_missing(endpoint, rows):
    request = endpoint.template.request(rows)
    required = endpoint.template.first.name
    request["inputs"] = [given for given in request["inputs"] if given["name"] != required]
    endpoint.refused(request)


def test_an_input_that_does_not_exist(endpoint):
    request = endpoint.template.request()
    request["inputs"].append({**request["inputs"][0], "name": "no-such-input"})
    endpoint.refused(request)


def test_an_input_that_comes_twice(endpoint):
    request = endpoint.template.request()
    request["inputs"].append(request["inputs"][0])
    endpoint.refused(request)


@pytest.mark.parametrize("field", ["name", "shape", "datatype", "data"])
def test_a_tensor_that_lacks_a_field(endpoint, field):
    endpoint.refused(endpoint.template.changed(endpoint.template.first.name, **{field: ...}))


@pytest.mark.parametrize(
    "change",
    [
        {"name": 7},
        {"name": None},
        {"shape": "1"},
        {"shape": ["1"]},
        {"shape": [-1]},
        {"shape": [1.5]},
        {"shape": [2]},
        {"shape": [HUGE]},
        {"shape": None},
        {"datatype": "FP63"},
        {"datatype": "fp64"},
        {"datatype": ""},
        {"datatype": 64},
        {"data": None},
        {"data": {}},
        {"data": []},
        {"parameters": []},
    ],
    ids=lambda change: "-".join(f"{k}-{str(v)[:6]}" for k, v in change.items()),
)
def test_a_tensor_with_a_field_that_cannot_be(endpoint, change):
    endpoint.refused(endpoint.template.changed(endpoint.template.first.name, **change))


def test_more_data_than_the_shape_says(endpoint):
    first = endpoint.template.first
    endpoint.refused(endpoint.template.changed(first.name, data=list(first.row) * 2))


def test_inputs_that_differ_in_their_rows(endpoint):
    if len(endpoint.template.inputs) < 2:
        pytest.skip("the model has one input")
    request = endpoint.template.request(2)
    request["inputs"][0] = endpoint.template.first.tensor(3)
    endpoint.refused(request)


@pytest.mark.parametrize("value", ["far", {}, [[1.0]], True, HUGE], ids=lambda v: str(v)[:6])
def test_a_number_that_is_none(endpoint, numeric, value):
    endpoint.refused(endpoint.template.changed(numeric, data=[value]))


@pytest.mark.parametrize("value", [1.5, {}, [["x"]]], ids=str)
def test_a_text_that_is_none(endpoint, text, value):
    endpoint.refused(endpoint.template.changed(text, data=[value]))


def test_a_datatype_of_another_kind(endpoint, numeric):
    endpoint.refused(endpoint.template.changed(numeric, datatype="BYTES", data=["x"]))


def test_a_number_outside_its_datatype(endpoint, numeric):
    endpoint.refused(endpoint.template.changed(numeric, datatype="INT8", data=[1000]))


@pytest.mark.parametrize("inputs", [None, {}, "x", 7, [], [None], [[]], [7]], ids=str)
def test_inputs_that_are_none(endpoint, inputs):
    endpoint.refused({"inputs": inputs})


def test_a_request_without_inputs(endpoint):
    endpoint.refused({"id": "x"})


@pytest.mark.parametrize("identity", [7, {}, ["x"], True], ids=str)
def test_an_id_that_is_no_text(endpoint, identity):
    endpoint.refused(endpoint.template.request(id=identity))


@pytest.mark.parametrize(
    "outputs", [[{"name": "no-such-output"}], [{}], [7], "x", {}], ids=lambda v: str(v)[:20]
)
def test_outputs_that_cannot_be_had(endpoint, outputs):
    endpoint.refused(endpoint.template.request(outputs=outputs))


@pytest.mark.parametrize("parameters", [7, "x", []], ids=str)
def test_parameters_that_are_none(endpoint, parameters):
    endpoint.refused(endpoint.template.request(parameters=parameters))


@pytest.mark.parametrize("body", [None, [], "x", 7, {}], ids=str)
def test_a_body_that_is_no_request(endpoint, body):
    endpoint.refused(body)


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"{]", b'{"inputs": [', b"\xff\xfe", b"\x00", b"{'inputs': []}", b"inputs=1"],
    ids=repr,
)
def test_a_body_that_is_no_json(endpoint, content):
    endpoint.refused(content=content)


@pytest.mark.parametrize("number", [b"NaN", b"Infinity", b"-Infinity", b"1e999", b"01", b"+1"])
def test_numbers_that_json_does_not_have(endpoint, numeric, number):
    marked = json.dumps(endpoint.template.changed(numeric, data=["@"])).encode()
    endpoint.refused(content=marked.replace(b'"@"', number))


def test_a_request_cut_off_in_the_middle(endpoint):
    body = json.dumps(endpoint.template.request()).encode()
    endpoint.refused(content=body[: len(body) // 2])


@pytest.mark.parametrize("opening", [b"[", b'{"a":', b'{"inputs": ['])
def test_json_nested_a_hundred_thousand_deep(endpoint, opening):
    endpoint.refused(content=opening * 100_000)


def test_an_unknown_model(endpoint):
    request = endpoint.template.request()
    check_refusal(endpoint.client.post("/v2/models/no-such-model/infer", json=request))


def test_an_unknown_version(endpoint):
    path = f"{endpoint.path}/versions/no-such-version/infer"
    check_refusal(endpoint.client.post(path, json=endpoint.template.request()))


@pytest.mark.extension
def test_a_request_without_rows(endpoint):
    request = endpoint.template.request()
    for tensor in request["inputs"]:
        tensor.update(shape=[0, *tensor["shape"][1:]], data=[])
    endpoint.refused(request)


@pytest.mark.extension
@pytest.mark.parametrize("field", ["inpusts", "model_name"])
def test_a_field_that_does_not_exist(endpoint, field):
    endpoint.refused(endpoint.template.request(**{field: "x"}))


@pytest.mark.extension
def test_an_error_names_the_input_that_is_wrong(endpoint, numeric):
    answer = endpoint.infer(endpoint.template.changed(numeric, data=["far"]))
    assert numeric in answer.json()["error"]


@pytest.mark.extension
def test_an_error_does_not_show_how_the_server_is_made(endpoint):
    for answer in (endpoint.infer({"inputs": 7}), endpoint.infer(content=b"{")):
        assert "Traceback" not in answer.text
        assert ".py" not in answer.text


@pytest.mark.extension
def test_more_rows_than_the_server_takes_at_once(endpoint):
    answer = endpoint.infer(endpoint.template.request(5000))
    check_refusal(answer)
    assert answer.status_code == 413


@pytest.mark.extension
def test_more_bytes_than_the_server_takes_at_once(endpoint):
    answer = endpoint.infer(content=b" " * (8 << 20))
    check_refusal(answer)
    assert answer.status_code == 413


def test_after_all_that_the_server_answers_as_before(endpoint):
    assert endpoint.get("/v2/health/live").status_code == 200
    assert endpoint.outputs(endpoint.template.request())
