// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {Base} from "./Base.sol";
import {IEscrow} from "../src/IEscrow.sol";

/// @notice What the escrow makes of terms that nobody sensible draws up, and of an owner who wants to be rid of it.
contract LimitsTest is Base {
    uint256 private constant LATEST_EXPIRY = uint256(NOW) + 30 days;

    function endless() private returns (IEscrow.Terms memory terms, bytes32 id) {
        terms = terms25();
        terms.expiry = type(uint40).max;
        id = escrow.idOf(terms);
        usdt.mint(vaultOf(terms), 25e18);
    }

    function test_termsWithoutAnEndExpireThirtyDaysAfterTheirQuote() public {
        (IEscrow.Terms memory terms, bytes32 id) = endless();
        vm.warp(LATEST_EXPIRY + 1);
        vm.prank(stranger);
        vm.expectRevert(
            abi.encodeWithSelector(IEscrow.SettleNotAllowed.selector, id, stranger, LATEST_EXPIRY + 30 days)
        );
        escrow.settle(terms, USDT);
        vm.warp(LATEST_EXPIRY);
        vm.prank(stranger);
        escrow.settle(terms, USDT);
    }

    function test_operatorSendsMoneyOfEndlessTermsBackThirtyOneDaysAfterTheirQuote() public {
        (IEscrow.Terms memory terms, bytes32 id) = endless();
        vm.warp(LATEST_EXPIRY);
        vm.prank(operator);
        vm.expectRevert(abi.encodeWithSelector(IEscrow.RefundTooEarly.selector, id, LATEST_EXPIRY));
        escrow.refund(terms, address(usdt), customer, 1);
        vm.warp(LATEST_EXPIRY + 24 hours);
        vm.prank(operator);
        escrow.refund(terms, address(usdt), customer, 25e18);
        eq("customer", usdt.balanceOf(customer), 25e18);
    }

    function test_expiryBeforeTheLongestLifeIsTakenAsItIs(uint40 life) public {
        IEscrow.Terms memory terms = terms25();
        terms.expiry = uint40(between(life, NOW, LATEST_EXPIRY));
        usdt.mint(vaultOf(terms), 25e18);
        vm.warp(uint256(terms.expiry) + 1);
        bytes32 id = escrow.idOf(terms);
        vm.prank(stranger);
        vm.expectRevert(
            abi.encodeWithSelector(IEscrow.SettleNotAllowed.selector, id, stranger, uint256(terms.expiry) + 30 days)
        );
        escrow.settle(terms, USDT);
    }

    function test_quoteAtTheEndOfTimeDoesNotOverflow() public {
        IEscrow.Terms memory terms = terms25();
        terms.quotedAt = type(uint40).max;
        terms.expiry = type(uint40).max;
        usdt.mint(vaultOf(terms), 25e18);
        vm.prank(stranger);
        escrow.settle(terms, USDT);
    }

    function test_moneyIsNeverSettledToATreasuryThatNobodyCouldEmpty() public {
        IEscrow.Terms memory terms = terms25();
        terms.merchant = address(0);
        usdt.mint(vaultOf(terms), 25e18);
        vm.expectRevert(abi.encodeWithSelector(IEscrow.MerchantIsZero.selector));
        escrow.settle(terms, USDT);
        vm.warp(uint256(EXPIRY) + 24 hours);
        vm.prank(operator);
        escrow.refund(terms, address(usdt), customer, 25e18);
        eq("customer", usdt.balanceOf(customer), 25e18);
    }

    function test_ownershipIsNeverDropped() public {
        vm.expectRevert(abi.encodeWithSelector(IEscrow.OwnershipNotRenounced.selector, owner));
        escrow.renounceOwnership();
        eq("owner", escrow.owner(), owner);
    }
}
