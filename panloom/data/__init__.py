"""Images to learn from and to test on: files, real pairs degraded on the fly, procedural scenes with known truth."""

from panloom.data.example import Example, Source
from panloom.data.mixture import Mixture
from panloom.data.orientation import Orientation
from panloom.data.pancollection import PanCollection
from panloom.data.procedural import Georeference, ProceduralScene, Recording, georeference, make
from panloom.data.scenes import read_folder, read_scenes, recorded
from panloom.data.splits import Splits, open_splits, refuse_validation, split_of, training_pairs
from panloom.data.truths import Truth, open_truths, truth_of
from panloom.data.wald_examples import WaldExamples

__all__ = [
    "Example",
    "Georeference",
    "Mixture",
    "Orientation",
    "PanCollection",
    "ProceduralScene",
    "Recording",
    "Source",
    "Splits",
    "Truth",
    "WaldExamples",
    "georeference",
    "make",
    "open_splits",
    "open_truths",
    "read_folder",
    "read_scenes",
    "recorded",
    "refuse_validation",
    "split_of",
    "training_pairs",
    "truth_of",
]
