from __future__ import annotations

import datetime as dt
import errno
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from airflow_mlops.errors import ConfigError, DataError, RemoteUnavailable
from airflow_mlops.ledger import digest_of_file
from airflow_mlops.store import open_store
from airflow_mlops.table import locate, nights_available, pin_of, read_columns, read_table

NIGHT = dt.date(2011, 3, 5)


class Named:
    """Names a night's file as a project does."""

    def __init__(self, template: str) -> None:
        self.template = template

    def data_key(self, night: object) -> str:
        return self.template.replace("{night}", str(night))


@pytest.fixture
def night(tmp_path: Path) -> Path:
    path = tmp_path / f"night={NIGHT}.parquet"
    pq.write_table(pa.table({"hr": list(range(24)), "temp": [0.25] * 24, "cnt": list(range(24))}), path)
    return path


def test_columns_come_in_the_order_asked_for(night: Path) -> None:
    assert read_table(night, ["cnt", "hr"]).column_names == ["cnt", "hr"]
    assert read_table(night).column_names == ["hr", "temp", "cnt"]
    assert read_columns(night) == ("hr", "temp", "cnt")


def test_folder_names_like_hive_add_no_column(tmp_path: Path) -> None:
    path = tmp_path / "night=2011-03-05" / "part.parquet"
    path.parent.mkdir()
    pq.write_table(pa.table({"hr": [0]}), path)
    assert read_table(path).column_names == ["hr"]


@pytest.mark.parametrize("absent", ["Temp", "temperature_", "tmp"])
def test_missing_column_is_named_with_the_one_that_is_near(night: Path, absent: str) -> None:
    with pytest.raises(DataError, match=rf"{absent}.*did you mean|no column '{absent}'") as caught:
        read_table(night, ["hr", absent])
    assert str(night) in str(caught.value)
    assert "model.toml" in str(caught.value)


def test_a_night_without_a_file(tmp_path: Path) -> None:
    for path in (tmp_path / "night.parquet", tmp_path / "no" / "folder.parquet"):
        with pytest.raises(DataError, match="there is none"):
            read_table(path)
        with pytest.raises(DataError, match="there is none"):
            pin_of(path, NIGHT)


def test_empty_file_and_folder(tmp_path: Path) -> None:
    empty = tmp_path / "empty.parquet"
    empty.touch()
    with pytest.raises(DataError, match="got an empty file"):
        read_table(empty)
    with pytest.raises(DataError, match="got a folder"):
        read_table(tmp_path)


def test_a_file_of_another_format(tmp_path: Path) -> None:
    csv = tmp_path / "night.parquet"
    csv.write_text("hr,cnt\n" * 40)
    with pytest.raises(DataError, match="280 bytes that are torn or of another format"):
        read_table(csv)


def test_torn_at_any_byte_is_a_data_error(night: Path) -> None:
    whole = night.read_bytes()
    for size in range(1, len(whole), 7):
        night.write_bytes(whole[:size])
        with pytest.raises(DataError, match="Write the night again"):
            read_table(night)


def test_no_flipped_byte_ends_in_an_error_of_pyarrow(night: Path) -> None:
    # A checksum on every page: a flipped byte in the values is found, one in the footer changes what is read.
    pq.write_table(read_table(night), night, write_page_checksum=True)
    whole = night.read_bytes()
    found = 0
    for at in range(0, len(whole), 5):
        night.write_bytes(whole[:at] + bytes([whole[at] ^ 0xFF]) + whole[at + 1 :])
        try:
            read_table(night)
        except DataError:
            found += 1
    assert found > len(whole) / 5 / 2


def test_a_file_that_this_user_may_not_read_is_no_fault_of_the_data(
    night: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Tests may run as root, who may read everything; a failing disk cannot be had for the asking.
    def refuse(code: int) -> None:
        def opened(*_: object, **__: object) -> None:
            raise OSError(code, "refused")

        monkeypatch.setattr(pq, "ParquetFile", opened)

    refuse(errno.EACCES)
    with pytest.raises(ConfigError, match="read access"):
        read_table(night)
    refuse(errno.EIO)
    with pytest.raises(RemoteUnavailable, match="did not answer"):
        read_table(night)


def test_pin_is_the_digest_of_the_bytes(night: Path) -> None:
    pin = pin_of(night, NIGHT)
    assert (pin.night, pin.rows, pin.digest) == (NIGHT, 24, digest_of_file(night))
    pq.write_table(read_table(night).slice(1), night)
    assert pin_of(night, NIGHT).digest != pin.digest


@pytest.mark.parametrize("template", ["night={night}.parquet", "{night}/hour.parquet", "bike.{night}.v(1)+.parquet"])
def test_nights_are_found_by_the_name_of_their_file(tmp_path: Path, template: str) -> None:
    named = Named(template)
    keys = [named.data_key(night) for night in ("2011-03-06", "2011-03-05", "2011-02-30", "yesterday")]
    for key in [*keys, named.data_key(NIGHT) + ".tmp", f"old/{named.data_key('2010-01-01')}", "readme.txt"]:
        path = tmp_path / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    store = open_store(str(tmp_path))
    assert nights_available(store, named) == [NIGHT, dt.date(2011, 3, 6)]
    assert locate(store, named, NIGHT, tmp_path) == tmp_path / named.data_key(NIGHT)
    assert locate(store, named, dt.date(2011, 3, 7), tmp_path) is None


def test_no_data_yet(tmp_path: Path) -> None:
    assert nights_available(open_store(str(tmp_path / "later")), Named("night={night}.parquet")) == []
