"""One description a workflow file: see runner/method.py."""
