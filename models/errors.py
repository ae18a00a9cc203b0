"""What `models` raises when it cannot or will not go on. Imports no torch."""


class ModelRefused(Exception):  # noqa: N818  the name says what happened to the model
    """A model file or folder is not taken.

    Attributes:
        code: stable slug, for example `model-is-pickle`.
        reason: what is wrong, one sentence.
        remedy: what a person can do about it, one sentence or a command.
    """

    def __init__(self, code: str, reason: str, remedy: str) -> None:
        super().__init__(f"{reason} {remedy}")
        self.code = code
        self.reason = reason
        self.remedy = remedy


class ConfigError(ValueError):
    """A value of a pipeline configuration is not valid; `path` is its dotted place."""

    code = "config-invalid"

    def __init__(self, path: str, message: str) -> None:
        super().__init__(f"{path}: {message}" if path else message)
        self.path = path


class PilotMissing(ValueError):
    """Selection needs thresholds of the whole set and none were given."""

    code = "pilot-missing"

    def __init__(self) -> None:
        super().__init__(
            "select has scope 'set' and no thresholds: run pilot() over a sample of the set, fit "
            "thresholds with fit_thresholds(), and pass the fit; or give thresholds; or use "
            "scope 'image'"
        )


class CorrectionFitMissing(ValueError):
    """Correction is fitted on the regions of a whole job and no fit was given."""

    code = "correction-fit-missing"

    def __init__(self) -> None:
        super().__init__(
            "correct has fit 'job': gather evidence() of the images, fit on a sample of all, and "
            "finish each with the fit; or label() them in one call; or use fit 'model'"
        )


class ModelOutputInvalid(RuntimeError):
    """A model gave something that is no map of class scores (wrong shape, or not finite)."""

    code = "model-output-invalid"


class OutOfMemory(RuntimeError):
    """An image does not fit into memory even one window at a time."""

    code = "out-of-memory"

    def __init__(self, window_px: int) -> None:
        super().__init__(
            f"out of memory with one window of {window_px} px and a batch of one; use a machine "
            "with more memory or a smaller model"
        )


class RegionModelOutOfMemory(OutOfMemory):
    """A region model does not fit into memory even with one image and one prompt at a time."""

    def __init__(self) -> None:
        RuntimeError.__init__(
            self,
            "out of memory with one image and one prompt of the region model at a time; use a "
            "machine with more memory or a smaller region model",
        )
