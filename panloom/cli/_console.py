"""Where commands write: results to standard output, everything about the work to standard error."""

from __future__ import annotations

from rich.console import Console

#: Columns of a file or a pipe: tables are not cut to the 80 that rich supposes.
WIDE = 160

# No markup and no highlighting: a path may hold brackets.
err = Console(stderr=True, soft_wrap=True, markup=False, highlight=False)
out = Console(soft_wrap=True, markup=False, highlight=False)
if not out.is_terminal:
    out = Console(soft_wrap=True, markup=False, highlight=False, width=WIDE)


def bar(*, quiet: bool) -> Console:
    """The console of a progress bar, as wide as the screen."""
    return Console(stderr=True, quiet=quiet, markup=False, highlight=False)
