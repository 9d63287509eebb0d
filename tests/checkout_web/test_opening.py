"""Which requests count as a person opening the page."""

from __future__ import annotations

import pytest
from multidict import CIMultiDict

from checkout_web.edge.opening import opened_by_a_person

CHROME = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36"
NAVIGATION = {
    "Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8",
    "User-Agent": CHROME,
    "Sec-Fetch-Mode": "navigate",
}


def opened(method: str = "GET", **headers: str) -> bool:
    return opened_by_a_person(method, CIMultiDict(NAVIGATION | {k.replace("_", "-"): v for k, v in headers.items()}))


def test_a_browser_following_a_link_opens_the_page() -> None:
    assert opened()


def test_an_old_browser_without_fetch_metadata_opens_the_page() -> None:
    assert opened_by_a_person("GET", CIMultiDict({"accept": "text/html", "user-agent": "Mozilla/4.0"}))


@pytest.mark.parametrize("method", ["HEAD", "POST", "OPTIONS"])
def test_other_methods_do_not(method: str) -> None:
    assert not opened(method)


@pytest.mark.parametrize(
    ("header", "value"),
    [
        ("Sec-Purpose", "prefetch"),
        ("Sec-Purpose", "prefetch;prerender"),
        ("Sec-Purpose", "prefetch;anonymous-client-ip"),
        ("Purpose", "prefetch"),
        ("X-Purpose", "preview"),
        ("X-Moz", "prefetch"),
        ("sec-purpose", "Prefetch"),
    ],
)
def test_a_speculative_fetch_does_not(header: str, value: str) -> None:
    assert not opened(**{header: value})


@pytest.mark.parametrize(
    "accept", ["*/*", "", "application/json", "image/png,*/*;q=0.5", "text/html;q=0", "text/html; q=0.000"]
)
def test_a_program_that_asks_for_no_html_does_not(accept: str) -> None:
    assert not opened(Accept=accept)


@pytest.mark.parametrize("mode", ["cors", "no-cors", "same-origin"])
def test_a_script_fetching_the_page_does_not(mode: str) -> None:
    assert not opened(Sec_Fetch_Mode=mode)


@pytest.mark.parametrize(
    "agent",
    [
        "Slackbot-LinkExpanding 1.0 (+https://api.slack.com/robots)",
        "facebookexternalhit/1.1 (+http://www.facebook.com/externalhit_uatext.php)",
        "Twitterbot/1.0",
        "TelegramBot (like TwitterBot)",
        "WhatsApp/2.23.20.0 A",
        "Mozilla/5.0 (compatible; Discordbot/2.0; +https://discordapp.com)",
        "LinkedInBot/1.0 (compatible; Mozilla/5.0; Apache-HttpClient +http://www.linkedin.com)",
        "Mozilla/5.0 (Windows NT 6.1; WOW64) SkypeUriPreview Preview/0.5",
        "Mozilla/5.0 (Macintosh) AppleWebKit/601.2.4 facebookexternalhit/1.1 Facebot Twitterbot/1.0",
        "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
        "Mozilla/5.0 AppleWebKit/537.36 (KHTML, like Gecko; compatible; bingbot/2.0) Chrome/116.0.0.0 Safari/537.36",
        "Mozilla/5.0 (compatible; Bluesky Cardyb/1.1; +mailto:support@bsky.app)",
        "Snap URL Preview Service; bot; snapchat; https://developers.snap.com/robots",
        "Mastodon/4.3.0 (http.rb/5.2.0; +https://mastodon.example/)",
    ],
)
def test_a_link_preview_does_not(agent: str) -> None:
    assert not opened(User_Agent=agent)


@pytest.mark.parametrize(
    "agent",
    [
        "Mozilla/5.0 (Linux; Android 13; CUBOT P80) AppleWebKit/537.36 Chrome/120.0 Mobile Safari/537.36",
        "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) [FBAN/FBIOS;FBAV/480.0;FBDV/iPhone15,2]",
        "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1.15 Instagram 350.0",
        "Mozilla/5.0 (Linux; Android 14) AppleWebKit/537.36 Chrome/120.0 Mobile Safari/537.36 TrustWallet/8.1",
        "Mozilla/5.0 (iPhone; CPU iPhone OS 17_0 like Mac OS X) AppleWebKit/605.1.15 [Pinterest/iOS]",
        CHROME.replace("Chrome", "HeadlessChrome"),
    ],
)
def test_people_in_unusual_browsers_do(agent: str) -> None:
    assert opened(User_Agent=agent)
