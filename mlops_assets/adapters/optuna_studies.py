"""Studies in Optuna, all of them in one journal file or one PostgreSQL database."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlops_assets.adapters.fold_workers import open_workers
from mlops_assets.adapters.optuna_search import Search
from mlops_assets.adapters.study_locks import JournalLock, RequireHeld, hold_advisory, hold_file
from mlops_assets.lifecycle.tuning import Objective, Trial, Tuning, TuningResult, require_space

if TYPE_CHECKING:
    from optuna.storages import JournalStorage, RDBStorage


@dataclass(frozen=True)
class OptunaStudies:
    """``Studies`` in the journal ``studies.journal`` below ``root``, or in PostgreSQL at ``url``.

    ``url`` is SQLAlchemy's, like ``postgresql+psycopg://USER:PASSWORD@HOST/DATABASE``. Whoever
    asks for a study that another process or thread searches waits until that one has ended, then
    goes on from what it left; the lock is the system's or the server's, so it ends with its holder.

    Trials are drawn in rounds of ``Tuning.workers`` from the results of the rounds before. Which
    worker is faster changes nothing, and a study that was killed draws what an unbroken one would.
    Trials that ended are not fitted again. A time limit counts the seconds up to the last trial
    that was stored, in all calls, and is looked at between rounds; one round always runs. A result
    tells of the first ``Tuning.trials`` trials, also when an earlier call asked for more.
    """

    root: Path
    url: str | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        if self.url is not None and not self.url.startswith(("postgresql:", "postgresql+")):
            scheme = self.url.partition(":")[0]
            raise ValueError(f"studies: the url must be one of PostgreSQL, got one of {scheme}")

    @property
    def address(self) -> str:
        """What ``optuna-dashboard`` is to open: the path of the journal, or the URL."""
        return str(self._journal) if self.url is None else self.url

    def optimise(
        self,
        name: str,
        tuning: Tuning,
        objective: Objective,
        report: Callable[[Trial], None],
    ) -> TuningResult:
        import optuna

        require_space(name, tuning)
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        with self._lock(f"study/{name}") as require_lock, self._storage() as storage:
            study = optuna.create_study(storage=storage, study_name=name, load_if_exists=True)
            search = Search(name, tuning, study)
            if search.stopped is None:
                with open_workers(name, objective, tuning.workers) as workers:
                    while search.stopped is None:
                        search.run_round(workers, objective.folds, report, require_lock)
            return search.conclude(search.stopped)

    @property
    def _journal(self) -> Path:
        return self.root / "studies.journal"

    def _lock(self, name: str) -> AbstractContextManager[RequireHeld]:
        if self.url is None:
            return hold_file(self.root / "locks" / f"{name}.lock")
        return hold_advisory(self.url, name)

    @contextmanager
    def _storage(self) -> Iterator[JournalStorage | RDBStorage]:
        if self.url is None:
            yield self._open_journal()
            return
        storage = self._open_database(self.url)
        try:
            yield storage
        finally:
            storage.remove_session()
            storage.engine.dispose()

    def _open_journal(self) -> JournalStorage:
        from optuna.storages import JournalStorage
        from optuna.storages.journal import JournalFileBackend

        self.root.mkdir(parents=True, exist_ok=True)
        # Optuna's types ask for a class of its own; it calls acquire and release alone.
        lock: Any = JournalLock(self.root / "locks" / "journal.lock", self._journal)
        return JournalStorage(JournalFileBackend(str(self._journal), lock))

    def _open_database(self, url: str) -> RDBStorage:
        from optuna.storages import RDBStorage

        # Two that create the tables of a new database at once would stumble over each other.
        with self._lock("tables"):
            return RDBStorage(url)
