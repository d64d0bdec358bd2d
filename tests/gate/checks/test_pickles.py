from __future__ import annotations

import collections
import datetime as dt
import decimal
import pickle
import pickletools
from typing import Any

import numpy as np
import pytest

from airflow_mlops.gate.checks.pickles import looks_pickled, read_opcodes, rebuilds_tensors_only

VALUES: list[Any] = [
    None, True, [1, -(2**40), 2**2100, 1.5e300, float("nan")], {"a": ("b", b"c" * 300)}, {1, 2}, frozenset("x"),
    "ünï\n'\"" * 70, bytearray(b"xyz"), complex(1, 2), dt.datetime(2011, 3, 5), decimal.Decimal("1.5"), np.arange(40.0),
    collections.OrderedDict(a=1), collections.Counter("aab"), ValueError("x"), len, range(3), [[]] * 3, "s" * 70_000,
]  # fmt: skip


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("value", VALUES, ids=lambda value: type(value).__name__)
def test_opcodes_are_those_of_pickletools(value: Any, protocol: int) -> None:
    data = pickle.dumps(value, protocol=protocol)
    opcodes = list(pickletools.genops(data))
    found = read_opcodes(data + b"what follows the end is another's")
    assert (found.end, found.length) == ("stop", len(data))
    names = [str(argument).replace(" ", ".") for opcode, argument, _ in opcodes if opcode.name == "GLOBAL"]
    stacked = sum(opcode.name == "STACK_GLOBAL" for opcode, _, _ in opcodes)
    assert len(found.imports) == len(names) + stacked
    assert set(names) <= set(found.imports)
    assert found.direct is (stacked == 0)
    assert found.calls is any(opcode.name in ("REDUCE", "NEWOBJ", "NEWOBJ_EX", "BUILD") for opcode, _, _ in opcodes)
    assert looks_pickled(data) is (protocol > 1 or bool(found.imports))


def test_wherever_a_pickle_is_cut_what_it_imported_before_is_known() -> None:
    data = pickle.dumps(decimal.Decimal("1.5"), protocol=4)
    for length in range(2, len(data)):
        assert looks_pickled(data[:length])


def test_tensors_are_rebuilt_by_name_alone() -> None:
    fine = b"\x80\x02ccollections\nOrderedDict\nq\x00)Rq\x01."
    assert rebuilds_tensors_only(fine)
    assert rebuilds_tensors_only(b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n(ctorch\nFloatStorage\ntR.")
    assert not rebuilds_tensors_only(fine + b"\x80\x02.")
    assert not rebuilds_tensors_only(fine[:-1])
    assert not rebuilds_tensors_only(fine.replace(b"OrderedDict", b"namedtuple"))
    assert not rebuilds_tensors_only(b"\x80\x02ctorch\nload\n)R.")
    assert not rebuilds_tensors_only(b"\x80\x02ctorch\nos.Storage\n)R.")
    # Put together on the stack, the name could be another than it seems.
    assert not rebuilds_tensors_only(pickle.dumps(collections.OrderedDict(), protocol=4))


def test_random_bytes_never_raise() -> None:
    rng = np.random.default_rng(0)
    opcodes = b"".join(opcode.code.encode("latin-1") for opcode in pickletools.opcodes)
    for trial in range(2000):
        drawn = rng.choice(np.frombuffer(opcodes + b"\n\n\n01os'", dtype=np.uint8), int(rng.integers(1, 60))).tobytes()
        found = read_opcodes(b"\x80\x04" * (trial % 2) + drawn)
        assert found.length <= len(drawn) + 2
