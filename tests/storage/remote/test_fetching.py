"""The guarded GET, against real servers that misbehave."""

import hashlib
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from api_schemas.problems import (
    SourceDenied,
    SourceMissing,
    SourceProblem,
    SourceRefused,
    SourceTooLarge,
    SourceUnreachable,
)
from storage.remote import fetching
from storage.remote.addresses import AddressPolicy
from storage.remote.fetching import Fetcher, FetchLimits
from tests.support.http_server import Handler, WebServer, raw, redirect, serve

LOCAL = AddressPolicy.parse("127.0.0.1/32")
LIMITS = FetchLimits(max_bytes=1 << 20, total_seconds=5.0, idle_seconds=0.5)


@pytest.fixture
def fetcher() -> Iterator[Fetcher]:
    with Fetcher(LOCAL) as opened:
        yield opened


@pytest.fixture(autouse=True)
def _quick_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetching, "PAUSES_SECONDS", (0.01, 0.01))


def read(fetcher: Fetcher, url: str, limits: FetchLimits = LIMITS, **more: Any) -> bytes:
    with fetcher.fetch(url, limits=limits, **more) as fetched:
        data: bytes = fetched.file.read()
        assert fetched.size_bytes == len(data)
        assert fetched.sha256 == hashlib.sha256(data).hexdigest()
        return data


class TestGoodFiles:
    def test_facts(self, fetcher: Fetcher) -> None:
        def page(handler: Handler) -> None:
            handler.answer(200, b"pixels", Content_Type="Image/PNG; charset=x")

        with (
            serve({"/a/b%20c.png": page}) as web,
            fetcher.fetch(f"{web.url}/a/b c.png?sig=5ecret", limits=LIMITS) as fetched,
        ):
            assert fetched.file.read() == b"pixels"
            assert (fetched.name, fetched.media_type) == ("b c.png", "image/png")
            assert fetched.url == f"{web.url}/a/b%20c.png"
            path, headers = web.seen[0]
            assert path == "/a/b%20c.png?sig=5ecret"
            assert headers["accept-encoding"] == "identity"
            assert headers["host"] == f"127.0.0.1:{web.port}"
            assert not {"authorization", "cookie", "referer"} & set(headers)

    def test_large_goes_to_disk_and_reports(self, fetcher: Fetcher) -> None:
        body = b"0123456789abcdef" * (1 << 17)
        seen: list[int] = []
        with serve({"/big": body}) as web:
            limits = FetchLimits(max_bytes=len(body))
            assert read(fetcher, f"{web.url}/big", limits, on_progress=seen.append) == body
        assert seen[-1] == len(body)
        assert seen == sorted(seen)

    def test_connections_are_kept(self, fetcher: Fetcher) -> None:
        clients: set[Any] = set()

        def page(handler: Handler) -> None:
            clients.add(handler.client_address)
            handler.answer(200, b"x")

        with serve({"/": page}) as web:
            for _ in range(5):
                read(fetcher, f"{web.url}/")
        assert len(clients) == 1

    def test_proxies_of_the_environment_are_ignored(
        self, fetcher: Fetcher, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, "http://127.0.0.1:1")
        with serve({"/": b"x"}) as web, Fetcher(LOCAL) as fresh:
            assert read(fresh, f"{web.url}/") == b"x"


class TestLimits:
    def test_endless_body(self, fetcher: Fetcher) -> None:
        def page(handler: Handler) -> None:
            handler.wfile.write(b"HTTP/1.1 200 OK\r\n\r\n")
            handler.close_connection = True
            while not handler.web.stopping.is_set():
                handler.wfile.write(b"x" * 65536)

        with serve({"/": page}) as web, pytest.raises(SourceTooLarge, match="1048576 bytes"):
            read(fetcher, f"{web.url}/")

    def test_endless_chunks(self, fetcher: Fetcher) -> None:
        def page(handler: Handler) -> None:
            handler.wfile.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            handler.close_connection = True
            while not handler.web.stopping.is_set():
                handler.wfile.write(b"100\r\n" + b"x" * 256 + b"\r\n")

        with serve({"/": page}) as web, pytest.raises(SourceTooLarge):
            read(fetcher, f"{web.url}/")

    def test_declared_size_is_believed_when_too_large(self, fetcher: Fetcher) -> None:
        page = raw(b"HTTP/1.1 200 OK\r\nContent-Length: 999999999999\r\n\r\nx")
        with serve({"/": page}) as web, pytest.raises(SourceTooLarge):
            read(fetcher, f"{web.url}/")
        assert len(web.seen) == 1

    def test_length_too_long_is_a_broken_connection(self, fetcher: Fetcher) -> None:
        page = raw(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly this")
        with serve({"/": page}) as web, pytest.raises(SourceUnreachable, match="broke"):
            read(fetcher, f"{web.url}/")
        assert len(web.seen) == 3

    def test_length_too_short_cuts(self, fetcher: Fetcher) -> None:
        page = raw(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nabcdefgh")
        with serve({"/": page}) as web:
            assert read(fetcher, f"{web.url}/") == b"abcd"

    @pytest.mark.parametrize("start", [b"", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 OK\r\n\r\nab"])
    def test_silence(self, fetcher: Fetcher, start: bytes) -> None:
        def page(handler: Handler) -> None:
            handler.close_connection = True
            handler.wfile.write(start)
            handler.web.stopping.wait(20)

        started = time.monotonic()
        with serve({"/": page}) as web, pytest.raises(SourceUnreachable, match="in time"):
            read(fetcher, f"{web.url}/")
        assert time.monotonic() - started < 3

    @pytest.mark.parametrize(
        ("start", "drip"),
        [(b"HTTP/1.1 200 OK\r\nX-Slow: ", b"a"), (b"HTTP/1.1 200 OK\r\n\r\n", b"a"),
         (b"", b"HTTP/1.1 100 Continue\r\n\r\n")],
    )  # fmt: skip
    def test_dripping(self, fetcher: Fetcher, start: bytes, drip: bytes) -> None:
        """Never silent for long, never done: the whole time is limited, headers included."""

        def page(handler: Handler) -> None:
            handler.close_connection = True
            handler.wfile.write(start)
            while not handler.web.stopping.wait(0.05):
                handler.wfile.write(drip)

        started = time.monotonic()
        limits = FetchLimits(1 << 20, total_seconds=0.6, idle_seconds=0.5)
        with serve({"/": page}) as web, pytest.raises(SourceUnreachable, match="in time"):
            read(fetcher, f"{web.url}/", limits)
        assert time.monotonic() - started < 3

    def test_slow_but_flowing_is_given_time(self, fetcher: Fetcher) -> None:
        def page(handler: Handler) -> None:
            handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 800000\r\n\r\n")
            for _ in range(8):
                time.sleep(0.1)
                handler.wfile.write(b"x" * 100_000)

        limits = FetchLimits(1 << 20, total_seconds=0.5, idle_seconds=0.4)
        with serve({"/": page}) as web:
            assert len(read(fetcher, f"{web.url}/", limits)) == 800_000

    def test_huge_headers(self, fetcher: Fetcher) -> None:
        page = raw(b"HTTP/1.1 200 OK\r\nX: " + b"a" * 1_000_000)
        with serve({"/": page}) as web, pytest.raises(SourceUnreachable):
            read(fetcher, f"{web.url}/")

    @pytest.mark.parametrize("encoding", ["gzip", "br", "GZIP", "gzip, identity"])
    def test_compressed_bodies_are_not_unpacked(self, fetcher: Fetcher, encoding: str) -> None:
        def page(handler: Handler) -> None:
            handler.answer(200, b"\x1f\x8bbomb", Content_Encoding=encoding)

        with serve({"/": page}) as web, pytest.raises(SourceRefused, match="compressed"):
            read(fetcher, f"{web.url}/")


class TestAnswers:
    @pytest.mark.parametrize(
        ("status", "problem", "tries"),
        [(401, SourceDenied, 1), (403, SourceDenied, 1), (404, SourceMissing, 1),
         (410, SourceMissing, 1), (400, SourceRefused, 1), (204, SourceRefused, 1),
         (206, SourceRefused, 1), (304, SourceRefused, 1), (418, SourceRefused, 1),
         (429, SourceUnreachable, 3), (500, SourceUnreachable, 3), (503, SourceUnreachable, 3)],
    )  # fmt: skip
    def test_other_than_200(
        self, fetcher: Fetcher, status: int, problem: type[SourceProblem], tries: int
    ) -> None:
        with serve({"/a": lambda handler: handler.answer(status)}) as web:
            with pytest.raises(problem) as caught:
                read(fetcher, f"{web.url}/a?token=5ecret")
            assert len(web.seen) == tries
        assert str(status) in caught.value.detail
        assert "5ecret" not in caught.value.detail

    def test_a_passing_fault_is_overcome(self, fetcher: Fetcher) -> None:
        answers = [raw(), raw(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\npart"), None]

        def page(handler: Handler) -> None:
            rude = answers.pop(0)
            if rude is None:
                handler.answer(200, b"whole")
            else:
                rude(handler)

        with serve({"/": page}) as web:
            assert read(fetcher, f"{web.url}/") == b"whole"

    @pytest.mark.parametrize(
        "answer", [b"SSH-2.0-OpenSSH_9\r\n", b"\x16\x03\x01", b"HTTP/9 ok\r\n\r\n"]
    )
    def test_not_http(self, fetcher: Fetcher, answer: bytes) -> None:
        with serve({"/": raw(answer)}) as web, pytest.raises(SourceUnreachable):
            read(fetcher, f"{web.url}/")

    def test_nobody_there(self, fetcher: Fetcher) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        with pytest.raises(SourceUnreachable, match="refused"):
            read(fetcher, f"http://127.0.0.1:{port}/")

    def test_an_unknown_name(self) -> None:
        def unknown(host: str, port: int) -> list[str]:
            raise socket.gaierror(-2, "Name or service not known")

        with Fetcher(LOCAL, unknown) as fetcher, pytest.raises(SourceUnreachable, match="resolved"):
            read(fetcher, "http://nowhere.example/")


class TestRedirects:
    def test_followed(self, fetcher: Fetcher) -> None:
        routes = {"/a": redirect("b?x=1"), "/b": redirect("/c", 307), "/c": b"here"}
        with serve(routes) as web:
            assert read(fetcher, f"{web.url}/a") == b"here"
            assert [path for path, _ in web.seen] == ["/a", "/b?x=1", "/c"]

    @pytest.mark.parametrize(
        "target",
        ["http://169.254.169.254/latest/meta-data/", "http://[::1]/", "http://10.0.0.1/",
         "http://metadata.example/", "http://127.0.0.2/", "http://2130706433/", "file:///etc/passwd",
         "gopher://127.0.0.1/", "http://user:pw@example.com/", "//169.254.169.254/", "http://[",
         "data:,x"],
    )  # fmt: skip
    def test_every_hop_is_checked(self, target: str) -> None:
        dialled: list[str] = []

        def resolver(host: str, port: int) -> list[str]:
            dialled.append(host)
            return ["169.254.169.254"]

        with (
            serve({"/": redirect(target)}) as web,
            Fetcher(LOCAL, resolver) as fetcher,
            pytest.raises(SourceRefused),
        ):
            read(fetcher, f"{web.url}/")
        assert dialled == (["metadata.example"] if "metadata" in target else [])

    def test_in_a_circle(self, fetcher: Fetcher) -> None:
        with serve({"/": redirect("/")}) as web:
            with pytest.raises(SourceRefused, match="more than 5 times"):
                read(fetcher, f"{web.url}/")
            assert len(web.seen) == 6

    def test_credentials_stay_with_their_host(self, fetcher: Fetcher) -> None:
        with serve({"/b": b"public"}) as other, serve({"/a": redirect(f"{other.url}/b")}) as web:
            answer = read(
                fetcher,
                f"{web.url}/a",
                headers_for=lambda url: {"Authorization": "x"} if url.port == web.port else {},
            )
            assert answer == b"public"
            assert web.seen[0][1]["authorization"] == "x"
            assert "authorization" not in other.seen[0][1]


class TestAddresses:
    def test_the_checked_address_is_the_one_dialled(self) -> None:
        """A name that changes its mind after the check: nothing asks it again."""
        answers = [["93.184.216.34"], ["127.0.0.1"]]
        asked: list[str] = []

        def rebinding(host: str, port: int) -> list[str]:
            asked.append(host)
            return answers[min(len(asked), len(answers)) - 1]

        with serve({"/": b"secret"}) as web:
            limits = FetchLimits(1 << 20, total_seconds=1.0, idle_seconds=0.3)
            with Fetcher(AddressPolicy(), rebinding) as fetcher, pytest.raises(SourceProblem):
                read(fetcher, f"http://rebind.example:{web.port}/", limits)
            assert web.seen == []
        assert asked[0] == "rebind.example"

    def test_a_private_answer_is_refused_and_not_told(self) -> None:
        with (
            serve({"/": b"secret"}) as web,
            Fetcher(AddressPolicy(), lambda host, port: ["127.0.0.1"]) as fetcher,
        ):
            with pytest.raises(SourceRefused) as caught:
                read(fetcher, f"http://inside.example:{web.port}/")
            assert web.seen == []
        assert "127.0.0.1" not in caught.value.detail
        assert "SELVAGE_FETCH_ALLOW_NETWORKS" in caught.value.detail

    def test_allowed_addresses_among_others_are_used(self) -> None:
        answers = ["10.0.0.1", "127.0.0.1", "::1"]
        with (
            serve({"/": b"x"}) as web,
            Fetcher(LOCAL, lambda host, port: answers) as fetcher,
        ):
            assert read(fetcher, f"http://mixed.example:{web.port}/") == b"x"
            assert web.seen[0][1]["host"] == f"mixed.example:{web.port}"

    def test_the_next_address_is_tried(self) -> None:
        policy = AddressPolicy.parse("127.0.0.0/8")
        with (
            serve({"/": b"x"}) as web,
            Fetcher(policy, lambda host, port: ["127.0.0.9", "127.0.0.1"]) as fetcher,
        ):
            assert read(fetcher, f"http://two.example:{web.port}/") == b"x"

    def test_ports_of_other_services(self) -> None:
        with Fetcher(AddressPolicy(), lambda host, port: ["8.8.8.8"]) as fetcher:
            for port in (22, 25, 143, 587):
                with pytest.raises(SourceRefused, match=f"port {port}"):
                    read(fetcher, f"http://mail.example:{port}/")


class TestTls:
    @pytest.fixture
    def tls(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[WebServer]:
        """A server for `good.example` that answers one byte to whoever speaks TLS with it."""
        names: list[str | None] = []
        certificate = _self_signed(tmp_path, "good.example")
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        context.sni_callback = lambda _socket, name, _context: names.append(name)
        listener = socket.create_server(("127.0.0.1", 0))
        web = WebServer("", listener.getsockname()[1])

        def answer() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                try:
                    with context.wrap_socket(connection, server_side=True) as stream:
                        stream.recv(65536)
                        stream.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx")
                        web.seen.append((str(names[-1]), {}))
                except OSError:
                    continue

        threading.Thread(target=answer, daemon=True).start()
        yield web
        listener.close()

    def test_the_name_is_verified_although_an_address_is_dialled(self, tls: WebServer) -> None:
        with Fetcher(LOCAL, lambda host, port: ["127.0.0.1"]) as fetcher:
            assert read(fetcher, f"https://good.example:{tls.port}/") == b"x"
            assert tls.seen == [("good.example", {})]
            with pytest.raises(SourceUnreachable, match="TLS"):
                read(fetcher, f"https://other.example:{tls.port}/")

    def test_no_way_back_to_plain_http(self, fetcher: Fetcher) -> None:
        request = fetching._Request(
            fetcher._pool, LOCAL, LIMITS, fetching.no_headers, fetching.explain_status, None
        )
        with pytest.raises(SourceRefused, match="from https to http"):
            request._next(httpx.URL("https://good.example/"), "http://good.example/")


def _self_signed(folder: Path, name: str) -> Path:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = folder / "server.pem"
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        + certificate.public_bytes(serialization.Encoding.PEM)
    )
    return path
