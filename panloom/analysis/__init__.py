"""Looking inside a network: impulse responses, spectra, and what is linear in it."""

from panloom.analysis.fusers import FuserResponse, detail_r2, fuser_response, scene_slopes, split_fuser
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
    "linear_part",
    "mean_response",
    "mtf_curve",
    "mtf_plane",
    "published_response",
    "published_split",
    "radial_profile",
    "scene_slopes",
    "sinc_upsample",
    "split",
    "split_fuser",
    "system_transfer",
]
