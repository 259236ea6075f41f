import pytest

pytest.importorskip("diffusers")
pytest.importorskip("transformers")
