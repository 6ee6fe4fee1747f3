"""
Methods side by side
====================

A procedural scene with known truth, sharpened in memory by one classical method of each kind, with its score. The
numbers hold for this one scene: PAN is a plain mix of its bands, which favours methods that substitute a component.
"""

import matplotlib.pyplot as plt
import numpy as np
import torch

import panloom
from panloom.data.procedural import make
from panloom.metrics import ERGAS

scene = make(512, 512, sensor="worldview-3", bands=4, wedge=False, seed=2)
names = [band.name for band in scene.sensor.bands]
shown = [names.index(color) for color in ("red", "green", "blue")]
crop = np.s_[:, 200:328, 220:348]

# %%
# `panloom.fuse` takes arrays. What a file would have said is an argument: the sensor, and where MS lies on PAN's grid.

results = {
    name: panloom.fuse(
        scene.pan.astype("float32"), scene.ms.astype("float32"), method=name, sensor=scene.sensor, phase=scene.phase
    )
    for name in ("exp", "brovey", "gsa", "bt-h", "bdsd-pc", "mtf-glp-fs", "mtf-glp-hpm")
}
results["truth"] = scene.truth.astype("float32")
truth = torch.from_numpy(results["truth"])[None]  # metrics take (batch, band, row, col)

# %%
# The same stretch in every panel, so that colours can be compared.

low, high = np.percentile(scene.truth[shown], [2, 98])
figure, axes = plt.subplots(2, 4, figsize=(11, 6), layout="constrained")
for axis, (name, image) in zip(axes.flat, results.items(), strict=True):
    score = ERGAS(torch.from_numpy(image)[None], truth, ratio=4)
    picture = np.clip((image[shown][crop] - low) / (high - low), 0, 1) ** 0.7
    axis.imshow(picture.transpose(1, 2, 0))
    axis.set_title(name if name == "truth" else f"{name}: ERGAS {score:.2f}", fontsize=10)
    axis.set_axis_off()
plt.show()
