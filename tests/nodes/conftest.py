import sys
from pathlib import Path

# The stand-in scenes and priors of this folder are shared by the tests of several rooms.
sys.path.insert(0, str(Path(__file__).parent))
