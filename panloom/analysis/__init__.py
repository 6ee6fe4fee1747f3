"""Looking inside a network: impulse responses, spectra, and what is linear in it.

Of any function from image to image, here an interpolation:

>>> from torch.nn.functional import interpolate
>>> from panloom.analysis import describe, fuser_response, impulse_response
>>> found = impulse_response(lambda x: interpolate(x, scale_factor=2, mode="bicubic"), 2, channels=1)
>>> seen = describe(found.kernel[0, 0], found.scale)
>>> round(seen.dc, 3), round(seen.cutoff6, 2)
(1.0, 0.99)

Of a fusion method, which is made ready for a scene and looked at around one of its tiles. `panloom.run.resolve.resolve`
makes a method of any name that the command line knows, "universal.open" for instance:

>>> import torch
>>> from panloom import classical
>>> from panloom.data import make
>>> from panloom.scene import array_scene
>>> from panloom.types import Tile, Window
>>> drawn = make(128, 128, sensor="worldview-3", bands=4, wedge=False)
>>> pan, ms = (torch.from_numpy(image).float()[None] for image in (drawn.pan[None], drawn.ms))
>>> scene = array_scene(pan, ms, sensor=drawn.sensor, phase=drawn.phase, full_scale=drawn.sensor.full_scale)
>>> pair = scene.read(Tile(0, Window(0, 0, 128, 128), Window(0, 0, 32, 32)))
>>> method = classical.get("mtf-glp")().prepare(scene, torch.Generator().manual_seed(0))
>>> found = fuser_response(method, pair, seed=0)
>>> [round(abs(leak), 4) for leak in found.leakage.tolist()]
[0.0, 0.0, 0.0, 0.0]
>>> round(describe(found.ms.kernel[0, 0], pair.ratio, centre=pair.phase).cutoff6, 2)
1.0
"""

from panloom.analysis.foreign import Model, open_model
from panloom.analysis.fusers import (
    FuserResponse,
    detail_r2,
    fuser_response,
    least_cells,
    scene_slopes,
    split_fuser,
)
from panloom.analysis.hyra import Shares, Split, linear_part, published_split, sinc_upsample, split
from panloom.analysis.impulse import Response, Upsampler, impulse_response, mean_response, published_response
from panloom.analysis.spectrum import (
    Descriptors,
    axis_profile,
    centroid,
    describe,
    frequencies,
    frequency_response,
    ideal_lowpass,
    injection_gain,
    mtf_curve,
    mtf_plane,
    radial_profile,
    system_transfer,
)

__all__ = [
    "Descriptors",
    "FuserResponse",
    "Model",
    "Response",
    "Shares",
    "Split",
    "Upsampler",
    "axis_profile",
    "centroid",
    "describe",
    "detail_r2",
    "frequencies",
    "frequency_response",
    "fuser_response",
    "ideal_lowpass",
    "impulse_response",
    "injection_gain",
    "least_cells",
    "linear_part",
    "mean_response",
    "mtf_curve",
    "mtf_plane",
    "open_model",
    "published_response",
    "published_split",
    "radial_profile",
    "scene_slopes",
    "sinc_upsample",
    "split",
    "split_fuser",
    "system_transfer",
]
