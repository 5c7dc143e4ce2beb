"""The exceptions a person is meant to read."""


class UserError(ValueError):
    """A mistake in a config, a data set, a checkpoint or the environment.

    The message is a sentence: what is wrong, where, what is allowed, what to do next. The doors
    (``tools/``) print it without a traceback and exit with status 1; anything else that is raised
    is a defect of ours and keeps its traceback.
    """


class UnreadableVideo(UserError):  # noqa: N818 - it names the video, not a mistake in the code
    """A video that cannot be opened or decoded; `path` and `reason` say which and why."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(path, reason)
        self.path = path
        self.reason = reason

    def __str__(self) -> str:
        return f"the video '{self.path}' cannot be read: {self.reason}"


class Interrupted(BaseException):
    """The run was asked to stop by signal `signum`; `saved` tells whether its state was written.

    Like KeyboardInterrupt it is no `Exception`, which somebody on the way might take for a damaged
    file. It comes out of `engine.run.start` in every process. The doors exit with status
    128 + `signum`.
    """

    def __init__(self, signum: int, *, saved: bool) -> None:
        super().__init__(signum, saved)
        self.signum = signum
        self.saved = saved
