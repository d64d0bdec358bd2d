from __future__ import annotations

from pathlib import Path

import pytest

from airflow_mlops.errors import ConfigError
from airflow_mlops.project.rules_file import RulesFaults, load_rules

RULES = """\
task = "binary"
alpha = 0.1
positive = "yes"

[[rules]]
metric = "auc"
kind = "non_inferior"
margin = 0.01
slice = "zone"
"""


@pytest.fixture
def written(tmp_path: Path):
    def _written(text: str) -> Path:
        (tmp_path / "R.toml").write_text(text)
        return tmp_path / "R.toml"

    return _written


def test_a_file_of_rules_and_a_model_toml_say_the_same(written) -> None:
    rules = load_rules(written(RULES))
    assert (rules.task, rules.alpha, rules.rules[0].margin, rules.columns) == ("binary", 0.1, 0.01, ("zone",))
    top, _, table = RULES.partition("\n")
    nested = table.replace("[[rules]]", "[[gate.rules]]")
    # The rest of a model.toml, even a faulty one, is not what is asked about.
    assert load_rules(written(f'name = "x y"\n{top}\n[data]\npth = 1\n[gate]\n{nested}')) == rules


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (RULES.replace("margin", "margn"), ":8: rules.0.margn: unknown key; did you mean 'margin'?"),
        (RULES.replace("auc", "rmse"), "rmse is no metric of the task 'binary'"),
        (RULES.replace('task = "binary"', ""), "task: is missing"),
        (RULES.replace("0.01", "-1.0"), ":8: rules.0.margin: Input should be greater than or equal to 0, got -1.0"),
        (RULES + "x = [", "expected TOML"),
        ('task = "binary"\n[gate]\n[[gate.rules]]\nmetric = "auc"\nkind = "sup"\n', ":5: gate.rules.0.kind"),
        ('task = "binary"\n[gate]\n[[gate.rules]]\nmetric = "mae"\nkind = "superior"\n', ":2: gate: mae is no metric"),
        ('[gate]\n[[gate.rules]]\nmetric = "mae"\nkind = "superior"\n', "task: is missing"),
        ('task = "ranking"\n[[rules]]\nmetric = "ndcg"\nkind = "superior"\n', "needs `query`"),
    ],
)
def test_a_fault_names_file_line_and_key(written, text: str, says: str) -> None:
    with pytest.raises(RulesFaults) as raised:
        load_rules(written(text))
    assert says in str(raised.value)
    assert all(fault.file.name == "R.toml" for fault in raised.value.faults)


def test_a_file_that_is_not_there_or_no_text_is_a_fault_too(tmp_path: Path, written) -> None:
    for path in (tmp_path / "nothing.toml", tmp_path):
        with pytest.raises(ConfigError, match=r"is missing; give a file of rules|cannot be read"):
            load_rules(path)
    written("").write_bytes(b"\xff")
    with pytest.raises(ConfigError, match="expected UTF-8"):
        load_rules(tmp_path / "R.toml")
