"""The words under each figure of an analysis: its title, what it shows, and what would be ideal."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Caption:
    """Of a figure; braces are filled in.

    Attributes:
        title: above it.
        shows: what is seen.
        ideal: what would be ideal.
    """

    title: str
    shows: str
    ideal: str

    def filled(self, **words: object) -> Caption:
        """With numbers and names in the places of the braces."""
        return Caption(self.title.format(**words), self.shows.format(**words), self.ideal.format(**words))


_METHOD_FREQUENCIES = (
    "The red square in the maps and the red line below are at pi / {scale}, where the MS grid ends. Beyond it lie what "
    "only PAN can tell and, at the white crosses, the copies of the spectrum that sampling makes."
)

_MODEL_FREQUENCIES = (
    "The red square in the maps and the red line below are at pi / {scale}, where the grid of the input ends. Beyond "
    "it lie what only a guess can tell and, at the white crosses, the copies of the spectrum that sampling makes."
)

_PARTS = (
    "The output for {band}, the band that is explained least, the part of it that one linear filter makes of the "
    "input, and the rest, as bright for the same size. Below, their spectra in dB, seen through a window, on one scale."
)

_PARTS_IDEAL = (
    "A linear method leaves nothing. Where the rest is bright exactly where the linear part is, around the white "
    "crosses, it only takes copies of the spectrum away; detail that is really added shows elsewhere."
)

#: By the name of the figure.
CAPTIONS = {
    "pan-impulse": Caption(
        "What one pixel of PAN does",
        "How far, and with which sign, a small change of one PAN pixel spreads in each band (red: up, blue: down; "
        "small values are stretched), and below the row through the middle. It is the mean over the places that a PAN "
        "pixel can have in its MS pixel.",
        "A sharp peak in a shallow, wide pit: detail goes in, and what it would change of the local mean is taken out "
        "again. A peak without a pit brings PAN's brightness in with its detail.",
    ),
    "pan-frequency": Caption(
        "How much of PAN goes in, by frequency",
        f"{_METHOD_FREQUENCIES} The dashed curve is 1 - MTF of the sensor (mean of the bands): what the optics of MS "
        "took away.",
        "A high-pass that follows 1 - MTF times the gain of the band: nothing at frequency 0, where MS knows better, "
        "and level beyond the red line. A curve that begins above 0 lets PAN's brightness leak in.",
    ),
    "ms-impulse": Caption(
        "What one pixel of an MS band does to the same band",
        "How a small change of one MS pixel spreads in the same band of the result, and the row through the middle "
        "beside the ideal sinc (dashed). The middle lies beside a pixel of PAN where MS pixels are not centred on one.",
        "One bump as wide as an MS pixel, with the small lobes of the sinc. Squares or a lattice of dots are copies of "
        "the spectrum that were not taken away: staircases in the picture.",
    ),
    "ms-frequency": Caption(
        "How MS comes through, by frequency",
        f"{_METHOD_FREQUENCIES} Beside the bands stand EXP (panloom's interpolation alone), bicubic interpolation, the "
        "ideal low-pass and the sensor's MTF (mean of the bands).",
        "Amplitude 1 up to the red line and 0 beyond. Less before the line blurs; more than 0 beyond it, above all at "
        "the crosses, shows as staircases.",
    ),
    "mixing": Caption(
        "Mixing of the bands, and leakage of PAN",
        "What a constant change of 1 of each MS band, of PAN, and of all of them together does to each band of the "
        "result.",
        "1 on the diagonal, 0 elsewhere and from PAN, and 1 from all: colours stay what MS says. Where the sum is not "
        "1, the level of a whole scene changes.",
    ),
    "transfer": Caption(
        "From the scene to the result",
        "What becomes of detail between the ground and the result: through the sensor's MTF, the samples and the "
        "method, and through PAN. PAN and the other bands follow the detail of a band as they do in this scene on the "
        "MS grid. The dots at the right are the share of a band's detail that PAN knows there.",
        "Level at 1 (dashed). A method that errs least stays at the dot of the band beyond the red line: it puts in no "
        "more than PAN knows. Above it noise of other things is put in; a bump near the line is detail put in twice, a "
        "dip is blur.",
    ),
    "parts": Caption("What one filter explains, and what it does not", _PARTS, _PARTS_IDEAL),
    "parts-published": Caption("The same with the filter of the paper's white dot", _PARTS, _PARTS_IDEAL),
    "quality": Caption(
        "Beside the truth, band by band",
        "How alike image and truth are, in dB, beside plain interpolation. The truth: {truth}. FSDS compares spectra; "
        "as published it weighs errors at the corners of an image many thousand times, so a windowed form and one of "
        "power, which knows nothing of place, stand beside it.",
        "As high as possible, and above interpolation in every band.",
    ),
    "phases": Caption(
        "Does it matter where a PAN pixel lies?",
        "The PAN response of {band}, the band that differs most, for every place that a PAN pixel can have in its MS "
        "pixel: the mean (black), each of them (blue), and how far they are from the mean.",
        "All alike: then the method is one filter. Methods that bring PAN to the MS grid on the way differ by a few "
        "percent, in a pattern that repeats with every MS pixel; those that look at what is around a pixel, by more.",
    ),
    "impulse": Caption(
        "What one pixel of the input does",
        "'mean derivative': how a small change of one pixel spreads in natural pictures, the mean over places. 'white "
        "dot on black': the paper's experiment, the answer to one white pixel, nothing subtracted. Red: up, blue: "
        "down; small values are stretched. Below, the rows through the middle beside the ideal sinc (dashed), which "
        "lies where the grids of input and output share their corners.",
        "The sinc: a bump as wide as an input pixel, lobes of alternating sign, zeros one input pixel apart. A lattice "
        "of dots stands for copies of the spectrum that a filter alone would leave in the picture.",
    ),
    "frequency": Caption(
        "The responses by frequency",
        _MODEL_FREQUENCIES,
        "Amplitude 1 up to the red line and 0 beyond, like the dashed curve. Bicubic interpolation (dotted) begins to "
        "fall early and lets some of the copies through.",
    ),
    "channels": Caption(
        "Mixing of the channels",
        "What a constant change of 1 of each channel of the input does to each channel of the output, by the mean "
        "derivative.",
        "1 on the diagonal and 0 elsewhere. The paper's white dot cannot tell the channels apart.",
    ),
    "sweep": Caption(
        "Does the answer depend on the question?",
        "The paper's experiment with dots of other heights, on black and on grey, each with the answer to the plain "
        "ground subtracted.",
        "Level lines: a linear network does not know how high a dot is. Where they are not level, the response to a "
        "single dot is a convention, and the mean derivative says more.",
    ),
    "places": Caption(
        "Does it matter what is around a pixel?",
        "The row through the middle of the derivative at single places of the pictures (blue), and the mean (black).",
        "All alike in a linear network. The farther apart they are, the more the network adapts to what it sees.",
    ),
}
