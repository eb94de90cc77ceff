"""Tests that take minutes of a core: ``make faults`` runs them, ``make test`` says so."""

from __future__ import annotations

import os

import pytest

takes_minutes = pytest.mark.skipif(
    os.environ.get("MLOPS_ASSETS_FAULTS") != "long", reason="takes minutes: make faults runs it"
)
