"""The formulas of score distillation."""
