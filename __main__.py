"""python -m distill3d"""
import sys

from .runner.cli import main

sys.exit(main())
