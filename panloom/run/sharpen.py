"""The main job, as a straight line: open, resolve, prepare, plan, fuse every tile, write, report."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path

import torch

from panloom.compute import Policy, Tuned, each, processors, wanted, workers
from panloom.errors import OptionError
from panloom.pair import Fuser
from panloom.run._fits import beyond_training, check_fits, fit_in_words, fit_of
from panloom.run._offset import moved_by, moved_in_words, registration, remedy, signed
from panloom.run._output import Settled, Target, look, open_writer, refuse, settle
from panloom.run._tags import made_by
from panloom.run._tiles import Done, finish
from panloom.run._tuning import needless, outlook, precision_tag, tuned
from panloom.run.cite import citations
from panloom.run.preparing import Prepare, prepared
from panloom.run.report import Registration, Report, peak_megabytes
from panloom.run.resolve import DEFAULT, resolve
from panloom.scene import Opened, Scene, environment, open_scene, registered
from panloom.scene.geometry import Extent
from panloom.scene.writer import GeoTiffWriter
from panloom.tiling import blocks, plan, tile_size
from panloom.types import Sensor, Tile, Window

log = logging.getLogger("panloom")

#: Told after every tile: pixels done and pixels in all.
Progress = Callable[[int, int], None]

#: A measured offset of MS beyond this many MS pixels is warned about.
OFFSET = 0.25

#: Clipped values per valid pixel that are no more than the overshoot of some edges, and not warned about.
CLIPPED = 1e-3


@dataclass
class _Clock:
    """Seconds per stage."""

    started: float = field(default_factory=time.perf_counter)
    last: float = field(default_factory=time.perf_counter)
    seconds: dict[str, float] = field(default_factory=dict[str, float])

    def lap(self, stage: str) -> None:
        """The time since the last lap belongs to `stage`."""
        now = time.perf_counter()
        self.seconds[stage] = round(now - self.last, 3)
        self.last = now
        self.seconds["total"] = round(now - self.started, 3)


@dataclass
class _Accounts:
    """Pixels of the tiles written in this run."""

    written: int = 0
    valid: int = 0
    filled: int = 0
    missing: int = 0
    clipped: int = 0

    def add(self, tile: Tile, done: Done) -> None:
        """Count a finished tile."""
        self.written += tile.core.height * tile.core.width
        self.valid += done.valid
        self.filled += done.filled
        self.missing += done.missing
        self.clipped += done.clipped


def sharpen(  # noqa: PLR0913  the words of the command line, each with a default
    pan: str | Path,
    ms: str | Path | Sequence[str | Path],
    out: str | Path,
    *,
    method: str = DEFAULT,
    options: Mapping[str, object] | None = None,
    sensor: str | Sensor | None = None,
    bands: Sequence[str | int] | None = None,
    sharpen_bands: Sequence[str | int] | None = None,
    extent: Extent = "pan",
    ms_shift: tuple[float, float] | None = None,
    align: bool = False,
    window: Window | None = None,
    bounds: tuple[float, float, float, float] | None = None,
    src_nodata: float | None = None,
    edge: str = "fill",
    format: str = "geotiff",
    dtype: str | None = None,
    nodata: float | str | None = None,
    creation: Mapping[str, str] | None = None,
    overviews: bool = False,
    overwrite: bool = False,
    resume: bool = False,
    preview: str | Path | None = None,
    preview_bands: Sequence[str | int] | None = None,
    device: str = "cpu",
    precision: str = "auto",
    threads: int | None = None,
    memory: int = 2048,
    seed: int = 0,
    prepare: Prepare = prepared,
    progress: Progress | None = None,
    say: Callable[[str], None] | None = None,
) -> Report:
    """Sharpen a scene of any size into a georeferenced file on PAN's grid.

    Args:
        pan: the sharp image, anything GDAL reads.
        ms: the spectral image: one multi-band file or several files of one grid.
        out: the file to write.
        method: see `panloom methods`.
        options: of the method, as in `--set name=value`.
        sensor: registry name, path of a TOML file, or a sensor; None: recognised, else generic.
        bands: bands to use: file numbers, names, or `3=red`.
        sharpen_bands: bands to sharpen; None: all but SWIR, cirrus and thermal ones; ["all"].
        extent: "pan" (no-data where MS is missing), "intersection" or "ms".
        ms_shift: (row, col), MS pixels by which MS lies further down / to the right than the files say.
        align: correct the measured offset between PAN and MS inside the interpolation.
        window: part to write, pixels of the PAN file.
        bounds: part to write, (left, bottom, right, top) in PAN's coordinates.
        src_nodata: no-data value of the inputs, where the files do not tell.
        edge: "fill" or "drop" PAN pixels whose own MS pixel is missing while a neighbouring one is not.
        format: "geotiff" or "cog".
        dtype: numpy name of the output type; None: that of MS.
        nodata: no-data value of the output, "mask" for a mask band; None: as in the inputs.
        creation: GDAL creation options, over the defaults (ZSTD level 1 with predictor).
        overviews: build them in a GeoTIFF; a COG always has them.
        overwrite: replace an existing file.
        resume: go on with an interrupted run of the same call.
        preview: also write a quick look under this name, a PNG.
        preview_bands: three bands (or one) of the quick look, names or numbers of the output; None: true colour where
            the bands allow it.
        device: "cpu", "cuda", "cuda:1", or "auto" (CUDA where there is one).
        precision: of networks: "float32", "bfloat16", or "auto" (bfloat16 where the hardware has it and
            its PSNR against float32 on samples of the scene is at least 60 dB at full scale).
        threads: tiles computed at once; None: one per processor.
        memory: MB that the process should stay below.
        seed: of everything random.
        prepare: makes the method ready for the scene; a `panloom.run.preparing.Kept` has the ready method afterwards.
        progress: told after every tile: pixels done, pixels in all.
        say: told once, before the tiles of a network, about how long they will take, and how long the preparation of
            the scene took.

    Returns:
        What was done, with every note and warning.

    Raises:
        PanloomError: bad input or options; nothing stands under `out` then, and an existing file is untouched. Only
            where the quick look, which is made last, cannot be written, the result stands.
    """
    files = [str(ms)] if isinstance(ms, (str, Path)) else [str(m) for m in ms]
    opening = partial(
        open_scene,
        str(pan),
        files,
        sensor=sensor,
        bands=bands,
        sharpen=sharpen_bands,
        extent=extent,
        ms_shift=ms_shift,
        window=window,
        bounds=bounds,
        src_nodata=src_nodata,
        edge=edge,
        threads=threads or processors(),
    )
    look_at = None if preview is None else str(preview)
    target = Target(
        str(out), format, dtype, nodata, dict(creation or {}), overviews, overwrite, resume, look_at, preview_bands
    )
    settings = {**opening.keywords, **vars(target), "sharpen_bands": sharpen_bands, "align": align, "seed": seed}
    tags = made_by(method, options, {**settings, "precision": precision})
    words = (method, dict(options or {}), align, device, precision, threads, memory, seed)
    call = _Call(*words, prepare, progress, say, tags)
    target.check([str(pan), *files])
    wanted(precision, torch.device("cpu"))  # a wrong word is told before the files are opened
    if threads is not None and threads < 1:
        raise OptionError(f"threads must be 1 or more; given: {threads}")
    resolve(method, options)  # a wrong name or option is told before the files are opened
    with environment():
        return _run(opening, target, call)


@dataclass(frozen=True)
class _Call:
    """How the work is done, as against what is read and written."""

    method: str
    options: dict[str, object]
    align: bool
    device: str
    precision: str
    threads: int | None
    memory: int
    seed: int
    prepare: Prepare
    progress: Progress | None
    say: Callable[[str], None] | None
    tags: Mapping[str, str]


def _run(opening: Callable[[], Opened], target: Target, call: _Call) -> Report:
    """The straight line. What can be refused is refused before the first pixel is fused."""
    clock = _Clock()
    opened = opening()
    with closing(opened.scene):
        fuser = check_fits(resolve(call.method, call.options), call.method, opened.scene)
        remarks, doubts = beyond_training(fuser, call.method, opened.scene)
        size = tile_size(opened.scene.grid.ratio, fuser.traits.multiple)
        policy = _policy(opened, fuser, call, size)
        tags = {**call.tags, **precision_tag(fuser, call.precision, policy)}
        refuse(opened, target, tags, size)
        opened, registration, warnings = register(opened, align=call.align)
        warnings += doubts
        scene, settled = opened.scene, settle(opened, target, tags, size)
        writer = open_writer(opened, target, settled)
        clock.lap("open")
        try:
            with workers(policy.threads):
                fuser, told = call.prepare(fuser, replace(scene, threads=policy.threads), call.seed)
            fuser = tuned(scene, fuser, call.precision, policy, call.seed)
            warnings += told + needless(fuser, call.method, call.precision)
            clock.lap("prepare")
            tiles = plan(scene.grid, fuser.traits, size, scene.layout.area)
            todo = [tile for tile in tiles if tile.index + len(list(blocks(tile.core, size))) > writer.done]
            taken_over = len(tiles) - len(todo)
            expected = outlook(fuser, policy, _pixels(todo), len(scene.sensor.bands))
            if expected and call.say:
                call.say(f"{expected}, after {clock.seconds['total']:.0f} s of preparation")
            work = partial(_tile, scene, fuser, settled, policy, size)
            accounts = _write(writer, todo, _pixels(tiles), work, policy, call.progress)
            clock.lap("fuse")
            writer.close()
            clock.lap("finish")
        except BaseException:
            writer.abort()  # what is done survives an interruption
            raise
    shown = look(target)
    if writer.note and not taken_over:
        warnings.append(writer.note)
    warnings += _pixel_warnings(accounts)
    blocks_seen, blocks_in_all = scene.surveyed
    ran = [f"the network ran in {fuser.mode}"] if isinstance(fuser, Tuned) else []
    notes = (*opened.identity.facts, *remarks, *fit_in_words(fuser), *moved_in_words(moved_by(fuser)), *ran)
    notes += tuple(_notes(accounts, scene.surveyed, (taken_over, len(tiles))))
    for level, texts in ((logging.INFO, notes), (logging.WARNING, warnings)):
        for text in texts:
            log.log(level, text)
    return Report(
        inputs=(opened.pan.path, *(m.path for m in opened.ms)),
        output=target.path,
        method=call.method,
        options={k: str(v) for k, v in call.options.items()},
        sensor={"name": scene.sensor.name, "source": opened.identity.sensor_source},
        bands=_bands(opened),
        grid=_grid(scene),
        full_scale={"value": scene.units.full_scale, "source": opened.full_scale_source},
        registration=registration,
        tiles={"all": len(tiles), "resumed": taken_over},
        survey={"blocks": blocks_seen, "of": blocks_in_all},
        pixels=asdict(accounts),
        seconds=clock.seconds,
        peak_mb=peak_megabytes(),
        device=str(policy.device),
        threads=policy.threads,
        seed=call.seed,
        notes=notes,
        warnings=tuple(warnings),
        cite=tuple(citations(fuser.traits.cite)),
        preview=shown,
        fit=None if (fitted := fit_of(fuser)) is None else asdict(fitted),
        offset=moved_by(fuser),
    )


def register(opened: Opened, *, align: bool) -> tuple[Opened, Registration | None, list[str]]:
    """Measure the offset between PAN and MS; correct it when asked to. The texts are the warnings so far."""
    opened, shift = registered(opened, align=align)
    warnings = list(opened.scene.notes)
    if shift is None:
        return opened, None, warnings
    measured = registration(shift, opened.scene.grid.ratio, align=align)
    if not align and shift.distance > max(OFFSET, 2 * shift.spread / max(shift.windows, 1) ** 0.5):
        warnings.append(
            f"MS lies {signed(shift.row)} rows and {signed(shift.col)} columns (MS pixels) from where the files say "
            f"(measured on {shift.windows} windows, confidence {shift.confidence:.2f}); {remedy(measured)}"
        )
    if shift.spread > 2 * OFFSET:
        warnings.append(
            f"the offset between PAN and MS changes over the scene (by about {shift.spread:.2f} MS pixels): no single "
            "shift corrects it"
        )
    return opened, measured, warnings


def _tile_megabytes(opened: Opened, fuser: Fuser, size: int) -> float:
    """Working memory of one tile, halo included."""
    scene = opened.scene
    if fuser.traits.tiling == "whole":
        height, width = scene.grid.height, scene.grid.width
    else:
        height = width = size + 2 * fuser.traits.halo * scene.grid.ratio
    return height * width * (len(scene.bands) + 1) * opened.pixel_bytes * fuser.traits.images / 2**20


def _policy(opened: Opened, fuser: Fuser, call: _Call, size: int) -> Policy:
    slow = opened.scene.pan.remote or opened.scene.ms.remote
    need = _tile_megabytes(opened, fuser, size)
    return Policy.choose(call.device, call.threads, call.memory, need, slow_files=slow)


def _pixels(tiles: Sequence[Tile]) -> int:
    return sum(tile.core.height * tile.core.width for tile in tiles)


def _tile(
    scene: Scene, fuser: Fuser, settled: Settled, policy: Policy, size: int, tile: Tile
) -> tuple[Done, list[list[bytes]]]:
    """One tile, compressed: runs in a worker thread. A whole scene becomes several tiles of the file."""
    encoder = settled.encoder
    done = finish(scene, fuser, settled.numbers, tile, policy)
    mask = done.mask if encoder.masked else None
    places = [part.inside(tile.core) for part in blocks(tile.core, size)]
    parts = [
        encoder.encode(done.image[:, rows, cols], None if mask is None else mask[rows, cols]) for rows, cols in places
    ]
    return done.counts, parts


def _write(
    writer: GeoTiffWriter,
    todo: Sequence[Tile],
    total: int,
    work: Callable[[Tile], tuple[Done, list[list[bytes]]]],
    policy: Policy,
    progress: Progress | None,
) -> _Accounts:
    """Fuse the tiles that are still missing and put them in order; `total` pixels count for the progress."""
    accounts, before = _Accounts(), total - _pixels(todo)
    with closing(each(todo, work, policy.threads + policy.readers, policy.ahead)) as results:
        for tile, (done, parts) in zip(todo, results, strict=True):
            for pieces in parts[writer.done - tile.index :]:
                writer.put(writer.done, pieces)
            accounts.add(tile, done)
            if progress is not None:
                progress(before + accounts.written, total)
    return accounts


def _few_clipped(accounts: _Accounts) -> list[str]:
    """A note where so few values are clipped that nobody need act."""
    few = 0 < accounts.clipped <= CLIPPED * accounts.valid
    return [f"{accounts.clipped} values lie outside the output type and were clipped"] if few else []


def _pixel_warnings(accounts: _Accounts) -> list[str]:
    found: list[str] = []
    if accounts.clipped > CLIPPED * accounts.valid:
        found.append(f"{accounts.clipped} values lie outside the output type and were clipped; --dtype chooses another")
    if accounts.missing:
        found.append(f"{accounts.missing} PAN pixels lack MS in at least one band and are no-data there")
    if not accounts.valid and accounts.written:
        found.append("no pixel of the result is valid")
    return found


def _notes(accounts: _Accounts, surveyed: tuple[int, int], resumed: tuple[int, int]) -> list[str]:
    """What was done; blocks that statistics come from and tiles of an earlier run are given as (these, of all)."""
    found = _few_clipped(accounts)
    if surveyed[0] < surveyed[1]:
        found.append(f"statistics of the scene come from an even sample: {surveyed[0]} of {surveyed[1]} blocks")
    if accounts.filled:
        found.append(
            f"{accounts.filled} PAN pixels whose own MS pixel is missing were filled from neighbouring MS pixels "
            "(--edge drop leaves them out)"
        )
    if resumed[0]:
        found.append(
            f"{resumed[0]} of {resumed[1]} tiles were taken over from the interrupted run; the counts are of the rest"
        )
    return found


def _bands(opened: Opened) -> dict[str, object]:
    return {
        "source": opened.identity.bands_source,
        "bands": [
            {"name": b.band.name, "file": opened.ms[b.file].path, "number": b.number, "sharpened": b.sharpen}
            for b in opened.identity.bands
        ],
    }


def _grid(scene: Scene) -> dict[str, object]:
    area, grid = scene.layout.area, scene.grid
    return {
        "height": area.height,
        "width": area.width,
        "ratio": grid.ratio,
        "phase": grid.phase,
        "crs": grid.crs,
        "transform": scene.layout.area_transform,
    }
