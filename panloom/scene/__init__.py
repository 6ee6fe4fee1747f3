"""Scenes in and out: the only user of rasterio. Geometry, no-data and sensors are settled here, before any pixel."""

from panloom.scene._aside import write_aside
from panloom.scene._rasterio import Raster, Reader, describe, environment, project, same_crs
from panloom.scene._where import is_plain, is_remote
from panloom.scene.opening import Opened, Scene, aligned, array_scene, misregistration, open_scene, registered
from panloom.scene.scene import Loaded

__all__ = [
    "Loaded",
    "Opened",
    "Raster",
    "Reader",
    "Scene",
    "aligned",
    "array_scene",
    "describe",
    "environment",
    "is_plain",
    "is_remote",
    "misregistration",
    "open_scene",
    "project",
    "registered",
    "same_crs",
    "write_aside",
]
