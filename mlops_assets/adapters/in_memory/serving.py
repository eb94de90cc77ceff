"""A model server that is only said to run."""

from __future__ import annotations

from mlops_assets.adapters.serving_ports import Endpoint


class InMemoryServing:
    """``Serving`` that answers for the (model, version) pairs in ``ready``, and never waits."""

    def __init__(self) -> None:
        self.endpoint = Endpoint("http://in-memory")
        self.running = False
        self.ready: set[tuple[str, str]] = set()

    def ensure_running(self) -> Endpoint:
        self.running = True
        return self.endpoint

    def wait_until_ready(self, model: str, version: str, timeout: float) -> bool:  # noqa: ARG002
        return self.running and (model, version) in self.ready

    def stop(self) -> bool:
        was_running, self.running = self.running, False
        return was_running
