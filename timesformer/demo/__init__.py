"""A page on which a person tries a model with a video of their own."""
