"""Small contracts for tests, written as EVM code."""

from __future__ import annotations

from openpay.chain.blocks import read_bytes
from openpay.domain.payment import Payment
from tests.support.anvil import ACCOUNTS
from tests.watcher.scene import Scene, Unsigned


def deploy_code(scene: Scene, runtime: str) -> bytes:
    """Put runtime code on the chain; its address."""
    size = len(runtime) // 2
    creation = f"60{size:02x}600c60003960{size:02x}6000f3{runtime}"
    receipt = scene.anvil.receipt(scene.anvil.send(from_=ACCOUNTS[0].address, data="0x" + creation))
    return read_bytes(receipt["contractAddress"])


def deploy_forwarder(scene: Scene, payment: Payment) -> bytes:
    """A contract that passes on all BNB it is sent, as exchange and smart wallets do."""
    # CALL(gas, deposit address, callvalue, no data, no answer)
    return deploy_code(scene, f"600060006000600034 73{payment.address.hex()} 5af1 00".replace(" ", ""))


def forward(scene: Scene, payment: Payment, wei: int) -> bytes:
    """A block in which such a contract passes on `wei`; the transaction's hash."""
    (tx_hash,) = scene.send(Unsigned(to=deploy_forwarder(scene, payment), value=wei))
    return read_bytes(tx_hash)


def deploy_testament(scene: Scene, payment: Payment) -> bytes:
    """A contract that destroys itself when it is sent BNB, and leaves all to the payment: no code of it runs then."""
    return deploy_code(scene, f"73{payment.address.hex()}ff")


def deploy_splitter(scene: Scene) -> bytes:
    """A contract that makes one call twice: its input is the target as a word, then the call's data."""
    # CALLDATACOPY(0, 32, size - 32), then twice CALL(gas, target, no value, all of that, no answer).
    copy = "602036036020600037"
    call = "6000600060203603600060006000355af150"
    return deploy_code(scene, copy + call + call + "00")
