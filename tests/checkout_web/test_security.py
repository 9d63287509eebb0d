"""Values from outside cannot widen the page's policy, nor pass for the page itself."""

from __future__ import annotations

import pytest

from checkout_web.edge.security import is_same_origin, origin_of


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        ("https://shop.example/basket?x=1#y", "https://shop.example"),
        ("http://localhost:3000/", "http://localhost:3000"),
        ("HTTPS://Shop.Example:8443", "https://Shop.Example:8443"),
        ("http://[::1]:8080/", "http://[::1]:8080"),
    ],
)
def test_the_origin_of_a_return_url(url: str, origin: str) -> None:
    assert origin_of(url) == origin


@pytest.mark.parametrize(
    "url",
    [
        "https://shop.example; script-src *",
        "https://shop.example, default-src *",
        "https://shop.example script-src *",
        "https://*/",
        "https://user:password@shop.example/",
        "https://'unsafe-inline'/",
        "javascript:alert(1)",
        "/basket",
        "https://",
    ],
)
def test_a_url_that_could_say_more_than_its_origin_is_left_out(url: str) -> None:
    assert origin_of(url) is None


@pytest.mark.parametrize("origin", ["http://[", "http://[::1", "null", "", "https://evil.test", "//"])
def test_an_origin_that_is_another_or_no_url_is_not_the_same(origin: str) -> None:
    assert not is_same_origin({"Origin": origin}, own_hosts=frozenset({"pay.test", ""}))


def test_the_own_host_is_the_same_origin() -> None:
    assert is_same_origin({"Origin": "https://PAY.test"}, own_hosts=frozenset({"pay.test"}))
