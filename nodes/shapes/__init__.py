"""Captions that name exact shapes: a shelf for training, evaluation and the runner.

    caption  the language, and shapes as tensors: `parse_shape`, `sample_shape`, `shape_parts`
"""
