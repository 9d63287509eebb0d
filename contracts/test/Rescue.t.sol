// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {Base} from "./Base.sol";
import {IEscrow} from "../src/IEscrow.sol";
import {Ownable} from "@openzeppelin/contracts/access/Ownable.sol";

contract RescueTest is Base {
    function test_merchantSendsATokenSentByMistakeBack() public {
        (IEscrow.Terms memory terms, address vault) = settled();
        usdc.mint(vault, 3e18);
        vm.expectEmit(address(escrow));
        emit IEscrow.Rescued(escrow.idOf(terms), address(usdc), customer, merchant, 3e18);
        vm.prank(merchant);
        eq("answer", escrow.rescue(terms, address(usdc), customer), 3e18);
        eq("customer", usdc.balanceOf(customer), 3e18);
    }

    function test_nobodyElseRescues() public {
        (IEscrow.Terms memory terms, address vault) = settled();
        usdc.mint(vault, 3e18);
        bytes32 id = escrow.idOf(terms);
        for (uint256 i = 0; i < 2; ++i) {
            address caller = [operator, stranger][i];
            vm.prank(caller);
            vm.expectRevert(abi.encodeWithSelector(IEscrow.RescueNotAllowed.selector, id, caller));
            escrow.rescue(terms, address(usdc), caller);
        }
    }

    function test_nothingIsRescuedBeforeSettlement() public {
        (IEscrow.Terms memory terms,) = paid(25e18);
        bytes32 id = escrow.idOf(terms);
        vm.prank(merchant);
        vm.expectRevert(abi.encodeWithSelector(IEscrow.NotSettled.selector, id));
        escrow.rescue(terms, address(usdt), merchant);
    }

    function test_zeroRecipientIsRefused() public {
        (IEscrow.Terms memory terms, address vault) = settled();
        vm.deal(vault, 1 ether);
        vm.prank(merchant);
        vm.expectRevert(abi.encodeWithSelector(IEscrow.RecipientIsZero.selector));
        escrow.rescue(terms, NATIVE, address(0));
    }

    function test_ownerSendsOnWhatWasSentToTheEscrowItself() public {
        usdt.mint(address(escrow), 5);
        vm.expectEmit(address(escrow));
        emit IEscrow.StrayRescued(address(usdt), customer, 5);
        eq("answer", escrow.rescueStray(address(usdt), customer), 5);
        eq("customer", usdt.balanceOf(customer), 5);
    }

    function test_ownerReachesNoVaultAndNoTreasury() public {
        settled();
        vm.expectRevert(abi.encodeWithSelector(IEscrow.NothingToMove.selector, address(escrow), address(usdt)));
        escrow.rescueStray(address(usdt), owner);
    }

    function test_strayMoneyIsTheOwnersBusinessOnly() public {
        usdt.mint(address(escrow), 5);
        vm.prank(stranger);
        vm.expectRevert(abi.encodeWithSelector(Ownable.OwnableUnauthorizedAccount.selector, stranger));
        escrow.rescueStray(address(usdt), stranger);
    }

    function test_strayMoneyNeedsARecipient() public {
        usdt.mint(address(escrow), 5);
        vm.expectRevert(abi.encodeWithSelector(IEscrow.RecipientIsZero.selector));
        escrow.rescueStray(address(usdt), address(0));
    }

    function test_bnbThatReachedTheEscrowWithoutACallIsSentOnByTheOwner() public {
        vm.deal(address(escrow), 3);
        vm.expectEmit(address(escrow));
        emit IEscrow.StrayRescued(NATIVE, customer, 3);
        eq("answer", escrow.rescueStray(NATIVE, customer), 3);
        eq("customer", customer.balance, 3);
    }

    function test_emptyEscrowHasNothingToSendOn() public {
        vm.expectRevert(abi.encodeWithSelector(IEscrow.NothingToMove.selector, address(escrow), NATIVE));
        escrow.rescueStray(NATIVE, customer);
    }

    function test_escrowItselfRefusesBnb() public {
        vm.deal(customer, 1 ether);
        vm.prank(customer);
        (bool ok,) = address(escrow).call{value: 1}("");
        yes("refused", !ok);
    }
}
