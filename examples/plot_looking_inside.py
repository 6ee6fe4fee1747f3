"""
Inside a network, before and after adaptation
=============================================

`fusionnet.qb-open` learned to sharpen QuickBird. Here it is given a scene of another sensor, drawn GeoEye-1, whose
optics and PAN differ, as it is and with `+refit`, which fits its last layer to the scene. What one pixel does, by
frequency, says what went wrong and what the fit changed. The scene is drawn, so the truth is known.
"""

import matplotlib.pyplot as plt
import numpy as np
import torch

from panloom.analysis import (
    axis_profile,
    frequency_response,
    fuser_response,
    injection_gain,
    mtf_plane,
    scene_slopes,
    system_transfer,
)
from panloom.data.procedural import make
from panloom.metrics import ERGAS
from panloom.run.resolve import resolve
from panloom.scene import array_scene
from panloom.types import Tile, Window

made = make(384, 384, sensor="geoeye-1", wedge=False, seed=5)
full = made.sensor.full_scale
pan, ms, truth = (torch.from_numpy(x / full).float()[None] for x in (made.pan[None], made.ms, made.truth))
scene = array_scene(pan, ms, sensor=made.sensor, phase=made.phase, full_scale=1.0)
names = [band.name for band in made.sensor.bands]
size, ratio = 256, scene.grid.ratio

# %%
# Both are made ready for the whole scene. A response is a derivative, so it needs a place: the middle of the scene.

BEFORE, AFTER = "fusionnet.qb-open", "fusionnet.qb-open+refit"
methods = {name: resolve(name).prepare(scene, torch.Generator().manual_seed(0)) for name in (BEFORE, AFTER)}
middle = scene.load(Tile(0, Window(128, 128, 128, 128), Window(32, 32, 32, 32))).pair
responses = {name: fuser_response(fuser, middle, seed=0) for name, fuser in methods.items()}

# %%
# PAN that is brighter as a whole should change no colour, and a band that is brighter should be so in the result.
# Before, PAN's brightness goes into the colours, most of it into near infrared; the fit ends that.

for name, response in responses.items():
    own = response.mixing.diagonal()
    print(name)
    print("  leakage of PAN   ", *(f"{band} {x:+.2f}" for band, x in zip(names, response.leakage, strict=True)))
    print("  what a band keeps", *(f"{band} {x:.2f}" for band, x in zip(names, own, strict=True)))

# %%
# Above, how much of PAN goes in; dotted what the optics of MS took away, 1 - MTF, times the gain that the response has
# beyond the MS grid (red line). Below, what becomes of a detail of the ground that PAN and the bands follow as they do
# in this scene: 1 is true.
#
# Before, PAN comes in where MS has all it needs (frequency 0), and a detail has lost much of its strength at the red
# line in blue, green and red, and more behind it. After, the response begins near 0, and around the red line detail
# comes out nearer to 1 in these bands. At the finest frequencies less comes out than before, in every band but near
# infrared at the very end.

mtf = mtf_plane(torch.tensor([band.mtf_nyquist for band in made.sensor.bands], dtype=torch.float64), ratio, size)
pan_on_band, bands_on_band = scene_slopes(scene.load(Tile(0, Window(0, 0, 384, 384), Window(0, 0, 96, 96))).pair)
lacking = axis_profile(1 - mtf)[1]
figure, axes = plt.subplots(2, 4, figsize=(11, 5), sharex=True, sharey="row", layout="constrained")
for (name, response), colour in zip(responses.items(), ("C1", "C0"), strict=True):
    plane = frequency_response(response.pan.kernel[:, 0], size)
    gains = injection_gain(plane, mtf, ratio)
    transfer = system_transfer(
        response.ms.kernel,
        response.pan.kernel[:, 0],
        mtf,
        ratio=ratio,
        phase=middle.phase,
        bands_on_band=bands_on_band,
        pan_on_band=pan_on_band,
    )
    places, amplitude = axis_profile(plane)
    through = axis_profile(transfer)[1]
    print(f"{name}: gains beyond the MS grid", *(f"{band} {x:.2f}" for band, x in zip(names, gains, strict=True)))
    for band, (above, below) in enumerate(axes.T):
        above.plot(places, amplitude[band], colour, label=name)
        above.plot(places, gains[band] * lacking[band], colour, linestyle=":", linewidth=1)
        below.plot(places, through[band], colour)
for band, (above, below) in enumerate(axes.T):
    above.set_title(names[band])
    below.axhline(1, color="grey", linewidth=0.8)
    below.set_xlabel("radians per PAN pixel")
    for axis in (above, below):
        axis.axvline(np.pi / ratio, color="red", linewidth=0.8)
axes[0, 0].set_ylabel("amplitude of PAN in the band")
axes[1, 0].set_ylabel("detail that comes out")
axes[0, 0].legend(fontsize=8)
plt.show()

# %%
# The image in near infrared, and what is wrong with it: red too bright, blue too dark. Whole fields were wrong, and are
# right now; thin lines are still softer than the truth.

whole = scene.load(Tile(0, Window(0, 0, 384, 384), Window(0, 0, 96, 96))).pair
with torch.no_grad():
    fused = {name: fuser(whole) for name, fuser in methods.items()}
figure, axes = plt.subplots(2, 3, figsize=(9, 6), layout="constrained")
low, high = np.percentile(truth[0, -1], [1, 99])
for column, (name, image) in zip(axes.T, {**fused, "truth": truth}.items(), strict=True):
    score = "" if name == "truth" else f"\nERGAS {ERGAS(image, truth, ratio=ratio):.2f}"
    column[0].imshow(image[0, -1, 100:260, 100:260], cmap="gray", vmin=low, vmax=high)
    column[0].set_title(name + score, fontsize=9)
    column[1].imshow((image - truth)[0, -1, 100:260, 100:260], cmap="RdBu_r", vmin=-0.1, vmax=0.1)
    for axis in column:
        axis.set_axis_off()
plt.show()

# %%
# A fit does not always gain: PanNet looks at PAN through a high-pass, so nothing leaks, and it was better on this scene
# as it was. `panloom analyze` draws such a page for any method: see the page "Looking inside a method".

for name in ("pannet.qb-open", "pannet.qb-open+refit"):
    with torch.no_grad():
        image = resolve(name).prepare(scene, torch.Generator().manual_seed(0))(whole)
    print(f"{name}: ERGAS {ERGAS(image, truth, ratio=ratio):.2f}")
