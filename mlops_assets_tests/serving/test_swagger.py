"""The page to try requests on: all of it comes from this server."""

from __future__ import annotations

import re

import pytest

from mlops_assets.adapters.online_tables import FolderOnlineTables
from mlops_assets.lifecycle.online import OnlineGroup, OnlineTable
from mlops_assets.serving.web.swagger import FILES, PAGE, START


def test_the_page_and_all_it_loads_are_served_here(server):
    page = server.client.get("/docs")
    assert page.headers["content-type"].startswith("text/html")
    loaded = re.findall(r'(?:src|href|url): ?"([^"]+)"|(?:src|href)="([^"]+)"', PAGE + START)
    paths = [first or second for first, second in loaded]
    assert len(paths) == 5
    for path in paths:
        assert path.startswith("/")
        answer = server.client.get(path)
        assert answer.status_code == 200
        assert answer.content


def test_the_page_may_load_nothing_from_elsewhere_and_run_no_script_within_it(server):
    policy = server.client.get("/docs").headers["content-security-policy"]
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    assert (rules["default-src"], rules["script-src"]) == ("'none'", "'self'")
    assert not re.search(r"https?:", PAGE + START + policy)
    assert "<script>" not in PAGE


def test_swagger_ui_gets_the_version_of_the_description_that_it_can_show(server):
    assert server.client.get("/docs/openapi.json").json()["openapi"] == "3.0.3"
    script = server.client.get("/docs/swagger-ui-bundle.js").text
    assert '"3.0."' in script


@pytest.mark.parametrize("name", FILES)
def test_files_have_their_types(server, name):
    kinds = {"css": "text/css", "js": "text/javascript", "png": "image/png"}
    answer = server.client.get(f"/docs/{name}")
    assert answer.headers["content-type"].startswith(kinds[name.rpartition(".")[2]])


@pytest.mark.parametrize("name", ["index.html", "..", "%2e%2e%2fsettings.py", "swagger-ui.css.map"])
def test_no_other_file_is_served(server, name):
    assert server.client.get(f"/docs/{name}").status_code == 404


def test_with_looked_up_features_the_example_still_works_and_says_what_may_be_left_out(
    world, start, tmp_path
):
    group = OnlineGroup(("tailnum",), ("distance",), {("N1",): (500.0,)})
    tables = FolderOnlineTables(tmp_path / "online")
    tables.publish(OnlineTable("delays", "2013-06-01T00:00:00+00:00", "code", (group,)))
    world.train("v1")
    world.promote("v1")
    server = start(online=tmp_path / "online")
    path = "/v1/models/delays:predict"
    operation = server.client.get("/openapi.json").json()["paths"][path]["post"]
    asked = operation["requestBody"]["content"]["application/json"]
    assert asked["schema"]["properties"]["instances"]["items"]["required"] == ["carrier"]
    assert server.client.post(path, json=asked["example"]).status_code == 200
    looked_up = server.client.post(path, json={"instances": [{"carrier": "UA", "tailnum": "N1"}]})
    sent = server.client.post(path, json={"instances": [{"carrier": "UA", "distance": 500.0}]})
    assert looked_up.json() == sent.json()
    assert "predictions" in sent.json()
