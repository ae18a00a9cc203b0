"""Which addresses and URLs are refused before any connection is made."""

from ipaddress import ip_address

import pytest

from api_schemas.problems import SourceRefused
from storage.remote.addresses import AddressPolicy, BadAllowList, is_public, literal
from storage.remote.urls import has_dot_segments, parse_url, shown


@pytest.mark.parametrize(
    "text",
    [
        "0.0.0.0", "10.0.0.1", "100.64.0.1", "100.100.100.200", "127.0.0.1", "127.255.255.255",
        "168.63.129.16", "169.254.169.254", "172.16.0.1", "172.31.255.255", "192.0.0.192",
        "192.0.2.1", "192.88.99.1", "192.168.1.1", "198.18.0.1", "198.51.100.1", "203.0.113.1",
        "224.0.0.1", "239.255.255.255", "240.0.0.1", "255.255.255.255",
        "::", "::1", "::127.0.0.1", "::ffff:127.0.0.1", "::ffff:169.254.169.254",
        "::ffff:0:127.0.0.1", "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "64:ff9b:1::1",
        "100::1", "2001::1", "2001:0:4136:e378:8000:63bf:3fff:fdd2", "2001:db8::1",
        "2002:7f00:1::", "2002:c0a8:101::1", "3fff::1", "5f00::1", "fc00::1", "fd00:ec2::254",
        "fe80::1", "fe80::1%eth0", "fec0::1", "ff02::1", "4000::1",
    ],
)  # fmt: skip
def test_closed(text: str) -> None:
    assert not is_public(ip_address(text))


@pytest.mark.parametrize(
    "text",
    ["1.1.1.1", "8.8.8.8", "9.255.255.255", "100.63.255.255", "100.128.0.1", "172.15.255.255",
     "172.32.0.1", "192.167.255.255", "223.255.255.255", "2606:4700::1111", "2a00:1450::1",
     "::ffff:8.8.8.8", "64:ff9b::808:808"],
)  # fmt: skip
def test_open(text: str) -> None:
    assert is_public(ip_address(text))


class TestAllowList:
    def test_networks_and_names(self) -> None:
        policy = AddressPolicy.parse(" 10.1.0.0/16, 127.0.0.1,fd00::/8 ,MinIO.internal,minio ,")
        assert policy.allows("x", ip_address("10.1.2.3"))
        assert not policy.allows("x", ip_address("10.2.0.1"))
        assert policy.allows("x", ip_address("127.0.0.1"))
        assert not policy.allows("x", ip_address("127.0.0.2"))
        assert policy.allows("x", ip_address("::ffff:10.1.2.3"))
        assert policy.allows("x", ip_address("fd00::5"))
        assert policy.allows("minio.internal", ip_address("192.168.7.7"))
        assert policy.allows("minio.internal.", ip_address("192.168.7.7"))
        assert not policy.allows("other.internal", ip_address("192.168.7.7"))
        assert not policy.allows("xminio", ip_address("192.168.7.7"))

    def test_a_name_never_leads_to_the_metadata_service(self) -> None:
        policy = AddressPolicy.parse("minio")
        for text in ("169.254.169.254", "0.0.0.0", "::", "fe80::1", "ff02::1", "224.0.0.1"):
            assert not policy.allows("minio", ip_address(text)), text
        assert AddressPolicy.parse("169.254.169.254").allows("minio", ip_address("169.254.169.254"))

    @pytest.mark.parametrize(
        "text", ["10.1.0.1/16", "10.1", "a b", "http://minio", "*.internal", "1"]
    )
    def test_nonsense(self, text: str) -> None:
        with pytest.raises(BadAllowList):
            AddressPolicy.parse(text)


@pytest.mark.parametrize(
    "host",
    ["2130706433", "0x7f000001", "0x7f.0.0.1", "127.1", "0177.0.0.1", "127.0.0.1.", "1.2.3.4.5",
     "0x", "169.254.43518", "a.0x7f", "", ".", "a b", "h%2f", "-a.b", "[::1]", "::g"],
)  # fmt: skip
def test_odd_spellings(host: str) -> None:
    with pytest.raises(ValueError, match="not an address or a name"):
        literal(host)


def test_ordinary_spellings() -> None:
    assert literal("example.com") is None
    assert literal("under_score.example.") is None
    assert literal("1.2.3.4") == ip_address("1.2.3.4")
    assert literal("::1") == ip_address("::1")


class TestUrls:
    @pytest.mark.parametrize(
        "text",
        [
            "file:///etc/passwd", "ftp://example.com/a", "gopher://example.com/", "data:,x",
            "example.com/a", "//example.com/a", "javascript:alert(1)", "", "http:///a", "http:a",
            "http://user:password@example.com/", "http://user@example.com/", "http://:p@example.com/",
            "http://127.0.0.1/", "http://[::1]/", "http://[::ffff:169.254.169.254]/",
            "http://169.254.169.254/latest/meta-data/", "http://2130706433/", "http://0x7f.1/",
            "http://0177.0.0.1/", "http://127.1/", "http://127.0.0.1./", "http://169.254.169.254。/",
            "http://①②⑦.⓪.⓪.①/", "http://[fe80::1%25eth0]/", "http://example.com:0/",
            "http://example.com:70000/", "http://a\\@127.0.0.1/", "http://exa mple.com/",
            "http://example.com/\r\nHost: x", "http://example.com/\x00", "http://[::1", "http://[v1.x]/",
            "http://" + "a" * 9000 + "/",
        ],
    )  # fmt: skip
    def test_refused(self, text: str) -> None:
        with pytest.raises(SourceRefused):
            parse_url(text, AddressPolicy())

    def test_allowed(self) -> None:
        for text in (
            "https://example.com/a%20b.png?x=1",
            "http://8.8.8.8:8080/",
            "http://[2606:4700::1]/",
        ):
            assert str(parse_url(text, AddressPolicy())) == text
        assert (
            parse_url("http://127.0.0.1/", AddressPolicy.parse("127.0.0.1/32")).host == "127.0.0.1"
        )

    def test_a_signature_is_not_shown(self) -> None:
        url = parse_url("https://example.com/a.png?X-Amz-Signature=5ecret#f", AddressPolicy())
        assert shown(url) == "https://example.com/a.png"
        assert len(shown(parse_url("https://example.com/" + "a" * 5000, AddressPolicy()))) == 200

    @pytest.mark.parametrize(
        "path", ["/a/../b", "/a/%2e%2E/b", "/a/%252e./b", "/./a", "/a/..", "..\\a"]
    )
    def test_dot_segments(self, path: str) -> None:
        assert has_dot_segments(path)
        assert not has_dot_segments(path.replace(".", "x").replace("%2", "x"))
