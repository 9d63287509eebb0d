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
