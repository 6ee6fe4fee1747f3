"""
Why the phase matters
=====================

In a Landsat-8 product the *centres* of PAN and MS pixels coincide, so MS lies half a PAN pixel off corner alignment. A
program that supposes aligned corners is wrong by that much everywhere, and the error shows at every edge.
"""

import matplotlib.pyplot as plt
import numpy as np
import torch

import panloom
from panloom.data.procedural import Recording, make
from panloom.metrics import ERGAS

scene = make(
    400,
    400,
    sensor="landsat-8",
    bands=("blue", "green", "red"),
    phase=(0.0, 0.0),
    wedge=False,
    seed=4,
    recording=Recording(ratio=2),
)
pan, ms = scene.pan.astype("float32"), scene.ms.astype("float32")
truth = torch.from_numpy(scene.truth.astype("float32"))[None]  # metrics take (batch, band, row, col)

# %%
# The same call with the true phase, with aligned corners, and with phases between them.

phases = np.linspace(-0.5, 1.0, 13)
scores = []
for phase in phases:
    fused = panloom.fuse(pan, ms, method="gsa", sensor=scene.sensor, phase=(float(phase), float(phase)))
    scores.append(ERGAS(torch.from_numpy(fused)[None], truth, ratio=2))

figure, axis = plt.subplots(figsize=(6, 3.2), layout="constrained")
axis.plot(phases, scores, "o-")
axis.axvline(0.0, color="green", label="true phase: coinciding centres")
axis.axvline(0.5, color="red", linestyle="--", label="aligned corners")
axis.set_xlabel("phase supposed in both axes, PAN pixels")
axis.set_ylabel("ERGAS against the truth")
axis.legend()
plt.show()
