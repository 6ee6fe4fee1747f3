"""The main job on a scene whose truth is known: made, sharpened, scored and drawn, all in one folder."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float, Shaped, UInt8

from panloom.data import ProceduralScene, georeference, make
from panloom.errors import OptionError, OutputError
from panloom.metrics import BIAS, ERGAS, SAM, added
from panloom.run._aside import write_text
from panloom.run.fuse import fuse
from panloom.run.preview import choose, preview, stretch
from panloom.run.report import Report
from panloom.run.resolve import DEFAULT, resolve
from panloom.run.sharpen import Progress, sharpen
from panloom.scene import Reader, describe
from panloom.scene.picture import write_png
from panloom.scene.saving import save
from panloom.tiling import blocks
from panloom.types import Window

#: Scored beside the result: the interpolated MS (the zero line), and two other classical methods.
BESIDE = ("exp", "brovey", "mtf-glp-hpm")

#: What the demo is made of.
SENSOR, BANDS = "quickbird", 4

#: Smallest size of a demo.
SMALLEST = 64

#: PAN pixels along one side of a panel of the picture, and screen pixels per PAN pixel.
PANEL, ZOOM = 200, 2

#: Screen pixels between two panels.
GAP = 8

#: PAN pixels along one side of the windows that are scored.
SCORED = 512

_FILES = (
    "pan.tif",
    "ms.tif",
    "truth.tif",
    "sharpened.tif",
    "report.json",
    "scores.json",
    "preview.png",
    "overview.png",
)

_Image = Shaped[np.ndarray, "c h w"]
_Read = Callable[[Window], tuple[_Image, Bool[np.ndarray, "h w"]]]


@dataclass(frozen=True)
class Demo:
    """What the demo left.

    Attributes:
        folder: where the files are.
        report: of the sharpening.
        scores: of the result first, then of the methods beside it: "ERGAS", "SAM" (degrees) and "bias" (mean of the
            bands' absolute biases, percent) against the truth on all valid pixels; 0 is perfect.
        files: all files.
    """

    folder: Path
    report: Report
    scores: dict[str, dict[str, float]]
    files: tuple[Path, ...]

    @property
    def picture(self) -> Path:
        """The picture to look at first: MS as it is, the result and the truth, side by side."""
        return self.folder / "preview.png"


def demo(
    folder: str | Path,
    *,
    size: int = 1024,
    seed: int = 1,
    method: str = DEFAULT,
    progress: Progress | None = None,
    overwrite: bool = False,
) -> Demo:
    """Make a procedural scene, sharpen it, score it against its truth and draw it.

    Written are `pan.tif` and `ms.tif` (blue, green, red and near infrared; MS lies a quarter of a PAN pixel off corner
    alignment; a wedge has no data), `truth.tif` (what a perfect method would find), `sharpened.tif`, `report.json`,
    `scores.json`, `preview.png` (a part at two screen pixels per PAN pixel, three panels in the same colours: MS as it
    is, the result, the truth) and `overview.png` (the whole result).

    Args:
        folder: made if it is not there.
        size: PAN pixels per side, about: the scene is 16 % wider than high and no multiple of MS pixels.
        seed: of the land, 0 to 2**63 - 1; same seed, same files.
        method: see `panloom methods`.
        progress: told after every step: steps done, steps in all.
        overwrite: replace the files of an earlier demo.

    Raises:
        OptionError: the size is too small, or the seed out of its range.
        MethodError: unknown method.
        OutputError: files of that name are there already, or cannot be written.
    """
    resolve(method)
    if not 0 <= seed < 2**63:
        raise OptionError(f"seed is a whole number from 0 to {2**63 - 1}; given: {seed}")
    place = _prepared(Path(folder), size, overwrite=overwrite)
    steps = _Steps(progress, 4 + len({method, *BESIDE}))
    scene = make((size - 3) | 1, int(1.16 * size) | 1, sensor=SENSOR, bands=BANDS, seed=seed)
    steps.next()
    pan, ms, _truth, out, *_ = files = tuple(place / name for name in _FILES)
    _write(scene, files, overwrite=overwrite)
    steps.next()
    report = sharpen(pan, ms, out, method=method, overwrite=overwrite)
    write_text(place / "report.json", report.to_json() + "\n")
    steps.next()
    scores = _scores(scene, out, method, steps)
    write_text(place / "scores.json", json.dumps(scores, indent=2) + "\n")
    with _reader(out) as result:
        write_png(str(place / "preview.png"), _panels(scene, result))
    preview(out, place / "overview.png")
    steps.next()
    return Demo(place, report, scores, files)


@dataclass
class _Steps:
    """Counts steps and tells about them."""

    told: Progress | None
    all: int
    done: int = 0

    def next(self) -> None:
        """One more step is done."""
        self.done += 1
        if self.told is not None:
            self.told(self.done, self.all)


def _prepared(folder: Path, size: int, *, overwrite: bool) -> Path:
    """The folder, ready to be written to."""
    if size < SMALLEST:
        raise OptionError(f"a demo has at least {SMALLEST} pixels per side; given: {size}")
    there = [name for name in _FILES if (folder / name).exists()]
    if there and not overwrite:
        raise OutputError(
            f"{folder}: {', '.join(there)} exists already; use --overwrite to replace it, or name another folder"
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{folder}: the folder cannot be made ({error.strerror or error})") from error
    return folder


def _write(scene: ProceduralScene, files: Sequence[Path], *, overwrite: bool) -> None:
    """PAN, MS and truth as GeoTIFFs that say what they are."""
    place = georeference(scene)
    tags = {"SENSOR": scene.sensor.name, "SCENE": "procedural, made by panloom"}
    names = [band.name for band in scene.sensor.bands]
    truth = np.rint(scene.truth).astype(scene.ms.dtype)
    images = (
        (scene.pan[None], place.pan, scene.nodata, ["pan"]),
        (scene.ms, place.ms, scene.nodata, names),
        (truth, place.pan, None, names),
    )
    for path, (image, transform, nodata, bands) in zip(files[: len(images)], images, strict=True):
        save(
            path,
            image,
            crs=place.crs,
            transform=transform,
            nodata=nodata,
            descriptions=bands,
            tags=tags,
            overwrite=overwrite,
        )


@contextmanager
def _reader(path: Path) -> Iterator[_Read]:
    """Windows of a file, and where all of its bands are valid."""
    raster = describe(str(path))
    with closing(Reader(raster, raster.bands)) as reader:

        def read(window: Window) -> tuple[_Image, Bool[np.ndarray, "h w"]]:
            data, valid = reader.read(window)
            return data, np.ones(data.shape[1:], bool) if valid is None else np.asarray(valid.all(0))

        yield read


def _scores(scene: ProceduralScene, out: Path, method: str, steps: _Steps) -> dict[str, dict[str, float]]:
    """The file that was written, and the methods beside it, against the truth on the same pixels."""
    with _reader(out) as result:
        scores = {method: _against(scene, result)}
        steps.next()
        for name in BESIDE:
            if name == method:
                continue
            fused = fuse(scene.pan, scene.ms, method=name, sensor=scene.sensor, phase=scene.phase, nodata=scene.nodata)
            scores[name] = _against(scene, _beside(fused, result))
            steps.next()
    return scores


def _beside(fused: Float[np.ndarray, "c H W"], result: _Read) -> _Read:
    """Windows of an image in memory, on the valid pixels of the result."""

    def read(window: Window) -> tuple[_Image, Bool[np.ndarray, "h w"]]:
        return fused[:, window.row : window.row_end, window.col : window.col_end], result(window)[1]

    return read


def _against(scene: ProceduralScene, read: _Read) -> dict[str, float]:
    """Scores of an image, window by window."""
    tallies = {"ERGAS": [], "SAM": [], "bias": []}
    for window in blocks(Window(0, 0, *scene.pan.shape), SCORED):
        image, known = read(window)
        fused, valid = torch.from_numpy(image.astype(np.float64))[None], torch.from_numpy(known)[None, None]
        exact = scene.truth[:, window.row : window.row_end, window.col : window.col_end]
        truth = torch.from_numpy(np.ascontiguousarray(exact))[None]
        tallies["ERGAS"].append(ERGAS.tally(fused, truth, valid, ratio=scene.ratio))
        tallies["SAM"].append(SAM.tally(fused, truth, valid))
        tallies["bias"].append(BIAS.tally(fused, truth, valid))
    metrics = {"ERGAS": ERGAS, "SAM": SAM, "bias": BIAS}
    return {name: round(metric.value(added(tallies[name])), 4) for name, metric in metrics.items()}


def _panels(scene: ProceduralScene, result: _Read) -> UInt8[np.ndarray, "4 h w"]:
    """MS as it is, the result and the truth side by side, in one stretch, white lines between them."""
    window = liveliest(scene.pan, scene.pan_valid, scene.ratio)
    rows, cols = np.arange(window.row, window.row_end), np.arange(window.col, window.col_end)
    shown = np.array(choose([band.name for band in scene.sensor.bands]))
    near = [
        np.clip(np.floor((at - place) / scene.ratio + 0.5).astype(int), 0, count - 1)
        for at, place, count in zip((rows, cols), scene.phase, scene.ms.shape[1:], strict=True)
    ]
    images = [scene.ms[np.ix_(shown, *near)], result(window)[0][shown], scene.truth[np.ix_(shown, rows, cols)]]
    line = np.zeros((len(shown), window.height, GAP // ZOOM))
    pieces = [piece for image in images for piece in (image, line)][:-1]
    valid = np.concatenate([np.full(piece.shape[1:], piece is not line) for piece in pieces], axis=1)
    picture = stretch(np.concatenate(pieces, axis=2), valid)
    picture[:, ~valid] = 255
    return picture.repeat(ZOOM, axis=1).repeat(ZOOM, axis=2)


def liveliest(pan: Shaped[np.ndarray, "H W"], valid: Bool[np.ndarray, "H W"], ratio: int, side: int = PANEL) -> Window:
    """The square with most detail that MS cannot show: where PAN differs most from its mean over an MS pixel.

    Args:
        pan: the image.
        valid: its valid pixels; the squares with most of them come first.
        ratio: PAN pixels per MS pixel; the square consists of whole cells.
        side: PAN pixels, at most half of the smaller side of the image.
    """
    rows, cols = pan.shape[0] // ratio, pan.shape[1] // ratio
    cut = (slice(0, rows * ratio), slice(0, cols * ratio))
    cells = pan[cut].astype(np.float32).reshape(rows, ratio, cols, ratio)
    detail = np.abs(cells - cells.mean((1, 3), keepdims=True)).mean((1, 3))
    whole = np.asarray(valid[cut].reshape(rows, ratio, cols, ratio).all((1, 3)))
    count = max(min(side, min(pan.shape) // 2) // ratio, 1)
    support, score = _sums(whole, count), _sums(detail * whole, count)
    row, col = np.unravel_index(np.where(support == support.max(), score, -1).argmax(), score.shape)
    return Window(int(row) * ratio, int(col) * ratio, count * ratio, count * ratio)


def _sums(image: Shaped[np.ndarray, "h w"], count: int) -> Float[np.ndarray, "h2 w2"]:
    """Sums over all squares of `count` x `count`."""
    total = np.pad(image.astype(np.float64), ((1, 0), (1, 0))).cumsum(0).cumsum(1)
    return total[count:, count:] - total[:-count, count:] - total[count:, :-count] + total[:-count, :-count]
