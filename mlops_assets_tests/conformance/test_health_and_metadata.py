"""Health, readiness and metadata of server and model."""

from __future__ import annotations

import pytest

from mlops_assets_tests.conformance.endpoint import check_refusal

DATATYPES = {"BOOL", "BYTES", "FP16", "FP32", "FP64", "BF16"}
DATATYPES |= {f"{sign}INT{bits}" for sign in ("", "U") for bits in (8, 16, 32, 64)}


@pytest.mark.parametrize("state", ["live", "ready"])
def test_the_server_is_healthy(endpoint, state):
    answer = endpoint.get(f"/v2/health/{state}")
    assert answer.status_code == 200
    assert answer.json()[state] is True


def test_the_server_has_a_name_a_version_and_extensions(endpoint):
    content = endpoint.get("/v2").json()
    assert isinstance(content["name"], str)
    assert isinstance(content["version"], str)
    assert all(isinstance(extension, str) for extension in content["extensions"])


def test_the_model_is_ready(endpoint):
    answer = endpoint.get(f"{endpoint.path}/ready")
    assert answer.status_code == 200
    assert answer.json()["name"] == endpoint.model
    assert answer.json()["ready"] is True


def test_the_metadata_names_the_model_and_its_platform(endpoint):
    content = endpoint.get(endpoint.path).json()
    assert content["name"] == endpoint.model
    assert isinstance(content["platform"], str)


@pytest.mark.parametrize("side", ["inputs", "outputs"])
def test_the_metadata_describes_every_tensor(endpoint, side):
    tensors = endpoint.get(endpoint.path).json()[side]
    assert tensors
    assert len({tensor["name"] for tensor in tensors}) == len(tensors)
    for tensor in tensors:
        assert tensor["datatype"] in DATATYPES
        assert all(type(size) is int and size >= -1 for size in tensor["shape"])


def test_the_outputs_are_those_of_the_metadata(endpoint):
    described = endpoint.get(endpoint.path).json()["outputs"]
    given = endpoint.outputs(endpoint.template.request())
    assert {(o["name"], o["datatype"]) for o in given} == {
        (o["name"], o["datatype"]) for o in described
    }


def test_the_versions_of_a_model_are_texts(endpoint):
    answer = endpoint.get(endpoint.path)
    assert answer.status_code == 200
    versions = answer.json().get("versions") or []
    assert all(isinstance(version, str) for version in versions)


@pytest.fixture
def version(endpoint):
    versions = endpoint.get(endpoint.path).json().get("versions")
    if not versions:
        pytest.skip("the server has no versions")
    return f"{endpoint.path}/versions/{versions[0]}"


def test_a_version_is_described_like_the_model(endpoint, version):
    assert endpoint.get(version).json()["name"] == endpoint.model


def test_a_version_is_ready(endpoint, version):
    assert endpoint.get(f"{version}/ready").json()["ready"] is True


def test_a_version_answers_by_its_name(endpoint, version):
    answer = endpoint.client.post(f"{version}/infer", json=endpoint.template.request())
    assert answer.status_code == 200
    assert answer.json()["model_version"] == version.rpartition("/")[2]


@pytest.mark.parametrize("path", ["", "/ready", "/versions/1", "/versions/1/ready"])
def test_an_unknown_model_is_an_error(endpoint, path):
    check_refusal(endpoint.get(f"/v2/models/no-such-model{path}"))


@pytest.mark.parametrize("path", ["", "/ready"])
def test_an_unknown_version_is_an_error(endpoint, path):
    check_refusal(endpoint.get(f"{endpoint.path}/versions/no-such-version{path}"))


@pytest.mark.parametrize("path", ["/v2/health/live", "/v2/health/ready", "/v2"])
def test_what_is_told_is_json(endpoint, path):
    assert endpoint.get(path).headers["content-type"].startswith("application/json")
