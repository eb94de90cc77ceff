"""What ``freshness`` in the YAML becomes: Dagster's own policies on the assets it is about."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import dagster as dg
import pytest

from mlops_assets.commands.home import prepare_home
from mlops_assets.components.assets import build_assets
from mlops_assets.components.assets.freshness import FRESH
from mlops_assets.lifecycle.freshness import FreshnessLimit, FreshnessPolicy

AFTER = "\n  schedules:\n"
LIMITS = (
    "\n  freshness:\n"
    "    data: {hours: 192}\n"
    "    model: {hours: 1344, warn_hours: 1000}\n"
    "    monitoring: {hours: 200}\n"
)


@pytest.fixture(scope="module")
def plain(flight_delays_text) -> str:
    """The real file without whatever it says of freshness."""
    before, section, rest = flight_delays_text.partition("\n  freshness:")
    if not section:
        return flight_delays_text
    kept = rest.partition("\n")[2].splitlines(keepends=True)
    while kept and kept[0].startswith("    "):
        kept.pop(0)
    return before + "\n" + "".join(kept)


@pytest.fixture(scope="module")
def specs_of(read, make_model, plain):
    """The specs of a model's assets by their name, with this text in its YAML."""

    def build(text: str) -> dict[str, dg.AssetSpec]:
        spec = read(plain.replace(AFTER, text + AFTER, 1))
        assets = build_assets(replace(make_model(), spec=spec))
        return {one.key.path[-1]: one for asset in assets for one in asset.specs}

    return build


def test_each_part_is_about_its_assets_and_no_other_has_a_policy(specs_of):
    found = {
        name: spec.freshness_policy.fail_window.to_timedelta()
        for name, spec in specs_of(LIMITS).items()
        if spec.freshness_policy
    }
    hours = {"data": 192, "model": 1344, "monitoring": 200}
    assert found == {
        name: timedelta(hours=hours[part]) for part, names in FRESH.items() for name in names
    }
    assert set(found) == {"labels", "features", "model_version", "drift_report", "performance"}


def test_the_ui_warns_earlier_where_the_yaml_says_so(specs_of):
    specs = specs_of(LIMITS)
    assert specs["model_version"].freshness_policy.warn_window.to_timedelta() == timedelta(
        hours=1000
    )
    assert specs["labels"].freshness_policy.warn_window is None


def test_unless_told_otherwise_no_asset_has_a_policy(specs_of):
    assert not [name for name, spec in specs_of("").items() if spec.freshness_policy]


def test_one_part_alone_leaves_the_others_without(specs_of):
    specs = specs_of("\n  freshness: {data: {hours: 24}}")
    assert {name for name, spec in specs.items() if spec.freshness_policy} == {"labels", "features"}


def test_nothing_else_about_an_asset_changes(make_model, read, plain):
    model = make_model()

    def described(text: str):
        spec = read(plain.replace(AFTER, text + AFTER, 1))
        return [
            (
                sorted(key.to_user_string() for key in asset.keys),
                asset.op.pool,
                asset.backfill_policy,
                asset.partitions_def,
                sorted((check.name, check.blocking) for check in asset.check_specs),
                [one.replace_attributes(freshness_policy=None) for one in asset.specs],
                asset.required_resource_keys,
            )
            for asset in build_assets(replace(model, spec=spec))
        ]

    assert described(LIMITS) == described("")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{date: {hours: 1}}", "freshness.date: unknown key, allowed are data, model, monitoring"),
        ("{data: {hour: 1}}", "freshness.data.hour: unknown key"),
        ("{data: {hours: 0}}", "freshness.data.hours: hours must be at least a minute"),
        (
            "{data: {hours: 5, warn_hours: 6}}",
            "freshness.data.warn_hours: warn_hours must be below",
        ),
        ("{data: {hours: soon}}", "freshness.data.hours: input should be a valid number"),
    ],
)
def test_a_wrong_limit_is_refused_with_its_place(lines_said, plain, text, said):
    lines = lines_said(plain.replace(AFTER, f"\n  freshness: {text}{AFTER}", 1))
    assert any(said in line for line in lines), lines


def test_the_yaml_is_read_as_the_policy(read, plain):
    spec = read(plain.replace(AFTER, LIMITS + AFTER, 1))
    assert spec.freshness == FreshnessPolicy(
        FreshnessLimit(192), FreshnessLimit(1344, 1000), FreshnessLimit(200)
    )


def test_dagster_looks_at_the_policies_in_the_home_a_stack_gets(tmp_path):
    home = prepare_home(tmp_path, {})
    with dg.DagsterInstance.from_config(str(home)) as instance:
        assert instance.freshness_enabled
        assert "FRESHNESS_DAEMON" in instance.get_required_daemon_types()
