"""PAN and MS by the ground they cover, for files whose names do not tell."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

from panloom.errors import SceneError
from panloom.scene._naming import Role
from panloom.scene._rasterio import Raster, describe, project, same_crs
from panloom.scene.geometry import settle

#: Share of the smaller of two images that must lie on the other.
COVER = 0.5

#: An MS file that covers this much of what the best one covers is a rival: none of them is taken.
RIVAL = 0.8

#: PAN images of one MS that share more than this are rivals; less is the seam of two neighbours.
SEAM = 0.1

_Box = tuple[float, float, float, float]  # left, bottom, right, top


@dataclass(frozen=True)
class Unmatched:
    """Files that are in no pair, and why."""

    files: tuple[str, ...]
    why: str

    def __str__(self) -> str:
        return f"{', '.join(self.files)}: {self.why}"


@dataclass
class _Found:
    pairs: list[tuple[str, str]]
    unmatched: list[Unmatched]

    def leave(self, why: str, *rasters: Raster) -> None:
        """These files are in no pair."""
        self.unmatched.append(Unmatched(tuple(raster.path for raster in rasters), why))


def by_footprint(files: Sequence[tuple[str, Role]]) -> tuple[list[tuple[str, str]], list[Unmatched]]:
    """Pairs among files: the finest single-band image, with the multi-band one that covers most of it.

    Args:
        files: path, and what its name says it is.

    Returns:
        PAN and MS of each pair, and the files that are in none. Where two answers are about as good, none is taken.
    """
    found = _Found([], [])
    pans, spectral = _sorted(files, found)
    claims: dict[str, list[Raster]] = {ms.path: [] for ms in spectral}
    doubtful: set[str] = set()
    for pan in pans:
        best = _candidates(pan, spectral)
        if not best:
            found.leave("no MS file has its name or lies on the same ground", pan)
        elif len(best) > 1:
            found.leave("several MS files lie on the same ground", pan, *best)
            doubtful |= {ms.path for ms in best}
        else:
            claims[best[0].path].append(pan)
    for ms in spectral:
        if claims[ms.path]:
            _settle_claims(ms, claims[ms.path], found)
        elif ms.path not in doubtful:
            found.leave("no PAN file has its name or lies on the same ground", ms)
    return found.pairs, found.unmatched


def _sorted(files: Sequence[tuple[str, Role]], found: _Found) -> tuple[list[Raster], list[Raster]]:
    """Files that may be PAN, and those that may be MS."""
    pans: list[Raster] = []
    spectral: list[Raster] = []
    for path, role in files:
        try:
            raster = describe(path)
        except SceneError as error:
            found.unmatched.append(Unmatched((path,), str(error)))
            continue
        single = len(raster.bands) == 1
        if raster.transform is None:
            found.leave("no partner has its name, and without georeference there is nothing else to go by", raster)
        elif role == "pan" and not single:
            found.leave(f"named as PAN, but it has {len(raster.bands)} bands", raster)
        elif role == "pan" or (role == "unknown" and single):
            pans.append(raster)
        else:
            spectral.append(raster)
    return pans, spectral


def _candidates(pan: Raster, spectral: Sequence[Raster]) -> list[Raster]:
    """The MS file that covers most of a PAN image, and its rivals."""
    covered = [(_covered(pan, ms), ms) for ms in spectral]
    most = max((share for share, _ in covered), default=0.0)
    return [ms for share, ms in covered if share > 0 and share >= RIVAL * most]


def _covered(pan: Raster, ms: Raster) -> float:
    """Common ground, in units of PAN's; 0 where too little is common or the two cannot be fused."""
    try:
        settle(pan, ms)
        frame, other = _box(pan, pan.crs), _box(ms, pan.crs)
    except SceneError:
        return 0.0
    common = _area(_common(frame, other))
    return common / _area(frame) if common >= COVER * min(_area(frame), _area(other)) else 0.0


def _settle_claims(ms: Raster, pans: Sequence[Raster], found: _Found) -> None:
    """The finest of the PAN images of one MS; several, where they lie side by side."""
    finest = min(_pixel(pan, ms.crs) for pan in pans)
    kept = [pan for pan in pans if _pixel(pan, ms.crs) < 1.2 * finest]
    for pan in pans:
        if pan not in kept:
            found.leave(f"coarser than {kept[0].path} on the same ground", pan)
    boxes = [_box(pan, ms.crs) for pan in kept]
    if any(_area(_common(a, b)) > SEAM * min(_area(a), _area(b)) for a, b in combinations(boxes, 2)):
        found.leave("several PAN files lie on the same ground", ms, *kept)
    else:
        found.pairs.extend((pan.path, ms.path) for pan in kept)


def _box(raster: Raster, crs: str | None) -> _Box:
    """Bounds in a reference system.

    Raises:
        SceneError: there is no way from one system to the other.
    """
    a, b, c, d, e, f = raster.transform or (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
    places = [(u * raster.width, v * raster.height) for u in (0, 0.5, 1) for v in (0, 0.5, 1)]
    xs, ys = [a * col + b * row + c for col, row in places], [d * col + e * row + f for col, row in places]
    if raster.crs and crs and not same_crs(raster.crs, crs):
        xs, ys = project(xs, ys, raster.crs, crs)
    return min(xs), min(ys), max(xs), max(ys)


def _pixel(raster: Raster, crs: str | None) -> float:
    """Size of a pixel, root of its area, in a reference system."""
    return (_area(_box(raster, crs)) / (raster.width * raster.height)) ** 0.5


def _common(a: _Box, b: _Box) -> _Box:
    return max(a[0], b[0]), max(a[1], b[1]), min(a[2], b[2]), min(a[3], b[3])


def _area(box: _Box) -> float:
    return max(box[2] - box[0], 0.0) * max(box[3] - box[1], 0.0)
