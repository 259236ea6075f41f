"""Stateless functions on tensors: no parameters, files, models or ComfyUI."""
