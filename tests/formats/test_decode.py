"""One picture gives one array: depth, colour, alpha, orientation, frames, sizes, threads."""

import io
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image, ImageOps

from formats.decode import ImageHeader, decode_image, inspect_image, plain_suffix
from formats.errors import InputRefused
from formats.opening import ImageLimits
from tests.formats.samples import encoded, exif_bytes, noise, png_chunk, png_file, tiff_file

LIMITS = ImageLimits()
LOSSLESS = {"PNG": {}, "WEBP": {"lossless": True}, "TIFF": {}, "BMP": {}}


def refusal(data: bytes) -> InputRefused:
    with pytest.raises(InputRefused) as caught:
        decode_image(data, LIMITS)
    return caught.value


@pytest.mark.parametrize("image_format", LOSSLESS)
@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 9), (7, 5), (33, 17)])
def test_lossless_formats_give_back_the_array(image_format: str, height: int, width: int) -> None:
    image = noise(height, width)
    data = encoded(image, image_format, **LOSSLESS[image_format])
    decoded = decode_image(data, LIMITS)
    np.testing.assert_array_equal(decoded, image)
    assert decoded.dtype == np.uint8
    assert decoded.flags.writeable
    assert decoded.flags.c_contiguous
    header = inspect_image(io.BytesIO(data), LIMITS)
    assert header == ImageHeader(image_format, width, height, "RGB", 1, 1)


def test_jpeg_is_close_and_reads_from_a_file_object() -> None:
    image = np.full((16, 16, 3), (200, 40, 90), np.uint8)
    decoded = decode_image(io.BytesIO(encoded(image, "JPEG", quality=95)), LIMITS)
    assert np.abs(decoded.astype(int) - image).max() <= 3


def test_inspect_rewinds_the_file() -> None:
    file = io.BytesIO(encoded(noise(4, 4), "PNG"))
    inspect_image(file, LIMITS)
    assert file.tell() == 0


def test_grey_is_repeated_over_the_channels() -> None:
    grey = np.array([[0, 128, 255]], np.uint8)
    assert decode_image(encoded(grey, "PNG"), LIMITS).tolist() == [
        [[0, 0, 0], [128, 128, 128], [255, 255, 255]]
    ]


def test_one_bit_becomes_black_and_white() -> None:
    bits = Image.fromarray(np.array([[0, 255, 0]], np.uint8)).convert("1")
    assert decode_image(encoded(bits, "PNG"), LIMITS)[0, :, 0].tolist() == [0, 255, 0]


@pytest.mark.parametrize("image_format", ["PNG", "TIFF"])
def test_sixteen_bit_grey_keeps_the_high_byte(image_format: str) -> None:
    grey = np.array([[0, 255, 256, 0x80FF, 0xFFFF]], np.uint16)
    decoded = decode_image(encoded(grey, image_format), LIMITS)
    assert decoded[0, :, 1].tolist() == [0, 0, 1, 0x80, 0xFF]


def test_sixteen_bit_colour_follows_the_same_rule_as_grey() -> None:
    row = b"\x00" + b"\x00\xff\x80\xff\xff\xff"
    assert decode_image(png_file(1, 1, 16, 2, row), LIMITS).tolist() == [[[0, 0x80, 0xFF]]]


def test_twelve_bit_tiff_keeps_its_upper_eight_bits() -> None:
    tags = [
        (256, 4, 1, 2),
        (257, 4, 1, 1),
        (258, 3, 1, 12),
        (259, 3, 1, 1),
        (262, 3, 1, 1),
        (273, 4, 1, 8 + 2 + 8 * 12 + 4),
        (277, 3, 1, 1),
        (279, 4, 1, 3),
    ]
    # Two samples of 12 bits, 0xFFF and 0x800, in three bytes.
    data = tiff_file(tags, b"\xff\xf8\x00")
    assert decode_image(data, LIMITS)[0, :, 0].tolist() == [0xFF, 0x80]


@pytest.mark.parametrize("dtype", [np.int32, np.float32])
def test_samples_without_a_white_are_refused(dtype: type) -> None:
    data = encoded(np.ones((2, 2), dtype), "TIFF")
    refused = refusal(data)
    assert refused.code == "unsupported-media"
    assert "8 or 16 bits" in str(refused.hint)
    with pytest.raises(InputRefused, match="no agreed white"):
        inspect_image(io.BytesIO(data), LIMITS)


def test_lab_is_refused_by_name() -> None:
    refused = refusal(encoded(Image.new("LAB", (2, 2)), "TIFF"))
    assert refused.code == "unsupported-media"
    assert "LAB" in refused.detail


@pytest.mark.parametrize("image_format", ["JPEG", "TIFF"])
def test_cmyk_is_not_inverted(image_format: str) -> None:
    # Pillow writes Adobe's inverted CMYK into JPEG and the plain one into TIFF.
    red = Image.new("CMYK", (16, 16), (0, 255, 255, 0))
    decoded = decode_image(encoded(red, image_format), LIMITS)
    assert np.abs(decoded[8, 8].astype(int) - (255, 0, 0)).max() <= 4


def test_alpha_is_laid_over_black() -> None:
    rgba = np.array([[[200, 100, 50, 255], [200, 100, 50, 0], [200, 100, 50, 128]]], np.uint8)
    for image_format in ("PNG", "TIFF", "WEBP"):
        options = {"lossless": True, "exact": True} if image_format == "WEBP" else {}
        decoded = decode_image(encoded(rgba, image_format, **options), LIMITS)
        assert decoded.tolist() == [[[200, 100, 50], [0, 0, 0], [100, 50, 25]]]


def test_grey_with_alpha() -> None:
    data = encoded(Image.new("LA", (1, 1), (200, 128)), "PNG")
    assert decode_image(data, LIMITS).tolist() == [[[100, 100, 100]]]


def palette_image() -> Image.Image:
    image = Image.fromarray(np.array([[0, 1, 2]], np.uint8))
    image.putpalette([255, 0, 0, 0, 255, 0, 0, 0, 255])
    return image


def test_palette_gives_its_colours() -> None:
    expected = [[[255, 0, 0], [0, 255, 0], [0, 0, 255]]]
    for image_format in ("PNG", "TIFF", "BMP"):
        data = encoded(palette_image(), image_format)
        assert decode_image(data, LIMITS).tolist() == expected


def test_palette_with_alpha_is_laid_over_black() -> None:
    data = encoded(palette_image(), "PNG", transparency=bytes([255, 0, 128]))
    assert inspect_image(io.BytesIO(data), LIMITS).mode == "P"
    assert decode_image(data, LIMITS).tolist() == [[[255, 0, 0], [0, 0, 0], [0, 0, 128]]]


def test_a_transparent_colour_is_laid_over_black() -> None:
    image = np.array([[[10, 20, 30], [40, 50, 60]]], np.uint8)
    data = encoded(image, "PNG", transparency=(10, 20, 30))
    assert decode_image(data, LIMITS).tolist() == [[[0, 0, 0], [40, 50, 60]]]


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("image_format", ["PNG", "WEBP", "TIFF", "JPEG"])
def test_exif_orientation_is_applied(image_format: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"lossless": True} if image_format == "WEBP" else {}
    data = encoded(noise(3, 5), image_format, exif=exif, **options)
    stored = Image.open(io.BytesIO(data))
    upright = np.asarray(ImageOps.exif_transpose(stored))
    decoded = decode_image(data, LIMITS)
    np.testing.assert_array_equal(decoded, upright)
    assert decoded.shape == ((5, 3, 3) if orientation >= 5 else (3, 5, 3))
    header = inspect_image(io.BytesIO(data), LIMITS)
    assert (header.height_px, header.width_px) == decoded.shape[:2]
    assert header.orientation == orientation


def test_orientations_have_the_meaning_of_exif() -> None:
    # Where the first row and column of the stored pixels lie on the upright image.
    stored = np.array([[1, 2, 3], [4, 5, 6]], np.uint8)
    upright = {
        1: [[1, 2, 3], [4, 5, 6]],
        2: [[3, 2, 1], [6, 5, 4]],
        3: [[6, 5, 4], [3, 2, 1]],
        4: [[4, 5, 6], [1, 2, 3]],
        5: [[1, 4], [2, 5], [3, 6]],
        6: [[4, 1], [5, 2], [6, 3]],
        7: [[6, 3], [5, 2], [4, 1]],
        8: [[3, 6], [2, 5], [1, 4]],
    }
    for orientation, expected in upright.items():
        exif = Image.Exif()
        exif[0x0112] = orientation
        decoded = decode_image(encoded(stored, "PNG", exif=exif), LIMITS)
        assert decoded[..., 0].tolist() == expected


@pytest.mark.parametrize(
    "late",
    [
        png_chunk(b"eXIf", exif_bytes(6)),
        png_chunk(
            b"tEXt",
            b"Raw profile type exif\x00\nexif\n      %d\n" % (len(exif_bytes(6)) + 6)
            + (b"Exif\x00\x00" + exif_bytes(6)).hex().encode(),
        ),
        png_chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + b'<x tiff:Orientation="6"/>'),
    ],
    ids=["exif", "raw-profile", "xmp"],
)
def test_orientation_behind_the_pixels_of_a_png_counts(late: bytes) -> None:
    data = png_file(3, 1, 8, 0, b"\x00\x01\x02\x03", after=late)
    header = inspect_image(io.BytesIO(data), LIMITS)
    assert (header.width_px, header.height_px, header.orientation) == (1, 3, 6)
    assert decode_image(data, LIMITS)[..., 0].tolist() == [[1], [2], [3]]


def test_unreadable_exif_means_upright() -> None:
    data = png_file(2, 1, 8, 0, b"\x00\x07\x08", before=png_chunk(b"eXIf", b"\xff garbage"))
    assert inspect_image(io.BytesIO(data), LIMITS).orientation == 1
    assert decode_image(data, LIMITS)[..., 0].tolist() == [[7, 8]]


@pytest.mark.parametrize("image_format", ["PNG", "WEBP", "TIFF", "MPO"])
def test_of_several_frames_the_first_counts(image_format: str) -> None:
    first, second = Image.new("RGB", (8, 8), (250, 0, 0)), Image.new("RGB", (8, 8), (0, 0, 250))
    options = {"lossless": True} if image_format == "WEBP" else {}
    data = encoded(first, image_format, save_all=True, append_images=[second], **options)
    header = inspect_image(io.BytesIO(data), LIMITS)
    assert header.frames == 2
    assert header.format == ("JPEG" if image_format == "MPO" else image_format)
    assert np.abs(decode_image(data, LIMITS)[4, 4].astype(int) - (250, 0, 0)).max() <= 4


def test_tiff_pages_are_counted_up_to_a_bound() -> None:
    page = Image.new("L", (1, 1))
    data = encoded(page, "TIFF", save_all=True, append_images=[page] * 120)
    assert inspect_image(io.BytesIO(data), LIMITS).frames == 100


def test_content_decides_not_the_name() -> None:
    assert inspect_image(io.BytesIO(encoded(noise(8, 8), "JPEG")), LIMITS).format == "JPEG"


@pytest.mark.parametrize("image_format", ["JPEG", "PNG", "WEBP", "TIFF", "BMP"])
@pytest.mark.parametrize("kept", [0.5, 0.9])
def test_truncated_files_are_refused(image_format: str, kept: float) -> None:
    data = encoded(noise(40, 40), image_format)
    refused = refusal(data[: int(len(data) * kept)])
    assert refused.code == "image-undecodable"
    assert image_format in refused.detail


def test_a_png_that_lacks_only_its_end_mark_is_whole() -> None:
    image = noise(6, 6)
    np.testing.assert_array_equal(decode_image(encoded(image, "PNG")[:-12], LIMITS), image)


def test_threads_decode_at_once() -> None:
    files = [
        encoded(noise(20 + i, 30), image_format)
        for i in range(4)
        for image_format in ("JPEG", "PNG", "WEBP", "TIFF", "BMP")
    ]
    files += [data[: len(data) // 2] for data in files]

    def outcome(data: bytes) -> bytes | str:
        try:
            return decode_image(data, LIMITS).tobytes()
        except InputRefused as refused:
            return refused.code

    alone = [outcome(data) for data in files]
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(outcome, files * 5))
    assert together == alone * 5
    assert alone.count("image-undecodable") == len(files) // 2


@pytest.mark.parametrize(
    ("data", "suffix"),
    [
        (encoded(noise(8, 8), "PNG"), "png"),
        (encoded(noise(8, 8), "JPEG"), "jpg"),
        (encoded(noise(8, 8)[..., 0], "PNG"), "png"),
        (encoded(noise(8, 8), "WEBP"), None),
        (encoded(noise(8, 8), "PNG", transparency=(0, 0, 0)), None),
        (encoded(noise(8, 8), "JPEG", exif=b"Exif\x00\x00" + exif_bytes(6)), None),
    ],
)
def test_images_that_any_decoder_reads_alike(data: bytes, suffix: str | None) -> None:
    file = io.BytesIO(data)
    assert plain_suffix(file, LIMITS) == suffix
    assert file.tell() == 0
