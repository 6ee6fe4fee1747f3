"""Training: one loop with one plug, `objective(net, batch, rng)`."""

from panloom.train._facts import origin
from panloom.train._loop import train
from panloom.train._processes import Processes, launched, processes
from panloom.train._refitted import Refitted
from panloom.train.objectives import Held, Supervised
from panloom.train.patches import Patches, patches
from panloom.train.recipe import Adam, Cosine, Development, Muon, Objective, Recipe, Sgd, Stairs, load_recipe
from panloom.train.run import Run
from panloom.train.tensorboard import events
from panloom.train.virtual import for_any_sensor, free_imagery, imitated, imitation, instrument

__all__ = [
    "Adam",
    "Cosine",
    "Development",
    "Held",
    "Muon",
    "Objective",
    "Patches",
    "Processes",
    "Recipe",
    "Refitted",
    "Run",
    "Sgd",
    "Stairs",
    "Supervised",
    "events",
    "for_any_sensor",
    "free_imagery",
    "imitated",
    "imitation",
    "instrument",
    "launched",
    "load_recipe",
    "origin",
    "patches",
    "processes",
    "train",
]
