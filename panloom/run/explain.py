"""A page that says what an adapter did to a scene, whether that helped, and what a regression would have done."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path

from panloom.compute import Policy
from panloom.errors import OutputError
from panloom.pair import Fuser
from panloom.run._aside import make_folder, write_text
from panloom.run._explained import Explanation, adapted_network, explained
from panloom.run.evaluate import Told
from panloom.run.page import explanation_page
from panloom.run.reading import Reading, scene_name
from panloom.scene import Scene, environment

__all__ = ["Explanation", "check_explain", "explain", "explain_files"]

#: What is written.
PAGE, NUMBERS = "index.html", "report.json"


def explain(  # noqa: PLR0913  what a report needs to be told, each with a default
    scene: Scene,
    method: str,
    fuser: Fuser | Mapping[str, object] | None,
    out: str | Path,
    *,
    name: str = "scene",
    seed: int = 0,
    policy: Policy | None = None,
    progress: Told | None = None,
    notes: Sequence[str] = (),
) -> Explanation:
    """Write `index.html` and `report.json` on the adaptation of a network to a scene.

    The images are compared on a part of at most 512 x 512 PAN pixels, so that the cost does not grow with the scene;
    what was fitted to the whole scene is drawn there. For errors the fit is repeated on a part of at most 1024 x 1024
    PAN pixels, degraded by its ratio.

    Args:
        scene: open.
        method: network.tag+adapter.
        fuser: that of the method: ready for the scene, or not yet; or its options; None: all options at their defaults.
        out: the folder; made if it is not there. An earlier report in it is replaced, other files stay.
        name: of the scene, for the heading.
        seed: of everything random; the seed that a fuser was made ready with.
        policy: device and threads; None: processor, a thread for each.
        progress: told after each image that was scored: done, in all.
        notes: what is known of the scene already.

    Returns:
        What stands in the files.

    Raises:
        MethodError: the method has no adapter, does not fit the scene, or words that are not known.
        SceneError: no pixel of the part is valid.
        OutputError: the folder cannot be made or written, or holds pages of something else.
    """
    check_explain(method, out)
    done = explained(scene, method, fuser, name=name, seed=seed, policy=policy, progress=progress, notes=notes)
    folder = Path(out)
    make_folder(folder)
    # The page comes last: where it is, the numbers are too.
    write_text(folder / NUMBERS, done.to_json())
    write_text(folder / PAGE, explanation_page(done))
    return done


def explain_files(  # noqa: PLR0913  the words of the command line, each with a default
    pan: str | Path,
    ms: str | Path | Sequence[str | Path],
    out: str | Path,
    *,
    method: str,
    fuser: Fuser | Mapping[str, object] | None = None,
    reading: Reading | None = None,
    seed: int = 0,
    policy: Policy | None = None,
    progress: Told | None = None,
    notes: Sequence[str] = (),
) -> Explanation:
    """`explain` for a scene in files; the fit is that of `panloom.sharpen` with the same words.

    What was adapted already is not adapted once more: `panloom.sharpen` and `panloom.adapt_to` prepare by
    `panloom.run.preparing.Kept`, whose `ready` is the fuser.

    Args:
        pan: the sharp image, anything GDAL reads.
        ms: the spectral image: one multi-band file or several files of one grid.
        out: the folder.
        method: network.tag+adapter.
        fuser: as in `explain`.
        reading: how the files are read; None: as they say.
        seed: of everything random.
        policy: device and threads.
        progress: told after each image that was scored.
        notes: what is known of the scene already, as what the fuser warned of.

    Raises:
        PanloomError: as `explain`, or the files cannot be read.
    """
    check_explain(method, out)
    files = [str(ms)] if isinstance(ms, (str, Path)) else [str(one) for one in ms]
    with environment():
        opened, said = (reading or Reading()).open(str(pan), files)
        with closing(opened.scene):
            name, said = scene_name(opened.pan.path), [*said, *notes]
            return explain(
                opened.scene, method, fuser, out, name=name, seed=seed, policy=policy, progress=progress, notes=said
            )


def check_explain(method: str, out: str | Path) -> None:
    """Refuse what cannot be explained or written, before any work.

    Raises:
        MethodError: the method has no adapter, or is not known.
        OutputError: the folder is a file, or holds pages of something else.
    """
    adapted_network(method, None)
    folder = Path(out)
    if folder.exists() and not folder.is_dir():
        raise OutputError(f"{folder} is a file; name a folder for the report")
    there = [name for name in (PAGE, NUMBERS) if (folder / name).exists()]
    if there and not _ours(folder / NUMBERS):
        raise OutputError(
            f"{folder} holds {' and '.join(there)} that no report of panloom wrote; name another folder, or remove them"
        )


def _ours(path: Path) -> bool:
    """The numbers of an earlier report."""
    try:
        found: object = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(found, dict) and found.get("report") == "panloom explain"
