from __future__ import annotations

import math
from html.parser import HTMLParser

import numpy as np
import pyarrow as pa
import pytest

from airflow_mlops.drift.change import Change, ChangeKind
from airflow_mlops.drift.compare import compare
from airflow_mlops.drift.drawing import distribution_plot, history_plot
from airflow_mlops.drift.report import history_of, render_report
from airflow_mlops.profile import Levels, Numbers, Profile, edges_of, profile_table


class Page(HTMLParser):
    """What a page asks for, what it draws, what it says, and whether every tag is closed."""

    VOID = ("meta", "br", "link", "img", "path", "use")

    def __init__(self, text: str) -> None:
        super().__init__()
        self.outside: list[str] = []
        self.tags: list[str] = []
        self.open: list[str] = []
        self.text = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if tag not in self.VOID:
            self.open.append(tag)
        asked = [value or "" for name, value in attrs if name in ("src", "href", "xlink:href", "action", "data")]
        self.outside += [value for value in asked if not value.startswith("#")]

    def handle_endtag(self, tag: str) -> None:
        if tag not in self.VOID:
            assert self.open.pop() == tag

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in self.VOID:
            self.open.pop()

    def handle_data(self, data: str) -> None:
        self.text += data


def table(rows: int, seed: int, **columns: object) -> pa.Table:
    rng = np.random.default_rng(seed)
    found: dict[str, object] = {f"f{i}": rng.normal(size=rows) for i in range(4)}
    found |= {"city": rng.choice(list("ABC"), rows, p=[0.6, 0.3, 0.1]), "hour": rng.integers(0, 24, rows)}
    return pa.table(found | columns)


REFERENCE = table(3000, 0)
EDGES = edges_of(REFERENCE)
BEFORE = profile_table(REFERENCE, EDGES)
PAST = {f"2011-03-{day:02}": profile_table(table(500, day), EDGES) for day in range(1, 15)}
MOVED = table(1000, 50, f1=np.random.default_rng(1).normal(1, 1, 1000), city=["A", "D"] * 500)


def page_of(current: pa.Table, **options: object) -> Page:
    now = profile_table(current, EDGES)
    text = render_report(compare(BEFORE, now), reference=BEFORE, current=now, title="Drift <of> demand", **options)  # type: ignore[arg-type]
    page = Page(text)
    assert page.outside == []
    assert not page.open
    assert "script" not in page.tags
    assert "http" not in text
    return page


def test_the_page_shows_all_and_needs_nothing_else() -> None:
    page = page_of(MOVED, history=PAST, facts={"current": "a & b.parquet sha256:12"})
    # One of reference and current for each column, and a history or two beside it.
    assert page.tags.count("svg") >= 12
    for said in ("Drift <of> demand", "drift", "f1 moved up by", "never seen before: 'D'", "a & b.parquet sha256:12"):
        assert said in page.text
    for name in (*REFERENCE.column_names, "reference", "current", "2011-03-01", "null"):
        assert name in page.text or name == "null"


def test_without_history_it_says_so() -> None:
    page = page_of(table(1000, 50))
    assert page.tags.count("svg") == 6
    assert "Judged against the reference alone" in page.text
    assert "stable" in page.text


def test_a_vanished_and_an_emptied_column_are_shown() -> None:
    gone = table(1000, 50, f2=pa.nulls(1000, pa.float64())).drop_columns(["f1"])
    page = page_of(gone, history=PAST)
    assert "f1 vanished" in page.text
    assert "f2 holds no value any more" in page.text


def test_the_same_comparison_is_the_same_page() -> None:
    now = profile_table(MOVED, EDGES)
    pages = [render_report(compare(BEFORE, now), reference=BEFORE, current=now, title="Drift") for _ in range(2)]
    assert pages[0] == pages[1]


def test_very_many_features_still_open() -> None:
    rng = np.random.default_rng(0)
    wide = pa.table({f"f{i}": rng.normal(size=200) for i in range(300)})
    edges = edges_of(wide)
    profile = profile_table(wide, edges)
    text = render_report(compare(profile, profile), reference=profile, current=profile, title="Drift")
    assert text.count("<svg") == 12
    assert "Not drawn: 288 features" in text
    assert len(text) < 600_000


def columns(*values: object) -> list[Numbers | Levels]:
    tables = [pa.table({"x": one}) for one in values]
    edges = edges_of(tables[0])
    return [profile_table(one, edges).columns["x"] for one in tables]


@pytest.mark.parametrize(
    ("before", "now"),
    [
        (np.random.default_rng(0).normal(size=500), np.random.default_rng(1).normal(size=300) * 100),
        ([1.0, 2.0, 3.0] * 10, [2.0, 3.0] * 9),
        ([1.0, 2.0, 3.0] * 10, [2.5, 9.0] * 9),
        ([5.0] * 10, [5.0] * 3),
        ([5.0] * 10, [6.0] * 3),
        ([True, False] * 9, [True] * 4),
        (["A <b>", "B & c"] * 9, ["D$\\alpha$", None] * 4),
        ([f"level {i}" for i in range(40)], ["level 1"] * 9),
    ],
)
def test_whatever_there_is_can_be_drawn(before: object, now: object) -> None:
    svg = distribution_plot(*columns(before, now))
    assert svg.startswith('<svg class="plot"')
    assert svg.rstrip().endswith("</svg>")
    assert "nan" not in svg.lower()
    Page(svg)


def test_a_column_of_few_values_has_bars_with_their_names() -> None:
    page = Page(distribution_plot(*columns([0.1, 0.2, 0.3, 0.7] * 20, [0.1, 0.7] * 20)))
    assert {"0.1", "0.2", "0.3", "0.7", "% of rows"} <= {word.strip() for word in page.text.splitlines()}
    many = Page(distribution_plot(*columns(np.random.default_rng(0).normal(size=500), np.zeros(9))))
    assert "% of rows" not in many.text


def test_names_are_text_and_not_formulas_or_tags() -> None:
    page = Page(distribution_plot(*columns(["A <b>", "x$y$"], ["A <b>", "x$y$"])))
    assert "A <b>" in page.text
    assert "x$y$" in page.text
    assert "b" not in page.tags


def test_plots_wear_the_page_s_colours() -> None:
    svg = history_plot(["a", "b"], [1.0, 2.0], what="mean", limits=[(0, 1), None], reference=0.5)
    assert "var(--mark)" in svg
    # A style of its own would be the whole page's.
    assert "<style" not in svg
    assert not {"#3b6fd4", "#5c6472", "#dfe2e8", "#c22f2f"} & set(svg.split('"'))
    assert all(word in Page(svg).text for word in ("mean", "expected", "reference", "current"))


def test_a_history_with_gaps() -> None:
    assert "<svg" in history_plot([f"w{i}" for i in range(60)], [math.nan, 1.0] * 30, what="mean")


@pytest.mark.parametrize(
    ("kind", "feature", "about", "expected"),
    [
        (ChangeKind.MEAN, "x", None, 2.0),
        (ChangeKind.SPREAD, "x", None, 1.0),
        (ChangeKind.NULLS, "x", None, 0.5),
        (ChangeKind.LEVEL, "city", "A", 0.75),
        (ChangeKind.LEVEL, "city", "Z", 0.0),
        (ChangeKind.NEW_LEVELS, "city", "'N'", 0.0),
        (ChangeKind.CORRELATION, "x", "y", 1.0),
        (ChangeKind.CORRELATION, "x", "city", math.nan),
        (ChangeKind.MEAN, "gone", None, math.nan),
    ],
)
def test_what_is_followed_through_the_past(kind: ChangeKind, feature: str, about: str | None, expected: float) -> None:
    rows = pa.table({"x": [1.0, 3.0, None, None], "y": [2.0, 6.0, 1.0, 7.0], "city": ["A", "A", "A", "B"]})
    profile: Profile = profile_table(rows, edges_of(rows))
    found = history_of(Change(feature=feature, kind=kind, about=about), profile)
    if kind is ChangeKind.CORRELATION and about == "y":
        assert found > 0.5
    else:
        assert found == pytest.approx(expected, nan_ok=True)
