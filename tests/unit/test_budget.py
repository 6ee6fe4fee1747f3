"""The budgets of the house: how long, tangled and deep the code may be, and what must not be in it."""

from __future__ import annotations

import ast
import math
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[2] / "panloom"
BODY, FILE, NETWORK_FILE, PATHS, DEPTH = 40, 450, 600, 10, 2

Function = ast.FunctionDef | ast.AsyncFunctionDef
BRANCHES = (ast.If, ast.For, ast.AsyncFor, ast.While, ast.ExceptHandler, ast.match_case)


def trees(package: Path) -> dict[str, ast.Module]:
    """The parsed files, keyed by their path inside the package."""
    return {
        path.relative_to(package).as_posix(): ast.parse(path.read_text(encoding="utf-8"))
        for path in sorted(package.rglob("*.py"))
    }


def functions(tree: ast.AST) -> Iterator[Function]:
    return (node for node in ast.walk(tree) if isinstance(node, Function))


def high(values: Sequence[int]) -> int:
    """The 95th percentile, as the nearest value from the list; 0 for an empty one."""
    return sorted(values)[math.ceil(0.95 * len(values)) - 1] if values else 0


def body_lines(function: Function) -> int:
    """Lines of the body, comments and blanks too, without the docstring."""
    first = function.body[1:] if ast.get_docstring(function, clean=False) is not None else function.body
    return first[-1].end_lineno - first[0].lineno + 1 if first else 0


def paths(function: Function) -> int:
    """McCabe's number: one, and one more for each branch, loop, handler and inner function."""
    inner = [node for node in ast.walk(function) if node is not function]
    return 1 + sum(isinstance(node, (*BRANCHES, ast.FunctionDef, ast.AsyncFunctionDef)) for node in inner)


def length_faults(package: Path) -> list[str]:
    found = trees(package)
    bodies = {f"{name}:{f.lineno} {f.name}": body_lines(f) for name, tree in found.items() for f in functions(tree)}
    lines = {name: len((package / name).read_text(encoding="utf-8").splitlines()) for name in found}
    networks = {name: n for name, n in lines.items() if name.startswith("networks/")}
    others = {name: n for name, n in lines.items() if name not in networks}
    budgets = [
        ("function bodies", bodies, BODY),
        ("files", others, FILE),
        ("networks", networks, NETWORK_FILE),
    ]
    return [
        f"{what}: 95th percentile {high([*sizes.values()])} > {budget} lines; see {max(sizes, key=sizes.get)}"
        for what, sizes, budget in budgets
        if high([*sizes.values()]) > budget
    ]


def path_faults(package: Path) -> list[str]:
    return [
        f"{name}:{f.lineno} {f.name} has {paths(f)} paths > {PATHS}"
        for name, tree in trees(package).items()
        for f in functions(tree)
        if paths(f) > PATHS
    ]


def depth_faults(package: Path) -> list[str]:
    """Classes on top of more than two others. A base from elsewhere (nn.Module) counts as one, Exception as none."""
    bases: dict[str, list[str]] = {}
    for tree in trees(package).values():
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef):
                bases[node.name] = [ast.unparse(base).split("[")[0].split(".")[-1] for base in node.bases]

    def depth(name: str) -> int:
        counted = [base for base in bases.get(name, []) if base not in (name, "Exception")]
        return max((1 + depth(base) for base in counted), default=0)

    return [f"class {name} is {depth(name)} deep > {DEPTH}" for name in sorted(bases) if depth(name) > DEPTH]


def _public(body: Sequence[ast.stmt], owner: str = "") -> Iterator[tuple[str, Function, bool]]:
    """Name, function, and whether its first argument is `self` or `cls`; dunder methods are public."""
    for node in body:
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            yield from _public(node.body, f"{node.name}.")
        elif isinstance(node, Function) and (not node.name.startswith("_") or node.name.endswith("__")):
            static = any(ast.unparse(d) == "staticmethod" for d in node.decorator_list)
            yield owner + node.name, node, bool(owner) and not static


def _bare(function: Function, bound: bool) -> list[str]:
    args = function.args
    named = [*args.posonlyargs, *args.args][bound:] + args.kwonlyargs
    named += [arg for arg in (args.vararg, args.kwarg) if arg]
    bare = [arg.arg for arg in named if arg.annotation is None]
    return bare + (["return"] if function.returns is None and function.name != "__init__" else [])


def type_faults(package: Path) -> list[str]:
    return [
        f"{file}:{f.lineno} {name} has no type for {', '.join(bare)}"
        for file, tree in trees(package).items()
        for name, f, bound in _public(tree.body)
        if (bare := _bare(f, bound))
    ]


def print_faults(package: Path) -> list[str]:
    return [
        f"{name}:{node.lineno} prints"
        for name, tree in trees(package).items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "print"
    ]


def promise_faults(package: Path) -> list[str]:
    """Notes to do something later: they belong in an issue."""
    return [
        f"{path.relative_to(package)}:{number} says {word[0]}"
        for path in sorted(package.rglob("*.py"))
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if (word := re.search(r"\b(TODO|FIXME|XXX|HACK)\b", line))
    ]


CHECKS = [length_faults, path_faults, depth_faults, type_faults, print_faults, promise_faults]


@pytest.mark.parametrize("check", CHECKS)
def test_the_package_keeps_the_budget(check):
    assert len(trees(PACKAGE)) > 10
    assert check(PACKAGE) == []


SOUND = '''
import abc
class Net(abc.Module):
    def __init__(self, bands: int):
        """Of bands."""
        print_nothing(bands)
    @staticmethod
    def add(a: int, b: int) -> int:
        return a + b
class Wide(Net):
    def __call__(self, x: float) -> float:
        def inner(y):
            return y
        return inner(x)
def _private(x):
    return x
'''
LONG = "def long() -> None:\n" + '    """Says little."""\n' + "    f()\n" * 41
TANGLED = "def tangled(x: int) -> None:\n" + "    if x:\n        f()\n" * 10
DEEP = "class A(nn.Module): ...\nclass B(A): ...\nclass C(B): ...\n"


@pytest.mark.parametrize("check", CHECKS)
def test_a_sound_file_has_no_fault(check, tmp_path):
    (tmp_path / "sound.py").write_text(SOUND)
    assert check(tmp_path) == []


@pytest.mark.parametrize(
    ("check", "name", "text", "told"),
    [
        (length_faults, "a.py", LONG, "41 > 40"),
        (length_faults, "a.py", "x = 1\n" * 451, "451 > 450"),
        (length_faults, "networks/a.py", "x = 1\n" * 601, "601 > 600"),
        (path_faults, "a.py", TANGLED, "tangled has 11 paths"),
        (depth_faults, "a.py", DEEP, "class C is 3 deep"),
        (type_faults, "a.py", "def f(x, *, y: int) -> int: ...", "no type for x"),
        (type_faults, "a.py", "class A:\n    def f(self, x: int): ...", "A.f has no type for return"),
        (type_faults, "a.py", "def f(*a: int, **k) -> int: ...", "no type for k"),
        (print_faults, "a.py", "def f() -> None:\n    print(1)", "a.py:2"),
        (promise_faults, "a.py", "x = 1  # TODO: more", "a.py:1 says TODO"),
    ],
)
def test_a_planted_fault_is_found(check, name, text, told, tmp_path):
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text(text)
    faults = check(tmp_path)
    assert len(faults) == 1
    assert told in faults[0]


def test_a_file_may_be_as_long_as_the_budget(tmp_path):
    (tmp_path / "a.py").write_text("x = 1\n" * 450)
    (tmp_path / "networks").mkdir()
    (tmp_path / "networks" / "b.py").write_text("x = 1\n" * 600)
    assert length_faults(tmp_path) == []
