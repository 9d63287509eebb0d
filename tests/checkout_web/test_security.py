"""Values from outside cannot widen the page's policy."""

from __future__ import annotations

import pytest

from checkout_web.security import content_security_policy, origin_of


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
    assert content_security_policy(form_target=url) == content_security_policy()
