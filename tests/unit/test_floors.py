"""The floors of the house, held against the code: imports point down, heavy packages stay in their rooms.

The checkers are functions of a folder, so that each is also tried on a small tree with a planted fault.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[2] / "panloom"

# From the ground up. Names on one line do not import each other. `pair` is the upper half of floor 0: it
# holds the pixels and needs torch, `types` and `errors` do not. `panloom` stands for panloom/__init__.py.
FLOORS = (
    ("types", "errors", "_version"),
    ("pair", "registry", "state"),
    ("sensors", "tiling", "compute"),
    ("optics",),
    ("metrics", "classical", "networks", "generative", "scene"),
    ("losses", "data"),
    ("adapt", "analysis", "weights", "multimodal"),
    ("train", "run"),
    ("cli", "web", "panloom"),
    ("__main__",),
)
FLOOR = {unit: floor for floor, units in enumerate(FLOORS) for unit in units}

ROOMS = {  # outside package: the only units that may import it, at whatever place in the file
    "rasterio": {"scene"},
    "click": {"cli", "web"},
    "rich": {"cli", "web", "run"},
}
QUICK = ("panloom", "panloom.__main__", "panloom.cli", "panloom.types", "panloom.errors", "panloom.sensors")
HEAVY = {"torch", "rasterio"}  # what none of QUICK may load when it is imported


@dataclass(frozen=True)
class Import:
    """One import, from module to module (dotted names); eager if it runs when the importing module does."""

    source: str
    target: str
    eager: bool


def _modules(package: Path) -> dict[str, Path]:
    """Dotted names and files of all modules under `package`."""
    found = {}
    for path in sorted(package.rglob("*.py")):
        parts = path.relative_to(package.parent).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def _lazy(node: ast.AST) -> bool:
    """True for a body that does not run at import: a function, or `if TYPE_CHECKING`."""
    if isinstance(node, ast.If):
        return "TYPE_CHECKING" in ast.unparse(node.test)
    return isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda))


def _statements(node: ast.AST, eager: bool = True) -> Iterator[tuple[ast.Import | ast.ImportFrom, bool]]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, (ast.Import, ast.ImportFrom)):
            yield child, eager
        else:
            yield from _statements(child, eager and not _lazy(child))


def _base(node: ast.ImportFrom, module: str, is_package: bool) -> str:
    """The absolute name after `from`."""
    if not node.level:
        return node.module or ""
    above = module.split(".")[: None if is_package and node.level == 1 else is_package - node.level]
    return ".".join([*above, *([node.module] if node.module else [])])


def imports(package: Path) -> list[Import]:
    """Every import in the tree. `from a import b` counts for a.b where that is a module, else for a."""
    modules, found = _modules(package), []
    for module, path in modules.items():
        for node, eager in _statements(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                targets = {alias.name for alias in node.names}
            else:
                base = _base(node, module, path.name == "__init__.py")
                names = (f"{base}.{alias.name}" for alias in node.names)
                targets = {name if name in modules else base for name in names}
            found += [Import(module, target, eager) for target in sorted(targets)]
    return found


def _unit(module: str) -> str:
    """The name in FLOORS that a module of the package belongs to."""
    return module.split(".")[1] if "." in module else "panloom"


def floor_faults(package: Path) -> list[str]:
    """Imports that do not point down, and modules that stand on no floor."""
    units = {_unit(module) for module in _modules(package)}
    faults = [f"{unit} stands on no floor: add it to FLOORS" for unit in sorted(units - FLOOR.keys())]
    for link in imports(package):
        if link.target.split(".")[0] != "panloom":
            continue
        source, target = _unit(link.source), _unit(link.target)
        if source != target and FLOOR.get(source, 0) <= FLOOR.get(target, -1):
            faults.append(f"{link.source} (floor of {source}) imports {link.target} (floor of {target})")
    return faults


def room_faults(package: Path) -> list[str]:
    """Imports of an outside package by a unit that has no right to it."""
    return [
        f"{link.source} imports {link.target}"
        for link in imports(package)
        if _unit(link.source) not in ROOMS.get(link.target.split(".")[0], {_unit(link.source)})
    ]


def _loaded(start: str, links: Mapping[str, set[str]]) -> dict[str, list[str]]:
    """All that importing `start` loads, each with the way to it. Importing a.b runs a as well."""
    ways, queue = {start: [start]}, [start]
    while queue:
        module = queue.pop()
        parts = module.split(".")
        parents = {".".join(parts[:n]) for n in range(1, len(parts))}
        for target in (links.get(module, set()) | parents) - ways.keys():
            ways[target] = [*ways[module], target]
            queue.append(target)
    return ways


def weight_faults(package: Path) -> list[str]:
    """Ways by which a module that must load quickly reaches a heavy package, directly or through others."""
    links: dict[str, set[str]] = {}
    for link in imports(package):
        if link.eager:
            links.setdefault(link.source, set()).add(link.target)
    quick = [m for m in _modules(package) if any(m == q or (m.startswith(f"{q}.") and q != "panloom") for q in QUICK)]
    return [
        " > ".join(way)
        for module in quick
        for target, way in sorted(_loaded(module, links).items())
        if target.split(".")[0] in HEAVY
    ]


def cycle_faults(package: Path) -> list[str]:
    """Modules that import each other in a ring, wherever in the file the imports stand."""
    links: dict[str, set[str]] = {module: set() for module in _modules(package)}
    for link in imports(package):
        if link.target in links:
            links[link.source].add(link.target)
    while leaves := {module for module, targets in links.items() if not targets & links.keys()}:
        links = {module: targets for module, targets in links.items() if module not in leaves}
    return sorted(f"{module} > {', '.join(sorted(targets & links.keys()))}" for module, targets in links.items())


CHECKS = [floor_faults, room_faults, weight_faults, cycle_faults]


@pytest.mark.parametrize("check", CHECKS)
def test_the_package_has_no_fault(check):
    assert len(_modules(PACKAGE)) > 10
    assert check(PACKAGE) == []


def plant(root: Path, files: Mapping[str, str]) -> Path:
    """A small package `panloom` with these files, over a sound ground."""
    sound = {
        "__init__.py": "def __getattr__(name):\n    from panloom.run import sharpen\n    return sharpen\n",
        "types.py": "import math\n",
        "pair.py": "from torch import Tensor\nfrom panloom.types import Grid\n",
        "errors.py": "",
        "sensors/__init__.py": "from panloom.types import Sensor\nfrom ._files import load\n",
        "sensors/_files.py": "from ..errors import SensorError\n",
        "optics/__init__.py": "from panloom.optics.mtf import blur\n",
        "optics/mtf.py": "import torch\nfrom panloom import pair, sensors\n",
        "scene/__init__.py": "import rasterio\nimport panloom.optics\n",
        "classical/__init__.py": "from panloom.pair import Pair\n",
        "run/__init__.py": "from panloom.run.sharpen import sharpen\n",
        "run/sharpen.py": "from panloom import classical\nfrom panloom.scene import Scene\nimport rich\n",
        "cli.py": "import click\ndef main():\n    from panloom import run\n",
        "__main__.py": "from panloom.cli import main\n",
    }
    for name, text in (sound | files).items():
        path = root / "panloom" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return root / "panloom"


@pytest.mark.parametrize("check", CHECKS)
def test_a_sound_tree_has_no_fault(check, tmp_path):
    assert check(plant(tmp_path, {})) == []


@pytest.mark.parametrize(
    ("check", "name", "text", "told"),
    [
        (
            floor_faults,
            "optics/mtf.py",
            "from panloom.classical import gsa",
            ["panloom.optics.mtf", "classical"],
        ),
        (floor_faults, "classical/gsa.py", "from panloom import scene", ["panloom.classical.gsa", "scene"]),
        (floor_faults, "classical/gsa.py", "from ..scene import Scene", ["panloom.classical.gsa", "scene"]),
        (floor_faults, "types.py", "def f():\n    import panloom.errors", ["panloom.types", "errors"]),
        (floor_faults, "pair.py", "if TYPE_CHECKING:\n    from panloom.tiling import plan", ["panloom.pair"]),
        (
            floor_faults,
            "run/sharpen.py",
            "from panloom import __version__",
            ["panloom.run.sharpen", "panloom"],
        ),
        (floor_faults, "attic/old.py", "", ["attic", "no floor"]),
        (room_faults, "run/sharpen.py", "import rasterio.windows", ["panloom.run.sharpen", "rasterio"]),
        (
            room_faults,
            "scene/open.py",
            "def f():\n    from click import echo",
            ["panloom.scene.open", "click"],
        ),
        (room_faults, "optics/mtf.py", "from rich.table import Table", ["panloom.optics.mtf", "rich"]),
        (weight_faults, "cli.py", "import torch", ["panloom.cli > torch"]),
        (
            weight_faults,
            "cli.py",
            "from panloom.sensors import get\nfrom panloom import optics",
            ["cli", "mtf > torch"],
        ),
        (weight_faults, "types.py", "try:\n    import rasterio\nexcept ImportError:\n    pass", ["rasterio"]),
        (
            weight_faults,
            "sensors/_files.py",
            "from panloom.pair import Pair",
            ["sensors._files", "pair > torch"],
        ),
        (
            cycle_faults,
            "run/sharpen.py",
            "from panloom.run import report",
            ["panloom.run > panloom.run.sharpen"],
        ),
        (
            cycle_faults,
            "optics/mtf.py",
            "def f():\n    from . import blur",
            ["panloom.optics.mtf > panloom.optics"],
        ),
    ],
)
def test_a_planted_fault_is_found(check, name, text, told, tmp_path):
    faults = check(plant(tmp_path, {name: text}))
    assert faults
    assert all(word in "\n".join(faults) for word in told)
