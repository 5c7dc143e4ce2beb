"""The loops: training, evaluation, test, and what they need to start."""
