"""Lists: newest first, page by page, and filtered."""

from __future__ import annotations

from typing import Any

import pytest

from openpay.app.records import PaymentFilter
from openpay.domain.payment import Status, Trigger
from openpay.errors import Invalid
from tests.app.worlds import World


async def page(world: World, **wanted: Any) -> tuple[list[str], bool]:
    fields = {"merchant_id": world.merchant.id, "livemode": True} | wanted
    async with world.store.read() as uow:
        found = await uow.payments.page(PaymentFilter(**fields))
    return [payment.id for payment in found.items], found.has_more


async def add(world: World, count: int, **changes: Any) -> list[str]:
    return [(await world.add(f"pay_{number}", **changes)).id for number in range(count)]


async def test_pages_follow_each_other_without_gap_or_overlap(world: World) -> None:
    ids = await add(world, 7)
    seen: list[str] = []
    more = True
    while more:
        got, more = await page(world, limit=3, starting_after=seen[-1] if seen else None)
        seen += got
    assert seen == ids[::-1]


async def test_page_that_just_fits_has_no_more(world: World) -> None:
    await add(world, 3)
    assert (await page(world, limit=3))[1] is False
    assert (await page(world, limit=2))[1] is True
    assert await page(world, merchant_id="mer_other") == ([], False)
    assert await page(world, livemode=False) == ([], False)


async def test_payments_made_meanwhile_do_not_disturb_the_next_page(world: World) -> None:
    ids = await add(world, 4)
    first, _ = await page(world, limit=2)
    await world.add("pay_new")
    assert await page(world, limit=2, starting_after=first[-1]) == ([ids[1], ids[0]], False)


async def test_place_in_the_list_holds_when_its_payment_is_no_longer_among_the_wanted(world: World) -> None:
    await add(world, 4)
    first, _ = await page(world, limit=2, statuses=(Status.PENDING,))
    async with world.store.write() as uow:
        (last,) = await uow.payments.lock([first[-1]])
        await uow.payments.save(last.moved(Trigger.CANCELED, ended_at=1))
    assert await page(world, starting_after=first[-1], statuses=(Status.PENDING,)) == (["pay_1", "pay_0"], False)


@pytest.mark.parametrize("place", ["pay_none", "", "pay_0' OR 1=1 --"])
async def test_place_that_is_not_in_the_list_is_refused(world: World, place: str) -> None:
    await add(world, 1)
    with pytest.raises(Invalid) as refused:
        await page(world, starting_after=place)
    assert refused.value.code == "invalid_starting_after"


async def test_place_in_another_merchants_list_is_refused(world: World) -> None:
    await add(world, 1)
    with pytest.raises(Invalid):
        await page(world, merchant_id="mer_other", starting_after="pay_0")


async def test_filter_by_one_or_several_statuses(world: World) -> None:
    for status in Status:
        await world.add(f"pay_{status}", status=status)
    assert (await page(world, statuses=(Status.PAID,)))[0] == ["pay_paid"]
    assert set((await page(world, statuses=(Status.PAID, Status.FAILED)))[0]) == {"pay_paid", "pay_failed"}
    assert len((await page(world, limit=99))[0]) == len(Status)


NAMES = [
    "order_id",
    "with space",
    "dotted.name",
    'double "quotes"',
    "single 'quotes'",
    "back\\slash",
    "[0]",
    "$.order_id",
    "100%_sure",
    "ключ 🔑",
    "é",
    "line\nbreak",
]


@pytest.mark.parametrize("text", NAMES)
async def test_filter_by_metadata_compares_names_and_values_as_they_are(world: World, text: str) -> None:
    await world.add("pay_name", metadata={text: "1042"})
    await world.add("pay_value", metadata={"order_id": text, "other": "x"})
    await world.add("pay_other", metadata={"unrelated": "1042"})
    assert (await page(world, metadata={text: "1042"}))[0] == ["pay_name"]
    assert (await page(world, metadata={"order_id": text}))[0] == ["pay_value"]
    assert (await page(world, metadata={"order_id": text, "other": "x"}))[0] == ["pay_value"]
    assert (await page(world, metadata={"order_id": text, "other": "y"}))[0] == []
    assert (await page(world, metadata={"order_id": text.upper() + "!"}))[0] == []


async def test_numbers_in_metadata_filters_are_text(world: World) -> None:
    await world.add("pay_1", metadata={"order_id": "1042"})
    await world.add("pay_2", metadata={"order_id": "01042"})
    await world.add("pay_3", metadata={"order_id": "true"})
    assert (await page(world, metadata={"order_id": "1042"}))[0] == ["pay_1"]
    assert (await page(world, metadata={"order_id": "true"}))[0] == ["pay_3"]
    assert (await page(world, metadata={"order_id": "1"}))[0] == []
