"""A server under test, and what is asked of any answer that refuses."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import httpx

from mlops_assets_tests.conformance.template import Template


@dataclass(frozen=True)
class Endpoint:
    """One model of one server. ``refused`` and ``answered`` fail with what came instead."""

    client: httpx.Client
    model: str
    template: Template

    @property
    def path(self) -> str:
        """Where the model is described."""
        return f"/v2/models/{self.model}"

    def get(self, path: str) -> httpx.Response:
        return self.client.get(path)

    def infer(self, body: Any = None, **options: Any) -> httpx.Response:
        """Ask for predictions: ``body`` as JSON, or ``content`` as it is."""
        if "content" in options:
            options.setdefault("headers", {"content-type": "application/json"})
            return self.client.post(f"{self.path}/infer", **options)
        return self.client.post(f"{self.path}/infer", json=body, **options)

    def answered(self, body: Any, **options: Any) -> dict[str, Any]:
        """The answer to a request that has to be answered."""
        answer = self.infer(body, **options)
        assert answer.status_code == 200, f"{answer.status_code}: {answer.text[:200]}"
        content: dict[str, Any] = answer.json()
        return content

    def outputs(self, body: Any) -> list[dict[str, Any]]:
        """What was predicted."""
        found: list[dict[str, Any]] = self.answered(body)["outputs"]
        return found

    def refused(self, body: Any = None, **options: Any) -> None:
        """The request is answered with an error of the caller's, in the form of the protocol."""
        check_refusal(self.infer(body, **options))


def check_refusal(answer: httpx.Response) -> None:
    """A 4xx whose body is ``{"error": text}``."""
    assert 400 <= answer.status_code < 500, f"{answer.status_code}: {answer.text[:200]}"
    content = answer.json()
    assert isinstance(content, dict), content
    assert isinstance(content.get("error"), str), content
    assert content["error"]
