"""What people who run the server ask for, beyond the protocols."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.extension


def test_the_models_are_listed(endpoint):
    assert endpoint.model in endpoint.get("/v2/models").json()["models"]


def test_metrics_are_there_for_prometheus(endpoint):
    endpoint.outputs(endpoint.template.request())
    answer = endpoint.get("/metrics")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain")
    assert "# TYPE" in answer.text


def test_metrics_tell_the_model(endpoint):
    endpoint.outputs(endpoint.template.request())
    assert f'"{endpoint.model}"' in endpoint.get("/metrics").text


def test_the_server_describes_itself_in_openapi(endpoint):
    document = endpoint.get("/openapi.json").json()
    assert document["openapi"].startswith("3.")
    assert document["paths"]


def test_the_example_of_the_description_is_answered(endpoint):
    operation = endpoint.get("/openapi.json").json()["paths"][f"{endpoint.path}/infer"]["post"]
    endpoint.answered(operation["requestBody"]["content"]["application/json"]["example"])


def test_there_is_a_page_to_try_it_on(endpoint):
    answer = endpoint.get("/docs")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/html")


def test_nobody_changes_the_routing_without_being_known(endpoint):
    version = endpoint.get(endpoint.path).json()["versions"][0]
    path = f"{endpoint.path}/versions/{version}/cut_off"
    answer = endpoint.client.post(path, json={"reason": "x"})
    assert answer.status_code in (401, 403)
    assert endpoint.outputs(endpoint.template.request())
