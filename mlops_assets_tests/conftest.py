"""What holds for every test."""

from __future__ import annotations

import gc
import sys

import pytest

_STORAGE = "dagster._core.storage.defs_state.base"


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup() -> None:
    """No test begins with what another's Dagster instance has left.

    A context of Dagster that is collected late puts the storage of an instance back that has ended,
    and whatever loads definitions next fails.
    """
    loaded = sys.modules.get(_STORAGE)
    if loaded is not None and loaded._current_storage.get() is not None:
        gc.collect()
        loaded._current_storage.set(None)
