from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest

from airflow_mlops.ledger import digest_of_file

Run = Callable[..., tuple[int, str, str]]
Columns = dict[str, Any]
# Nights of a season that a test's history holds: more than the least that is learned from.
NIGHTS = 45


def columns(rows: int = 2000, seed: int = 0, **changed: object) -> Columns:
    rng = np.random.default_rng(seed)
    found: Columns = {f"f{i}": rng.normal(size=rows) for i in range(5)}
    found["doors"] = rng.poisson(3, rows)
    found["city"] = rng.choice(["Oslo", "Rome", "Bern"], rows, p=[0.6, 0.3, 0.1])
    return found | changed


class Files:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.write("ref", columns(8000))
        self.write("now", columns(seed=1))
        self.write("moved", columns(seed=1, f2=np.random.default_rng(9).normal(1.0, 1, 2000)))

    def __truediv__(self, name: str) -> Path:
        return self.folder / name

    def write(self, name: str, table: Columns) -> Path:
        path = self.folder / f"{name}.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.table(table), path)
        return path

    def past(self, shift: float = 0.0) -> Path:
        """Past nights whose means stray by so much."""
        rng = np.random.default_rng(3)
        for night in range(NIGHTS):
            stray = {f"f{i}": rng.normal(rng.normal(0, shift), 1, 500) for i in range(5)}
            self.write(
                f"past/night={2011 + night // 360}-{1 + night // 28:02}-{1 + night % 28:02}",
                columns(500, 100 + night, **stray),
            )
        return self / "past"


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path)


def strict(text: str) -> dict[str, Any]:
    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is no JSON")

    found: dict[str, Any] = json.loads(text, parse_constant=refuse)
    return found


@pytest.mark.parametrize(("current", "verdict", "code"), [("now", "stable", 0), ("moved", "drift", 1)])
def test_the_exit_code_is_the_verdict(run: Run, files: Files, current: str, verdict: str, code: int) -> None:
    ended, out, err = run("drift", "check", files / f"{current}.parquet", "--reference", files / "ref.parquet")
    assert (ended, err) == (code, "")
    lines = out.splitlines()
    assert lines[-1] == verdict
    assert sum(line.startswith("│ f") for line in lines) == 5
    assert any(line.startswith("f2 moved up by 1 sd: ") for line in lines) == (verdict == "drift")


def test_a_program_reads_the_same(run: Run, files: Files) -> None:
    given = ("drift", "check", files / "moved.parquet", "--reference", files / "ref.parquet", "--json")
    code, out, err = run(*given)
    value = strict(out)
    assert (code, err, value["verdict"], value["alarm"]) == (1, "", "drift", True)
    assert (value["rows"], value["reference_rows"]) == (2000, 8000)
    assert set(value["features"]) == {*columns()}
    moved = value["features"]["f2"]
    assert (moved["verdict"], moved["words"]) == ("drift", value["reasons"][0])
    assert moved["wasserstein_sd"] == pytest.approx(1.0, abs=0.1)
    assert moved["ks"] <= moved["ks_at_most"]
    assert moved["changes"][0] | {"size_sd": 1} == moved["changes"][0] | {"kind": "mean", "size_sd": 1}
    assert {"psi", "jensen_shannon", "null_rate_difference"} <= set(moved)
    assert {"total_variation", "chi_square", "g"} <= set(value["features"]["city"])
    assert value["features"]["f1"]["verdict"] == "stable"
    assert value["digests"] == {
        "reference": digest_of_file(files / "ref.parquet"),
        "current": digest_of_file(files / "moved.parquet"),
    }
    assert run(*given)[1] == out


def test_fail_on_watch_is_stricter(run: Run, files: Files) -> None:
    given = ["drift", "check", files / "now.parquet", "--reference", files / "ref.parquet", "--json"]
    for shift in np.linspace(0.3, 0.7, 41):
        files.write("now", columns(seed=1, f2=columns(seed=1)["f2"] + shift))
        code, out, _ = run(*given)
        if strict(out)["verdict"] == "watch":
            break
    assert (code, strict(out)["verdict"], strict(out)["alarm"]) == (0, "watch", False)
    code, out, _ = run(*given, "--fail-on", "watch")
    assert (code, strict(out)["alarm"]) == (1, True)
    assert run(*given, "--fail-on", "stable")[0] == 2


def test_csv_is_as_good_as_parquet(run: Run, files: Files) -> None:
    for name in ("ref", "moved"):
        pa.csv.write_csv(pq.read_table(files / f"{name}.parquet"), files / f"{name}.csv")
    code, out, err = run("drift", "check", files / "moved.csv", "--reference", files / "ref.csv", "--json")
    assert (code, err) == (1, "")
    mixed = run("drift", "check", files / "moved.csv", "--reference", files / "ref.parquet", "--json")
    assert mixed[0] == 1
    assert strict(out)["features"]["f2"]["psi"] == pytest.approx(strict(mixed[1])["features"]["f2"]["psi"])


def test_few_rows_are_insufficient_and_no_alarm(run: Run, files: Files) -> None:
    files.write("now", columns(rows=15, seed=1))
    code, out, _ = run("drift", "check", files / "now.parquet", "--reference", files / "ref.parquet", "--json")
    value = strict(out)
    assert (code, value["verdict"], value["alarm"]) == (0, "insufficient", False)
    assert value["least_effect_sd"] > 1
    assert "too few rows" in value["reasons"][0]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda table: table.pop("f1"), "f1 vanished"),
        (lambda table: table.update(f1=100 * table["f1"]), "f1 looks like another unit, times 100"),
        (lambda table: table.update(f1=1.8 * table["f1"] + 32), "f1 looks like another unit, times 1.8 plus 32"),
        (
            lambda table: table.update(city=["Kiel"] * 150 + ["Oslo"] * 1850),
            "never seen before: 'Kiel' (7.5 % of rows)",
        ),
    ],
)
def test_what_is_unmistakable_needs_no_history(
    run: Run, files: Files, change: Callable[[Columns], object], words: str
) -> None:
    table = columns(seed=1)
    change(table)
    code, out, _ = run("drift", "check", files.write("now", table), "--reference", files / "ref.parquet")
    assert (code, out.splitlines()[-1]) == (1, "drift")
    assert words in out


def test_times_and_what_is_ignored_are_left_out(run: Run, files: Files) -> None:
    clock = pa.array(range(2000), pa.timestamp("s"))
    files.write("ref", columns(seed=2, at=clock, id=np.arange(2000)))
    files.write(
        "now", columns(seed=1, at=pa.array(range(10**6, 10**6 + 2000), pa.timestamp("s")), id=np.arange(2000) + 10**6)
    )
    given = ("drift", "check", files / "now.parquet", "--reference", files / "ref.parquet", "--json")
    assert strict(run(*given)[1])["features"]["id"]["verdict"] == "drift"
    code, out, _ = run(*given, "--ignore", "id")
    assert code == 0
    assert not {"at", "id"} & set(strict(out)["features"])
    code, _, err = run(*given, "--ignore", "ide")
    assert code == 2
    assert "expected columns of" in err


def test_new_columns_are_told_and_no_drift(run: Run, files: Files) -> None:
    now = files.write("now", columns(seed=1, extra=np.arange(2000)))
    code, out, _ = run("drift", "check", now, "--reference", files / "ref.parquet", "--json")
    assert (code, strict(out)["new_columns"]) == (0, ["extra"])


def torn(path: Path) -> Path:
    path.write_bytes(path.read_bytes()[:-100])
    return path


def twice(path: Path) -> None:
    pq.write_table(pa.table([[1], [2]], names=["f1", "f1"]), path)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda files: files.write("ref", columns(rows=0)), "expected a reference with rows, got 0"),
        (lambda files: files.write("now", columns(rows=0)), "expected {now} to have rows, got 0"),
        (lambda files: files.write("now", {"other": [1.0, 2.0]}), "expected columns of the reference"),
        (lambda files: files.write("now", columns(f1=["warm"] * 2000)), "column 'f1'"),
        (lambda files: files.write("now", columns(doors=np.arange(2000) % 2 == 0)), "column 'doors'"),
        (lambda files: files.write("now", columns(city=np.arange(2000))), "column 'city'"),
        (lambda files: files.write("now", columns(f1=pa.nulls(2000, pa.float64()))), "'f1' of {now}, got only nulls"),
        (lambda files: files.write("ref", columns(f1=pa.nulls(2000, pa.float64()))), "'f1' of the reference, got only"),
        (lambda files: files.write("now", columns(f1=[np.inf] + [1.0] * 1999)), "'f1' of {now}, got an infinity"),
        (lambda files: files.write("ref", columns(f1=[-np.inf] + [1.0] * 1999)), "'f1' of {ref}, got an infinity"),
        (lambda files: twice(files / "now.parquet"), "one column 'f1', got 2"),
        (lambda files: torn(files / "now.parquet"), "torn or of another format"),
        (lambda files: torn(files / "ref.parquet"), "torn or of another format"),
        (lambda files: (files / "now.parquet").unlink(), "now.parquet"),
        (lambda files: (files / "now.parquet").write_bytes(b""), "now.parquet"),
    ],
)  # fmt: skip
def test_bad_input_is_named_and_nothing_is_written(
    run: Run, files: Files, change: Callable[[Files], object], said: str
) -> None:
    change(files)
    paths = {name: str(files / f"{name}.parquet") for name in ("now", "ref")}
    page = files / "page.html"
    code, out, err = run("drift", "check", paths["now"], "--reference", paths["ref"], "--html", page, "--json")
    assert (code, out) == (2, "")
    assert said.format(**paths) in err
    assert len(err.splitlines()) == 1
    assert not page.exists()


@pytest.mark.parametrize(
    "options",
    [
        ("--reference",),
        ("--history", "nowhere"),
        ("--html", "no/such/folder.html"),
        ("--false-alarms-per-year", "0"),
        ("--false-alarms-per-year", "often"),
        ("--referense", "x"),
    ],
)
def test_what_is_no_option_ends_with_two(run: Run, files: Files, options: tuple[str, ...]) -> None:
    code, out, err = run("drift", "check", files / "now.parquet", "--reference", files / "ref.parquet", *options)
    assert (code, out) == (2, "")
    assert err


def test_nan_is_missing_and_no_infinity(run: Run, files: Files) -> None:
    f1 = columns(seed=1)["f1"]
    f1[::4] = np.nan
    code, out, _ = run(
        "drift", "check", files.write("now", columns(seed=1, f1=f1)), "--reference", files / "ref.parquet"
    )
    assert code == 1
    assert "f1: nulls 0 % -> 25 %" in out


@pytest.mark.slow
def test_ten_thousand_columns_and_a_million_levels_end_in_bounded_time(run: Run, files: Files) -> None:
    wide = pa.table({f"c{i}": [float(i), 1.0, 2.0] for i in range(10_000)})
    pq.write_table(wide, files / "wide.parquet")
    code, out, err = run("drift", "check", files / "wide.parquet", "--reference", files / "wide.parquet", "--json")
    assert code in (0, 2)
    assert err or strict(out)["verdict"]
    ids = pa.table({"id": [f"user {i}" for i in range(1_000_000)], "x": np.arange(1_000_000) % 7})
    pq.write_table(ids, files / "ids.parquet")
    code, out, _ = run("drift", "check", files / "ids.parquet", "--reference", files / "ids.parquet", "--json")
    assert (code, strict(out)["verdict"]) == (0, "stable")


def test_the_page_needs_nothing_else(run: Run, files: Files) -> None:
    page = files / "page.html"
    given = ("drift", "check", files / "moved.parquet", "--reference", files / "ref.parquet", "--html", page)
    assert run(*given)[0] == 1
    text = page.read_text(encoding="utf-8")
    assert "http" not in text
    assert "<script" not in text
    assert text.count("<svg") == 7
    for said in ("f2 moved up by", digest_of_file(files / "moved.parquet")):
        assert said in text


def test_a_profile_has_rows_and_columns_with_their_statistics(run: Run, files: Files) -> None:
    code, out, err = run("drift", "profile", files / "ref.parquet", "--json")
    value = strict(out)
    assert (code, err, value["rows"]) == (0, "", 8000)
    table = columns(8000)
    assert set(value["columns"]) == set(table)
    f1 = value["columns"]["f1"]
    assert f1["mean"] == pytest.approx(table["f1"].mean())
    assert f1["sd"] == pytest.approx(table["f1"].std())
    assert (f1["min"], f1["max"]) == (table["f1"].min(), table["f1"].max())
    assert (f1["nulls"], f1["not_finite"], f1["type"]) == (0, 0, "number")
    assert f1["quantiles"]["0.5"] == pytest.approx(np.median(table["f1"]), abs=0.05)
    assert value["columns"]["doors"]["quantiles"]["0.95"] == np.quantile(table["doors"], 0.95)
    city = value["columns"]["city"]
    assert city["levels"] == {name: int((table["city"] == name).sum()) for name in ("Oslo", "Rome", "Bern")}
    assert list(city["levels"]) == ["Oslo", "Rome", "Bern"]
    assert (city["distinct"], city["type"]) == (3, "text")


def test_a_profile_of_nulls_and_infinities_is_still_json(run: Run, files: Files) -> None:
    odd = {"x": [1.0, np.inf, np.nan, None], "empty": pa.nulls(4, pa.float64()), "text": ["a", None, "a", "b"]}
    code, out, _ = run("drift", "profile", files.write("odd", odd), "--json")
    value = strict(out)["columns"]
    assert code == 0
    assert (value["x"]["mean"], value["x"]["nulls"], value["x"]["not_finite"]) == (1.0, 1, 2)
    assert value["empty"]["nulls"] == 4
    assert value["text"]["levels"] == {"a": 2, "b": 1}


def test_a_profile_on_a_terminal(run: Run, files: Files) -> None:
    code, out, _ = run("drift", "profile", files / "ref.parquet")
    assert code == 0
    assert "8,000 rows" in out
    assert any("city" in line and "3: Oslo " in line for line in out.splitlines())


def test_several_values_stand_after_history(run: Run, files: Files) -> None:
    past = sorted(files.past().iterdir())
    one_by_one = [word for path in past for word in ("--history", path)]
    for given in (
        (files / "moved.parquet", "--history", *past, "--reference", files / "ref.parquet", "--json"),
        ("--reference", files / "ref.parquet", "--json", "--history", *past, files / "moved.parquet"),
        (files / "moved.parquet", "--history", past[0].parent, "--reference", files / "ref.parquet", "--json"),
        ("--json", "--reference", files / "ref.parquet", files / "moved.parquet", *one_by_one),
    ):  # fmt: skip
        code, out, err = run("drift", "check", *given)
        assert (code, err, strict(out)["windows"]) == (1, "", NIGHTS)


def test_as_a_process_the_exit_code_arrives(files: Files) -> None:
    run = "import sys; from airflow_mlops.cli import main; sys.exit(main())"
    command = [
        sys.executable,
        "-c",
        run,
        "drift",
        "check",
        str(files / "moved.parquet"),
        "--reference",
        str(files / "ref.parquet"),
    ]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stderr) == (1, "")
    assert ended.stdout.splitlines()[-1] == "drift"
    assert "\x1b" not in ended.stdout


def test_history_tells_what_is_usual(run: Run, files: Files) -> None:
    past, tonight = files.past(), files.write("tonight/night=2011-02-18", columns(500, 999))
    given = ["--reference", files / "ref.parquet", "--history", past, "--json"]
    code, out, err = run("drift", "check", tonight, *given)
    value = strict(out)
    assert (code, err, value["verdict"], value["judged_by"], value["windows"]) == (0, "", "stable", "history", NIGHTS)
    moved = columns(500, 999)
    moved["f2"] = moved["f2"] + 0.4
    tonight = files.write("tonight/night=2011-02-18", moved)
    code, out, _ = run("drift", "check", tonight, *given, "--html", files / "page.html")
    value = strict(out)
    assert (code, value["verdict"], value["features"]["f2"]["verdict"]) == (1, "drift", "drift")
    assert "expected" in (files / "page.html").read_text(encoding="utf-8")
    # The same night, where nights have always strayed as far.
    code, out, _ = run("drift", "check", tonight, "--reference", files / "ref.parquet", "--history", files.past(0.4))
    assert (code, out.splitlines()[-1]) == (0, "stable")


def test_too_little_history_is_a_note(run: Run, files: Files) -> None:
    past = sorted(files.past().iterdir())[:5]
    given = ("--reference", files / "ref.parquet", "--json", "--history", *past)
    value = strict(run("drift", "check", files / "now.parquet", *given)[1])
    assert (value["verdict"], value["judged_by"], value["windows"]) == ("stable", "reference", 5)
    assert "has 5 nights before it, at least " in value["notes"][0]


def test_a_bad_window_of_the_past_is_named(run: Run, files: Files) -> None:
    past = files.past()
    bad = files.write("past/night=2011-01-07", columns(f1=["warm"] * 2000))
    code, out, err = run(
        "drift", "check", files / "now.parquet", "--reference", files / "ref.parquet", "--history", past
    )
    assert (code, out) == (2, "")
    assert str(bad) in err
