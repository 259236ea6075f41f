"""`distill3d new`: its files have the right names, compile, pass ruff, and are listed."""
import importlib.util
import shutil
import subprocess
import sys

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
    shutil.copyfile(PACK / "pyproject.toml", tmp_path / "pyproject.toml")
    (tmp_path / "tests" / "parts").mkdir()
    (tmp_path / "tests" / "parts" / "looks.py").touch()
    return tmp_path


@pytest.mark.parametrize("kind, name, file, node", [
    ("loss", "Frobnicated Loss", "losses/frobnicated.py", "FrobnicatedLossNode"),
    ("prior", "FrobNet", "priors/frobnet_prior.py", "FrobNetPriorNode"),
    ("field", "frob volume", "fields/frob_volume.py", "FrobVolumeNode"),
    ("material", "Frob", "materials/frob.py", "FrobNode"),
    ("loss", "quite a long name", "losses/quite_a_long_name.py",
     "QuiteALongNameLossNode")])
def test_files_and_the_line(pack, kind, name, file, node):
    before = (pack / "nodes" / "__init__.py").read_text()
    written = scaffold.write(kind, name, pack)
    assert written[0] == pack / "nodes" / file and all(path.is_file() for path in written)
    for path in written:
        compile(path.read_text(), str(path), "exec")
        assert "@" not in path.read_text().replace("@dataclass", "").replace("@classmethod", "")
    if importlib.util.find_spec("ruff"):
        ruff = subprocess.run([sys.executable, "-m", "ruff", "check", "--no-cache", "."], cwd=pack, capture_output=True,
                              text=True)
        assert ruff.returncode == 0, ruff.stdout
    after = (pack / "nodes" / "__init__.py").read_text()
    added = [line for line in after.split("\n") if line not in before.split("\n")]
    assert len(added) == 1 and added[0].endswith(f" import {node}")


@pytest.mark.parametrize("name, words",
                         [("Frob", "exists"), ("!!", "is not a name"), ("2D", "is not a name"),
                          ("Loss", "is not a name")])
def test_names_that_cannot_be(pack, name, words):
    scaffold.write("loss", "Frob", pack)
    with pytest.raises(DistillError, match=words):
        scaffold.write("loss", name, pack)
