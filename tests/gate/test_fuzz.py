"""Malformed input of every kind: each gets a named error or a reason, none a promotion, and none a traceback."""

from __future__ import annotations

import copy
import itertools
import re
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest

from airflow_mlops.cli import main

ROWS = 240
CASES = 200
NAN, INF = float("nan"), float("inf")
FILES = ("golden", "challenger", "champion")

Damage = Callable[["Files", str, np.random.Generator], None]


class Files:
    """What is given to the command: columns, or bytes, or None for a file that is not there."""

    def __init__(self, task: str, rules: list[dict[str, Any]]) -> None:
        rng = np.random.default_rng(1)
        ids = [f"Ä{row}" for row in range(ROWS)]
        zone = [("north", "south")[row % 2] for row in range(ROWS)]
        self.tables: dict[str, Any] = {"golden": {"row_id": ids, "zone": zone}}
        if task == "regression":
            truth = rng.normal(100, 20, ROWS)
            self.tables["golden"]["y_true"] = truth.tolist()
            for name, spread in (("challenger", 1.0), ("champion", 3.0)):
                self.tables[name] = {"row_id": list(ids), "y_pred": (truth + rng.normal(0, spread, ROWS)).tolist()}
        else:
            truth = rng.random(ROWS) < 0.5
            self.tables["golden"]["y_true"] = truth.astype(int).tolist()
            for name, wrong in (("challenger", 0.05), ("champion", 0.3)):
                chance = np.where(truth ^ (rng.random(ROWS) < wrong), 0.875, 0.125)
                self.tables[name] = {"row_id": list(ids), "p_0": (1 - chance).tolist(), "p_1": chance.tolist()}
        self.task = task
        self.rules: Any = {"task": task, "resamples": 200, "rules": rules}
        self.options: list[str] = []
        self.suffix = "parquet"

    def write(self, folder: Path) -> list[str]:
        arguments = ["gate", "--rules", str(folder / "R.toml")]
        content = self.rules if isinstance(self.rules, bytes) else toml_of(self.rules).encode()
        (folder / "R.toml").write_bytes(content)
        for name, table in self.tables.items():
            path = folder / f"{name}.{self.suffix}"
            arguments += [f"--{name}", str(path)]
            if isinstance(table, bytes):
                path.write_bytes(table)
            elif isinstance(table, list):
                names, values = zip(*table, strict=True)
                pq.write_table(pa.Table.from_arrays(list(map(pa.array, values)), names), path)
            elif table is not None and self.suffix == "csv":
                pyarrow.csv.write_csv(pa.table(table), path)
            elif table is not None:
                pq.write_table(pa.table(table), path)
        return arguments + [option.format(folder=folder) for option in self.options]


def toml_of(rules: dict[str, Any]) -> str:
    def line(key: str, value: Any) -> str:
        text = str(value).lower() if isinstance(value, bool | float) else repr(value)
        return f"{key} = {text}"

    top = [line(key, value) for key, value in rules.items() if key != "rules"]
    tables = ["\n".join(["[[rules]]", *itertools.starmap(line, rule.items())]) for rule in rules.get("rules", [])]
    return "\n".join(top + tables)


REGRESSION = [
    {"metric": "rmse", "kind": "absolute", "max": 10.0},
    {"metric": "rmse", "kind": "non_inferior", "margin": 0.05},
    {"metric": "mae", "kind": "non_inferior", "margin": 0.05, "slice": "zone"},
]
BINARY = [
    {"metric": "accuracy", "kind": "absolute", "min": 0.5},
    {"metric": "accuracy", "kind": "non_inferior", "margin": 0.02},
    {"metric": "brier", "kind": "superior"},
    {"metric": "auc", "kind": "non_inferior", "margin": 0.02, "slice": "zone"},
]
BASES = {"regression": REGRESSION, "binary": BINARY}


def sound(task: str) -> Files:
    return Files(task, copy.deepcopy(BASES[task]))


def bytes_of(files: Files, name: str) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table(files.tables[name]), sink)
    return sink.getvalue().to_pybytes()


def torn(files: Files, name: str, rng: np.random.Generator) -> None:
    whole = bytes_of(files, name)
    files.tables[name] = whole[: rng.integers(1, len(whole))]


def headless(files: Files, name: str, rng: np.random.Generator) -> None:
    files.tables[name] = bytes_of(files, name)[rng.integers(1, 40) :]


def noise(files: Files, name: str, rng: np.random.Generator) -> None:
    files.tables[name] = rng.bytes(int(rng.integers(0, 500)))


def absent(files: Files, name: str, rng: np.random.Generator) -> None:
    files.tables[name] = None


def no_rows(files: Files, name: str, rng: np.random.Generator) -> None:
    files.tables[name] = {column: values[:0] for column, values in files.tables[name].items()}


def one_cell(column_of: Callable[[Files, str], str], value: Any) -> Damage:
    def damage(files: Files, name: str, rng: np.random.Generator) -> None:
        files.tables[name][column_of(files, name)][int(rng.integers(ROWS))] = value

    return damage


def whole_column(column_of: Callable[[Files, str], str], value: Any) -> Damage:
    def damage(files: Files, name: str, rng: np.random.Generator) -> None:
        files.tables[name][column_of(files, name)] = [value] * ROWS

    return damage


def answer(files: Files, name: str) -> str:
    """Name of the column that holds what the file is there for."""
    return next(column for column in ("y_true", "y_pred", "p_1") if column in files.tables[name])


def row_id(files: Files, name: str) -> str:
    return "row_id"


def without(column_of: Callable[[Files, str], str]) -> Damage:
    def damage(files: Files, name: str, rng: np.random.Generator) -> None:
        del files.tables[name][column_of(files, name)]

    return damage


def misspelt(files: Files, name: str, rng: np.random.Generator) -> None:
    column = answer(files, name)
    files.tables[name][column.upper()] = files.tables[name].pop(column)


def twice(files: Files, name: str, rng: np.random.Generator) -> None:
    table, column = files.tables[name], answer(files, name)
    files.tables[name] = [*table.items(), (column, table[column])]


def doubled(files: Files, name: str, rng: np.random.Generator) -> None:
    row = int(rng.integers(ROWS))
    for values in files.tables[name].values():
        values.append(values[row])


def renamed(files: Files, name: str, rng: np.random.Generator) -> None:
    row = int(rng.integers(ROWS))
    # The same letter to the eye, in another normal form.
    files.tables[name]["row_id"][row] = unicodedata.normalize("NFD", files.tables[name]["row_id"][row])


def shorter(files: Files, name: str, rng: np.random.Generator) -> None:
    row = int(rng.integers(ROWS))
    for values in files.tables[name].values():
        del values[row]


def longer(files: Files, name: str, rng: np.random.Generator) -> None:
    for column, values in files.tables[name].items():
        values.append("stranger" if column == "row_id" else values[0])


def words_in_csv(files: Files, name: str, rng: np.random.Generator) -> None:
    files.suffix = "csv"
    column = answer(files, name)
    files.tables[name][column] = [f"{value} apples" for value in files.tables[name][column]]


def ragged_csv(files: Files, name: str, rng: np.random.Generator) -> None:
    files.suffix = "csv"
    files.tables[name] = b"row_id,y_pred,y_true,zone\n1,2,3,4\n1,2\n1,2,3,4,5\n"


def foreign_csv(files: Files, name: str, rng: np.random.Generator) -> None:
    files.suffix = "csv"
    files.tables[name] = b"row_id,y_pred,y_true,zone\n" + b"\xff\xfe,1,1,a\n" * 5


TABLE_DAMAGE: dict[str, Damage] = {
    "torn": torn,
    "headless": headless,
    "noise": noise,
    "absent": absent,
    "no rows": no_rows,
    "NaN": one_cell(answer, NAN),
    "infinite": one_cell(answer, INF),
    "null": one_cell(answer, None),
    "no id": one_cell(row_id, None),
    "one id for all": whole_column(row_id, "r"),
    "ids of other rows": whole_column(row_id, 10**17),
    "nested id": whole_column(row_id, {"row": 1}),
    "all NaN": whole_column(answer, NAN),
    "words": whole_column(answer, "много"),
    "nested": whole_column(answer, [1.0, 2.0]),
    "bytes": whole_column(answer, b"\xff"),
    "nothing": whole_column(answer, None),
    "beyond every unit": whole_column(answer, 1e200),
    "without its answer": without(answer),
    "without ids": without(row_id),
    "misspelt column": misspelt,
    "column twice": twice,
    "row twice": doubled,
    "row renamed": renamed,
    "row left out": shorter,
    "row of its own": longer,
    "words in CSV": words_in_csv,
    "ragged CSV": ragged_csv,
    "CSV in no UTF-8": foreign_csv,
}


def of(name: str, damage: Damage) -> Damage:
    return lambda files, _, rng: damage(files, name, rng)


def three_classes(files: Files, name: str, rng: np.random.Generator) -> None:
    files.tables["golden"]["y_true"] = [row % 3 for row in range(ROWS)]


REGRESSION_DAMAGE: dict[str, Damage] = {
    "overflowing challenger": of("challenger", one_cell(answer, 1e308)),
    "overflowing champion": of("champion", one_cell(answer, -1e308)),
    "overflowing truth": of("golden", whole_column(answer, 1e308)),
    "huge whole numbers": of("challenger", whole_column(answer, 10**18)),
    "slice without column": of("golden", without(lambda files, name: "zone")),
    "nested slice": of("golden", whole_column(lambda files, name: "zone", ["a"])),
    "constant truth": of("golden", whole_column(answer, 0)),
}
BINARY_DAMAGE: dict[str, Damage] = {
    "three classes": three_classes,
    "probability beyond 1": of("challenger", one_cell(answer, 1.5)),
    "negative probability": of("challenger", one_cell(answer, -0.2)),
    "not summing to 1": of("challenger", one_cell(answer, 0.5)),
    "champion's not summing to 1": of("champion", one_cell(answer, 0.5)),
    "a class of nobody's": of("challenger", lambda files, name, rng: files.tables[name].update(p_7=[0.0] * ROWS)),
    "labels of nobody's": of(
        "challenger",
        lambda files, name, rng: files.tables.update(
            {name: {"row_id": files.tables[name]["row_id"], "y_pred": ["7"] * ROWS}}
        ),
    ),
    "named classes without a positive one": of("golden", whole_column(answer, "yes")),
}


def top(**keys: Any) -> Damage:
    return lambda files, _, rng: files.rules.update(keys)


def rule(**keys: Any) -> Damage:
    """Change the second rule; None takes a key away."""

    def damage(files: Files, _: str, rng: np.random.Generator) -> None:
        files.rules["rules"][1].update(keys)
        files.rules["rules"][1] = {key: value for key, value in files.rules["rules"][1].items() if value is not None}

    return damage


def text(content: bytes) -> Damage:
    return lambda files, _, rng: setattr(files, "rules", content)


def options(*given: str) -> Damage:
    return lambda files, _, rng: setattr(files, "options", list(given))


RULES_DAMAGE: dict[str, Damage] = {
    "no TOML": text(b"task = [[[ \n"),
    "empty rules": text(b""),
    "rules in no UTF-8": text(b"task = '\xff'"),
    "deep TOML": text(b"x = " + b"[" * 5000),
    "key twice": text(b"task = 'regression'\ntask = 'binary'\n"),
    "gate without task": text(b"[gate]\n[[gate.rules]]\nmetric = 'rmse'\nkind = 'absolute'\nmax = 1.0\n"),
    "gate that is no table": text(b"task = 'regression'\ngate = 5\n"),
    "no task": lambda files, _, rng: files.rules.pop("task"),
    "unknown task": top(task="clustering"),
    "task that is a number": top(task=3),
    "no rules": lambda files, _, rng: files.rules.pop("rules"),
    "unknown key": top(alhpa=0.05),
    "alpha of a half": top(alpha=0.5),
    "alpha zero": top(alpha=0.0),
    "alpha in text": top(alpha="0.05"),
    "alpha NaN": top(alpha=NAN),
    "no resamples": top(resamples=0),
    "endless resamples": top(resamples=10**9),
    "resamples of a half": top(resamples=300.5),
    "cluster that is no column": top(cluster="farm"),
    "strata that are no column": top(strata="farm"),
    "unknown metric": rule(metric="rmsee"),
    "metric of another task": rule(metric="ndcg", k=3),
    "metric without quantile": rule(metric="pinball"),
    "unknown kind": rule(kind="not_worse"),
    "negative margin": rule(margin=-0.1, kind="non_inferior"),
    "margin of one": rule(margin=1.0),
    "margin in text": rule(margin="2 %"),
    "margin infinite": rule(margin=INF),
    "no margin": rule(margin=None),
    "absolute without bound": rule(kind="absolute", margin=None),
    "parity without slice": rule(kind="parity", margin=None, max_difference=0.1),
    "unknown rule key": rule(margn=0.02),
    "unknown set": rule(on="silver"),
    "rule on rows that are not given": rule(on="recent"),
    "slice that is no column": rule(slice="planet"),
    "level that is not there": rule(slice="zone", levels=["east"]),
    "levels without slice": rule(levels=["north"]),
    "more rows than there are": rule(min_rows=10**12),
    "rows below two": rule(min_rows=1),
    "own metric that is not there": rule(metric="nowhere.to.be.found"),
    "own metric that is no function": rule(metric="math.pi"),
    "own metric that gives no number": rule(metric="json.dumps"),
    "own metric that fails": rule(metric="math.hypot"),
    "cost that files do not hold": rule(metric="size_mb", kind="absolute", margin=None, max=10.0),
    "misspelt option": options("--goldn", "x"),
    "negative seed": options("--seed", "-1"),
    "seed in text": options("--seed", "many"),
    "recent predictions alone": options("--recent-challenger", "{folder}/challenger.parquet"),
    "recent that is not there": options("--recent", "{folder}/nothing.parquet"),
    "recent of the same rows": options("--recent", "{folder}/golden.parquet"),
    "page in no folder": options("--html", "{folder}/no/such/folder/page.html"),
    "page that is a folder": options("--html", "{folder}"),
    "left over": options("leftover"),
}


def cases() -> list[tuple[str, str, str, Damage, int]]:
    """Every damage at least once, and those to tables again with other seeds until there are enough."""
    only = [("regression", "rules", *one) for one in (*RULES_DAMAGE.items(), *REGRESSION_DAMAGE.items())]
    only += [("binary", "rules", *one) for one in BINARY_DAMAGE.items()]
    tables = [(task, name, *one) for task, name, one in itertools.product(BASES, FILES, TABLE_DAMAGE.items())]
    rng = np.random.default_rng(20)
    chosen = [tables[place] for place in rng.permutation(len(tables))[: CASES - len(only)]]
    return [(*case, seed) for seed, case in enumerate([*only, *chosen])]


ALL = cases()


def outcome(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    code = main(arguments)
    captured = capsys.readouterr()
    return code, captured.out + captured.err


@pytest.mark.parametrize("task", BASES)
@pytest.mark.parametrize("suffix", ["parquet", "csv"])
def test_the_files_are_sound_before_they_are_damaged(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], task: str, suffix: str
) -> None:
    files = sound(task)
    files.suffix = suffix
    code, said = outcome(files.write(tmp_path), capsys)
    assert code == 0, said
    assert len(ALL) >= 150


@pytest.mark.parametrize(("task", "name", "kind", "damage", "seed"), ALL, ids=["-".join(case[:3]) for case in ALL])
def test_what_is_malformed_is_never_promoted(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    task: str,
    name: str,
    kind: str,
    damage: Damage,
    seed: int,
) -> None:
    files = sound(task)
    damage(files, name, np.random.default_rng(seed))
    code, said = outcome(files.write(tmp_path), capsys)
    assert code in (1, 2), said
    assert "Traceback" not in said
    named = r"(ConfigError|DataError|RulesFaults): .{20}|Usage: airflow-mlops gate"
    assert re.search(r": (reject|hold)$" if code == 1 else named, said, re.MULTILINE | re.DOTALL), said
