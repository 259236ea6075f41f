"""Exact shapes of coloured primitives, for training data and for tests against the truth.

    sdf     signed distances: `Parts`, `primitive_sdf`, `shape_sdf`
    render  sphere tracing: `render_shapes`
"""
