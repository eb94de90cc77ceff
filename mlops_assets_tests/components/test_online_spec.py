"""What defs.yaml may say of features that are looked up."""

from __future__ import annotations

import pytest

from mlops_assets.lifecycle.online import FeatureGroup

CARRIER = "features: [regional, carrier_late_rate_28d"
PAIR = "features: [flight_late_rate_28d]"


def test_the_groups_are_those_of_the_yaml_in_order(model, written):
    stated = written["features"]["online"]
    assert model.spec.features.to_groups() == tuple(
        FeatureGroup(tuple(group["by"]), tuple(group["features"])) for group in stated
    )
    assert len(stated) == 6


def test_what_a_caller_of_flight_delays_knows_is_left_to_the_caller(model):
    looked_up = {name for group in model.spec.features.to_groups() for name in group.features}
    assert {feature.name for feature in model.features} - looked_up == {
        *("carrier", "origin", "dest", "distance"),
        *("departure_minute", "scheduled_minutes", "weekday"),
    }


def test_without_the_key_nothing_is_looked_up(make_model, flight_delays_text):
    begin = flight_delays_text.index("    online:")
    lines = flight_delays_text[begin : flight_delays_text.index("  training:")]
    assert make_model({lines: ""}).spec.features.to_groups() == ()


@pytest.mark.parametrize(
    ("old", "new", "key", "said"),
    [
        (
            CARRIER,
            CARRIER.replace("regional", "regionl"),
            "features.online.3.features.0",
            "unknown feature 'regionl', allowed are carrier, origin, dest,",
        ),
        (
            PAIR,
            PAIR.replace("]", ", regional]"),
            "features.online.4.features.1",
            "feature 'regional' is already in group 3, give it one",
        ),
        (
            PAIR,
            PAIR.replace("]", ", flight_late_rate_28d]"),
            "features.online.4.features.1",
            "feature 'flight_late_rate_28d' is already in group 4, give it one",
        ),
        (
            "by: [carrier, flight]",
            "by: [carrier, carrier]",
            "features.online.4.by",
            "column 'carrier' is named twice",
        ),
        (
            "by: [carrier, flight]",
            "by: [carrier, flight_id]",
            "features.online.4.by",
            "'flight_id' tells rows apart, or what becomes of them: no key",
        ),
        (
            "- by: [carrier, flight]",
            "- bye: [carrier, flight]",
            "features.online.4.bye",
            "unknown key, allowed are by, features; did you mean 'by'?",
        ),
        (PAIR, "features: []", "features.online.4.features", "at least 1 item"),
    ],
)
def test_a_wrong_group_is_said_with_its_line(change, lines_said, old, new, key, said):
    text = change({old: new})
    (found,) = [line for line in lines_said(text) if f" {key}: " in line]
    assert said in found
    assert found.startswith(f"defs.yaml:{text.count(chr(10), 0, text.index(new)) + 1}: ")


def test_a_group_without_by_is_told_what_is_missing(change, lines_said):
    text = change({"- by: [carrier, flight]\n        features": "- features"})
    assert any("features.online.4: key 'by' is missing" in line for line in lines_said(text))
