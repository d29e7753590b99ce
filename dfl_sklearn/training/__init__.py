"""Training: an objective, a learner, and stages that bring the two together."""
