"""The one exception a person is meant to read."""


class UserError(ValueError):
    """A mistake in a config, a data set, a checkpoint or the environment.

    The message is a sentence: what is wrong, where, what is allowed, what to do next. The doors
    (``tools/``) print it without a traceback and exit with status 1; anything else that is raised
    is a defect of ours and keeps its traceback.
    """
