// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {Base} from "./Base.sol";
import {IEscrow} from "../src/IEscrow.sol";
import {Vault} from "../src/Vault.sol";

contract VaultTest is Base {
    function send(address to, uint256 gas_) private returns (bool ok) {
        vm.deal(customer, 1 ether);
        vm.prank(customer);
        (ok,) = to.call{value: 1, gas: gas_}("");
    }

    function test_onlyTheEscrowMoves() public {
        (, address vault) = settled();
        usdt.mint(vault, 1);
        for (uint256 i = 0; i < 4; ++i) {
            address caller = [owner, merchant, operator, stranger][i];
            vm.prank(caller);
            vm.expectRevert(abi.encodeWithSelector(Vault.OnlyEscrow.selector, caller));
            Vault(payable(vault)).move(address(usdt), caller, 1);
        }
    }

    function test_implementationObeysOnlyTheEscrowToo() public {
        Vault implementation = Vault(payable(escrow.vaultImplementation()));
        eq("its escrow", implementation.escrow(), address(escrow));
        vm.prank(stranger);
        vm.expectRevert(abi.encodeWithSelector(Vault.OnlyEscrow.selector, stranger));
        implementation.move(address(usdt), stranger, 1);
    }

    function test_implementationRefusesBnb() public {
        yes("refused", !send(escrow.vaultImplementation(), 100_000));
    }

    function test_deployedVaultTakesBnb() public {
        (, address vault) = settled();
        yes("taken", send(vault, 3000));
        eq("balance", vault.balance, 1);
    }

    function test_addressWithoutCodeTakesBnbWithoutGas() public {
        yes("taken", send(vaultOf(terms25()), 0));
    }

    function test_vaultOfOneEscrowIgnoresAnother() public {
        (, address vault) = settled();
        Vault other = new Vault();
        eq("its escrow", other.escrow(), address(this));
        vm.expectRevert(abi.encodeWithSelector(Vault.OnlyEscrow.selector, address(this)));
        Vault(payable(vault)).move(address(usdt), address(this), 0);
    }
}
