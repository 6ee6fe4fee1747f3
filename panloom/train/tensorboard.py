"""The log of a run as TensorBoard shows it; the package is an extra."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from panloom.errors import OptionError
from panloom.train.run import Line


@contextmanager
def events(out: Path) -> Iterator[Callable[[Line], None]]:
    """A function to be told each line of the log; it writes to `out`/events.

    Raises:
        OptionError: TensorBoard is not installed.
    """
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise OptionError(
            "--tensorboard needs the package tensorboard, which is not installed: pip install panloom[tensorboard]; "
            "the same numbers stand in train.jsonl"
        ) from error
    writer = SummaryWriter(str(out / "events"))

    def told(line: Line) -> None:
        for name, value in {**line, **line.get("development", {})}.items():
            if name not in ("step", "development"):
                group = "development" if "development" in line else "train"
                writer.add_scalar(f"{group}/{name}", value, line["step"])

    try:
        yield told
    finally:
        writer.close()
