"""Model archives that nobody should trust: each is refused with a reason, and nothing is run.

By names and sizes at once (422); by content in the job, whose version ends `rejected`.
"""

import hashlib
import io
import json
import os
import pickle
import stat
import struct
import tarfile
import warnings
import zipfile
from pathlib import Path
from typing import Any

import pytest

from storage.catalog.tables import UploadRow
from tests.support.api import get_job
from tests.support.images import zip_bytes
from tests.support.installation import Installation
from tests.support.model_files import (
    bundle_files,
    changed_json,
    huggingface_files,
    post_archive,
    post_files,
    post_source,
    safetensors,
)
from tests.support.uploads import announce, upload

BUNDLE = bundle_files()
WEIGHTS = "segmenter.safetensors"
FOLDER = huggingface_files()


class Bomb:
    """A pickle that leaves a trace when it is read."""

    def __init__(self, trace: Path) -> None:
        self._trace = str(trace)

    def __reduce__(self) -> Any:
        return os.mkdir, (self._trace,)


def bomb(folder: Path) -> bytes:
    return pickle.dumps(Bomb(folder / "it-ran"))


def torch_zip(payload: bytes) -> bytes:
    """What `torch.save` writes: a zip with a pickle inside."""
    return zip_bytes({"archive/data.pkl": payload, "archive/version": b"3"})


def linked_zip() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        info = zipfile.ZipInfo("config.json")
        info.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(info, "/etc/passwd")
        archive.writestr(WEIGHTS, BUNDLE[WEIGHTS])
    return buffer.getvalue()


def named_twice() -> bytes:
    buffer = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(buffer, "w") as archive:
        warnings.simplefilter("ignore")
        for name, data in BUNDLE.items():
            archive.writestr(name, data)
        archive.writestr("bundle.json", b"{}")
    return buffer.getvalue()


def packed_tightly() -> bytes:
    """Ten megabytes of zeros in ten kilobytes."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("bundle.json", BUNDLE["bundle.json"])
        archive.writestr(WEIGHTS, bytes(10_000_000))
    return buffer.getvalue()


def encrypted() -> bytes:
    data = bytearray(zip_bytes(BUNDLE))
    for magic, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        at = data.find(magic)
        data[at + offset] |= 1
    return bytes(data)


def tar_with(name: str, kind: bytes, target: str = "") -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for file_name, data in BUNDLE.items():
            info = tarfile.TarInfo(file_name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
        info = tarfile.TarInfo(name)
        info.type, info.linkname = kind, target
        archive.addfile(info)
    return buffer.getvalue()


def assert_refused(answer: Any, code: str, *words: str) -> None:
    document = answer.json()
    assert (answer.status_code, document["code"]) == (422, code), document
    for word in words:
        assert word in document["detail"]
    assert "/tmp" not in answer.text
    assert "Traceback" not in answer.text


class TestRefusedAtOnce:
    @pytest.mark.parametrize(
        "name",
        ["pytorch_model.bin", "model.pt", "model.pth", "last.ckpt", "a.pkl", "b.PICKLE",
         "training_args.bin", "x.joblib", "folder/pytorch_model.bin"],
    )  # fmt: skip
    def test_pickles(self, sqlite_site: Installation, tmp_path: Path, name: str) -> None:
        answer = post_files(sqlite_site, {**FOLDER, name: bomb(tmp_path)})
        assert_refused(answer, "model-is-pickle", "selvage models convert", name)
        assert not (tmp_path / "it-ran").exists()

    @pytest.mark.parametrize(
        "name", ["modeling_street.py", "setup.sh", "lib.so", "model.onnx", "model.pt2", "run.exe"]
    )
    def test_code_and_programs(self, sqlite_site: Installation, name: str) -> None:
        answer = post_files(sqlite_site, {**FOLDER, name: b"print('hello')"})
        assert_refused(answer, "model-has-code", name, "selvage models add")

    def test_exported_program(self, sqlite_site: Installation) -> None:
        manifest = {"format_version": 1, "kind": "torchscript", "file": "a.json"}
        files = {"selvage-model.json": json.dumps(manifest).encode(), **BUNDLE}
        assert_refused(post_files(sqlite_site, files), "model-has-code", "models add")

    @pytest.mark.parametrize(
        ("files", "code"),
        [
            ({**BUNDLE, "more.zip": zip_bytes(BUNDLE)}, "archive-unsafe"),
            ({**BUNDLE, "more.tar.gz": b"x"}, "archive-unsafe"),
            ({**BUNDLE, "weights.npy": b"\x93NUMPY"}, "model-unreadable"),
            ({**BUNDLE, "notes.docx": b"x"}, "model-unreadable"),
            ({**BUNDLE, "sub/config.json": b"{}"}, "model-unreadable"),
            ({**BUNDLE, "BUNDLE.json": b"{}"}, "model-unreadable"),
            ({**BUNDLE, "böse.json": b"{}"}, "model-unreadable"),
            ({**BUNDLE, "a b.json": b"{}"}, "model-unreadable"),
            ({**BUNDLE, f"{'x' * 300}.json": b"{}"}, "model-unreadable"),
            ({**BUNDLE, "../up.json": b"{}"}, "name-unsafe"),
            ({**BUNDLE, "/etc/up.json": b"{}"}, "name-unsafe"),
            ({**BUNDLE, "C:\\up.json": b"{}"}, "name-unsafe"),
            ({**BUNDLE, **{f"{i}.txt": b"x" for i in range(600)}}, "model-unreadable"),
            ({**BUNDLE, **{f"{i}.txt": b"x" for i in range(1100)}}, "archive-too-large"),
            ({"config.json": FOLDER["config.json"]}, "model-unreadable"),
            ({WEIGHTS: BUNDLE[WEIGHTS]}, "model-unreadable"),
            ({"README.md": b"# nothing"}, "model-unreadable"),
            ({}, "not-an-archive"),
        ],
    )
    def test_what_is_no_model(
        self, sqlite_site: Installation, files: dict[str, bytes], code: str
    ) -> None:
        assert_refused(post_files(sqlite_site, files), code)

    @pytest.mark.parametrize(
        ("archive", "code"),
        [
            (linked_zip(), "archive-unsafe"),
            (named_twice(), "model-unreadable"),
            (packed_tightly(), "archive-unsafe"),
            (encrypted(), "archive-unsafe"),
            (zip_bytes(BUNDLE)[:-30], "not-an-archive"),
            (b"", "not-an-archive"),
            (BUNDLE[WEIGHTS], "not-an-archive"),
            (b"\x80\x04." * 10, "not-an-archive"),
            (tar_with("link.json", tarfile.SYMTYPE, "/etc/passwd"), "archive-unsafe"),
            (tar_with("link.json", tarfile.LNKTYPE, "bundle.json"), "archive-unsafe"),
            (tar_with("zero.json", tarfile.CHRTYPE), "archive-unsafe"),
            (tar_with("../up.json", tarfile.REGTYPE), "name-unsafe"),
        ],
    )
    def test_what_is_no_archive(self, sqlite_site: Installation, archive: bytes, code: str) -> None:
        assert_refused(post_archive(sqlite_site, archive), code)

    def test_checkpoint_by_itself(self, sqlite_site: Installation, tmp_path: Path) -> None:
        answer = post_archive(sqlite_site, torch_zip(bomb(tmp_path)), "street.pt")
        assert_refused(answer, "model-is-pickle", "selvage models convert")
        assert_refused(
            post_archive(sqlite_site, torch_zip(bomb(tmp_path)), "street.zip"), "model-is-pickle"
        )
        assert not (tmp_path / "it-ran").exists()

    def test_nothing_is_left(self, sqlite_site: Installation) -> None:
        post_files(sqlite_site, {**BUNDLE, "a.pkl": b"x"})
        assert sqlite_site.client.get("/v1/models").json()["models"] == []
        assert list(sqlite_site.objects.list("uploads")) == []
        assert sqlite_site.client.get("/v1/jobs").json()["jobs"] == []

    @pytest.mark.parametrize("name", ["UPPER", "-a", "a" * 64, "a%00b", "..", "a%2Fb", "ä"])
    def test_names_of_models(self, sqlite_site: Installation, name: str) -> None:
        answer = post_files(sqlite_site, BUNDLE, name=name)
        assert answer.status_code in (404, 405, 422)

    @pytest.mark.parametrize(
        "fields",
        [{"promote": "perhaps"}, {"metadata": "{"}, {"metadata": "[1]"}, {"metadata": "[" * 9999},
         {"metadata": '{"a": 1}'}, {"wrong": "x"}],
    )  # fmt: skip
    def test_fields(self, sqlite_site: Installation, fields: dict[str, str]) -> None:
        assert_refused(post_files(sqlite_site, BUNDLE, **fields), "validation-error")

    def test_two_archives_or_none(self, sqlite_site: Installation) -> None:
        url = "/v1/models/new/versions"
        two = [("file", (f"{i}.zip", zip_bytes(BUNDLE))) for i in range(2)]
        assert_refused(sqlite_site.client.post(url, files=two), "validation-error")
        answer = sqlite_site.client.post(url, files=[("other", ("a.zip", b"x"))])
        assert_refused(answer, "validation-error")


class TestSources:
    @pytest.mark.parametrize(
        "body",
        [
            {},
            {"source": {}},
            {"source": {"type": "url", "url": "file:///etc/passwd"}},
            {"source": {"type": "upload"}},
            {"source": {"type": "upload", "upload": "../../etc"}},
            {"source": {"type": "s3_prefix", "connection": "x", "prefix": "a\x00b"}},
            {"source": {"type": "s3_prefix", "prefix": "a"}},
            {"source": {"type": "upload", "upload": "upl_00000000000000000000000000"}, "x": 1},
        ],
    )
    def test_bodies(self, sqlite_site: Installation, body: dict[str, Any]) -> None:
        answer = post_source(sqlite_site, **body)
        assert (answer.status_code, answer.json()["code"]) in (
            (422, "validation-error"),
            (400, "bad-request"),
        )

    @pytest.mark.parametrize("content", [b"", b"{", b"[" * 100_000, b"\xff\xfe", b"null"])
    def test_no_json(self, sqlite_site: Installation, content: bytes) -> None:
        answer = sqlite_site.client.post(
            "/v1/models/new/versions",
            content=content,
            headers={"content-type": "application/json"},
        )
        assert 400 <= answer.status_code < 500

    def test_unknown_or_unfinished(self, sqlite_site: Installation) -> None:
        source = {"type": "upload", "upload": "upl_00000000000000000000000000"}
        assert post_source(sqlite_site, source=source).status_code == 404
        source["upload"] = announce(sqlite_site, b"abc").json()["id"]
        answer = post_source(sqlite_site, source=source)
        assert (answer.status_code, answer.json()["code"]) == (409, "state-conflict")
        prefix = {"type": "s3_prefix", "connection": "nowhere", "prefix": "a/"}
        assert post_source(sqlite_site, source=prefix).status_code == 404
        assert sqlite_site.client.get("/v1/models").json()["models"] == []

    def test_upload_is_judged_like_an_archive(
        self, sqlite_site: Installation, tmp_path: Path
    ) -> None:
        upload_id = upload(sqlite_site, zip_bytes({**BUNDLE, "a.pkl": bomb(tmp_path)}))
        answer = post_source(sqlite_site, source={"type": "upload", "upload": upload_id})
        problem = rejected(sqlite_site, answer)
        assert problem["code"] == "model-is-pickle"
        assert "selvage models convert" in problem["detail"]
        assert not (tmp_path / "it-ran").exists()


def rejected(site: Installation, answer: Any) -> dict[str, Any]:
    """The problem of a version that its job has rejected."""
    assert answer.status_code == 202, answer.text
    site.settle()
    job = get_job(site, answer.json()["id"])
    version = site.client.get("/v1/models/new/versions/1").json()
    assert (job["status"], version["status"]) == ("failed", "rejected")
    assert version["problem"] == job["error"]
    assert "/tmp" not in json.dumps(job)
    assert site.client.get("/v1/models/new").json()["current_version"] is None
    problem: dict[str, Any] = job["error"]
    assert len(problem["detail"]) > 40
    return problem


def header_of(data: bytes) -> dict[str, Any]:
    size = int.from_bytes(data[:8], "little")
    header: dict[str, Any] = json.loads(data[8 : 8 + size])
    return header


def body_of(data: bytes) -> bytes:
    return data[8 + int.from_bytes(data[:8], "little") :]


def with_tensor(**changes: Any) -> bytes:
    """The weights with one entry of the header changed."""
    header = header_of(BUNDLE[WEIGHTS])
    name = min(n for n in header if n != "__metadata__")
    header[name] = {**header[name], **changes}
    return safetensors(header, body_of(BUNDLE[WEIGHTS]))


BAD_WEIGHTS = {
    "empty": b"",
    "short": b"\x10\x00",
    "endless header": struct.pack("<Q", 2**63) + b"{}",
    "header beyond the file": struct.pack("<Q", 5000) + b"{}",
    "no JSON": safetensors(b"not json at all"),
    "deep JSON": safetensors(b"[" * 50_000),
    "a list": safetensors([1, 2]),
    "cut": BUNDLE[WEIGHTS][:-100],
    "longer": BUNDLE[WEIGHTS] + b"more",
    "unknown type": with_tensor(dtype="PICKLE"),
    "negative": with_tensor(data_offsets=[-8, 8]),
    "beyond": with_tensor(data_offsets=[0, 2**60]),
    "shape": with_tensor(shape=[10**9, 10**9]),
    "no numbers": with_tensor(shape=["a"]),
    "no tensor": safetensors({"weight": 7}),
}


class TestRejectedByTheJob:
    @pytest.mark.parametrize("kind", sorted(BAD_WEIGHTS))
    def test_weights(self, sqlite_site: Installation, kind: str) -> None:
        problem = rejected(
            sqlite_site, post_files(sqlite_site, {**BUNDLE, WEIGHTS: BAD_WEIGHTS[kind]})
        )
        assert problem["code"] == "model-unreadable"
        assert WEIGHTS in problem["detail"]

    @pytest.mark.parametrize("name", [WEIGHTS, "bundle.json", "notes.txt"])
    @pytest.mark.parametrize("protocol", [2, 4, 5, "torch"])
    def test_pickle_under_another_name(
        self, sqlite_site: Installation, tmp_path: Path, name: str, protocol: Any
    ) -> None:
        payload = Bomb(tmp_path / "it-ran")
        data = (
            torch_zip(pickle.dumps(payload))
            if protocol == "torch"
            else pickle.dumps(payload, protocol)
        )
        problem = rejected(sqlite_site, post_files(sqlite_site, {**BUNDLE, name: data}))
        assert problem["code"] == "model-is-pickle"
        assert not (tmp_path / "it-ran").exists()

    @pytest.mark.parametrize(
        "changes",
        [
            {"auto_map": {"AutoModel": "modeling_street.StreetModel"}},
            {"trust_remote_code": True},
            {"custom_pipelines": {"x": {"impl": "pipe.Pipe"}}},
            {"text_config": [{"deeper": {"auto_map": {"AutoConfig": "a.B"}}}]},
        ],
    )
    def test_remote_code(self, sqlite_site: Installation, changes: dict[str, Any]) -> None:
        config = changed_json(FOLDER["config.json"], **changes)
        problem = rejected(sqlite_site, post_files(sqlite_site, {**FOLDER, "config.json": config}))
        assert problem["code"] == "model-has-code"
        assert "config.json" in problem["detail"]

    @pytest.mark.parametrize(
        ("changes", "code"),
        [
            ({"model_type": "bert", "architectures": ["BertModel"]}, "model-not-supported"),
            ({"attn_implementation": "user/kernel"}, "model-has-code"),
            ({"quantization_config": {"a": 1}}, "model-has-code"),
            ({"hidden_sizes": [10**7] * 4}, "model-unreadable"),
            ({"hidden_sizes": "many"}, "model-unreadable"),
            ({"depths": [0.5] * 4}, "model-unreadable"),
            ({"num_attention_heads": [0] * 4}, "model-unreadable"),
            ({"id2label": {str(i): f"c{i}" for i in range(300)}}, "too-many-classes"),
            ({"id2label": {"0": "a", "7": "b"}}, None),
            ({"id2label": ["a"]}, None),
            ({"id2label": {"zero": "a"}}, None),
        ],
    )
    def test_configurations(
        self, sqlite_site: Installation, changes: dict[str, Any], code: str | None
    ) -> None:
        config = changed_json(FOLDER["config.json"], **changes)
        problem = rejected(sqlite_site, post_files(sqlite_site, {**FOLDER, "config.json": config}))
        assert problem["code"] == code or code is None
        assert problem["code"].startswith(("model-", "too-many-classes"))

    @pytest.mark.parametrize(
        "content",
        [
            b"",
            b"[]",
            b"[" * 100_000,
            b'{"kind": "selvage-bundle", "format_version": 99}',
            changed_json(BUNDLE["bundle.json"], files={WEIGHTS: "0" * 64}),
            changed_json(BUNDLE["bundle.json"], files={}),
            changed_json(BUNDLE["bundle.json"], files={"../../etc/passwd": "0" * 64}),
            changed_json(BUNDLE["bundle.json"], architecture={"name": "os.system"}),
            changed_json(
                BUNDLE["bundle.json"],
                architecture={"name": "compact", "config": {"num_classes": 10**9}},
            ),
        ],
    )
    def test_bundles(self, sqlite_site: Installation, content: bytes) -> None:
        problem = rejected(sqlite_site, post_files(sqlite_site, {**BUNDLE, "bundle.json": content}))
        assert problem["code"] in ("model-unreadable", "model-classes-mismatch")

    def test_weights_that_give_no_numbers(self, sqlite_site: Installation) -> None:
        """The digest in bundle.json is right; the scores are NaN."""
        header = header_of(BUNDLE[WEIGHTS])
        body = b"\xff" * len(body_of(BUNDLE[WEIGHTS]))
        weights = safetensors(header, body)
        digests = {WEIGHTS: hashlib.sha256(weights).hexdigest()}
        bundle = changed_json(BUNDLE["bundle.json"], files=digests)
        problem = rejected(
            sqlite_site, post_files(sqlite_site, {WEIGHTS: weights, "bundle.json": bundle})
        )
        assert problem["code"] == "model-output-invalid"

    def test_over_the_limit_for_models(self, sqlite_site: Installation) -> None:
        """A tar has no sizes up front that could be trusted: real bytes count."""
        object.__setattr__(sqlite_site.settings, "max_model_bytes", 5000)
        upload_id = upload(sqlite_site, zip_bytes(BUNDLE))
        answer = post_source(sqlite_site, source={"type": "upload", "upload": upload_id})
        assert rejected(sqlite_site, answer)["code"] == "archive-too-large"

    def test_other_models_are_unharmed(self, sqlite_site: Installation) -> None:
        good = post_files(sqlite_site, BUNDLE, name="good")
        bad = [
            post_files(sqlite_site, {**BUNDLE, WEIGHTS: data}, name="bad")
            for data in list(BAD_WEIGHTS.values())[:4]
        ]
        sqlite_site.settle()
        assert get_job(sqlite_site, good.json()["id"])["status"] == "succeeded"
        assert {get_job(sqlite_site, b.json()["id"])["status"] for b in bad} == {"failed"}
        with sqlite_site.catalog.read() as session:
            assert session.query(UploadRow).count() == 5
