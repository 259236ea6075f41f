"""python -m distill3d"""
import sys

from .workflows.cli import main

sys.exit(main())
