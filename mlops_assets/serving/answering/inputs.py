"""What a request to a version may and must carry, worked out once and not for each request."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from mlops_assets.lifecycle.training import ModelSignature

InputKind = Literal["numeric", "categorical", "time", "key"]
"""``key``: looked up by and no feature, so that a number and a text are both welcome."""


class Lookups(Protocol):
    """What looks up the features that a request leaves out, by model."""

    def inputs(self, model: str) -> frozenset[str]:
        """What features are looked up by, beyond the features themselves."""

    def features(self, model: str) -> frozenset[str]:
        """What a request may leave out."""

    def fill(
        self, model: str, columns: dict[str, list[float | str | None]], height: int
    ) -> str | None:
        """Add the columns that were left out, in place; as of when they are, None without any.

        Raises ``RequestError`` when what they are looked up by was left out as well.
        """

    def follow(self, models: Iterable[str]) -> None:
        """Read what was replaced meanwhile; cheap enough to be called all the time."""


@dataclass(frozen=True)
class Inputs:
    """The inputs of one version, or of a primary and the canary beside it.

    ``names`` are the features of the version that answers, as it lists them; ``required`` those
    that have to be sent. ``kinds``: everything that may be sent. ``features``: what is kept as a
    column, ``optional``: what is looked up when it is left out. ``entity_key`` and ``time`` are
    None where a feature of that name has another meaning.
    """

    names: tuple[str, ...]
    required: frozenset[str]
    kinds: dict[str, InputKind]
    features: frozenset[str]
    optional: frozenset[str]
    entity_key: str | None
    time: str | None


def plan_inputs(
    signatures: Sequence[ModelSignature],
    *,
    keys: frozenset[str] = frozenset(),
    optional: frozenset[str] = frozenset(),
) -> Inputs:
    """What requests may carry for ``signatures``.

    The features of the first have to be there, less the ``optional`` ones; those of the others
    may be, so that callers can send what a canary needs before it is the model they talk to.
    ``keys`` are what the optional features are looked up by.
    """
    contract = signatures[0]
    kinds: dict[str, InputKind] = dict.fromkeys(sorted(keys), "key")
    for signature in reversed(signatures):  # the first one has the last word
        kinds |= {signature.entity_key: "categorical", signature.time: "time"}
        kinds |= {feature.name: feature.kind for feature in signature.features}
    features = frozenset(name for signature in signatures for name in signature.names)
    return Inputs(
        names=tuple(contract.names),
        required=frozenset(contract.names) - optional,
        kinds=kinds,
        features=features | keys,
        optional=optional & features,
        entity_key=contract.entity_key if kinds[contract.entity_key] != "numeric" else None,
        time=contract.time if kinds[contract.time] == "time" else None,
    )
