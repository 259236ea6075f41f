"""The shape of a workflow file as the editor saves it (version 0.4), stated as models that pydantic checks.

Only what ui_format.py reads is stated; files hold much more.
"""
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Dict, List, Optional, Union

from ..nodes.core.errors import DistillError, MissingPackage

MAX_NODES = 10_000  # with those of subgraphs, once for each use
MAX_DEPTH = 64      # of subgraphs in subgraphs


@lru_cache(maxsize=None)
def _model() -> Any:
    # No postponed annotations in this file: pydantic reads those of classes inside a function as they are.
    try:
        from pydantic import BaseModel, ConfigDict
    except ImportError as error:
        raise MissingPackage("pydantic", "Reading a workflow file") from error

    Id = Union[int, str]

    class Lenient(BaseModel):
        model_config = ConfigDict(extra="ignore")

    class Slot(Lenient):
        name: Optional[str] = None
        type: Any = None
        link: Optional[Id] = None
        widget: Any = None

    class Node(Lenient):
        id: Id
        type: str
        mode: Optional[int] = None
        title: Optional[str] = None
        inputs: Optional[List[Slot]] = None
        outputs: Optional[List[Slot]] = None
        widgets_values: Optional[Union[List[Any], Dict[str, Any]]] = None
        properties: Optional[Dict[str, Any]] = None

    class OutputSlot(Lenient):
        name: Optional[str] = None

    class Sheet(Lenient):
        nodes: Optional[List[Node]] = None
        links: Optional[List[Union[List[Any], Dict[str, Any]]]] = None
        inputs: Optional[List[OutputSlot]] = None

    class Subgraph(Sheet):
        id: Id
        name: Optional[str] = None

    class Definitions(Lenient):
        subgraphs: Optional[List[Subgraph]] = None

    class Workflow(Sheet):
        definitions: Optional[Definitions] = None

    return Workflow


def check_ui(data: Mapping[str, Any]) -> None:
    """Raises DistillError naming the first place of a UI file that has not the shape of a workflow, or more than
    MAX_NODES nodes on one sheet."""
    from pydantic import ValidationError

    sheets = [data]
    definitions = data.get("definitions")
    if isinstance(definitions, Mapping) and isinstance(definitions.get("subgraphs"), list):
        sheets += [one for one in definitions["subgraphs"] if isinstance(one, Mapping)]
    for sheet in sheets:
        if isinstance(sheet.get("nodes"), list):
            check_nodes(len(sheet["nodes"]))
    try:
        _model().model_validate(data)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(map(str, first["loc"]))[:100]
        reason = first["msg"].partition(" or instance of")[0][:100]
        raise DistillError(f"The workflow is damaged: {place}: {reason}. Save it again from the editor.") from None


def check_nodes(count: int) -> None:
    """Raises DistillError above MAX_NODES."""
    if count > MAX_NODES:
        raise DistillError(f"The workflow has more than {MAX_NODES} nodes, those of subgraphs counted once for each "
                           "use. Part it.")
