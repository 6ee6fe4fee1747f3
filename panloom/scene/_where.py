"""What a name of an image points to: a file on this machine, something that GDAL unfolds, or something far away."""

from __future__ import annotations

import re

# A single letter before the colon is a drive of Windows, so the pattern asks for two.
_NOT_PLAIN = re.compile(r"/vsi|<|[a-z][a-z0-9+.-]+:", re.IGNORECASE)

_NETWORK = re.compile(r"/vsi(?:curl|s3|gs|az|adls|oss|swift|hdfs|webhdfs)", re.IGNORECASE)
_SCHEME = re.compile(r"([a-z][a-z0-9+.-]+)://", re.IGNORECASE)
_NEAR = {"file", "zip", "tar", "gzip"}


def is_plain(path: str) -> bool:
    """A path of the file system: no URL, no /vsi... of GDAL, no subdataset, no XML text.

    >>> is_plain("C:/data/ms.tif"), is_plain("/vsizip/a.zip/ms.tif")
    (True, False)
    """
    return _NOT_PLAIN.match(path) is None


def is_remote(path: str) -> bool:
    """The pixels lie behind a network: a URL or one of GDAL's network file systems, also inside an archive.

    >>> is_remote("zip+https://x.org/a.zip!b.tif"), is_remote("/vsizip//vsicurl/https://x.org/a.zip/b.tif")
    (True, True)
    """
    if is_plain(path):
        return False
    schemes = {part.lower() for scheme in _SCHEME.findall(path) for part in scheme.split("+")}
    return _NETWORK.search(path) is not None or bool(schemes - _NEAR)
