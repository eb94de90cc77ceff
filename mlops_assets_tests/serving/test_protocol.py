"""What a v2 body is read as, and how a model is described."""

from __future__ import annotations

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_assets.lifecycle.errors import RequestError
from mlops_assets.lifecycle.training import Feature
from mlops_assets.serving.protocol import (
    InferRequest,
    InputTensor,
    decode_request,
    describe_model,
    encode,
    input_types,
    probabilities,
    quote,
)

VALUES = st.none() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5)
TENSORS = st.builds(
    InputTensor,
    st.text(max_size=5),
    st.lists(st.integers(-3, 3), max_size=3),
    st.sampled_from(["FP64", "BYTES"]),
    st.lists(VALUES, max_size=3),
)


@given(st.builds(InferRequest, st.lists(TENSORS, max_size=3), st.none() | st.text(max_size=9)))
def test_what_is_encoded_is_read_again(request):
    assert decode_request(encode(request)) == request


@pytest.mark.parametrize(
    ("outputs", "reason"),
    [
        ([{"name": "label"}], "output 'label' does not exist; the one output is 'probability'"),
        ([{"name": "probability"}] * 2, "'probability' is asked for 2 times, not once"),
        ([{"name": "probability", "x": 1}], "unknown field `x` - at `$.outputs[0]`"),
        ([{}], "missing required field `name`"),
        ({}, "Expected `array`, got `object` - at `$.outputs`"),
    ],
)
def test_outputs_that_cannot_be_had_are_refused(outputs, reason):
    with pytest.raises(RequestError, match="request") as error:
        decode_request(json.dumps({"inputs": [], "outputs": outputs}).encode())
    assert reason in str(error.value)


def test_a_tensor_that_says_it_is_binary_needs_the_header():
    tensor = {"name": "x", "shape": [1], "datatype": "FP64", "data": [1.0]}
    tensor["parameters"] = {"binary_data_size": 8}
    with pytest.raises(RequestError, match="Inference-Header-Content-Length is missing"):
        decode_request(json.dumps({"inputs": [tensor]}).encode())


def test_a_value_of_that_name_is_a_value():
    tensor = {"name": "x", "shape": [1], "datatype": "BYTES", "data": ["binary_data_size"]}
    assert decode_request(json.dumps({"inputs": [tensor]}).encode()).inputs[0].data == [
        "binary_data_size"
    ]


def test_the_inputs_are_the_features_in_order_and_then_what_identifies_a_row(signature):
    assert list(input_types(signature()).items()) == [
        ("distance", "FP64"),
        ("carrier", "BYTES"),
        ("flight", "BYTES"),
        ("departs_at", "BYTES"),
    ]


def test_an_entity_that_is_a_feature_is_described_once_as_the_feature(signature):
    features = (Feature("flight", "numeric"),)
    described = input_types(signature(features=features))
    assert described == {"flight": "FP64", "departs_at": "BYTES"}


def test_a_model_is_described_with_all_it_takes_and_gives(signature):
    described = describe_model("m", ["v1", "v2"], signature())
    assert (described["name"], described["versions"]) == ("m", ["v1", "v2"])
    assert {tuple(tensor["shape"]) for tensor in described["inputs"]} == {(-1,)}
    assert described["outputs"] == [{"name": "probability", "datatype": "FP64", "shape": [-1]}]


def test_probabilities_are_one_output():
    (output,) = probabilities([0.25, 0.5])
    assert msgspec.structs.asdict(output) == {
        "name": "probability",
        "datatype": "FP64",
        "shape": [2],
        "data": [0.25, 0.5],
    }


def test_what_a_caller_sent_is_repeated_up_to_60_letters():
    assert quote("x" * 60) == repr("x" * 60)
    assert quote("x" * 61) == repr("x" * 60 + "...")
