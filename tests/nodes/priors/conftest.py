import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(scope="session")
def tiny_if(tmp_path_factory):
    """The folder of a tiny IF model, only to be read."""
    from tiny_if import write_tiny_if

    return write_tiny_if(tmp_path_factory.mktemp("tiny") / "builtin")
