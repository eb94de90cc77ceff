"""Optuna's dashboard over all studies: ``python -m mlops_assets.commands.dashboard PORT``.

The studies are found by the environment, so that no URL with a password is on a command line.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

from mlops_assets.commands.ports import HOST


def run_dashboard(port: int) -> None:
    """Serve until the process is told to end."""
    from optuna_dashboard import run_server

    from mlops_assets.defs.platform.resources import build_studies, read_settings

    run_server(_open(build_studies(read_settings(os.environ)).address), host=HOST, port=port)


def _open(address: str) -> Any:
    """What the dashboard reads: a database by its URL, or the journal file."""
    if "://" in address:
        return address
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    Path(address).parent.mkdir(parents=True, exist_ok=True)
    return JournalStorage(JournalFileBackend(address))


if __name__ == "__main__":
    run_dashboard(int(sys.argv[1]))
