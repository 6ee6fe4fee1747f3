"""How pictures of one problem stand in a page: whole images with their places outlined, and the places side by side."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from panloom.run.page._html import Html, styled, tag
from panloom.run.page._pictures import Gallery, Images
from panloom.types import Window

#: Screen pixels for each pixel of a crop.
ZOOM = 2


def stretch_words(drawn: Gallery, images: Images) -> str:
    """How large the pictures are, and how their colours came about."""
    shown = ", ".join(drawn.bands)
    colour = f"{shown} as red, green and blue" if len(drawn.bands) == 3 else f"{shown} as grey"
    reduced = "pixel by pixel" if drawn.reduced == 1 else f"reduced {drawn.reduced} times"
    empty = " Grey squares or edges hold no data." if drawn.empty else ""
    return (
        f"{drawn.size[0]} x {drawn.size[1]} pixels, whole images {reduced}. All colours have one stretch, that of the "
        f"{images.reference_name} ({colour}, from its 2nd to its 98th percentile); PAN, in grey, has its own.{empty}"
    )


def swipe(left: str, right: str) -> Html:
    """Where the script puts two images of the section on top of each other."""
    return tag("div", attrs={"class": "swipe", "hidden": True, "data-left": left, "data-right": right})


def overview(drawn: Gallery, name: str, *, boxes: bool) -> Html:
    """A whole image, with the places outlined where that is wanted."""
    height, width = (-(-n // drawn.reduced) * drawn.reduced for n in drawn.size)
    frames = [outline(place.window, (height, width), place.letter) for place in drawn.places] if boxes else []
    picture = _image(drawn.overviews[name], f"{name}, whole image", "whole", name)
    return tag("figure", styled("framed", picture, *frames), tag("figcaption", tag("b", name)))


def outline(window: Window, size: tuple[int, int], word: str = "", kind: str | None = None) -> Html:
    """The outline of a part of an image, in percent of it.

    Args:
        window: the part, pixels of the image.
        size: rows and columns of the image.
        word: that stands in it.
        kind: its class.
    """
    box = {
        "top": window.row / size[0],
        "left": window.col / size[1],
        "height": window.height / size[0],
        "width": window.width / size[1],
    }
    style = ";".join(f"{key}:{100 * share:.2f}%" for key, share in box.items())
    return tag("span", word, attrs={"style": style, "class": kind})


def in_image(window: Window) -> str:
    """Where a part of an image lies in it."""
    return f"{window.height} x {window.width} pixels from row {window.row}, column {window.col}"


def crops(drawn: Gallery, names: Sequence[str], where: Callable[[Window], str] = in_image) -> list[Html]:
    """Every place: heading, where it lies, and what the images show there.

    Args:
        drawn: the pictures.
        names: of the images.
        where: tells where a part of the images lies.
    """
    parts: list[Html] = []
    for place, crop in zip(drawn.places, drawn.crops, strict=True):
        window, told = place.window, f"{where(place.window)}; {ZOOM} times as large"
        figures = [
            tag(
                "figure",
                _image(crop[name], f"{name}, place {place.letter}", place.letter, name, ZOOM * window.width),
                tag("figcaption", tag("b", name)),
            )
            for name in names
        ]
        head = tag("h3", f"{place.letter}: {place.why} ")
        parts += [head, styled("note", told, name="p"), styled("crops", *figures)]
    return parts


def _image(address: str, words: str, place: str, what: str, width: int | None = None) -> Html:
    return tag("img", attrs={"src": address, "alt": words, "data-place": place, "data-what": what, "width": width})
