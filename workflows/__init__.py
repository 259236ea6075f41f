"""Workflows: files that ComfyUI opens, their pictures, and methods/, the descriptions that the files are written from.
description.py holds what descriptions are made of."""
