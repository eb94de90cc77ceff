"""Single values of a defs.yaml: what they stand for, and which are none."""

from __future__ import annotations

import pytest

from mlops_assets.components.spec_values import (
    expand_column,
    name_slices,
    require_cron,
    require_owner,
    require_timezone,
)


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("int", {"type": "int", "nullable": False}),
        ("int?", {"type": "int", "nullable": True}),
        ({"type": "int", "ge": 0}, {"type": "int", "ge": 0}),
    ],
)
def test_a_type_stands_for_a_column(written, meant):
    assert expand_column(written) == meant


def test_a_list_of_columns_stands_for_slices_of_their_names_and_a_mapping_for_itself():
    assert name_slices(["carrier", "origin"]) == {"carrier": "carrier", "origin": "origin"}
    assert name_slices({"long": "distance > 1500"}) == {"long": "distance > 1500"}
    assert name_slices([1, 2]) == [1, 2]


@pytest.mark.parametrize(
    ("require", "good", "bad", "said"),
    [
        (require_owner, "team:flights", "flights", "is no owner"),
        (require_owner, "a.b@example.com", "a b@example.com", "is no owner"),
        (require_cron, "0 6 * * 1", "every monday", "is no cron expression"),
        (require_timezone, "America/New_York", "New York", "unknown timezone"),
    ],
)
def test_a_value_is_passed_on_or_refused_in_words(require, good, bad, said):
    assert require(good) == good
    with pytest.raises(ValueError, match=said):
        require(bad)
