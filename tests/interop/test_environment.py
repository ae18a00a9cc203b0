from tests.support.interop import REPOSITORY, needs_peers, read_with


@needs_peers
def test_the_readers_are_those_of_the_lock():
    lines = (REPOSITORY / "requirements-interop.lock").read_text().splitlines()
    locked = dict(line.split("==") for line in lines if "==" in line)
    found = read_with("versions")
    assert found == {name: locked[name] for name in found}
