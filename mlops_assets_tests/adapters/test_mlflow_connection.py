"""The way to MLflow: folders made, local databases taken in turn, searches read to their end."""

from __future__ import annotations

import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_assets.adapters.mlflow_connection import alone, connect, every_page, literal


def can_enter(uri, patience):
    """Whether another thread gets in while this one is in, within so many seconds."""
    entered = threading.Event()

    def enter():
        with alone(uri):
            entered.set()

    other = threading.Thread(target=enter)
    with alone(uri):
        other.start()
        inside = entered.wait(patience)
    other.join()
    assert entered.is_set()
    return inside


@pytest.mark.parametrize("dialect", ["sqlite", "sqlite+pysqlite"])
def test_a_local_database_is_had_alone(tmp_path, dialect):
    assert not can_enter(f"{dialect}:///{tmp_path}/mlflow.db", patience=0.3)


def test_two_local_databases_are_had_at_once(tmp_path):
    with alone(f"sqlite:///{tmp_path}/one.db"), alone(f"sqlite:///{tmp_path}/two.db"):
        assert {path.name for path in tmp_path.iterdir()} == {"one.db.lock", "two.db.lock"}


@pytest.mark.parametrize(
    "uri",
    ["http://tracking", "postgresql://user@host/mlflow", "sqlite://", "sqlite:///:memory:"],
)
def test_what_is_no_local_file_is_not_waited_for(uri):
    assert can_enter(uri, patience=60)


def test_a_local_database_is_made_with_its_folder_on_first_use(tmp_path):
    client = connect(f"sqlite:///{tmp_path}/deep/er/mlflow.db")
    assert (tmp_path / "deep" / "er" / "mlflow.db").exists()
    assert [found.name for found in client.search_experiments()] == ["Default"]


class Page(list):
    token = None


@given(st.lists(st.lists(st.integers(), max_size=3), min_size=1, max_size=5))
def test_every_page_is_read_once_and_in_order(pages):
    asked = []

    def ask(token):
        asked.append(token)
        number = int(token or 0)
        page = Page(pages[number])
        page.token = str(number + 1) if number + 1 < len(pages) else None
        return page

    assert list(every_page(ask)) == [item for page in pages for item in page]
    assert asked == [None, *(str(number) for number in range(1, len(pages)))]


@given(st.text())
def test_text_is_put_in_the_quotes_it_has_not_or_refused(text):
    if "'" in text and '"' in text:
        with pytest.raises(ValueError, match="both kinds of quotes"):
            literal(text)
    else:
        quoted = literal(text)
        assert quoted[1:-1] == text
        assert quoted[0] == quoted[-1]
        assert quoted[0] not in text
