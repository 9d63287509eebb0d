// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {Base} from "./Base.sol";
import {IEscrow} from "../src/IEscrow.sol";

contract SweepTest is Base {
    function test_strangerSweepsLateMoneyToTheTreasury() public {
        (IEscrow.Terms memory terms, address vault) = settled();
        usdt.mint(vault, 7e18);
        vm.expectEmit(address(escrow));
        emit IEscrow.Swept(escrow.idOf(terms), merchant, address(usdt), 7e18);
        vm.prank(stranger);
        eq("answer", escrow.sweep(terms, address(usdt)), 7e18);
        eq("treasury", usdt.balanceOf(treasury()), 32e18);
    }

    function test_otherTokensAndBnbAreSwept() public {
        (IEscrow.Terms memory terms, address vault) = settled();
        usdc.mint(vault, 1);
        vm.deal(vault, 2);
        escrow.sweep(terms, address(usdc));
        escrow.sweep(terms, NATIVE);
        eq("usdc", usdc.balanceOf(treasury()), 1);
        eq("bnb", treasury().balance, 2);
    }

    function test_nothingIsSweptBeforeSettlement() public {
        (IEscrow.Terms memory terms,) = paid(25e18);
        vm.expectRevert(abi.encodeWithSelector(IEscrow.NotSettled.selector, escrow.idOf(terms)));
        escrow.sweep(terms, address(usdt));
    }

    function test_emptyVaultIsNamed() public {
        (IEscrow.Terms memory terms, address vault) = settled();
        vm.expectRevert(abi.encodeWithSelector(IEscrow.NothingToMove.selector, vault, address(usdt)));
        escrow.sweep(terms, address(usdt));
    }
}
