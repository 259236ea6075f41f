"""The file in a trained model's folder that states its training conditions."""
from __future__ import annotations

from pathlib import Path

from ..core.errors import DistillError
from ..core.trained_on import TrainedOn
from .pipeline_folder import read_json

FILE = "trained_on.json"


def read_trained_on(folder: str | Path, name: str, otherwise: TrainedOn = TrainedOn()) -> TrainedOn:
    """What the folder says; `otherwise` where it says nothing. Raises DistillError for a file of another form."""
    path = Path(folder) / FILE
    if not path.is_file():
        return otherwise
    try:
        return TrainedOn.read(read_json(path, name))
    except (TypeError, ValueError) as error:
        raise DistillError(f"{name}: {path} does not say what the model was trained on ({error}). Restore or delete "
                           "the file.") from error
