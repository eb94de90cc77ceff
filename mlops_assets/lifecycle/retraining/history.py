"""What is known when it is asked whether to train again."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from mlops_assets.lifecycle.retraining.policy import Trigger
from mlops_assets.lifecycle.retraining.window import MonitoredWindow

if TYPE_CHECKING:
    from mlops_assets.lifecycle.rollout.state import Champion


@dataclass(frozen=True)
class Ask:
    """A retraining that was asked for, as of partition ``as_of``.

    ``window``: the newest monitored partition then, None before the first. ``version``: the
    champion then. ``episode``: what it answers; of a request by hand its number. ``fate``: what
    became of it, in words; ``ended``: without coming to serve. ``by`` and ``reason``: who asked by
    hand, and why. ``withdrawn``: taken back before anything was trained. Its run may be on its
    way: cooldown and budget count it.
    """

    window: str | None
    as_of: str
    trigger: Trigger = "drift"
    version: str = ""
    episode: str = ""
    fate: str = ""
    ended: bool = False
    by: str = ""
    reason: str = ""
    withdrawn: bool = False


@dataclass(frozen=True)
class RetrainingHistory:
    """``windows``: monitored partitions, whichever version answered them. ``asked``: everything
    that was asked for, by a rule or by hand. ``labelled``: answered rows whose label is known, by
    partition.
    """

    champion: Champion | None
    windows: Sequence[MonitoredWindow] = ()
    asked: Sequence[Ask] = ()
    labelled: Mapping[str, int] = field(default_factory=dict)

    @property
    def newest(self) -> str | None:
        """The newest monitored partition, None before the first."""
        return max((window.partition for window in self.windows), default=None)

    @property
    def served(self) -> list[MonitoredWindow]:
        """The windows since the champion began to answer, oldest first.

        Those before another version answered in between are not among them: going back to a
        version begins anew. Nor are those from before its training, which it is compared with
        when they are monitored again.
        """
        stretch: list[MonitoredWindow] = []
        for window in sorted(self.windows, key=lambda window: window.partition, reverse=True):
            if self.champion is None or window.version != self.champion.version:
                break
            if window.partition < self.champion.train_as_of:
                break
            stretch.insert(0, window)
        return stretch

    @property
    def earlier(self) -> list[Ask]:
        """What was asked for before the newest window, in order. What was asked in it is the
        answer itself: asking again gives the same."""
        newest = self.newest
        past = [ask for ask in self.asked if newest and (ask.window or "") < newest]
        return sorted(past, key=lambda ask: (ask.window or "", ask.as_of))

    @property
    def told(self) -> Ask | None:
        """What a rule asked for in the newest window against this champion; the first of several.

        It stays the answer whatever else is learned about the windows before the next one.
        """
        version = self.champion.version if self.champion else ""
        rules = (ask for ask in self.asked if ask.trigger != "by_hand" and ask.episode)
        return next((a for a in rules if (a.window, a.version) == (self.newest, version)), None)

    @property
    def by_hand(self) -> list[Ask]:
        """What persons asked for since the newest window was monitored, in order; of several as of
        one partition the last."""
        asked = [ask for ask in self.asked if (ask.trigger, ask.window) == ("by_hand", self.newest)]
        last = {ask.as_of: ask for ask in asked}
        return [ask for ask in asked if ask is last[ask.as_of]]

    @property
    def last_training(self) -> str:
        """The partition the champion was trained as of, or a later one asked for: a retraining
        that does not come to serve is none the less one. What a person asked for as of a
        partition that is still to come does not hold up what is due before."""
        return self._latest(self.earlier)

    @property
    def last_standing(self) -> str:
        """The same without what has ended, refused or taken back: the champion is no younger."""
        return self._latest(ask for ask in self.earlier if not ask.ended)

    def _latest(self, asked: Iterable[Ask]) -> str:
        trained = self.champion.train_as_of if self.champion else ""
        newest = self.newest or ""
        return max([trained, *(ask.as_of for ask in asked if ask.as_of <= newest)])
