"""Training: an objective, a learner, and the stages of a fit."""
