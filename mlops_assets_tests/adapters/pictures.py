"""Looking at PNG bytes, for the tests of all pictures."""

from __future__ import annotations

import io
import struct

import matplotlib.image
import numpy as np


def size(png: bytes) -> tuple[int, int]:
    """Width and height as a PNG's own header tells them."""
    signature, _, kind, width, height = struct.unpack(">8sI4sII", png[:24])
    assert (signature, kind) == (b"\x89PNG\r\n\x1a\n", b"IHDR")
    return width, height


def pixels(png: bytes, colour: str) -> int:
    """How many pixels have exactly this colour."""
    image = (matplotlib.image.imread(io.BytesIO(png))[..., :3] * 255).round()
    wanted = [int(colour[at : at + 2], 16) for at in (0, 2, 4)]
    return int(np.all(image == wanted, axis=-1).sum())


def require_whole_picture(png: bytes) -> None:
    """It can be read to its end, and people can see it without a lens."""
    width, height = size(png)
    assert 300 <= width <= 1200
    assert 100 <= height <= 1200
    assert matplotlib.image.imread(io.BytesIO(png)).shape[:2] == (height, width)
    assert png.endswith(b"IEND\xaeB`\x82")
