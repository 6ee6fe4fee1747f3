"""How the documentation is built: `sphinx-build -W -n --keep-going -b html docs docs/_build/html`.

Nothing is fetched while building, so names of other packages cannot be linked; every name of panloom must be.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import runpy
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from types import ModuleType

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

HERE = Path(__file__).resolve().parent

project = "panloom"
author = "The panloom developers"
copyright = "The panloom developers"
release = metadata.version("panloom")

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx_gallery.gen_gallery"]
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = f"panloom {release}"
default_role = "code"

nitpicky = True
nitpick_ignore_regex = [
    (r"py:.*", r"(torch|numpy|rasterio|click|rich|jaxtyping|pathlib|collections|contextlib|os|threading|types)\..*"),
    (r"py:.*", r"(Tensor|ndarray)"),
    (r"py:.*", r"'[\w ]+'"),  # the shape in Float[Tensor, "b C H W"]
    (r"py:.*", r"panloom(\.\w+)*\._\w+(\.\w+)*"),  # private parts that public signatures mention
    # Private parts again, named without module where inherited.
    (r"py:.*", r"(Form|Equalised|Substitution|Preset|Losses|Tailored|Body|Decision|Renormalise)"),
    (r"py:.*", r"panloom\.(run\.fuse\.Array|registry\.Class)"),  # type variables: what goes in comes out
    (r"py:.*", r"panloom\.run\.analysis\..*"),  # parts of the report of `panloom analyze`
]

autodoc_member_order = "bysource"
autodoc_default_options = {"special-members": "__call__"}  # the half of a method that does the work
autodoc_typehints = "signature"
autodoc_preserve_defaults = True
python_use_unqualified_type_names = True
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True
napoleon_custom_sections = ["Returns"]  # prose: the type stands in the signature, a colon is only a colon

myst_enable_extensions = ["deflist", "colon_fence"]
myst_heading_anchors = 3

sphinx_gallery_conf = {
    "examples_dirs": ["../examples"],
    "gallery_dirs": ["gallery"],
    "filename_pattern": r"\.py$",
    "ignore_pattern": r"(^|/)_",
    "abort_on_example_error": True,
    "remove_config_comments": True,
    "download_all_examples": False,
    "show_signature": False,
    "min_reported_time": 60,
}


def _home(item: object) -> str:
    """The public module that a name is documented in: the module it is defined in, up to a private part."""
    parts = (inspect.getmodule(item) or item).__name__.split(".")
    private = [n for n, part in enumerate(parts) if part.startswith("_")]
    return ".".join(parts[: private[0]] if private else parts)


def _public_modules(package: ModuleType) -> Iterator[ModuleType]:
    for found in pkgutil.iter_modules(getattr(package, "__path__", [])):
        if not found.name.startswith("_"):
            yield importlib.import_module(f"{package.__name__}.{found.name}")


class AutoModules(SphinxDirective):
    """`automodules:: NAME`: a module and the public modules in it, each name once, where it is defined.

    A new file in a folder so appears in the documentation without an edit here.
    """

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """The module's own names, then a section for each public module in it."""
        module = importlib.import_module(self.arguments[0])
        lines = [f".. automodule:: {module.__name__}"]
        if hasattr(module, "__path__"):
            here = [name for name in self._exported(module) if _home(getattr(module, name)) == module.__name__]
            lines += [f"   :members: {', '.join(here)}"] * bool(here)
        else:
            lines += ["   :members:"]
        for inner in _public_modules(module):
            title = f"``{inner.__name__}``"
            lines += ["", title, "-" * len(title), "", f".. automodule:: {inner.__name__}", "   :members:"]
            borrowed = self._borrowed(inner)
            lines += [f"   :exclude-members: {', '.join(borrowed)}"] * bool(borrowed)
        return self.parse_text_to_nodes("\n".join(lines) + "\n", allow_section_headings=True)

    @staticmethod
    def _exported(module: ModuleType) -> list[str]:
        items = ((name, getattr(module, name)) for name in getattr(module, "__all__", []))
        return [name for name, item in items if inspect.isclass(item) or inspect.isroutine(item)]

    def _borrowed(self, module: ModuleType) -> list[str]:
        """Names that a module exports and another one describes."""
        homes = {name: _home(getattr(module, name)) for name in self._exported(module)}
        return [name for name, home in homes.items() if not f"{module.__name__}.".startswith(f"{home}.")]


class AutoNames(SphinxDirective):
    """`autonames:: NAME`: what a module re-exports, each with its first line and a link to its home."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """A list of names."""
        module = importlib.import_module(self.arguments[0])
        lines = []
        for name in sorted(module.__all__):
            item = getattr(module, name)
            if inspect.isclass(item) or inspect.isroutine(item):
                first = (inspect.getdoc(item) or "").partition("\n")[0]
                target = f"{_home(item)}.{item.__qualname__}"
                lines += [f"- :py:obj:`{module.__name__}.{name} <{target}>`: {first}"]
        return self.parse_text_to_nodes("\n".join(lines) + "\n")


def _draw(app: Sphinx) -> None:
    runpy.run_path(str(HERE / "figures.py"))["draw_all"](HERE / "_build" / "figures")


_PROSE: dict[str, list[str]] = {}


def _keep_prose(app: Sphinx, what: str, name: str, item: object, options: object, lines: list[str]) -> None:
    """Before napoleon, which takes the words before a colon in the description of a value for its type."""
    if what in ("attribute", "data", "property"):
        _PROSE[name] = list(lines)


def _restore_prose(app: Sphinx, what: str, name: str, item: object, options: object, lines: list[str]) -> None:
    lines[:] = _PROSE.pop(name, lines)


def _plain_factories(
    app: Sphinx, what: str, name: str, item: object, options: object, args: str | None, returns: str | None
) -> tuple[str | None, str | None]:
    """Dataclass fields with a default factory: `<factory>` is no Python, and no type behind it would be linked."""
    return args and args.replace("<factory>", "..."), returns


def setup(app: Sphinx) -> None:
    """Add the two directives, and draw the figures before the pages are read."""
    app.connect("autodoc-process-docstring", _keep_prose, priority=400)
    app.connect("autodoc-process-docstring", _restore_prose, priority=600)
    app.connect("autodoc-process-signature", _plain_factories)
    app.add_directive("automodules", AutoModules)
    app.add_directive("autonames", AutoNames)
    app.connect("builder-inited", _draw)
