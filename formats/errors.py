"""The one error of this package: a file that cannot be used, with a reason for its owner."""


class InputRefused(Exception):
    """A file, or a part of one, that cannot be used as it is.

    Attributes:
        code: stable slug, one of
            `empty-file`, `not-an-image`, `unsupported-media`, `image-undecodable`,
            `image-too-large`, `label-invalid`, `classes-invalid`, `name-unsafe`,
            `not-an-archive`, `nested-archive`, `archive-unsafe`, `archive-too-large`,
            `archive-member-unreadable`, `manifest-invalid`, `manifest-too-large`.
        detail: one sentence that its owner can act on; never a path of the server.
        hint: what usually helps, when that is more than the detail says.
    """

    def __init__(self, code: str, detail: str, hint: str | None = None) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail
        self.hint = hint
