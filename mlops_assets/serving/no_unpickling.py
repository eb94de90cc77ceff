"""Nothing is unpickled in the serving process: a second lock behind skops and the digest.

A pickle harms by what it names. ``pickle.find_class`` looks up each function it would call and each
class it would make, and CPython tells audit hooks (PEP 578) before it looks: an exception raised
there ends the unpickling. joblib, cloudpickle and ``numpy.load`` come this way too. A pickle of
plain values names nothing and can do nothing. An unpickler with another ``find_class`` is not
seen; those on this path (joblib, pandas) call the one that tells.
"""

from __future__ import annotations

import sys
from typing import Any

from mlops_assets.lifecycle.errors import ArtifactError

EVENT = "pickle.find_class"


def refuse_unpickling() -> None:
    """From here on nothing that a pickle names is looked up in this process.

    The loader gets ``ArtifactError``. It cannot be undone: call it in a process of its own.
    """
    sys.addaudithook(_refuse)


def _refuse(event: str, arguments: tuple[Any, ...]) -> None:
    if event == EVENT:
        named = ".".join(str(argument) for argument in arguments)
        raise ArtifactError(
            f"model server: a pickle asks for {named}, nothing is unpickled in this process; "
            "store models with the project's own model files"
        )
