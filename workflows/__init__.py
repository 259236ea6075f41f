"""Workflows: files that ComfyUI opens, their pictures, and methods/, the descriptions that they are written from."""
