"""What an analysis finds, as numbers that stand in its JSON, and the figures beside them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from panloom.analysis import Descriptors
from panloom.run._json import to_json
from panloom.run.report import versions
from panloom.types import Window

#: What the JSON calls itself, so that a later call knows its own folder.
REPORT = "panloom analyze"


@dataclass(frozen=True)
class Lines:
    """Curves over one axis.

    Attributes:
        axis: what the places are, with their unit.
        places: along the axis.
        values: one for each place, by the name of the curve.
    """

    axis: str
    places: tuple[float, ...]
    values: dict[str, tuple[float, ...]]


@dataclass(frozen=True)
class Likeness:
    """One band of an image beside that of the truth; dB, more is better.

    Attributes:
        band: its name.
        psnr: against the full scale.
        fsds: as published, of this band alone.
        windowed: the same behind a window, without the weight of the corners.
        power: of power alone, which does not change with a shift.
    """

    band: str
    psnr: float
    fsds: float
    windowed: float
    power: float


@dataclass(frozen=True)
class Quality:
    """Images beside the truth.

    Attributes:
        truth: what the truth is, in words.
        rows: by the name of the image, band by band.
        joint: FSDS of all bands together as published, by the name of the image.
        size: rows and columns that were compared.
    """

    truth: str
    rows: dict[str, tuple[Likeness, ...]]
    joint: dict[str, float]
    size: tuple[int, int]


@dataclass(frozen=True)
class Share:
    """One band of an output and of its linear and nonlinear part.

    Attributes:
        band: its name.
        r2: share of the output's variance that the linear part has.
        high_output: share of frequencies above the cut-off pi / scale in the energy of the output without its mean.
        high_linear: energy of these frequencies in the linear part, in parts of that of the output.
        high_nonlinear: the same of the nonlinear part.
        cancellation: 1 where the high frequencies of the nonlinear part only undo those of the linear one, 0 where
            they have nothing to do with each other.
    """

    band: str
    r2: float
    high_output: float
    high_linear: float
    high_nonlinear: float
    cancellation: float


@dataclass(frozen=True)
class Parts:
    """An output and its parts.

    Attributes:
        response: that the linear part is made with.
        bands: one for each band of the output.
        border: pixels on each side that do not count.
    """

    response: str
    bands: tuple[Share, ...]
    border: int


@dataclass(frozen=True)
class FuserNumbers:
    """Responses of a fusion method around a part of a scene; tuples are band by band.

    Attributes:
        ratio: PAN pixels per MS pixel.
        bands: names.
        mtf: gains of the sensor at MS Nyquist.
        ms: how MS comes through, each band into itself, as a low-pass.
        mixing: row b, column c: change of band b of the result for a constant change of 1 of MS band c; ideal: 1
            where b is c, else 0.
        leakage: change of each band of the result for a constant change of 1 of PAN; ideal: 0.
        injection: gain of PAN's details beyond MS Nyquist, of k = gain (1 - MTF) by least squares.
        slopes: what a regression of the details of each band on those of PAN gives in the scene, on the MS grid.
        agreement: squared correlation of the details of each band with those of PAN, on the MS grid: what a regression
            can bring of them.
        pan_spread: relative deviation of the PAN response over phases and places.
        ms_spread: of the MS response.
        pan_profile: amplitude of the PAN response, band by band.
        ms_profile: amplitude of the MS response of each band, of interpolations and of the ideal low-pass.
        transfer: what becomes of a detail of each band that PAN and the other bands show as they do in the scene.
        pan_cut: the PAN response along a row through its middle.
        ms_cut: the MS response along a row through its middle, and the ideal sinc.
        part: PAN pixels along a side of the part that the responses are taken at.
    """

    ratio: int
    bands: tuple[str, ...]
    mtf: tuple[float, ...]
    ms: tuple[Descriptors, ...]
    mixing: tuple[tuple[float, ...], ...]
    leakage: tuple[float, ...]
    injection: tuple[float, ...]
    slopes: tuple[float, ...]
    agreement: tuple[float, ...]
    pan_spread: float
    ms_spread: float
    pan_profile: Lines
    ms_profile: Lines
    transfer: Lines
    pan_cut: Lines
    ms_cut: Lines
    part: tuple[int, int]

    @property
    def sums(self) -> tuple[float, ...]:
        """What a constant change of 1 of every MS band and of PAN together does to each band; ideal: 1."""
        return tuple(sum(row) + leak for row, leak in zip(self.mixing, self.leakage, strict=True))


@dataclass(frozen=True)
class Stimulus:
    """One amplitude of the impulse.

    Attributes:
        background: value of all other pixels, in parts of the range.
        amplitude: of the impulse, in parts of the range.
        response: what the grey response, divided by the amplitude, is like.
    """

    background: float
    amplitude: float
    response: Descriptors


@dataclass(frozen=True)
class NetworkNumbers:
    """Responses of a super-resolution network.

    Attributes:
        scale: output pixels per input pixel.
        channels: of the input, and of the output.
        jacobian: the mean derivative at natural patches, all channels together, as a low-pass.
        published: the paper's experiment.
        mixing: row b, column c: change of channel b of the output for a constant change of 1 of channel c.
        spread: relative deviation of the derivative over places.
        patches: how many of them.
        profile: amplitudes of both responses, of bicubic interpolation and of the ideal low-pass.
        cut: both responses along a row through their middle, and the ideal sinc.
        sweep: the response to impulses of other heights.
    """

    scale: int
    channels: tuple[int, int]
    jacobian: Descriptors
    published: Descriptors | None
    mixing: tuple[tuple[float, ...], ...]
    spread: float
    patches: int
    profile: Lines
    cut: Lines
    sweep: tuple[Stimulus, ...]


@dataclass(frozen=True)
class Figure:
    """A picture of the page.

    Attributes:
        name: of its file, without the suffix.
        title: above it.
        shows: what is seen.
        ideal: what would be ideal.
        png: the picture itself; not in the JSON.
    """

    name: str
    title: str
    shows: str
    ideal: str
    png: bytes = field(repr=False)

    @property
    def file(self) -> str:
        """Name of its file."""
        return f"{self.name}.png"


@dataclass(frozen=True)
class Analysis:
    """What stands in `analysis.json`.

    Attributes:
        kind: "method": fuses PAN and MS; "model": enlarges an image.
        name: of the method, or of the model.
        about: what was analysed on what, for the reader.
        conclusions: what the numbers say, by fixed rules.
        method: responses of a method; None for a model.
        model: responses of a model; None for a method.
        parts: the output and its linear and nonlinear part; of a model by both responses.
        quality: images beside a truth; None: there is none.
        figures: of the page, in its order.
        notes: what a reader must know.
        window: the part of the scene, PAN pixels; None: of a model.
        seed: of everything random; None: none was given.
        seconds: that all this took.
        versions: of panloom and what it stands on.
    """

    kind: Literal["method", "model"]
    name: str
    about: dict[str, str]
    conclusions: tuple[str, ...]
    method: FuserNumbers | None
    model: NetworkNumbers | None
    parts: tuple[Parts, ...]
    quality: Quality | None
    figures: tuple[Figure, ...]
    notes: tuple[str, ...]
    window: Window | None
    seed: int | None
    seconds: float
    versions: dict[str, str] = field(default_factory=versions)

    def to_json(self) -> str:
        """All numbers, and of the figures their names and words, as indented JSON without NaN or infinity."""
        figures = [
            {"file": one.file, "title": one.title, "shows": one.shows, "ideal": one.ideal} for one in self.figures
        ]
        return to_json({"report": REPORT, **self.__dict__, "figures": figures})
