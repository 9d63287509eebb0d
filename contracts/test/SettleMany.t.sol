// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {Base} from "./Base.sol";
import {IEscrow} from "../src/IEscrow.sol";

contract SettleManyTest is Base {
    function batch(uint256 n) private returns (IEscrow.Terms[] memory terms, uint8[] memory assets) {
        terms = new IEscrow.Terms[](n);
        assets = new uint8[](n);
        for (uint256 i = 0; i < n; ++i) {
            terms[i] = terms25();
            terms[i].paymentId = keccak256(abi.encode(i));
            usdt.mint(vaultOf(terms[i]), 25e18);
        }
    }

    function test_everyItemIsSettled() public {
        (IEscrow.Terms[] memory terms, uint8[] memory assets) = batch(3);
        bool[] memory outcome = escrow.settleMany(terms, assets);
        for (uint256 i = 0; i < 3; ++i) {
            yes("settled", outcome[i] && escrow.stateOf(escrow.idOf(terms[i])) == IEscrow.State.Settled);
        }
        eq("treasury", usdt.balanceOf(treasury()), 75e18);
    }

    function test_badItemsAreSkippedByNameAndTheOthersGoOn() public {
        (IEscrow.Terms[] memory terms, uint8[] memory assets) = batch(4);
        escrow.settle(terms[1], USDT);
        assets[2] = BNB;
        bytes32 settledAlready = escrow.idOf(terms[1]);
        bytes32 unpaid = escrow.idOf(terms[2]);
        (, uint256 min) = escrow.due(terms[2], BNB);

        vm.expectEmit(address(escrow));
        emit IEscrow.SettleSkipped(
            settledAlready, USDT, abi.encodeWithSelector(IEscrow.AlreadySettled.selector, settledAlready)
        );
        vm.expectEmit(address(escrow));
        emit IEscrow.SettleSkipped(
            unpaid, BNB, abi.encodeWithSelector(IEscrow.BelowMin.selector, unpaid, NATIVE, uint256(0), min)
        );
        bool[] memory outcome = escrow.settleMany(terms, assets);
        yes("outcomes", outcome[0] && !outcome[1] && !outcome[2] && outcome[3]);
        eq("treasury", usdt.balanceOf(treasury()), 75e18);
    }

    function test_badThirtySeventhItemHoldsBackNoneOfTheOthers() public {
        (IEscrow.Terms[] memory terms, uint8[] memory assets) = batch(50);
        bytes32 good = escrow.idOf(terms[36]);
        terms[36].usd += 1;
        bytes32 bad = escrow.idOf(terms[36]);
        vm.expectEmit(address(escrow));
        emit IEscrow.SettleSkipped(
            bad,
            USDT,
            abi.encodeWithSelector(IEscrow.BelowMin.selector, bad, address(usdt), uint256(0), uint256(25e18 + 1e12))
        );
        bool[] memory outcome = escrow.settleMany(terms, assets);
        for (uint256 i = 0; i < 50; ++i) {
            yes("all but the bad one", outcome[i] == (i != 36));
        }
        eq("treasury", usdt.balanceOf(treasury()), 49 * 25e18);
        eq("its money stays where it was", usdt.balanceOf(escrow.vaultOf(good)), 25e18);
    }

    function test_itemThatAStrangerSettledFirstIsSkippedAndPaidOnce() public {
        (IEscrow.Terms[] memory terms, uint8[] memory assets) = batch(3);
        vm.prank(stranger);
        escrow.settle(terms[1], USDT);
        vm.prank(operator);
        bool[] memory outcome = escrow.settleMany(terms, assets);
        yes("outcomes", outcome[0] && !outcome[1] && outcome[2]);
        eq("treasury", usdt.balanceOf(treasury()), 75e18);
    }

    function test_secondOfTwoRacingBatchesChangesNothing() public {
        (IEscrow.Terms[] memory terms, uint8[] memory assets) = batch(3);
        vm.prank(operator);
        escrow.settleMany(terms, assets);
        vm.prank(operator);
        bool[] memory outcome = escrow.settleMany(terms, assets);
        yes("all skipped", !outcome[0] && !outcome[1] && !outcome[2]);
        eq("treasury", usdt.balanceOf(treasury()), 75e18);
    }

    function test_itemThatTheOperatorRefundedMeanwhileIsSkipped() public {
        (IEscrow.Terms[] memory terms, uint8[] memory assets) = batch(2);
        vm.warp(uint256(EXPIRY) + 24 hours);
        vm.prank(operator);
        escrow.refund(terms[0], address(usdt), customer, 25e18);
        vm.prank(operator);
        bool[] memory outcome = escrow.settleMany(terms, assets);
        yes("outcomes", !outcome[0] && outcome[1]);
        eq("treasury", usdt.balanceOf(treasury()), 25e18);
        eq("customer", usdt.balanceOf(customer), 25e18);
    }

    /// Too little gas reverts the batch or skips items; it never half-settles one, nor says what is not so.
    function test_batchShortOfGasSettlesOnlyWholeItems(uint256 gas_) public {
        (IEscrow.Terms[] memory terms, uint8[] memory assets) = batch(3);
        try escrow.settleMany{gas: between(gas_, 30_000, 450_000)}(terms, assets) returns (bool[] memory outcome) {
            for (uint256 i = 0; i < 3; ++i) {
                bytes32 id = escrow.idOf(terms[i]);
                yes("state", outcome[i] == (escrow.stateOf(id) == IEscrow.State.Settled));
                eq("vault", usdt.balanceOf(escrow.vaultOf(id)), outcome[i] ? 0 : 25e18);
            }
        } catch {
            eq("treasury", usdt.balanceOf(treasury()), 0);
        }
    }

    function test_samePaymentTwiceInABatchIsSettledOnce() public {
        (IEscrow.Terms[] memory terms, uint8[] memory assets) = batch(2);
        terms[1] = terms[0];
        bool[] memory outcome = escrow.settleMany(terms, assets);
        yes("outcomes", outcome[0] && !outcome[1]);
        eq("treasury", usdt.balanceOf(treasury()), 25e18);
    }

    function test_operatorKeepsItsRightInABatchAndAStrangerGainsNone() public {
        (IEscrow.Terms[] memory terms, uint8[] memory assets) = batch(1);
        vm.warp(EXPIRY + 1);
        vm.prank(stranger);
        yes("not the stranger", !escrow.settleMany(terms, assets)[0]);
        vm.prank(operator);
        yes("the operator", escrow.settleMany(terms, assets)[0]);
    }

    function test_callerCannotBeFeigned() public {
        (IEscrow.Terms[] memory terms,) = batch(1);
        vm.prank(stranger);
        vm.expectRevert(abi.encodeWithSelector(IEscrow.OnlySelf.selector, stranger));
        escrow.settleItem(terms[0], USDT, operator);
    }

    function test_listsOfDifferentLengthAreRefused() public {
        (IEscrow.Terms[] memory terms,) = batch(2);
        vm.expectRevert(abi.encodeWithSelector(IEscrow.LengthMismatch.selector, uint256(2), uint256(1)));
        escrow.settleMany(terms, new uint8[](1));
    }
}
