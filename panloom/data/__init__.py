"""Data with known truth: procedural scenes."""

from panloom.data.procedural import Georeference, ProceduralScene, Recording, georeference, make

__all__ = ["Georeference", "ProceduralScene", "Recording", "georeference", "make"]
