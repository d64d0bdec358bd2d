from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from airflow_mlops.ledger import digest_of_file

ROWS = 400
RULES = """\
task = "regression"
resamples = 400

[[rules]]
metric = "rmse"
kind = "absolute"
max = 20.0

[[rules]]
metric = "rmse"
kind = "non_inferior"
margin = 0.05

[[rules]]
metric = "mae"
kind = "non_inferior"
margin = 0.05
slice = "zone"
"""

Run = Callable[..., tuple[int, str, str]]


class Files:
    """A golden and a recent set, and models that miss the truth by so much."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.truths: dict[str, dict[str, Any]] = {}
        rng = np.random.default_rng(3)
        for name, first in (("golden", 0), ("recent", ROWS)):
            truth = {
                "row_id": [f"r{row}" for row in range(first, first + ROWS)],
                "y_true": rng.normal(100, 20, ROWS),
                "zone": [("north", "south")[row % 2] for row in range(ROWS)],
            }
            self.truths[name] = truth
            pq.write_table(pa.table(truth), self / f"{name}.parquet")
        self.rules(RULES)

    def __truediv__(self, name: str) -> Path:
        return self.folder / name

    def rules(self, text: str) -> None:
        (self / "R.toml").write_text(text)

    def model(self, name: str, spread: float, *sets: str, seed: int = 0) -> Path:
        rng = np.random.default_rng(seed)
        truths = [self.truths[one] for one in sets or ("golden",)]
        values = np.concatenate([truth["y_true"] for truth in truths])
        table = {
            "row_id": [row for truth in truths for row in truth["row_id"]],
            "y_pred": values + rng.normal(0, spread, len(values)),
        }
        pq.write_table(pa.table(table), self / f"{name}.parquet")
        return self / f"{name}.parquet"

    def given(self, *more: object) -> list[object]:
        return ["gate", "--rules", self / "R.toml", "--golden", self / "golden.parquet", *more]


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path)


@pytest.mark.parametrize(
    ("challenger", "champion", "verdict"), [(3.0, 6.0, "promote"), (6.3, 6.0, "hold"), (12.0, 6.0, "reject")]
)
def test_the_exit_code_is_the_verdict(run: Run, files: Files, challenger: float, champion: float, verdict: str) -> None:
    models = ("--challenger", files.model("C", challenger, seed=1), "--champion", files.model("P", champion, seed=2))
    code, out, err = run(*files.given(*models))
    assert (code, err) == (0 if verdict == "promote" else 1, "")
    lines = out.splitlines()
    assert lines[-1] == verdict
    assert any(" on golden" in line and line.endswith(f": {verdict}") for line in lines)
    assert any("mae on golden, zone=south" in line for line in lines)


def test_a_program_reads_the_same(run: Run, files: Files) -> None:
    challenger, champion = files.model("C", 3.0, seed=1), files.model("P", 6.0, seed=2)
    given = files.given("--challenger", challenger, "--champion", champion, "--json")
    code, out, _ = run(*given)
    value = json.loads(out)
    assert (code, value["verdict"], value["decision"]) == (0, "promote", "promote")
    assert [(rule["rule"], rule["slice"], rule["decision"]) for rule in value["rules"]] == [
        ("rmse absolute", None, "promote"),
        ("rmse non_inferior", None, "promote"),
        ("mae non_inferior", "zone=north", "promote"),
        ("mae non_inferior", "zone=south", "promote"),
    ]
    rule = value["rules"][1]
    assert rule["low"] < rule["estimate"] < rule["high"] < rule["bound"] == 0.05
    assert value["digests"] == {
        "rules": digest_of_file(files / "R.toml"),
        "golden": digest_of_file(files / "golden.parquet"),
        "challenger": digest_of_file(challenger),
        "champion": digest_of_file(champion),
    }
    assert len(value["reasons"]) == 4
    assert {"warnings", "weak_spots", "seed", "task", "alpha"} <= set(value)
    # Seeded: the same verdict every time, to the last digit.
    assert run(*given)[1] == out
    assert json.loads(run(*given, "--seed", 1)[1])["rules"][1]["high"] == pytest.approx(rule["high"], abs=0.05)


def test_what_could_not_be_measured_is_still_json(run: Run, files: Files) -> None:
    broken = pq.read_table(files.model("C", 3.0)).slice(0, ROWS - 1)
    pq.write_table(broken, files / "C.parquet")
    code, out, _ = run(*files.given("--challenger", files / "C.parquet", "--json"))

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is no JSON")

    value = json.loads(out, parse_constant=refuse)
    assert (code, value["verdict"]) == (1, "reject")
    assert "leave out the rows r399" in value["reasons"][0]


def test_a_first_model_is_judged_without_a_champion(run: Run, files: Files) -> None:
    code, out, _ = run(*files.given("--challenger", files.model("C", 3.0)))
    assert code == 0
    assert "rmse on golden: non_inferior left out, there is no champion to compare with" in out
    files.rules(RULES.replace('kind = "absolute"\nmax = 20.0', 'kind = "superior"'))
    code, out, _ = run(*files.given("--challenger", files.model("C", 3.0)))
    assert (code, out.splitlines()[-1]) == (1, "hold")


RECENT = RULES + '\n[[rules]]\nmetric = "rmse"\nkind = "superior"\non = "recent"\n'


def test_recent_predictions_stand_in_the_same_files_or_in_their_own(run: Run, files: Files) -> None:
    files.rules(RECENT)
    sets = ("golden", "recent")
    both = ("--challenger", files.model("C", 3.0, *sets, seed=1), "--champion", files.model("P", 6.0, *sets, seed=2))
    recent = ("--recent", files / "recent.parquet")
    code, out, err = run(*files.given(*both, *recent, "--json"))
    assert (code, err) == (0, "")
    shared = json.loads(out)
    assert shared["rules"][-1]["on"] == "recent"
    assert shared["rules"][-1]["rows"] == ROWS

    for name in ("C", "P"):
        table = pq.read_table(files / f"{name}.parquet")
        pq.write_table(table.slice(0, ROWS), files / f"{name}.parquet")
        pq.write_table(table.slice(ROWS), files / f"R{name}.parquet")
    own = ("--recent-challenger", files / "RC.parquet", "--recent-champion", files / "RP.parquet")
    code, out, _ = run(*files.given(*both, *recent, *own, "--json"))
    assert code == 0
    assert json.loads(out)["rules"] == shared["rules"]
    assert set(json.loads(out)["digests"]) == {
        "rules", "golden", "challenger", "champion", "recent", "recent_challenger", "recent_champion",
    }  # fmt: skip
    # Of the recent rows nothing was predicted.
    code, out, _ = run(*files.given(*both, *recent))
    assert (code, out.splitlines()[-1]) == (1, "reject")
    # Without --recent a row of the recent window is an unknown one.
    pq.write_table(
        pa.concat_tables([pq.read_table(files / f"{name}.parquet") for name in ("C", "RC")]), files / "C.parquet"
    )
    code, out, _ = run(*files.given(*both))
    assert code == 1
    assert "name rows that are not to be judged: r400, r401, r402" in out


OWN = RULES + '\n[[rules]]\nmetric = "{module}.worst"\nkind = "absolute"\nmax = 99.0\n'


@pytest.mark.parametrize("where", ["import", "call"])
@pytest.mark.parametrize("code", [0, 3, None])
def test_a_metric_that_ends_the_process_promotes_nothing(
    run: Run, files: Files, monkeypatch: pytest.MonkeyPatch, where: str, code: int | None
) -> None:
    module = f"ends_at_{where}_with_{code}"
    ends = {"import": f"import sys\nsys.exit({code})", "call": f"import sys\ndef worst(y, p):\n    sys.exit({code})"}
    (files / f"{module}.py").write_text(ends[where])
    monkeypatch.syspath_prepend(files.folder)
    files.rules(OWN.format(module=module))
    ended, out, err = run(*files.given("--challenger", files.model("C", 3.0)))
    assert ended == (2 if where == "import" else 1)
    assert "SystemExit" in out + err


def test_only_a_verdict_ends_with_nothing_to_complain(run: Run, files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever slips through the metrics."""
    monkeypatch.setattr("airflow_mlops.gate.judge", lambda *_, **__: sys.exit(0))
    code, _, err = run(*files.given("--challenger", files.model("C", 3.0)))
    assert code == 2
    assert "expected a judgement, something in it called sys.exit(0)" in err


def test_a_metric_that_prints_leaves_the_json_alone(run: Run, files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    body = "def worst(y_true, y_pred):\n    print('in the call')\n    return abs(y_true - y_pred).max()\n"
    (files / "own_that_prints.py").write_text(f"print('at the import')\n{body}")
    monkeypatch.syspath_prepend(files.folder)
    files.rules(OWN.format(module="own_that_prints"))
    code, out, err = run(*files.given("--challenger", files.model("C", 3.0), "--json"))
    assert (code, json.loads(out)["verdict"]) == (0, "promote")
    assert "in the call" in err


def test_a_class_that_the_golden_set_lacks_is_only_a_wrong_answer(run: Run, files: Files) -> None:
    truth = pa.table({"row_id": [f"r{row}" for row in range(ROWS)], "y_true": ["a", "b", "c", "b"] * (ROWS // 4)})
    right = truth["y_true"].to_pylist()
    pq.write_table(truth, files / "golden.parquet")
    for name, wrong in (("C", 1), ("P", 60)):
        answers = pa.array(["d" if name == "C" else "a"] * wrong + right[wrong:])
        pq.write_table(pa.table({"row_id": truth["row_id"], "y_pred": answers}), files / f"{name}.parquet")
    files.rules(
        'task = "multiclass"\n[[rules]]\nmetric = "accuracy"\nkind = "absolute"\nmin = 0.8\n'
        '[[rules]]\nmetric = "accuracy"\nkind = "superior"\n'
    )
    models = ("--challenger", files / "C.parquet", "--champion", files / "P.parquet")
    code, out, _ = run(*files.given(*models, "--json"))
    value = json.loads(out)
    assert (code, value["verdict"]) == (0, "promote")
    assert any(warning.startswith("golden: the challenger answers 1 rows with labels") for warning in value["warnings"])


@pytest.mark.parametrize(
    "options",
    [
        ["--recent-challenger", "x"],
        ["--recent-champion", "x"],
        ["--recent", "recent.parquet", "--recent-challenger", "C.parquet"],
        ["--recent", "recent.parquet", "--recent-champion", "C.parquet"],
        ["--seed", "-1"],
        ["--recnt", "x"],
        ["--html", "no/such/folder.html"],
    ],
)
def test_what_is_no_input_ends_with_two(run: Run, files: Files, options: list[str]) -> None:
    files.model("C", 3.0)
    models = ("--challenger", files / "C.parquet", "--champion", files / "C.parquet")
    code, out, err = run(*files.given(*models, *options))
    assert (code, out) == (2, "")
    assert err


def test_a_model_project_may_be_given_for_its_rules(run: Run, files: Files) -> None:
    top, _, rules = RULES.partition("resamples = 400\n")
    nested = rules.replace("[[rules]]", "[[gate.rules]]")
    files.rules(f'name = "demand"\n{top}[training]\nentrypoint = "train:train"\n[gate]\nresamples = 400\n{nested}')
    models = ("--challenger", files.model("C", 3.0, seed=1), "--champion", files.model("P", 6.0, seed=2))
    assert run(*files.given(*models))[0] == 0
    # What only the model itself could show is not taken for granted.
    with (files / "R.toml").open("a") as file:
        file.write('[[gate.behaviour]]\nname = "rain"\nfeature = "rain"\nadd = 1.0\nexpect = "not_more"\n')
    code, out, _ = run(*files.given(*models))
    assert code == 1
    assert "behaviour 'rain': only the model can be asked" in out


class Page(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.outside: list[str] = []
        self.tags: list[str] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.outside += [value or "" for name, value in attrs if name in ("src", "href", "action", "data")]

    def handle_data(self, data: str) -> None:
        self.text += data


def test_the_page_shows_all_and_needs_nothing_else(run: Run, files: Files) -> None:
    models = ("--challenger", files.model("C", 12.0, seed=1), "--champion", files.model("P", 6.0, seed=2))
    code, _, _ = run(*files.given(*models, "--html", files / "gate.html"))
    assert code == 1
    page = Page((files / "gate.html").read_text(encoding="utf-8"))
    assert page.outside == []
    assert page.tags.count("svg") == 4
    assert "script" not in page.tags
    for said in ("reject", "zone=south", digest_of_file(files / "C.parquet"), "rmse non_inferior"):
        assert said in page.text


def test_a_pipe_gets_whole_lines(files: Files) -> None:
    files.model("C", 3.0, seed=1)
    run = "import sys; from airflow_mlops.cli import main; sys.exit(main())"
    given = files.given("--challenger", files / "C.parquet", "--champion", files / "C.parquet")
    command = [sys.executable, "-c", run, *map(str, given)]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stderr) == (0, "")
    (header,) = [line for line in ended.stdout.splitlines() if "least difference" in line]
    assert all(word in header for word in ("rule", "rows", "challenger", "champion", "interval", "rows needed"))
    assert "\x1b" not in ended.stdout
