"""The program in a ``torch.export`` archive: JSON that torch evaluates when it loads it, read before that.

torch 2.13 hands ``expr_str`` to sympy, which evaluates it as Python, writes ``guards_code`` into a function, and walks
any dotted ``target`` from the torch package to what a node then calls.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator

__all__ = ["program_fault"]

# Registered operators and plain arithmetic; torch.ops.load_library and the like have too few dots.
_OPERATOR = re.compile(
    r"torch\.ops\.(?!_)\w+\.\w+(\.(?!__)\w+)?|(_operator|math)\.(?!_)\w+|torch\.(_?sym_\w+)|torch\._C\._set_grad_enabled"
)
_CALLED = re.compile(r"[A-Z]\w*|floor|ceiling")
_ATTRIBUTES = frozenset({"size", "stride", "storage_offset", "ndim", "shape", "dtype", "device"})
_PLAIN = (
    ast.Expression, ast.Call, ast.keyword, ast.Name, ast.Constant, ast.Load, ast.Compare, ast.BoolOp, ast.BinOp,
    ast.UnaryOp, ast.Subscript, ast.Tuple, ast.Attribute, ast.operator, ast.unaryop, ast.boolop, ast.cmpop,
)  # fmt: skip


def program_fault(data: bytes) -> str | None:
    r"""Say what the program would do besides calculating, if anything; a clause that follows the file's name.

    Parameters
    ----------
    data : bytes
        A file below ``models/`` of the archive.

    Examples
    --------
    >>> program_fault(b'{"expr_str": "Add(Integer(1), Symbol(\'s0\', integer=True))"}')
    >>> program_fault(b'{"nodes": [{"target": "torch.serialization.os.system"}]}')
    "calls 'torch.serialization.os.system', which is no registered operator"
    """
    try:
        for key, text in _texts(json.loads(data)):
            if key in ("target", "as_operator") and "." in text and not _OPERATOR.fullmatch(text):
                return f"calls {text[:80]!r}, which is no registered operator"
            if key in ("expr_str", "guards_code") and not _is_plain(text):
                return f"has the expression {text[:80]!r}, which is more than arithmetic"
    except (ValueError, RecursionError):
        return "is no program that torch.export writes"
    return None


def _texts(value: object, key: str = "") -> Iterator[tuple[str, str]]:
    """Every text with the name of the field that it stands in."""
    if isinstance(value, dict):
        for name, part in value.items():
            yield from _texts(part, str(name))
    elif isinstance(value, list):
        for part in value:
            yield from _texts(part, key)
    elif isinstance(value, str):
        yield key, value


def _is_plain(expression: str) -> bool:
    """Whether an expression only compares and calculates: no method, no import, no text that could be code."""
    try:
        tree = ast.parse(expression.strip(), mode="eval")
    except (SyntaxError, ValueError, MemoryError):
        return False
    return all(_is_plain_node(node) for node in ast.walk(tree))


def _is_plain_node(node: ast.AST) -> bool:
    match node:
        case ast.Call(func=ast.Name(id=name)):
            return _CALLED.fullmatch(name) is not None
        case ast.Call(func=called):
            return isinstance(called, ast.Attribute)
        case ast.Attribute(attr=name):
            return name in _ATTRIBUTES
        case ast.Name(id=name):
            return not name.startswith("_")
        case ast.Constant(value=str(text)):
            return text.isidentifier()
        case _:
            return isinstance(node, _PLAIN)
