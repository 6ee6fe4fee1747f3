"""
One image, many numbers
=======================

Indices of one name differ by more than methods do. One procedural scene is sharpened once, by `gsa`, and scored by
every variant that panloom has. Published tables can be compared only where the variant is the same, so every name
says it.
"""

import matplotlib.pyplot as plt
import torch

import panloom
from panloom import metrics
from panloom.data.procedural import make
from panloom.metrics import FullScene

scene = make(512, 512, sensor="worldview-3", bands=4, wedge=False, seed=2)
pan, ms = scene.pan.astype("float32"), scene.ms.astype("float32")
fused = torch.from_numpy(panloom.fuse(pan, ms, method="gsa", sensor=scene.sensor, phase=scene.phase))[None]
truth = torch.from_numpy(scene.truth)[None]

# %%
# What indices without a truth look at: PAN, MS, where they lie, and the sensor's MTF.

full = FullScene(
    pan=torch.from_numpy(pan)[None, None],
    ms=torch.from_numpy(ms)[None],
    valid=torch.ones(1, 1, *pan.shape, dtype=torch.bool),
    ms_valid=torch.ones(1, 1, *ms.shape[1:], dtype=torch.bool),
    phase=scene.phase,
    gains=tuple(band.mtf_nyquist for band in scene.sensor.bands),
    pan_gain=scene.sensor.pan.mtf_nyquist,
)

# %%
# All of them. Those of decibels and digital numbers are left out of the picture, which has one axis.

settings = {"ratio": 4, "full_scale": 2047}
scores = {}
for name in metrics.names():
    index = metrics.get(name)
    images = (fused, truth) if index.needs == "reference" else (fused, full)
    value = index(*images, **{key: settings[key] for key in index.settings})
    scores[index.title(**settings)] = value
    print(f"{index.title(**settings):45} {value:.4f} {index.unit}")

# %%
# Between 0 and 1: the families that share a name have a colour.

families = ("Q", "SSIM", "SCC", "D_lambda", "D_s", "QNR", "HQNR")
shown = {k: v for k, v in scores.items() if k.startswith(families)}
shown = dict(sorted(shown.items(), key=lambda item: (item[0].split("[")[0], item[1])))
colours = {family: f"C{place}" for place, family in enumerate(dict.fromkeys(k.split("[")[0] for k in shown))}
figure, axis = plt.subplots(figsize=(9, 0.23 * len(shown) + 1), layout="constrained")
axis.barh(list(shown), list(shown.values()), color=[colours[k.split("[")[0]] for k in shown])
axis.invert_yaxis()
axis.set_xlim(0, 1)
axis.tick_params(axis="y", labelsize=8)
axis.set_title("one fused image, every variant")
plt.show()
