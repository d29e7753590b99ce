"""Solvers: numbers in, numbers out. They know nothing of problems, models or training."""
