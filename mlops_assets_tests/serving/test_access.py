"""Who may change the routing, and that no secret comes out again."""

from __future__ import annotations

import logging
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_assets.lifecycle.errors import RequestError
from mlops_assets.serving.web.access import Access, is_loopback, warn_of_open_address

TOKEN = "open-sesame-1234"
PATH = "/v2/models/delays/versions/v2/cut_off"
REASON = {"reason": "answers in minutes"}


def bearer(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}


@pytest.fixture
def rollout(world, start):
    """Starts a server with champion v1 and a canary v2 on half of the requests."""
    world.train("v1")
    world.train("v2")
    world.promote("v1")
    world.roll_out("v2", 50)
    return start


def weights(server):
    return {t["version"]: t["weight"] for t in server.get("/routing").json()["served"]}


def test_whoever_has_the_token_cuts_a_version_off(rollout):
    server = rollout(token=TOKEN)
    answer = server.client.post(PATH, json=REASON, headers=bearer(TOKEN))
    assert answer.status_code == 200
    assert answer.json() == {"version": "v2", "reason": "answers in minutes", "by": "token"}
    assert weights(server) == {"v1": 100, "v2": 0}


def test_whoever_the_proxy_names_cuts_a_version_off(rollout):
    server = rollout(proxy_header="x-forwarded-user")
    answer = server.client.post(PATH, json=REASON, headers={"X-Forwarded-User": "someone"})
    assert answer.json()["by"] == "someone"
    assert weights(server) == {"v1": 100, "v2": 0}


@pytest.mark.parametrize("headers", [{}, bearer(TOKEN), {"x-forwarded-user": "someone"}])
def test_without_anything_configured_nobody_does_and_is_told_how(rollout, headers):
    server = rollout()
    answer = server.client.post(PATH, json=REASON, headers=headers)
    assert answer.status_code == 403
    assert "--token-file" in answer.json()["error"]
    assert "--proxy-header" in answer.json()["error"]
    assert weights(server) == {"v1": 50, "v2": 50}


@pytest.mark.parametrize(
    "headers",
    [
        {},
        bearer("wrong"),
        bearer(""),
        bearer(TOKEN[:-1]),
        bearer(TOKEN + "5"),
        {"authorization": TOKEN},
        {"authorization": f"Basic {TOKEN}"},
        {"x-forwarded-user": "someone"},
    ],
)
def test_without_the_token_nobody_does(rollout, headers):
    server = rollout(token=TOKEN)
    answer = server.client.post(PATH, json=REASON, headers=headers)
    assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")
    assert TOKEN not in answer.text
    assert weights(server) == {"v1": 50, "v2": 50}


@pytest.mark.parametrize("named", ["", "  "])
def test_a_person_without_a_name_is_nobody(rollout, named):
    server = rollout(proxy_header="x-forwarded-user")
    answer = server.client.post(PATH, json=REASON, headers={"x-forwarded-user": named})
    assert answer.status_code == 401


@given(sent=st.text(max_size=20), token=st.text(min_size=1, max_size=20).filter(str.strip))
def test_only_the_token_itself_is_right(sent, token):
    token = token.strip()
    access = Access(token)
    assert access.identify(bearer(token)) == "token"
    if sent.strip() != token:
        with pytest.raises(RequestError) as error:
            access.identify(bearer(sent))
        assert error.value.status == 401


def test_with_token_and_proxy_either_will_do():
    access = Access(TOKEN, "x-user")
    assert access.identify(bearer(TOKEN)) == "token"
    assert access.identify({"x-user": "someone", "authorization": "Basic abc"}) == "someone"
    with pytest.raises(RequestError, match="and by people the proxy names"):
        access.identify({})


def test_a_very_long_name_is_cut():
    assert len(Access(None, "x-user").identify({"x-user": "y" * 5000})) == 100


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"{}", 400),
        (b'{"reason": ""}', 400),
        (b'{"reason": "%s"}' % (b"x" * 301), 400),
        (b'{"reason": "x", "by": "me"}', 400),
        (b"no", 400),
        (b" " * 5000, 413),
    ],
)
def test_a_reason_is_asked_for(rollout, body, status):
    server = rollout(token=TOKEN)
    headers = {**bearer(TOKEN), "content-type": "application/json"}
    assert server.client.post(PATH, content=body, headers=headers).status_code == status
    assert weights(server) == {"v1": 50, "v2": 50}


@pytest.mark.parametrize("kind", [None, "text/plain", "application/x-www-form-urlencoded"])
def test_what_a_foreign_page_could_send_is_refused(rollout, kind):
    server = rollout(proxy_header="x-user")
    headers = {"x-user": "someone"} | ({"content-type": kind} if kind else {})
    assert server.client.post(PATH, content=b'{"reason": "x"}', headers=headers).status_code == 415


@pytest.mark.parametrize(("version", "status"), [("v1", 409), ("v9", 404)])
def test_what_cannot_be_cut_off_says_so(rollout, version, status):
    path = f"/v2/models/delays/versions/{version}/cut_off"
    answer = rollout(token=TOKEN).client.post(path, json=REASON, headers=bearer(TOKEN))
    assert answer.status_code == status


def test_secrets_are_neither_in_answers_nor_in_metrics_nor_in_logs(start, free_port, caplog):
    caplog.set_level(logging.DEBUG)
    ledger = f"postgresql+psycopg://me:hush-hush@127.0.0.1:{free_port}/ledger"
    server = start(ledger=ledger, token=TOKEN)
    assert "ledger" in caplog.text
    paths = ["/v2", "/v2/health/live", "/v2/health/ready", "/v2/models", "/metrics", "/docs"]
    shown = "".join(server.client.get(path).text for path in [*paths, "/openapi.json"])
    shown += server.client.post(PATH, json=REASON, headers=bearer("guess")).text
    shown += str(server.watch.ledger_error) + caplog.text
    for secret in (TOKEN, "guess", "hush-hush"):
        assert secret not in shown


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("127.0.0.1", True),
        ("127.8.8.8", True),
        ("::1", True),
        ("localhost", True),
        ("0.0.0.0", False),
        ("::", False),
        ("10.0.0.1", False),
        ("example.org", False),
    ],
)
def test_a_server_that_others_reach_says_so_unless_it_has_a_token(world, caplog, host, loopback):
    assert is_loopback(host) is loopback
    warn_of_open_address(replace(world.settings, host=host, token=TOKEN))
    assert caplog.text == ""
    warn_of_open_address(replace(world.settings, host=host))
    assert ("no token" in caplog.text) is not loopback
