"""The sensor registry: facts about instruments, one TOML file each, without torch and without images."""

from panloom.sensors._registry import band_named, bands_for, generic_bands, get, having, names, recognise
from panloom.sensors._toml import role_of

__all__ = ["band_named", "bands_for", "generic_bands", "get", "having", "names", "recognise", "role_of"]
