"""The example pictures of the pack, where the host's Load Image finds them."""
from __future__ import annotations

import logging
import shutil
from pathlib import Path

EXAMPLES = ("object.png", "stack.png")  # of web/, as workflows name them


def place_examples(folder: Path) -> list[str]:
    """Copies the examples that `folder` lacks, and returns their names. A picture of the user with that name stays.

    A folder that cannot be written to is logged, since everything else works without the examples.
    """
    source, placed = Path(__file__).parents[2] / "web", []
    for name in EXAMPLES:
        try:
            if not (folder / name).exists():
                folder.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(source / name, folder / name)
                placed.append(name)
        except OSError as error:
            logging.warning("Distill3D: the example %s could not be copied into %s (%s).", name, folder, error)
    return placed
