"""How many threads and tiles are at work."""

from __future__ import annotations

import pytest
import torch

from panloom.compute import Policy
from panloom.errors import OptionError


def test_memory_bounds_threads_and_tiles():
    policy = Policy.choose("cpu", 8, 380 + 3 * 100, 100.0)
    assert (policy.threads, policy.ahead, policy.readers) == (3, 3, 0)
    with pytest.raises(OptionError, match="one tile needs 480 MB"):
        Policy.choose("cpu", 8, 400, 100.0)


def test_images_in_memory_are_bound_by_no_memory():
    policy = Policy.in_memory("cpu", 3)
    assert (policy.device, policy.threads, policy.ahead, policy.readers) == (torch.device("cpu"), 3, 7, 0)
    assert Policy.in_memory("cpu", None).threads >= 1
    with pytest.raises(OptionError, match="threads must be 1 or more; given: 0"):
        Policy.in_memory("cpu", 0)
    with pytest.raises(OptionError, match="tpu9"):
        Policy.in_memory("tpu9", 1)
