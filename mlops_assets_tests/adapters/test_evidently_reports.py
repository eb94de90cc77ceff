"""Drift as a page that people can open."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from html.parser import HTMLParser

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from mlops_assets.adapters.evidently_reports import EvidentlyReports
from mlops_assets.lifecycle.drift.measure import measure_drift
from mlops_assets.lifecycle.drift.policy import DriftPolicy
from mlops_assets.lifecycle.errors import ReportError
from mlops_assets.lifecycle.training import Feature

FEATURES = (Feature("distance_flown", "numeric"), Feature("carrier_code", "categorical"))
POLICY = DriftPolicy(minimum_rows=10, permutations=50)


def table(rows, seed, *, carriers=("UA", "DL")):
    random = np.random.default_rng(seed)
    return pl.DataFrame(
        {
            "distance_flown": random.normal(size=rows),
            "carrier_code": random.choice(carriers, rows),
            "unrelated": ["secret"] * rows,
            "day": [date(2013, 1, 1) + timedelta(days=row % 7) for row in range(rows)],
        }
    )


REFERENCE, CURRENT = table(400, 1), table(300, 2)


@pytest.fixture
def reports(tmp_path):
    return EvidentlyReports(tmp_path / "reports", "http://reports.example:8082/")


def draw(reports, reference=REFERENCE, current=CURRENT, name="model/drift-2013-W10-v1"):
    drift = measure_drift(reference, current, FEATURES, POLICY, day="day")
    return reports.drift(name, reference, current, drift).path


def without_verdict(page):
    """What Evidently drew: the page without the sentences put before it."""
    begin = page.index("<div", page.index("<body>"))
    return page[:begin] + page[page.index("</div>", begin) :]


class Tags(HTMLParser):
    """The names of the tags of a page, in order, and whatever they would load."""

    def __init__(self):
        super().__init__()
        self.names = []
        self.loaded = []

    def handle_starttag(self, tag, attrs):
        self.names.append(tag)
        loading = {"src", "href", "srcset", "data", "action"}
        self.loaded += [(tag, name) for name, _ in attrs if name in loading]


def test_the_page_lies_below_the_root_under_its_name(reports):
    path = draw(reports)
    assert path == reports.root / "model" / "drift-2013-W10-v1.html"
    assert list(path.parent.iterdir()) == [path]


def test_the_page_is_html_that_names_each_feature_and_nothing_else(reports):
    page = draw(reports).read_text()
    tags = Tags()
    tags.feed(page)
    assert {"html", "head", "script", "body"} <= set(tags.names)
    assert "distance_flown" in page
    assert "carrier_code" in page
    assert "unrelated" not in page
    assert "secret" not in page


def test_the_page_is_opened_below_the_address_that_serves_the_root(reports):
    drift = measure_drift(REFERENCE, CURRENT, FEATURES, POLICY, day="day")
    page = reports.drift("model/drift <1>", REFERENCE, CURRENT, drift)
    assert page.url == "http://reports.example:8082/model/drift%20%3C1%3E.html"
    assert page.path == reports.root / "model" / "drift <1>.html"


def test_the_page_loads_nothing_from_anywhere(reports):
    page = draw(reports).read_text()
    tags = Tags()
    tags.feed(page)
    assert tags.loaded == []
    styles = page[: page.index("</style>")]
    assert "@import" not in styles
    assert styles.count("url(") == styles.count("url(data:")


def test_the_page_says_what_was_decided_before_what_evidently_thinks(reports):
    drift = measure_drift(REFERENCE, CURRENT, FEATURES, POLICY, day="day")
    verdict = replace(drift.verdict, outcome="failed", reason="1 of 2 columns <drifted>")
    decided = replace(drift, verdict=verdict)
    page = reports.drift("model/drift", REFERENCE, CURRENT, decided).path.read_text()
    body = page[page.index("<body>") :]
    said = body.index("failed. 1 of 2 columns &lt;drifted&gt;")
    assert said < body.index("<script>")
    assert "decides nothing" in body[: body.index("<script>")]


@pytest.mark.parametrize("value", [np.inf, np.nan])
def test_a_column_without_a_finite_value_leaves_the_page_of_the_others(reports, value):
    current = CURRENT.with_columns(distance_flown=pl.lit(value))
    page = without_verdict(draw(reports, current=current).read_text())
    assert "carrier_code" in page
    assert "distance_flown" not in page


def test_values_of_callers_never_become_scripts_of_the_page(reports):
    forged = "</script><script>document.title='owned'</script><!--<script>"
    page = draw(reports, current=table(300, 2, carriers=("UA", forged))).read_text()
    assert page.count("document.title='owned'") >= 1
    assert "<script>document.title" not in page
    assert forged not in page


def test_columns_with_rows_of_their_own_are_drawn_beside_the_features(reports):
    both = [
        pl.concat([side, pl.DataFrame({"probability": values})], how="horizontal_extend")
        for side, values in ((REFERENCE, [0.1, 0.2] * 40), (CURRENT, [0.3, 0.9] * 60))
    ]
    drift = measure_drift(REFERENCE, CURRENT, FEATURES, POLICY, day="day")
    column = replace(drift.columns[0], column="probability", role="prediction")
    wider = replace(drift, columns=(*drift.columns, column))
    page = reports.drift("model/drift", *both, wider).path.read_text()
    assert "probability" in page


def test_a_column_that_a_table_lacks_is_left_out(reports):
    drift = measure_drift(REFERENCE, CURRENT, FEATURES, POLICY, day="day")
    page = reports.drift("m", REFERENCE.drop("distance_flown"), CURRENT, drift).path.read_text()
    assert "carrier_code" in without_verdict(page)
    assert "distance_flown" not in without_verdict(page)


def test_when_it_cannot_be_drawn_then_it_says_so_and_the_page_that_was_there_stays(reports):
    path = draw(reports)
    before = path.read_text()
    drift = measure_drift(REFERENCE, CURRENT, FEATURES, POLICY, day="day")
    words = CURRENT.with_columns(pl.lit("many").alias("distance_flown"))
    with pytest.raises(ReportError, match=r"model/drift-2013-W10-v1: .*render: always"):
        reports.drift("model/drift-2013-W10-v1", REFERENCE, words, drift)
    assert path.read_text() == before


def test_a_page_that_is_drawn_again_is_replaced(reports):
    path = draw(reports)
    path.write_text("old")
    assert draw(reports) == path
    assert "distance_flown" in path.read_text()


def test_the_tables_are_left_as_they_were(reports):
    reference, current = REFERENCE.clone(), CURRENT.clone()
    draw(reports, reference, current)
    assert_frame_equal(reference, REFERENCE)
    assert_frame_equal(current, CURRENT)


def test_more_rows_than_are_drawn_and_categories_that_never_met_are_no_hindrance(reports):
    path = draw(reports, table(6000, 1, carriers=("UA",)), table(6000, 2, carriers=("DL",)))
    assert "carrier_code" in path.read_text()


def test_single_missing_values_are_no_hindrance(reports):
    holes = CURRENT.with_columns(
        distance_flown=pl.when(pl.int_range(pl.len()) % 2 == 0).then("distance_flown"),
        carrier_code=pl.when(pl.int_range(pl.len()) % 3 == 0).then("carrier_code"),
    )
    assert draw(reports, REFERENCE, holes).exists()


@pytest.mark.parametrize("column", ["distance_flown", "carrier_code"])
def test_a_column_that_went_missing_altogether_is_no_hindrance(reports, column):
    empty = CURRENT.with_columns(pl.lit(None).cast(CURRENT.schema[column]).alias(column))
    assert draw(reports, REFERENCE, empty).exists()


@pytest.mark.parametrize("side", ["reference", "current"])
def test_a_column_without_values_is_left_out_and_the_others_are_drawn(reports, side):
    tables = {"reference": REFERENCE, "current": CURRENT}
    tables[side] = tables[side].with_columns(distance_flown=float("nan"))
    page = draw(reports, **tables).read_text()
    assert "carrier_code" in without_verdict(page)
    assert "distance_flown" not in without_verdict(page)


@pytest.mark.parametrize("side", ["reference", "current"])
def test_a_column_that_lost_all_but_one_value_leaves_the_others_drawn(reports, side):
    tables = {"reference": REFERENCE, "current": table(20_000, 2)}
    tables[side] = table(20_000, 3).with_columns(
        distance_flown=pl.when(pl.int_range(pl.len()) == 2).then("distance_flown")
    )
    assert "carrier_code" in without_verdict(draw(reports, **tables).read_text())


def test_when_no_column_has_values_then_the_page_says_so(reports):
    empty = CURRENT.with_columns(
        distance_flown=pl.lit(None, pl.Float64), carrier_code=pl.lit(None, pl.String)
    )
    path = draw(reports, REFERENCE, empty, name="model/<drift>")
    assert path == reports.root / "model" / "<drift>.html"
    page = path.read_text()
    assert "model/&lt;drift&gt;: no column has values on both sides" in page
    assert list(path.parent.iterdir()) == [path]


def test_when_too_few_rows_were_compared_then_the_page_says_so(reports):
    page = draw(reports, REFERENCE, CURRENT.head(3)).read_text()
    assert "nothing to compare" in page
