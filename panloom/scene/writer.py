"""Writes the output tile by tile: the same bytes for any number of workers, never whole in memory, resumable.

Workers compress tiles (`TileEncoder`), one thread appends them in order (`GeoTiffWriter`). Everything happens
in `.NAME.partial` beside the output; it gets its name when it is complete. A journal tells which tiles are
safe on the disk, so that a killed run can go on.
"""

from __future__ import annotations

import errno
import hashlib
import mmap
import os
import shutil
import time
import zlib
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

import numpy as np
from jaxtyping import Shaped, UInt8

from panloom.errors import OutputError, ResumeError
from panloom.scene import _tiff
from panloom.scene._journal import Journal
from panloom.scene._lock import hold
from panloom.scene._rasterio import add_overviews, encode_tile, template, to_cog, trial_cog
from panloom.scene.profile import Profile

_MASK_LEVEL = 6

# A file that was cut short with less room than this left (or than it needs itself) met a full disk.
_LITTLE = 64_000_000


class TileEncoder:
    """Turns the pixels of one tile into the bytes that stand in the file. Safe to call from many threads."""

    def __init__(self, profile: Profile) -> None:
        """Settle the options, and try them on an empty tile.

        Raises:
            OutputError: GDAL cannot write with these options.
        """
        self._profile = profile
        options = profile.creation_options
        self._planes = profile.planes
        # Without compression the stored bytes are the pixels; GDAL would only add copies.
        self._plain = options["COMPRESS"] == "NONE" and not {"NBITS", "DISCARD_LSB"} & options.keys()
        self._options = {k: v for k, v in options.items() if k not in ("PHOTOMETRIC", "ALPHA", "PROFILE")}
        self.encode(
            np.zeros((profile.count, profile.tile, profile.tile), profile.dtype),
            np.zeros((profile.tile, profile.tile), np.uint8) if profile.mask else None,
        )

    @property
    def masked(self) -> bool:
        """Validity goes to a mask."""
        return self._profile.mask

    def encode(
        self,
        array: Shaped[np.ndarray, "bands rows cols"],
        mask: UInt8[np.ndarray, "rows cols"] | None = None,
    ) -> list[bytes]:
        """The stored pieces of one tile, for `GeoTiffWriter.put`.

        Args:
            array: the pixels, in DN and in the data type of the profile; a tile at the right or lower border
                may be smaller, its last pixels are repeated in the file.
            mask: not 0 where they are valid; None: everywhere.

        Raises:
            ValueError: another shape or data type than in the profile.
            OutputError: GDAL refuses the options.
        """
        profile = self._profile
        if len(array) != profile.count or array.dtype != np.dtype(profile.dtype):
            raise ValueError(f"a tile has {profile.count} bands of {profile.dtype}, not {len(array)} of {array.dtype}")
        array = _padded(array, profile.tile)
        if mask is not None and not profile.mask:
            raise ValueError("a mask is only for a profile with a mask")
        pieces = self._raw(array) if self._plain else self._compressed(array)
        if profile.mask:
            everywhere = np.ones((1, 1, 1), np.uint8)
            valid = _padded(everywhere if mask is None else mask[None], profile.tile)[0] != 0
            pieces.append(zlib.compress(np.packbits(valid, axis=1).tobytes(), _MASK_LEVEL))
        return pieces

    def _raw(self, array: np.ndarray) -> list[bytes]:
        array = array.astype(array.dtype.newbyteorder("<"), copy=False)
        if self._planes > 1:
            return [band.tobytes() for band in array]
        # Band by band is more than twice as fast as a transposed copy.
        pixels = np.empty((*array.shape[1:], len(array)), array.dtype)
        for k, band in enumerate(array):
            pixels[..., k] = band
        return [pixels.tobytes()]

    def _compressed(self, array: np.ndarray) -> list[bytes]:
        file = encode_tile(array, self._options, self._profile.nodata)
        try:
            return _tiff.pieces(file)
        except ValueError as error:
            chosen = " ".join(f"{k}={v}" for k, v in self._options.items())
            raise OutputError(f"GDAL cannot compress {array.dtype} with {chosen} ({error})") from error


def _padded(array: np.ndarray, size: int) -> np.ndarray:
    """The tile in full size, its last row and column repeated."""
    missing = (size - array.shape[1], size - array.shape[2])
    if min(missing) < 0:
        raise ValueError(f"a tile has at most {size} x {size} pixels, not {array.shape[1]} x {array.shape[2]}")
    return np.pad(array, ((0, 0), (0, missing[0]), (0, missing[1])), mode="edge") if any(missing) else array


class GeoTiffWriter:
    """An output that appears under its name when it is complete.

    Attributes:
        done: finished tiles; those before it need not be made again.
        note: what the user should know about an earlier, unfinished run; None: nothing.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        profile: Profile,
        *,
        key: str = "",
        overwrite: bool = False,
        resume: bool = False,
        flush_seconds: float = 5.0,
    ) -> None:
        """Start an output, or go on with one.

        Args:
            path: the output file; its folder must exist.
            profile: what it shall be.
            key: what else its bytes depend on (inputs, method, seed, version); must be equal to resume.
            overwrite: replace an existing file (when the new one is complete).
            resume: go on with what an earlier run left.
            flush_seconds: how much work may be lost when the process is killed.

        Raises:
            OutputError: the file exists, its folder does not or cannot be written, GDAL refuses the profile or
                the options of a COG, or another run is writing this output.
            ResumeError: the earlier run was another one, or what it left is damaged.
        """
        self.path, self.profile = Path(path), profile
        self.note: str | None = None
        self._partial = _partial(self.path)
        self._copy = self.path.with_name(f".{self.path.name}.partial.cog")
        self._flush_seconds = flush_seconds
        _check_place(self.path, overwrite)
        groups = (profile.planes, 1) if profile.mask else (profile.planes,)
        front = template(profile)
        if profile.driver == "COG":
            _try_cog(front, profile)
        self._skeleton = _tiff.skeleton(front, profile.height, profile.width, profile.tile_count, groups)
        self._pieces = sum(groups)
        self._journal = Journal(_journal(self.path), self._pieces)
        self._lengths = np.zeros((profile.tile_count, self._pieces), dtype=np.int64)
        self.done = 0
        front_hash = hashlib.sha256(self._skeleton.data).hexdigest()
        self._identity = {"profile": profile.record(), "key": key, "front": front_hash}
        self._held: BinaryIO | None = None
        try:
            self._held = hold(self._partial, self.path)
            self._file = self._continue() if resume and self._found() else self._begin(resume)
        except OSError as error:
            self._release()
            raise OutputError(f"{self.path}: cannot write here ({error.strerror or error})") from error
        except BaseException:
            self._release()
            raise
        self._saved, self._saved_at = self.done, time.monotonic()

    def __enter__(self) -> GeoTiffWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
        else:
            self.abort()

    def _found(self) -> bool:
        if unfinished(self.path):
            return True
        self.note = f"{self.path}: no earlier run to resume; started anew"
        return False

    def _begin(self, resume: bool) -> BinaryIO:
        if not resume:
            self.note = self._discarded()
        self._remove_others()
        # Emptied, not made anew: it is locked.
        file = self._partial.open("wb+", buffering=0)
        _write(file, self._skeleton.data)
        self._journal.begin(self._identity)
        return file

    def _discarded(self) -> str | None:
        """What is lost by starting anew."""
        count = self._journal.count()
        if not count:
            return None
        try:
            self._journal.resume(self._identity)
            hint = "--resume would have gone on with it"
        except ResumeError:
            hint = "it was of another call"
        return f"{self.path}: an unfinished run of {count} tiles was discarded ({hint})"

    def _continue(self) -> BinaryIO:
        lengths = self._journal.resume(self._identity)
        self.done = len(lengths)
        end = len(self._skeleton.data) + int(lengths.sum())
        if self.done > len(self._lengths) or self._partial.stat().st_size < end:
            raise ResumeError(
                f"{self._partial}: does not fit its journal, which counts {self.done} tiles and {end} bytes; "
                "run again without --resume to start anew"
            )
        self._lengths[: self.done] = lengths
        file = self._partial.open("rb+", buffering=0)
        # The earlier run may have been killed while it added overviews, which changes the front.
        file.truncate(end)
        _write(file, self._skeleton.data)
        file.seek(end)
        self.note = f"{self.path}: resumed after {self.done} of {len(self._lengths)} tiles"
        return file

    def put(self, index: int, pieces: Sequence[bytes]) -> None:
        """Append a tile; tiles come in the order of the file, row by row.

        Args:
            index: place of the tile; must be `done`.
            pieces: from `TileEncoder.encode`.

        Raises:
            ValueError: the tile is not the next one, or has the wrong number of pieces.
            OutputError: the disk is full, or the file too large for a classic TIFF. What is done stays.
        """
        if index != self.done or index >= len(self._lengths) or len(pieces) != self._pieces:
            raise ValueError(
                f"tile {index} with {len(pieces)} pieces; expected tile {self.done} of {len(self._lengths)} "
                f"with {self._pieces}"
            )
        start = self._file.tell()
        if start + sum(map(len, pieces)) >= self._skeleton.layout.limit:
            raise OutputError(f"{self.path}: passes the 4 GiB of a classic TIFF; leave out BIGTIFF=NO")
        try:
            for piece in pieces:
                _write(self._file, piece)
            self._lengths[index] = [len(piece) for piece in pieces]
            self.done += 1
            if time.monotonic() - self._saved_at >= self._flush_seconds:
                self.flush()
        except OSError as error:
            raise OutputError(self._no_room(error)) from error

    def flush(self) -> None:
        """Make all finished tiles safe against the end of the process: first their data, then the journal."""
        if self.done > self._saved:
            os.fsync(self._file.fileno())
            try:
                self._journal.append(self._lengths[self._saved : self.done])
            except BaseException:
                # Interrupted or failed, it may have been written: the next attempt must not repeat it.
                self._saved = self._journal.count()
                raise
        self._saved, self._saved_at = self.done, time.monotonic()

    def close(self) -> None:
        """Complete the file and give it its name.

        Raises:
            ValueError: tiles are missing.
            OutputError: overviews or the cloud-optimised copy fail, or the disk is full. The tiles stay.
        """
        if self.done < len(self._lengths):
            self.abort()
            raise ValueError(f"{self.path}: only {self.done} of {len(self._lengths)} tiles were written")
        try:
            self.flush()
            self._file.seek(0)
            _write(self._file, self._skeleton.filled(self._lengths))
            os.fsync(self._file.fileno())
            self._file.close()
            self._finish()
            self._remove_others()
            self._partial.unlink(missing_ok=True)
        except OSError as error:
            raise OutputError(self._no_room(error)) from error
        finally:
            if self._file.closed:
                self._release()

    def _finish(self) -> None:
        profile, result = self.profile, self._partial
        if profile.driver == "COG":
            result = self._copy
            to_cog(self._partial, result, profile.cog_options)
        elif profile.overviews and profile.overview_factors():
            add_overviews(self._partial, profile)
        # GDAL reports some failed writes only to its log.
        if not _is_complete(result, sparse="SPARSE_OK" in profile.options):
            raise OutputError(self._incomplete())
        with result.open("rb+") as file:
            os.fsync(file.fileno())
        result.replace(self.path)
        _sync_folder(self.path.parent)

    def abort(self) -> None:
        """Stop; what is done stays for --resume. Where nothing is done, nothing stays."""
        if self._file.closed:
            return
        try:
            self.flush()
        except OSError as error:
            raise OutputError(self._no_room(error)) from error
        finally:
            self._file.close()
            if not self.done:
                self._remove_others()
                self._partial.unlink(missing_ok=True)
            self._release()

    def _release(self) -> None:
        """Let other runs write this output."""
        if self._held is not None:
            self._held.close()

    def _remove_others(self) -> None:
        """Everything beside the output but the partial file."""
        # GDAL's COG driver keeps files named after its target while it works.
        leftovers = [p for p in self.path.parent.iterdir() if p.name.startswith(self._copy.name)]
        for file in (self._journal.path, *leftovers):
            file.unlink(missing_ok=True)

    def _incomplete(self) -> str:
        free, size = shutil.disk_usage(self.path.parent).free, self._partial.stat().st_size
        if free < max(size, _LITTLE):
            return (
                f"{self.path}: GDAL could not complete the file, probably because the disk is full "
                f"({free / 1e9:.2f} GB free); make room and repeat with --resume"
            )
        return (
            f"{self.path}: GDAL left the file incomplete without saying why ({free / 1e9:.2f} GB are free); repeat "
            "with --resume, and if that fails with other creation options"
        )

    def _no_room(self, error: OSError) -> str:
        written = int(self._lengths[: self.done].sum())
        left = len(self._lengths) - self.done
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            return f"{self.path}: cannot be written ({error.strerror or error}); go on with --resume"
        # Before the first tile the uncompressed size is the only guess.
        tile = self.profile.count * self.profile.tile**2 * np.dtype(self.profile.dtype).itemsize
        need = left * (written / self.done if self.done else tile)
        return (
            f"{self.path}: the disk is full after {self.done} of {len(self._lengths)} tiles "
            f"({written / 1e9:.2f} GB); about {need / 1e9:.2f} GB more are needed; make room and repeat with "
            "--resume"
        )


def unfinished(path: str | os.PathLike[str]) -> bool:
    """Whether an interrupted run left something of this output that may be gone on with."""
    partial = _partial(Path(path))
    # Locking makes the partial file if there is none, so an empty one means nothing.
    return _journal(Path(path)).is_file() and partial.is_file() and partial.stat().st_size > 0


def _partial(path: Path) -> Path:
    return path.with_name(f".{path.name}.partial")


def _journal(path: Path) -> Path:
    return path.with_name(f".{path.name}.partial.json")


def _check_place(path: Path, overwrite: bool) -> None:
    """Whether a file may be made there.

    Raises:
        OutputError: it exists, or its folder is missing or read-only.
    """
    folder = path.parent
    if not folder.is_dir():
        raise OutputError(f"{path}: the folder {folder} does not exist; make it first")
    if path.is_dir():
        raise OutputError(f"{path}: is a folder; give the name of a file")
    if path.exists() and not overwrite:
        raise OutputError(f"{path}: exists already; use --overwrite to replace it, or give another name")
    if not os.access(folder, os.W_OK):
        raise OutputError(f"{path}: the folder {folder} cannot be written; give another one")


def _write(file: BinaryIO, data: bytes) -> None:
    """Write all bytes of a file without buffer, which may take them in portions."""
    rest = memoryview(data)
    while rest:
        rest = rest[file.write(rest) :]


def _is_complete(path: Path, *, sparse: bool) -> bool:
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        try:
            return _tiff.complete(data, sparse=sparse)
        except ValueError:
            return False


def _try_cog(front: bytes, profile: Profile) -> None:
    """Make a small COG of an empty tile, so that options which GDAL refuses are told before the work.

    Raises:
        OutputError: it refuses them.
    """
    options = profile.trial_options
    found = trial_cog(front, options)
    try:
        whole = _tiff.complete(found, sparse=True)
    except ValueError:
        whole = False
    if not whole:
        chosen = " ".join(f"{k}={v}" for k, v in options.items())
        raise OutputError(f"GDAL cannot make a cloud-optimised GeoTIFF of {profile.dtype} with {chosen}")


def _sync_folder(folder: Path) -> None:
    """Make the new name safe too, where the system can."""
    if os.name == "posix":
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
