"""The code location: everything below ``defs``, with one executor for all of it."""

from pathlib import Path

import dagster as dg


@dg.definitions
def definitions() -> dg.Definitions:
    """Load the defs folder; small steps share the run's process."""
    loaded = dg.load_from_defs_folder(path_within_project=Path(__file__).parent)
    return dg.Definitions.merge(loaded, dg.Definitions(executor=dg.in_process_executor))
