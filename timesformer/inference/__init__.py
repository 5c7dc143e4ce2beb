"""A trained model at work: on videos of whoever asks."""
