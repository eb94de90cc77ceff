"""How much is simulated."""

from __future__ import annotations

from dataclasses import dataclass

USUAL = 10_000
"""What the command is asked for by default, and what ``Effort`` stands for."""


@dataclass(frozen=True)
class Effort:
    """``windows`` without drift of days, and ``seasons`` of whole weeks; ``shifted`` for each kind
    of shift; ``years`` of weekly decisions. Evidently draws its page whatever it is asked for, so
    it sees only the first ``evidently`` windows and ``evidently_shifted`` of each shift.
    """

    windows: int = 200
    seasons: int = 50
    shifted: int = 60
    years: int = 8
    evidently: int = 16
    evidently_shifted: int = 16

    @classmethod
    def for_runs(cls, runs: int) -> Effort:
        """The same in proportion, at least one of each."""
        usual = cls()
        return cls(
            **{name: max(1, round(count * runs / USUAL)) for name, count in vars(usual).items()}
        )
