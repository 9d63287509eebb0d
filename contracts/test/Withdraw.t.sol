// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {Base} from "./Base.sol";
import {IEscrow} from "../src/IEscrow.sol";
import {TestToken} from "../src/local/TestToken.sol";

/// @notice A merchant contract that takes BNB and calls the escrow back for more.
contract GreedyMerchant {
    IEscrow private immutable escrow;
    uint256 public calls;

    constructor(IEscrow escrow_) {
        escrow = escrow_;
    }

    receive() external payable {
        if (++calls == 1) {
            try escrow.withdrawFor(address(this), address(0)) {
                ++calls;
            } catch {}
        }
    }
}

contract WithdrawTest is Base {
    function test_merchantWithdrawsAPartToAnyAddress() public {
        settled();
        vm.expectEmit(address(escrow));
        emit IEscrow.Withdrawn(merchant, address(usdt), customer, 10e18);
        vm.prank(merchant);
        escrow.withdraw(address(usdt), 10e18, customer);
        eq("customer", usdt.balanceOf(customer), 10e18);
        eq("treasury", escrow.balanceOf(merchant, address(usdt)), 15e18);
    }

    function test_strangerMakesTheEscrowPayOnlyTheMerchant() public {
        settled();
        vm.expectEmit(address(escrow));
        emit IEscrow.Withdrawn(merchant, address(usdt), merchant, 25e18);
        vm.prank(stranger);
        eq("answer", escrow.withdrawFor(merchant, address(usdt)), 25e18);
        eq("merchant", usdt.balanceOf(merchant), 25e18);
        eq("treasury", escrow.balanceOf(merchant, address(usdt)), 0);
    }

    function test_nobodyReachesAnotherMerchantsTreasury() public {
        settled();
        for (uint256 i = 0; i < 3; ++i) {
            address caller = [operator, stranger, owner][i];
            address own = escrow.treasuryOf(caller);
            vm.prank(caller);
            vm.expectRevert(
                abi.encodeWithSelector(IEscrow.BalanceTooLow.selector, own, address(usdt), uint256(0), uint256(1))
            );
            escrow.withdraw(address(usdt), 1, caller);
        }
    }

    function test_bnbIsWithdrawnBothWays() public {
        vm.deal(treasury(), 3 ether);
        vm.prank(merchant);
        escrow.withdraw(NATIVE, 1 ether, customer);
        escrow.withdrawFor(merchant, NATIVE);
        eq("customer", customer.balance, 1 ether);
        eq("merchant", merchant.balance, 2 ether);
    }

    function test_unlistedTokensAreWithdrawnToo() public {
        TestToken other = new TestToken("Other", "OTH");
        other.mint(treasury(), 9);
        escrow.withdrawFor(merchant, address(other));
        eq("merchant", other.balanceOf(merchant), 9);
    }

    function test_emptyTreasuryAndZeroAmountAreNamed() public {
        bytes memory reason = abi.encodeWithSelector(IEscrow.NothingToMove.selector, treasury(), address(usdt));
        vm.expectRevert(reason);
        escrow.withdrawFor(merchant, address(usdt));
        vm.prank(merchant);
        vm.expectRevert(reason);
        escrow.withdraw(address(usdt), 0, merchant);
    }

    function test_zeroRecipientIsRefused() public {
        settled();
        vm.prank(merchant);
        vm.expectRevert(abi.encodeWithSelector(IEscrow.RecipientIsZero.selector));
        escrow.withdraw(address(usdt), 1, address(0));
    }

    function test_reenteringMerchantGetsItsBalanceOnce() public {
        GreedyMerchant greedy = new GreedyMerchant(escrow);
        vm.deal(escrow.treasuryOf(address(greedy)), 1 ether);
        vm.deal(treasury(), 5 ether);
        escrow.withdrawFor(address(greedy), NATIVE);
        eq("balance", address(greedy).balance, 1 ether);
        eq("the inner call found nothing", greedy.calls(), 1);
        eq("the other treasury", treasury().balance, 5 ether);
    }

    function test_withdrawalsNeverChangeTheSum(uint128 held, uint128 asked) public {
        uint256 balance = between(held, 1, type(uint128).max);
        uint256 amount = between(asked, 1, balance);
        usdt.mint(treasury(), balance);
        vm.prank(merchant);
        escrow.withdraw(address(usdt), amount, customer);
        eq("sum", usdt.balanceOf(treasury()) + usdt.balanceOf(customer), balance);
    }
}
