"""The demo shop pays for anybody who asks: it is mounted by `openpay dev`, and nowhere else."""

from __future__ import annotations

from openpay.bootstrap.installation import installed
from openpay.bootstrap.roles import build_web
from openpay.config import given_settings


async def test_a_servers_own_application_has_no_demo_shop(sqlite_url: str) -> None:
    settings = given_settings(
        database_url=sqlite_url,
        live_chain="bsc",
        live_escrow="0x" + "22" * 20,
        live_rpc_urls=("http://127.0.0.1:1",),
        operator_address="0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266",
        secret="a passphrase of some length",
    )
    async with installed(settings) as installation:
        paths = [resource.canonical for resource in build_web(installation).router.resources()]
    assert "/checkout" in paths
    assert [path for path in paths if "demo" in path] == []
