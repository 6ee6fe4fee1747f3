"""
A scene from files, step by step
================================

What `panloom sharpen` does in one line, taken apart: open, prepare, plan, fuse, trim.
"""

import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import torch

from panloom.run.demo import demo
from panloom.run.resolve import resolve
from panloom.scene import Scene
from panloom.tiling import plan, tile_size, trim

folder = Path(tempfile.mkdtemp())
demo(folder, size=600)

# %%
# Opening settles every question about the input: ratio, phase, sensor, which band is which, what is valid.

scene = Scene.open(str(folder / "pan.tif"), str(folder / "ms.tif"))
print(scene.grid.ratio, scene.grid.phase, scene.sensor.name, [b.name for b in scene.sensor.bands])

# %%
# `prepare` looks at the scene once; the result is a pure function of one tile.

fuser = resolve("gsa").prepare(scene, torch.Generator().manual_seed(0))
tiles = plan(scene.grid, fuser.traits, tile_size(scene.grid.ratio))
print(len(tiles), "tiles; the first reads cells", tiles[0].read)

# %%
# A tile with its halo goes in; the core comes out.

pair = scene.read(tiles[0])
image = trim(fuser(pair), tiles[0], scene.grid.ratio)[0]

red, green, blue = (([b.name for b in scene.sensor.bands]).index(c) for c in ("red", "green", "blue"))
picture = image[[red, green, blue]].numpy().transpose(1, 2, 0)
low, high = np.percentile(picture, [2, 98])
plt.figure(figsize=(6, 6), layout="constrained")
plt.imshow(np.clip((picture - low) / (high - low), 0, 1) ** 0.7)
plt.axis("off")
plt.show()
scene.close()
