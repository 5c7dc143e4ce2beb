"""Checkpoints: the files (`files`) and the training state they hold (`state`)."""
