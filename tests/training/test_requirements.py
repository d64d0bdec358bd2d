from __future__ import annotations

import importlib.metadata
from pathlib import Path

import pytest

from airflow_mlops.errors import ConfigError
from airflow_mlops.training.requirements import is_satisfied, requirement_lines

TORCH = importlib.metadata.version("torch")


def test_comments_hashes_and_breaks_are_no_requirements(tmp_path: Path) -> None:
    (tmp_path / "more.txt").write_text("pyarrow>=1\n-c bounds.txt\n")
    (tmp_path / "bounds.txt").write_text("pydantic>=2 # why\n")
    file = tmp_path / "requirements.txt"
    file.write_text(
        "# of the model\n\nnumpy==2.4.6 \\\n    --hash=sha256:00 \\\n    --hash=sha256:11\n"
        "torch ; python_version > '3'  # heavy\n-r more.txt\n--find-links https://example.org/#egg\n"
    )
    assert requirement_lines(file) == [
        "numpy==2.4.6",
        "torch ; python_version > '3'",
        "pyarrow>=1",
        "pydantic>=2",
        "--find-links https://example.org/#egg",
    ]


@pytest.mark.parametrize("text", ["-r requirements.txt", "-r nowhere.txt", "-r ../../nowhere.txt"])
def test_an_include_that_leads_nowhere_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "requirements.txt").write_text(text)
    with pytest.raises(ConfigError, match=r"requirements\.txt includes itself|nowhere\.txt"):
        requirement_lines(tmp_path / "requirements.txt")


def test_a_file_that_is_no_text_is_named(tmp_path: Path) -> None:
    (tmp_path / "requirements.txt").write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match=r"readable requirements file requirements\.txt"):
        requirement_lines(tmp_path / "requirements.txt")


@pytest.mark.parametrize(
    ("line", "here"),
    [
        (f"torch=={TORCH.partition('+')[0]}", True),
        (f"torch=={TORCH}", True),
        ("torch==0.4", False),
        ("Torch", True),
        ("no-such-thing-at-all", False),
        ("no-such-thing-at-all; sys_platform == 'plan9'", True),
        ("torch==0.4; python_version < '3'", True),
        ("boto3[crt]", False),
        ("boto3[no-such-extra]", True),
        ("torch @ https://example.org/torch.whl", False),
        ("./torch.whl", False),
        ("-e .", False),
        ("--find-links https://example.org/", True),
        ("torch ==", False),
    ],
)
def test_what_is_here_is_known(line: str, here: bool) -> None:
    assert is_satisfied(line) is here
