"""The protocols in words, as both pages say them."""

from __future__ import annotations

from panloom.run.protocol import Protocol

#: The order of a page: what is to be read first, what one can see at daily work, and what compares with papers.
ORDER: tuple[Protocol, ...] = ("wald-physical", "full", "wald-toolbox")

#: Heading of each protocol.
TITLES: dict[Protocol, str] = {
    "wald-toolbox": "Reduced resolution, as in published tables",
    "wald-physical": "Reduced resolution, by the sensor's optics",
    "full": "Full resolution",
}

#: What was done, in two sentences.
WORDS: dict[Protocol, str] = {
    "wald-toolbox": (
        "PAN and MS were degraded by the ratio with the kernels of the reference toolbox, fused, and compared with the "
        "MS that was degraded, which is the truth. These figures can be laid beside published ones; they suppose that "
        "PAN and MS are aligned at their corners."
    ),
    "wald-physical": (
        "PAN and MS were degraded by the ratio with the blur of the sensor's optics (its MTF gains), at the places "
        "where the grids of the pair lie, fused, and compared with the MS that was degraded, which is the truth. "
        "Where the two reduced protocols disagree, this is the one to read."
    ),
    "full": (
        "The pair was fused as it is, as in daily use; there is no truth at this resolution, so the indices judge "
        "whether the result agrees with MS in colour (D_lambda) and with PAN in detail (D_s), and HQNR joins both. "
        "They are weaker evidence than errors against a truth."
    ),
}
