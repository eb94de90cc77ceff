"""What the adapters' brands must not do while they are tested."""

from __future__ import annotations

import pytest


@pytest.fixture(scope="session", autouse=True)
def _tell_nobody():
    """Libraries tell nobody what is done with them, here and in processes started from here."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
        patch.setenv("DO_NOT_TRACK", "1")
        yield
