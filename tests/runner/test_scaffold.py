"""`distill3d new`: what it writes is named rightly, compiles, and is listed. That it runs is what its own test
shows."""
import shutil

import pytest

from distill3d.nodes.core.errors import DistillError
from distill3d.runner import scaffold
from distill3d.runner.listing import PACK


@pytest.fixture
def pack(tmp_path):
    for room in scaffold.ROOMS.values():
        (tmp_path / "nodes" / room).mkdir(parents=True)
        (tmp_path / "tests" / "nodes" / room).mkdir(parents=True)
    shutil.copyfile(PACK / "nodes" / "__init__.py", tmp_path / "nodes" / "__init__.py")
    return tmp_path


@pytest.mark.parametrize("kind, name, file, node", [
    ("loss", "Frobnicated Loss", "losses/frobnicated.py", "FrobnicatedLossNode"),
    ("prior", "FrobNet", "priors/frobnet_prior.py", "FrobNetPriorNode"),
    ("field", "frob volume", "fields/frob_volume.py", "FrobVolumeNode"),
    ("material", "Frob", "materials/frob.py", "FrobNode")])
def test_files_and_the_line(pack, kind, name, file, node):
    before = (pack / "nodes" / "__init__.py").read_text()
    written = scaffold.write(kind, name, pack)
    assert written[0] == pack / "nodes" / file and all(path.is_file() for path in written)
    for path in written:
        compile(path.read_text(), str(path), "exec")
        assert "@" not in path.read_text().replace("@dataclass", "").replace("@classmethod", "")
    after = (pack / "nodes" / "__init__.py").read_text()
    added = [line for line in after.split("\n") if line not in before.split("\n")]
    assert any(f"import {node}" in line for line in added) and after.count(node) == 2


@pytest.mark.parametrize("name, words",
                         [("Frob", "exists"), ("!!", "is no name"), ("2D", "is no name"), ("Loss", "is no name")])
def test_names_that_cannot_be(pack, name, words):
    scaffold.write("loss", "Frob", pack)
    with pytest.raises(DistillError, match=words):
        scaffold.write("loss", name, pack)
