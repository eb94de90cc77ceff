"""The errors: one tree, as its docstring draws it, and hints that name what was meant."""

from __future__ import annotations

import inspect
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_assets.lifecycle import errors
from mlops_assets.lifecycle.errors import MlopsAssetsError, RequestError, did_you_mean

CLASSES = [
    value
    for value in vars(errors).values()
    if inspect.isclass(value) and issubclass(value, Exception)
]


def test_the_tree_in_the_docstring_is_the_tree_of_classes():
    drawn = re.findall(r"[├└]── (\w+)", errors.__doc__ or "")
    assert drawn == [cls.__name__ for cls in CLASSES if cls is not MlopsAssetsError]
    assert "    MlopsAssetsError\n" in (errors.__doc__ or "")


@pytest.mark.parametrize("cls", CLASSES)
def test_every_error_is_caught_by_the_base_and_says_what_it_was_given(cls):
    assert issubclass(cls, MlopsAssetsError)
    with pytest.raises(MlopsAssetsError, match=r"flights\.csv: broken"):
        raise cls("flights.csv: broken")


@pytest.mark.parametrize("cls", [cls for cls in CLASSES if cls is not MlopsAssetsError])
def test_the_errors_are_siblings_so_catching_one_never_catches_another(cls):
    assert cls.__bases__ == (MlopsAssetsError,)


@pytest.mark.parametrize("cls", CLASSES)
def test_every_error_says_what_it_is_for(cls):
    assert cls.__doc__


def test_a_request_error_carries_the_status_to_answer_with():
    assert RequestError("no such model").status == 400
    assert RequestError("no such model", status=404).status == 404


@pytest.mark.parametrize(
    ("word", "allowed", "hint"),
    [
        ("carier", ["carrier", "origin"], "; did you mean 'carrier'?"),
        ("carrier", ["carrier", "carriers"], "; did you mean 'carrier'?"),
        ("zzz", ["carrier", "origin"], ""),
        ("carrier", [], ""),
        ("", ["carrier"], ""),
    ],
)
def test_a_hint_names_the_closest_allowed_word_or_nothing(word, allowed, hint):
    assert did_you_mean(word, allowed) == hint


@given(allowed=st.lists(st.text("abcdef_", min_size=1, max_size=12), min_size=1), data=st.data())
def test_a_word_that_is_allowed_is_its_own_hint(allowed, data):
    word = data.draw(st.sampled_from(allowed))
    assert did_you_mean(word, iter(allowed)) == f"; did you mean '{word}'?"


@given(word=st.text(max_size=12), allowed=st.lists(st.text(max_size=12)))
def test_a_hint_is_empty_or_names_one_of_the_allowed(word, allowed):
    hint = did_you_mean(word, allowed)
    assert hint == "" or hint in {f"; did you mean '{other}'?" for other in allowed}
