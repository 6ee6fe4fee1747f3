"""
A trained network, a fitted one, and a classical method
=======================================================

`universal.open` on a procedural scene with known truth, beside the best classical default and a network-free fit. The
scene is of the kind that the network saw among others in training (drawn farmland, another seed), so the numbers say
less than those on real pairs in the benchmarks.
"""

import matplotlib.pyplot as plt
import numpy as np
import torch

import panloom
from panloom.data.procedural import make
from panloom.metrics import ERGAS

scene = make(512, 512, sensor="quickbird", wedge=False, seed=1000)
names = [band.name for band in scene.sensor.bands]
shown = [names.index(color) for color in ("red", "green", "blue")]
crop = np.s_[:, 180:276, 230:326]

# %%
# A trained network is a method like any other: its name is `network.tag`.

methods = ("exp", "mtf-glp-cbd", "regression", "universal.open-small", "universal.open")
results = {
    name: panloom.fuse(
        scene.pan.astype("float32"), scene.ms.astype("float32"), method=name, sensor=scene.sensor, phase=scene.phase
    )
    for name in methods
}
truth = scene.truth.astype("float32")

# %%
# Above the images at one stretch, below what is wrong with them: the mean of the bands, grey where it is right.

low, high = np.percentile(truth[shown], [2, 98])
figure, axes = plt.subplots(2, len(results) + 1, figsize=(13, 4.8), layout="constrained")
for column, (name, image) in zip(axes.T, {**results, "truth": truth}.items(), strict=True):
    picture = np.clip((image[shown][crop] - low) / (high - low), 0, 1) ** 0.7
    column[0].imshow(picture.transpose(1, 2, 0))
    score = ERGAS(torch.from_numpy(image)[None], torch.from_numpy(truth)[None], ratio=4)
    column[0].set_title(name if name == "truth" else f"{name}\nERGAS {score:.2f}", fontsize=9)
    column[1].imshow((image - truth)[crop].mean(0), cmap="gray", vmin=-60, vmax=60)
    for axis in column:
        axis.set_axis_off()
plt.show()
