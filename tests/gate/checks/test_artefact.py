from __future__ import annotations

import bz2
import gzip
import hashlib
import importlib
import io
import json
import lzma
import os
import pickle
import tarfile
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from airflow_mlops.gate.checks.artefact import scan_artefact
from airflow_mlops.records import Decision, RuleResult


class Harmful:
    """Unpickled, it leaves a folder behind."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.mark),)


class Hidden:
    def __reduce__(self) -> Any:
        return importlib.import_module, ("antigravity",)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "artefact"
    path.mkdir()
    return path


@pytest.fixture
def harmful(tmp_path: Path) -> bytes:
    return pickle.dumps(Harmful(tmp_path / "unpickled"))


def scan(folder: Path, *allowed: str) -> RuleResult:
    return scan_artefact(folder, allowed_pickles=allowed)


def verdict(folder: Path, name: str, data: bytes) -> RuleResult:
    (folder / name).write_bytes(data)
    return scan(folder)


def zipped(members: Mapping[str, bytes], method: int = zipfile.ZIP_STORED) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return out.getvalue()


def tarred(members: Mapping[str, bytes]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, data in members.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    return out.getvalue()


def saved(array: Any, **kwargs: Any) -> bytes:
    out = io.BytesIO()
    np.save(out, array, **kwargs)
    return out.getvalue()


def safetensors(data: bytes = bytes(8), *, end: int = 8, extra: bytes = b"") -> bytes:
    header = json.dumps({"w": {"dtype": "F32", "shape": [2], "data_offsets": [0, end]}}).encode()
    return len(header).to_bytes(8, "little") + header + data + extra


def onnx() -> bytes:
    # ir_version 8, producer_name "x", an empty graph, an opset.
    return b"\x08\x08\x12\x01x\x3a\x02\x0a\x00\x42\x02\x10\x11"


# ── what passes ──────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b'{"features": ["hr"]}\n',
        "hôpital\r\n\tx\n".encode(),
        b"certifi\nclick\nidna\nbokeh\nIPython\nRequests\n",
        b"cloudpickle==3.1\nnumpy==2.4.6\n(see pypi.org)\n.\n",
        b"tree\nversion=v4\nnum_class=1\n",
        safetensors(),
        saved(np.arange(6.0).reshape(2, 3)),
        zipped({"a.npy": saved(np.arange(3)), "b.npy": saved(np.arange(3))}),
        gzip.compress(b'{"learner": {}}'),
        bz2.compress(b"text"),
        lzma.compress(b"text"),
        tarred({"model/weights.safetensors": safetensors()}),
        gzip.compress(tarred({"model/signature.json": b"{}"})),
        onnx(),
        b"{L" + (7).to_bytes(8, "big") + b"learner{}}",
        b"PAR1" + bytes(20) + b"PAR1",
    ],
    ids=range(17),  # not the bytes: what packs files writes the time into them
)
def test_numbers_and_text_pass(folder: Path, data: bytes) -> None:
    result = verdict(folder, "model.bin", data)
    assert result.decision is Decision.PROMOTE, result.reason
    assert (result.estimate, result.units) == (0.0, 1)


# ── pickles ──────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("name", ["model.pkl", "weights.safetensors", "signature.json", "README"])
def test_a_pickle_is_refused_whatever_its_name(folder: Path, tmp_path: Path, protocol: int, name: str) -> None:
    mark = tmp_path / "unpickled"
    result = verdict(folder, name, pickle.dumps(Harmful(mark), protocol=protocol))
    assert result.decision is Decision.REJECT
    assert f"{name} is a pickle that imports posix.mkdir" in result.reason
    assert not mark.exists()


def test_a_pickle_of_plain_data_is_a_pickle(folder: Path) -> None:
    assert "is a pickle (sha256:" in verdict(folder, "a.pkl", pickle.dumps({"trees": [1, 2]})).reason


def test_a_pickle_that_imports_by_a_name_is_refused(folder: Path) -> None:
    assert "importlib.import_module" in verdict(folder, "a.pkl", pickle.dumps(Hidden())).reason


@pytest.mark.parametrize(
    "data",
    [
        b"cos\nsystem\n(S'id'\ntR.",
        b"(S'id'\nios\nsystem\n.",
        b"(cos\nsystem\nS'id'\no.",
        b"I0x10\n0cos\nsystem\n(S'id'\ntR.",  # pickletools takes no hexadecimal, pickle does
        b"I010\n0cos\nsystem\n(S'id'\ntR.",  # nor octal, which C's unpickler takes
        b"cos\nsystem\n(S'id'\ntR and then it breaks",
        b"\x80\x04\x8c\x02os\x8c\x06system\x93\x8c\x02id\x85R",  # no end
        b"\x80\x02(X\x02\x00\x00\x00idcos\nsystem\no.",
        b"\x80\x02\x82\x01.",  # by a number in copyreg's registry
        b"\x80\x04N.",
        b"F1e1_0\n0cos\nsystem\n(S'id'\ntR.",
        b"cmodels\nForest\n}S'predict'\nNsb.",  # changes a class without calling it
    ],
    ids=range(12),
)
def test_what_is_put_together_by_hand_is_found(folder: Path, data: bytes) -> None:
    assert "is a pickle" in verdict(folder, "notes.txt", data).reason


def pack(method: str, data: bytes) -> bytes:
    return {
        "zip": lambda: zipped({"model.json": data}, zipfile.ZIP_DEFLATED),
        "npz": lambda: zipped({"a.npy": saved(np.arange(3)), "b.npy": data}),
        "gzip": lambda: gzip.compress(data),
        "bz2": lambda: bz2.compress(data),
        "xz": lambda: lzma.compress(data),
        "tar": lambda: tarred({"a.json": b"{}", "model.json": data}),
        "tar.gz": lambda: gzip.compress(tarred({"model.json": data})),
        "zip in zip": lambda: zipped({"inner.zip": zipped({"model.json": data})}),
        "gzip twice": lambda: gzip.compress(gzip.compress(data)),
        "torch": lambda: zipped({"m/version": b"3", "m/data.pkl": data, "m/data/0": bytes(8)}),
        "torch's tensor": lambda: zipped({"m/data.pkl": b"\x80\x02}.", "m/data/0": data}),
        "torch's weights": lambda: zipped({"m/archive_format": b"pt2", "m/data/weights/weight_0": data}),
        "torch's file in a torch archive": lambda: zipped(
            {"m/archive_format": b"pt2", "m/data/sample_inputs/m.pt": zipped({"a/data.pkl": data})}
        ),
    }[method]()


METHODS = [
    "zip", "npz", "gzip", "bz2", "xz", "tar", "tar.gz", "zip in zip", "gzip twice", "torch", "torch's tensor",
    "torch's weights", "torch's file in a torch archive",
]  # fmt: skip


@pytest.mark.parametrize("method", METHODS)
def test_a_pickle_is_found_inside(folder: Path, tmp_path: Path, method: str, harmful: bytes) -> None:
    result = verdict(folder, "model.json", pack(method, harmful))
    assert result.decision is Decision.REJECT
    assert "is a pickle that imports posix.mkdir" in result.reason
    assert not (tmp_path / "unpickled").exists()


def test_joblib_files_are_refused_packed_or_not(folder: Path) -> None:
    joblib = pytest.importorskip("joblib")
    model = {"weights": np.arange(1000.0)}
    joblib.dump(model, folder / "plain.joblib")
    joblib.dump(model, folder / "zlib.joblib", compress=3)
    joblib.dump(model, folder / "gzip.joblib", compress=("gzip", 3))
    assert scan(folder).estimate == 3


def test_an_array_of_objects_is_refused(folder: Path) -> None:
    objects = saved(np.array([{"a": 1}], dtype=object), allow_pickle=True)
    assert "array of objects" in verdict(folder, "a.npy", objects).reason
    assert (
        "a.npz holds b.npy that is an array of objects" in verdict(folder, "a.npz", zipped({"b.npy": objects})).reason
    )


def test_a_digest_lets_one_file_pass_and_no_other(folder: Path, harmful: bytes) -> None:
    (folder / "model.pkl").write_bytes(harmful)
    digest = f"sha256:{hashlib.sha256(harmful).hexdigest()}"
    assert digest in scan(folder).reason
    assert scan(folder, digest).decision is Decision.PROMOTE
    assert scan(folder, digest.removeprefix("sha256:")).decision is Decision.REJECT
    (folder / "other.pkl").write_bytes(harmful + b" ")
    assert scan(folder, digest).estimate == 1


# ── what else is not vouched for ─────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"\x7fELF\x02\x01\x01" + bytes(50), "no known format"),
        (b"\x89HDF\r\n\x1a\n" + bytes(50), "no known format"),
        ("Ünïcode".encode("utf-16"), "no known format"),
        (bytes(100), "no known format"),
        (safetensors(extra=b"!"), "no known format"),
        (safetensors(end=9), "no known format"),
        (saved(np.arange(3))[:-1], "is damaged"),
        (onnx() + b"\x52\x00", "no known format"),
        (zipped({"a.json": b"{}"})[:-10], "damaged archive"),
        (gzip.compress(b"{}" * 100)[:-9], "damaged archive"),
        (lzma.compress(b"{}" * 100)[:-9], "damaged archive"),
        (bz2.compress(b"{}" * 100)[:-9], "damaged archive"),
        (tarred({"a": b"{}" * 600})[:1000], "damaged archive"),
        (safetensors() + zipped({"a.json": b"{}"}), "no known format"),
        (b"some text\n" + zipped({}), "no known format"),
    ],
    ids=range(15),
)
def test_what_is_not_known_or_not_whole_is_refused(folder: Path, data: bytes, words: str) -> None:
    result = verdict(folder, "model.bin", data)
    assert result.decision is Decision.REJECT
    assert words in result.reason


def test_a_zip_file_behind_another_one_is_refused(folder: Path) -> None:
    both = zipped({"a.json": b"{}"}) + zipped({"a.json": b"[]"})
    assert "behind something else" in verdict(folder, "a.zip", both).reason


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_two_files_of_one_name_in_an_archive_are_refused(folder: Path) -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("a.json", b"{}")
        archive.writestr("a.json", b"[]")
    assert "two files of one name" in verdict(folder, "a.zip", out.getvalue()).reason


def test_an_archive_that_begins_like_a_pickle_is_one(folder: Path) -> None:
    data = tarred({"cos\nsystem\n(S'id'\ntR.": b"{}"})
    assert "is a pickle that imports os.system" in verdict(folder, "a.tar", data).reason


def test_a_folder_in_an_archive_holds_nothing(folder: Path, harmful: bytes) -> None:
    assert "is a pickle" in verdict(folder, "a.zip", zipped({"data/": harmful})).reason


def test_a_locked_archive_is_refused(folder: Path) -> None:
    data = bytearray(zipped({"a.json": b"{}"}))
    data[6] |= 1
    data[data.index(b"PK\x01\x02") + 8] |= 1
    assert "cannot be opened" in verdict(folder, "a.zip", bytes(data)).reason


@pytest.mark.parametrize("kind", ["zip", "gzip", "tar.gz"])
def test_a_bomb_is_not_unpacked(folder: Path, kind: str) -> None:
    size = 80 << 20
    path = folder / "model.bin"
    if kind == "zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("a", "w") as out:
            out.write(bytes(size))
    elif kind == "tar.gz":
        path.write_bytes(gzip.compress(tarred({"a": bytes(size)}), 1))
    else:
        path.write_bytes(gzip.compress(bytes(size), 1))
    assert "zip bomb" in scan(folder).reason


def test_archives_in_archives_end_somewhere(folder: Path) -> None:
    data = b"{}"
    for _ in range(6):
        data = zipped({"a.zip": data})
    assert "is packed more than 4 times over" in verdict(folder, "a.zip", data).reason


def test_links_that_lead_out_nowhere_or_round_are_refused(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "secret.json").write_text("{}")
    (folder / "model.json").write_text("{}")
    (folder / "fine.json").symlink_to("model.json")
    assert scan(folder).decision is Decision.PROMOTE
    (folder / "out.json").symlink_to(tmp_path / "outside" / "secret.json")
    (folder / "out").symlink_to(tmp_path / "outside")
    (folder / "gone.json").symlink_to("nothing.json")
    (folder / "round.json").symlink_to("round.json")
    result = scan(folder)
    assert result.estimate == 4
    assert "out.json is a link that leads out of the artefact" in result.reason
    assert "gone.json cannot be read (FileNotFoundError)" in result.reason


def test_a_link_in_an_archive_and_a_pipe_are_refused(folder: Path) -> None:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        link = tarfile.TarInfo("passwd")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
    assert "holds passwd, which is a link or a device" in verdict(folder, "a.tar", out.getvalue()).reason
    os.mkfifo(folder / "pipe")
    assert "pipe is no plain file" in scan(folder).reason


def test_an_artefact_of_nothing_is_refused(folder: Path, tmp_path: Path) -> None:
    assert "artefact holds none" in scan(folder).reason
    assert scan(tmp_path / "nowhere").decision is Decision.REJECT


def test_random_bytes_never_pass_and_never_raise(folder: Path) -> None:
    rng = np.random.default_rng(0)
    starts = [
        b"",
        b"PK\x03\x04",
        b"\x1f\x8b\x08",
        b"BZh9",
        b"\xfd7zXZ\x00",
        b"\x93NUMPY\x01\x00",
        b"\x80\x04",
        b"{L",
        b"\x08",
    ]
    for trial in range(270):
        (folder / f"{trial}").write_bytes(starts[trial % len(starts)] + rng.bytes(int(rng.integers(20, 600))))
    assert scan(folder).estimate == 270


def test_a_file_cut_or_changed_anywhere_never_raises(folder: Path, harmful: bytes) -> None:
    rng = np.random.default_rng(1)
    whole = [zipped({"a.json": b"{}", "b.npy": saved(np.arange(3))}), safetensors(), tarred({"a": b"{}"}), harmful]
    for trial in range(200):
        data = bytearray(whole[trial % len(whole)])
        data[int(rng.integers(len(data)))] ^= int(rng.integers(1, 256))
        (folder / f"{trial}").write_bytes(bytes(data[: int(rng.integers(1, len(data) + 1))]))
    assert scan(folder).units == 200
