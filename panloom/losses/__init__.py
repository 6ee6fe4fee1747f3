"""What a network is told to make small."""

from panloom.losses.supervised import l1, mse, relative

__all__ = ["l1", "mse", "relative"]
