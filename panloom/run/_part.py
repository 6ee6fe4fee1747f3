"""The part of a scene that is looked at closely, and where it lies in the PAN file and on the map."""

from __future__ import annotations

from dataclasses import dataclass

from panloom.scene import Scene
from panloom.types import Window

#: How many parts are looked at for one that holds data, along a side of the scene.
TRIED = 5

#: Valid share of a part that is as good as all.
FULL = 0.999


@dataclass(frozen=True)
class Ground:
    """Where the pixels of a scene lie.

    Attributes:
        origin: row and column, in the PAN file, of the first pixel of the scene.
        crs: as WKT; None without georeference.
        transform: affine (a, b, c, d, e, f) from (col, row) corners of the scene's PAN pixels to map coordinates; None
            without georeference.
    """

    origin: tuple[int, int] = (0, 0)
    crs: str | None = None
    transform: tuple[float, float, float, float, float, float] | None = None

    @staticmethod
    def of(scene: Scene) -> Ground:
        """That of a scene."""
        return Ground(scene.layout.pan_origin, scene.grid.crs, scene.grid.transform)

    def pixel(self, window: Window) -> tuple[int, int]:
        """Row and column, in the PAN file, of the first pixel of a part of the scene."""
        return window.row + self.origin[0], window.col + self.origin[1]

    def centre(self, window: Window) -> tuple[float, float] | None:
        """Map coordinates of the centre of a part of the scene; None without georeference."""
        if self.transform is None:
            return None
        a, b, c, d, e, f = self.transform
        row, col = window.row + window.height / 2, window.col + window.width / 2
        return a * col + b * row + c, d * col + e * row + f


def part(scene: Scene, side: int) -> Window:
    """A part of whole MS pixels with at most so many PAN pixels along a side.

    All of a small scene, else what holds data nearest to its middle. A scene smaller than an MS pixel is one.
    """
    ratio, area = scene.grid.ratio, _whole_cells(scene)
    height, width = (min(length, max(side // ratio, 1)) for length in (area.height, area.width))
    rows, cols = area.height - height, area.width - width
    best, most = Window(area.row + rows // 2, area.col + cols // 2, height, width), -1.0
    if not (rows or cols) or not scene.may_be_invalid:
        return best.scaled(ratio)
    steps = [k / (TRIED - 1) for k in range(TRIED)]
    tried = sorted(((y - 0.5) ** 2 + (x - 0.5) ** 2, y, x) for y in steps for x in steps)
    for _, y, x in tried:
        cells = Window(area.row + round(y * rows), area.col + round(x * cols), height, width)
        share = float(scene.reduced(cells).valid.float().mean())
        if share > most:
            best, most = cells, share
        if most >= FULL:
            break
    return best.scaled(ratio)


def _whole_cells(scene: Scene) -> Window:
    """The MS pixels that lie wholly in what is written; those that touch it where none does."""
    ratio, area = scene.grid.ratio, scene.layout.area
    row, col = -(-area.row // ratio), -(-area.col // ratio)
    height, width = area.row_end // ratio - row, area.col_end // ratio - col
    if min(height, width) < 1:
        return area.cells(ratio).clipped(*scene.grid.cells)
    return Window(row, col, height, width)
