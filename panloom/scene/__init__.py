"""Scenes in and out: the only user of rasterio. Geometry, no-data and sensors are settled here, before any pixel."""

from panloom.scene._rasterio import environment
from panloom.scene.opening import Opened, Scene, aligned, array_scene, misregistration, open_scene
from panloom.scene.scene import Loaded

__all__ = ["Loaded", "Opened", "Scene", "aligned", "array_scene", "environment", "misregistration", "open_scene"]
