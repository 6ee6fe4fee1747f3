"""
Virtual sensors
===============

What the open networks learn from: the same land, seen by instruments that are drawn anew for every example. Here the
land is drawn too; training looks at real free imagery in the same way.
"""

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.axes import Axes

from panloom.data.example import Example
from panloom.data.truths import procedural_truths
from panloom.data.virtual import Settings, VirtualSensors
from panloom.train import imitated

truths = procedural_truths(3, side=448, seed=3)
CROP = 72  # PAN pixels along the side of a panel


def stretched(image: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """Three bands (the last of fewer is shown again) between two percentiles of the truth."""
    channels = [min(k, len(image) - 1) for k in range(3)]
    return np.clip((image[channels] - low[channels]) / (high - low)[channels], 0, 1).transpose(1, 2, 0)


def show(example: Example, axes: Sequence[Axes], title: str, order: Sequence[int] = (0, 1, 2)) -> None:
    """Truth, PAN, MS and EXP of one example, each where it lies on PAN's grid."""
    pair = example.pair
    bands = [k for k in order if k < pair.ms.shape[1]]
    truth, ms, exp = (image[0, bands].numpy() for image in (example.truth, pair.ms, pair.exp))
    pan = pair.pan[0].numpy()
    low, high = (np.percentile(truth, p, axis=(1, 2))[:, None, None] for p in (1, 99))
    grey = [np.percentile(pan, p).reshape(1, 1, 1) for p in (1, 99)]
    height, width = pan.shape[1:]
    full = (-0.5, width - 0.5, height - 0.5, -0.5)
    rows, cols = (p + pair.ratio * np.array([-0.5, n - 0.5]) for p, n in zip(pair.phase, ms.shape[1:], strict=True))
    seen = (cols[0], cols[1], rows[1], rows[0])  # MS sample i is centred on PAN pixel ratio * i + phase
    panels = [(truth, full, (low, high)), (pan, full, grey), (ms, seen, (low, high)), (exp, full, (low, high))]
    for axis, (image, extent, limits) in zip(axes, panels, strict=True):
        axis.imshow(stretched(image, *limits), extent=extent, interpolation="nearest")
        axis.set_xlim((width - CROP) / 2, (width + CROP) / 2)
        axis.set_ylim((height + CROP) / 2, (height - CROP) / 2)
        axis.set_axis_off()
    gains = [band.mtf_nyquist for band in pair.sensor.bands]
    axes[0].set_title(f"{title}ratio {pair.ratio}, {len(gains)} band{'s'[: len(gains) > 1]}", fontsize=7.5, loc="left")
    axes[2].set_title(f"MTF {min(gains):.2f} to {max(gains):.2f}", fontsize=7.5, loc="left")
    axes[3].set_title("phase {:.2f}, {:.2f}".format(*pair.phase), fontsize=7.5, loc="left")


# %%
# Four panels in a row are one instrument: truth, PAN, MS as recorded, MS interpolated (EXP). What is drawn: ratio,
# bands (some of the land's, or mixes of them), MTF gains, where the MS samples lie, how sharp PAN is, where it looks
# and what it responds to, noise, rounding. Bands of such an instrument have no wavelengths, so the colours are those of
# its first three. The MTF gains are those that a network is told; the true ones differ a little, as they do from a data
# sheet.

source = VirtualSensors(truths)
figure, axes_of_all = plt.subplots(4, 8, figsize=(11, 6.2), layout="constrained")
for seed, axes in enumerate(axes_of_all.reshape(8, 4)):
    show(source(torch.Generator().manual_seed(seed)), axes, "")
plt.show()

# %%
# An instrument can also be imitated: ratio, MTF gains and wavelengths of a sensor of the registry, its bands
# interpolated between the nearest ones of the land with a share of others. Here in true colour, by the band names.

names = ("quickbird", "worldview-3", "landsat-8")
figure, rows = plt.subplots(len(names), 4, figsize=(7, 5.6), layout="constrained")
for name, axes in zip(names, rows, strict=True):
    sensor = imitated(name)
    known = [band.name for band in sensor.bands]
    source = VirtualSensors(truths, Settings(sensor=sensor))
    colours = [known.index(colour) for colour in ("red", "green", "blue")]
    show(source(torch.Generator().manual_seed(1)), axes, f"{name}: ", colours)
plt.show()
