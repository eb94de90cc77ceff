"""What was seen online is compared with what is built offline, cell by cell."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlops_assets.lifecycle.skew import SHOWN, SkewPolicy, compare_features
from mlops_assets.lifecycle.training import Feature

NUMBER, TEXT = Feature("wind", "numeric"), Feature("carrier", "categorical")
FEATURES = (NUMBER, TEXT)
AT = datetime(2013, 5, 20, 12, tzinfo=UTC)
NAN = float("nan")
INFINITE = float("inf")
STRICT = SkewPolicy(share=0)
TYPES = {
    "entity": pl.String,
    "time": pl.Datetime("us", "UTC"),
    "wind": pl.Float64,
    "carrier": pl.String,
}


def table(rows: list[tuple[float | None, str | None]], **columns: list) -> pl.DataFrame:
    """Offline rows: one entity an hour."""
    return pl.DataFrame(
        {
            "entity": [f"e{n}" for n in range(len(rows))],
            "time": [AT + timedelta(hours=n) for n in range(len(rows))],
            "wind": [row[0] for row in rows],
            "carrier": [row[1] for row in rows],
            **columns,
        },
        schema_overrides=TYPES,
    )


def logged(rows: list[tuple[float | None, str | None]], **columns: list) -> pl.DataFrame:
    version = columns.pop("version", ["v1"] * len(rows))
    return table(rows, **columns).with_columns(version=pl.Series(version, dtype=pl.String))


def compare(online: pl.DataFrame, offline: pl.DataFrame, policy: SkewPolicy = STRICT, **known):
    return compare_features(online, offline, FEATURES, policy, **known)


cells = st.tuples(
    st.one_of(st.none(), st.floats(allow_nan=True, allow_infinity=True)),
    st.sampled_from([None, "", "UA", "AA"]),
)


class TestCells:
    @settings(max_examples=60)
    @given(st.lists(cells, min_size=1, max_size=12))
    def test_a_log_of_the_offline_rows_never_differs(self, rows):
        report = compare(logged(rows), table(rows))
        assert (report.compared, report.differing, report.alone) == (len(rows), 0, 0)
        assert report.verdict.passed

    @settings(max_examples=60)
    @given(
        rows=st.lists(
            st.tuples(st.floats(-1e6, 1e6), st.sampled_from(["UA", "AA"])), min_size=1, max_size=12
        ),
        data=st.data(),
    )
    def test_exactly_the_rows_that_were_changed_differ(self, rows, data):
        chosen = data.draw(st.sets(st.integers(0, len(rows) - 1)))
        kind = st.sampled_from(["number", "text", "both", "gone"])
        changed = {n: data.draw(kind) for n in chosen}
        seen = {
            "number": lambda wind, carrier: (wind + 1, carrier),
            "text": lambda wind, carrier: (wind, carrier + "x"),
            "both": lambda wind, carrier: (wind + 1, carrier + "x"),
            "gone": lambda _, carrier: (None, carrier),
        }
        online = [seen[changed[n]](*row) if n in changed else row for n, row in enumerate(rows)]
        report = compare(logged(online), table(rows))
        assert report.differing == len(chosen)
        winds = sum(kind != "text" for kind in changed.values())
        carriers = sum(kind in ("text", "both") for kind in changed.values())
        counted = {name: n for name, n in (("wind", winds), ("carrier", carriers)) if n}
        assert dict(report.features) == counted
        assert {row["entity"] for row in report.examples} <= {f"e{n}" for n in chosen}
        assert report.verdict.passed == (not chosen)

    @pytest.mark.parametrize(
        ("online", "offline", "same"),
        [
            (None, None, True),
            (None, NAN, True),
            (NAN, None, True),
            (None, 0.0, False),
            (0.0, None, False),
            (NAN, 3.0, False),
            (0.0, -0.0, True),
            (INFINITE, INFINITE, True),
            (INFINITE, -INFINITE, False),
            (INFINITE, 1.0, False),
            (1.0, 1.0 + 1e-12, True),
            (1.0, 1.0 + 1e-6, False),
            (1e9, 1e9 + 0.5, True),
            (0.0, 1e-300, False),
        ],
    )
    def test_a_number_differs_beyond_the_tolerance_and_a_null_from_every_value(
        self, online, offline, same
    ):
        report = compare(logged([(online, "UA")]), table([(offline, "UA")]))
        assert (report.differing == 0) is same

    @pytest.mark.parametrize(
        ("online", "offline", "same"),
        [
            (None, "", True),
            ("", None, True),
            ("UA", "UA", True),
            ("ua", "UA", False),
            (None, "UA", False),
            ("UA", None, False),
        ],
    )
    def test_a_text_differs_by_a_letter_and_an_empty_one_is_none(self, online, offline, same):
        report = compare(logged([(1.0, online)]), table([(1.0, offline)]))
        assert (report.differing == 0) is same

    def test_the_tolerance_is_the_policys(self):
        online, offline = logged([(1.01, "UA")]), table([(1.0, "UA")])
        assert compare(online, offline, SkewPolicy(tolerance=0.02)).differing == 0
        assert compare(online, offline, SkewPolicy(tolerance=0.005)).differing == 1


class TestPartners:
    ROWS = [(1.0, "UA"), (2.0, "AA"), (3.0, "B6")]  # noqa: RUF012 - not changed

    def test_rows_that_are_not_built_offline_are_counted_and_not_blamed(self):
        report = compare(logged(self.ROWS), table(self.ROWS[:2]))
        assert (report.rows, report.compared, report.alone) == (3, 2, 1)
        assert report.verdict.passed
        assert report.verdict.reason.endswith("1 rows have no partner")

    def test_the_same_entity_at_another_time_is_no_partner(self):
        later = logged(self.ROWS).with_columns(pl.col("time") + timedelta(minutes=1))
        assert compare(later, table(self.ROWS)).compared == 0

    def test_a_row_without_a_time_is_compared_with_the_only_row_of_its_entity(self):
        online = logged([(9.0, "UA"), *self.ROWS[1:]], time=[None, None, None])
        assert compare(online, table(self.ROWS)).differing == 1

    def test_a_row_without_a_time_has_no_partner_among_several(self):
        offline = table(self.ROWS, entity=["e0", "e0", "e2"])
        report = compare(logged(self.ROWS, time=[None] * 3, entity=["e0", "e1", "e2"]), offline)
        assert (report.compared, report.differing) == (1, 0)

    def test_a_row_asked_about_twice_counts_twice_and_an_offline_row_found_twice_once(self):
        online = pl.concat([logged([(9.0, "UA")])] * 2)
        offline = pl.concat([table([(1.0, "UA")])] * 2)
        report = compare(online, offline)
        assert (report.compared, report.differing) == (2, 2)

    @pytest.mark.parametrize(
        ("online", "offline", "said"),
        [
            ([], ROWS, "nothing was logged"),
            (ROWS, [], "none of 3 logged rows has a partner; the offline features are not there"),
            ([], [], "nothing was logged; the offline features are not there"),
        ],
    )
    def test_with_nothing_to_compare_it_is_inconclusive_and_says_why(self, online, offline, said):
        verdict = compare(logged(online), table(offline)).verdict
        assert (verdict.outcome, verdict.reason) == ("inconclusive", said)


class TestVersions:
    def test_a_feature_that_a_version_did_not_know_is_not_compared_in_its_rows(self):
        online = logged([(None, "UA"), (None, "UA")], version=["v1", "v2"])
        offline = table([(1.0, "UA"), (1.0, "UA")])
        known = {"v1": frozenset({"carrier"}), "v2": frozenset({"carrier", "wind"})}
        report = compare(online, offline, known=known)
        assert (report.differing, dict(report.features)) == (1, {"wind": 1})
        assert report.examples[0]["version"] == "v2"

    def test_a_version_nothing_is_said_about_knew_all(self):
        report = compare(logged([(None, "UA")]), table([(1.0, "UA")]), known={})
        assert report.differing == 1


class TestVerdict:
    def test_a_share_of_rows_may_differ(self):
        offline = [(float(n), "UA") for n in range(100)]
        online = [(-1.0, "UA"), *offline[1:]]
        for share, outcome in ((0.02, "passed"), (0.01, "passed"), (0.009, "failed")):
            verdict = compare(logged(online), table(offline), SkewPolicy(share=share)).verdict
            assert verdict.outcome == outcome

    def test_it_names_the_worst_features_and_the_rows_that_differ(self):
        offline = [(float(n), "UA") for n in range(60)]
        online = [(n + 0.5, "AA" if n < 3 else "UA") for n in range(60)]
        report = compare(logged(online), table(offline))
        assert "60 of 60 logged rows differ" in report.verdict.reason
        assert "(wind in 60, carrier in 3)" in report.verdict.reason
        assert len(report.examples) <= SHOWN
        assert {row["feature"] for row in report.examples} == {"wind", "carrier"}
        assert report.examples[0] == {
            "entity": "e0",
            "time": "2013-05-20T12:00:00+00:00",
            "version": "v1",
            "feature": "wind",
            "online": 0.5,
            "offline": 0.0,
        }

    @pytest.mark.parametrize("wrong", [{"tolerance": -0.1}, {"tolerance": 1}, {"share": 1.0}])
    def test_an_impossible_policy_is_refused(self, wrong):
        with pytest.raises(ValueError, match="must lie between 0 and 1"):
            SkewPolicy(**wrong)
