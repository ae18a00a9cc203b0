"""What a file is, from its first bytes alone: names for messages and a check without a decoder."""

from typing import Final

HEAD_BYTES: Final = 32
IMAGE_KINDS: Final = frozenset({"PNG", "JPEG", "TIFF", "BMP", "WEBP", "GIF"})
PACKED_KINDS: Final = frozenset({"ZIP", "gzip", "xz", "bzip2", "Zstandard", "RAR", "7-Zip"})
ARCHIVE_HEAD_BYTES: Final = 1024  # a header of tar, packed or not

_BY_PREFIX: Final = (
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"\xff\xd8\xff", "JPEG"),
    (b"II*\x00", "TIFF"),
    (b"MM\x00*", "TIFF"),
    (b"II+\x00", "TIFF"),
    (b"MM\x00+", "TIFF"),
    (b"BM", "BMP"),
    (b"GIF8", "GIF"),
    (b"%PDF", "PDF"),
    (b"8BPS", "Photoshop"),
    (b"\x00\x00\x00\x0cjP  ", "JPEG 2000"),
    (b"\xff\x4f\xff\x51", "JPEG 2000"),
    (b"\x00\x00\x00\x0cJXL ", "JPEG XL"),
    (b"v/1\x01", "OpenEXR"),
    (b"PK\x03\x04", "ZIP"),
    (b"PK\x05\x06", "ZIP"),
    (b"\x1f\x8b", "gzip"),
    (b"\xfd7zXZ\x00", "xz"),
    (b"BZh", "bzip2"),
    (b"\x28\xb5\x2f\xfd", "Zstandard"),
    (b"Rar!", "RAR"),
    (b"7z\xbc\xaf\x27\x1c", "7-Zip"),
    (b"\x93NUMPY", "NumPy"),
)
_BY_BRAND: Final = {
    b"avif": "AVIF",
    b"avis": "AVIF",
    b"heic": "HEIC",
    b"heix": "HEIC",
    b"mif1": "HEIC",
    b"msf1": "HEIC",
}
_EXTENSIONS: Final = {
    "JPEG": ("jpg", "jpeg", "jpe", "jfif", "mpo"),
    "PNG": ("png", "apng"),
    "WEBP": ("webp",),
    "TIFF": ("tif", "tiff", "btf", "tf8"),
    "BMP": ("bmp", "dib"),
}


def sniff_media(head: bytes) -> str | None:
    """Return the kind of file that starts with `head` (at least 16 bytes help), None if unknown."""
    for prefix, kind in _BY_PREFIX:
        if head.startswith(prefix):
            return kind
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "WEBP"
    if head[4:8] == b"ftyp":
        return _BY_BRAND.get(head[8:12], "a video or ISO media file")
    return None


def name_mismatch(name: str, media: str) -> str | None:
    """Return a sentence when the extension of `name` promises something else than `media`.

    The content decides and the file is used all the same; the sentence goes into reports.
    A name without an extension, or with one that means no image, promises nothing.
    """
    extension = name.rpartition(".")[2].lower() if "." in name else ""
    for promised, extensions in _EXTENSIONS.items():
        if extension in extensions and promised != media:
            return f"The name ends in .{extension}, the content is {media}; it is read as {media}."
    return None
