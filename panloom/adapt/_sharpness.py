"""How PAN is to be degraded once more so that the degraded scene resembles the scene: by its own sharpness.

Ours. A fit learns on the scene degraded once more how much of PAN's detail each band takes, and uses it on the scene.
That holds if PAN has the same detail in both. Whoever recorded or resampled PAN may have left it sharper than the MTF
that its data sheet tells: then PAN degraded by that MTF is too soft, and the fit takes too much from the sharp one. So
PAN's MTF gain at MS Nyquist is found from the scene: the finest octave shall have the share of PAN's detail that it has
in the scene itself, as if the land looked alike at both scales. It does so roughly, hence the told gain where that
would be larger: a scene that seems softer than its sensor more likely has little in its finest octave.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional

from panloom.adapt._sample import mean_gain
from panloom.compute import cut
from panloom.optics import physical
from panloom.optics.octaves import finest_octave
from panloom.pair import Pair
from panloom.types import Sensor, Window

#: Gains that are tried beyond the told one; what lies between is interpolated.
GAINS = (0.2, 0.35, 0.55, 0.8)

#: MS pixels along the sides of what is looked at in the middle of each tile.
SIDE = 64


def as_sharp(sample: Sequence[Pair], sensor: Sensor) -> Sensor:
    """The sensor with the gain of PAN, at least its own, that lets tiles degraded by it be as sharp as they are.

    Args:
        sample: tiles of a scene; those that are too small to be degraded do not count.
        sensor: of the scene.
    """
    middles = [_middle(pair) for pair in sample if min(pair.ms.shape[-2:]) >= pair.ratio]
    wanted = _share([(pair.pan, pair.valid) for pair in middles], middles, sensor)
    gain, share = sensor.pan.mtf_nyquist, _lowered_share(middles, sensor, sensor.pan.mtf_nyquist)
    for larger in (larger for larger in GAINS if larger > gain):
        if share >= wanted:
            break
        before, less = gain, share
        gain, share = larger, _lowered_share(middles, sensor, larger)
        if share > wanted:
            gain = before + (larger - before) * (wanted - less) / (share - less)
    return replace(sensor, pan=replace(sensor.pan, mtf_nyquist=gain))


def _middle(pair: Pair) -> Pair:
    """At most SIDE x SIDE MS pixels around the middle of a tile, in whole cells of the degraded one."""
    rows, cols = pair.ms.shape[-2:]
    height, width = (min(n, SIDE) - min(n, SIDE) % pair.ratio for n in (rows, cols))
    return cut(pair, Window((rows - height) // 2, (cols - width) // 2, height, width))


def _lowered_share(pairs: Sequence[Pair], sensor: Sensor, gain: float) -> float:
    """That of the tiles' PAN degraded once more."""
    low = []
    for pair in pairs:
        pan = physical.degrade(pair.pan, [gain], pair.ratio, pair.phase)
        low.append((pan, functional.avg_pool2d(pair.valid.float(), pair.ratio) == 1))
    return _share(low, pairs, sensor)


def _share(
    images: Sequence[tuple[Float[Tensor, "b 1 H W"], Bool[Tensor, "b 1 H W"]]], pairs: Sequence[Pair], sensor: Sensor
) -> float:
    """Share of the finest octave in the detail of PAN, which is what optics of bands do not pass; 0: there is none."""
    fine = whole = 0.0
    for (pan, valid), pair in zip(images, pairs, strict=True):
        low = physical.degrade(pan, [mean_gain(sensor)], pair.ratio, pair.phase)
        octave, detail = finest_octave(pan - physical.interpolate(low, pair.ratio, pair.phase), valid)
        fine, whole = fine + octave, whole + detail
    return fine / whole if whole > 0 else 0.0
