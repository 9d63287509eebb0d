// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {Base} from "./Base.sol";
import {IEscrow} from "../src/IEscrow.sol";
import {Ownable} from "@openzeppelin/contracts/access/Ownable.sol";

/// @notice What whoever stole the operator's key can do and what not, one sentence each. docs/security.md has the list.
contract OperatorKeyTest is Base {
    address private thief;

    function setUp() public override {
        super.setUp();
        thief = operator;
    }

    function refused(IEscrow.Terms memory terms, bytes memory reason) private {
        vm.prank(thief);
        vm.expectRevert(reason);
        escrow.refund(terms, address(usdt), thief, 1);
    }

    // ------------------------------------------------------------------------------------------ can

    function test_thiefCanTakePartialMoneyOfAnExpiredPayment() public {
        (IEscrow.Terms memory terms,) = paid(5e18);
        vm.warp(EXPIRY + 1);
        vm.prank(thief);
        escrow.refund(terms, address(usdt), thief, 5e18);
        eq("thief", usdt.balanceOf(thief), 5e18);
    }

    function test_thiefCanTakeATokenTheTermsDoNotAcceptOnceExpired() public {
        IEscrow.Terms memory terms = terms25();
        terms.assets = 2;
        usdt.mint(vaultOf(terms), 25e18);
        vm.warp(EXPIRY + 1);
        vm.prank(thief);
        escrow.refund(terms, address(usdt), thief, 25e18);
        eq("thief", usdt.balanceOf(thief), 25e18);
    }

    function test_thiefCanTakeWhatNobodySettledForADayAfterExpiry() public {
        (IEscrow.Terms memory terms,) = paid(25e18);
        vm.warp(uint256(EXPIRY) + 24 hours);
        vm.prank(thief);
        escrow.refund(terms, address(usdt), thief, 25e18);
        eq("thief", usdt.balanceOf(thief), 25e18);
    }

    function test_thiefCanSettleWhichPaysOnlyTheMerchant() public {
        (IEscrow.Terms memory terms,) = paid(25e18);
        vm.warp(EXPIRY + 1);
        vm.prank(thief);
        escrow.settle(terms, USDT);
        eq("treasury", usdt.balanceOf(treasury()), 25e18);
    }

    function test_thiefCanWithdrawForTheMerchantAndOnlyToIt() public {
        settled();
        vm.prank(thief);
        escrow.withdrawFor(merchant, address(usdt));
        eq("merchant", usdt.balanceOf(merchant), 25e18);
        eq("thief", usdt.balanceOf(thief), 0);
    }

    // ------------------------------------------------------------------------------------------ cannot

    function test_thiefCannotTakeAnythingBeforeExpiry() public {
        (IEscrow.Terms memory terms,) = paid(5e18);
        bytes32 id = escrow.idOf(terms);
        refused(terms, abi.encodeWithSelector(IEscrow.RefundTooEarly.selector, id, uint256(EXPIRY)));
        vm.warp(EXPIRY);
        refused(terms, abi.encodeWithSelector(IEscrow.RefundTooEarly.selector, id, uint256(EXPIRY)));
    }

    function test_thiefCannotTakeWhatSufficesForADayAfterExpiry() public {
        (IEscrow.Terms memory terms,) = paid(25e18);
        bytes32 id = escrow.idOf(terms);
        uint256 refundableAt = uint256(EXPIRY) + 24 hours;
        vm.warp(refundableAt - 1);
        refused(
            terms,
            abi.encodeWithSelector(
                IEscrow.CanStillSettle.selector, id, USDT, uint256(25e18), uint256(25e18), refundableAt
            )
        );
    }

    function test_thiefCannotMakeASufficientBalanceInsufficientPieceByPiece(uint256 first) public {
        (IEscrow.Terms memory terms,) = paid(25e18);
        vm.warp(EXPIRY + 1);
        vm.prank(thief);
        try escrow.refund(terms, address(usdt), thief, between(first, 1, 25e18)) {
            revert("a part was taken");
        } catch {}
    }

    function test_thiefCannotTakeSettledMoney() public {
        (IEscrow.Terms memory terms, address vault) = settled();
        bytes32 id = escrow.idOf(terms);
        usdt.mint(vault, 5e18);
        vm.warp(uint256(EXPIRY) + 365 days);
        refused(terms, abi.encodeWithSelector(IEscrow.AlreadySettled.selector, id));
        vm.prank(thief);
        vm.expectRevert(abi.encodeWithSelector(IEscrow.RescueNotAllowed.selector, id, thief));
        escrow.rescue(terms, address(usdt), thief);
        vm.prank(thief);
        escrow.sweep(terms, address(usdt));
        eq("late money is the merchant's", usdt.balanceOf(treasury()), 30e18);
    }

    function test_thiefCannotTakeWhatTheMerchantBeganToRefund() public {
        (IEscrow.Terms memory terms,) = paid(5e18);
        vm.prank(merchant);
        escrow.refund(terms, address(usdt), customer, 1e18);
        vm.warp(uint256(EXPIRY) + 365 days);
        refused(terms, abi.encodeWithSelector(IEscrow.RefundedByMerchant.selector, escrow.idOf(terms)));
    }

    function test_thiefCannotReachATreasury() public {
        settled();
        address own = escrow.treasuryOf(thief);
        vm.prank(thief);
        vm.expectRevert(
            abi.encodeWithSelector(IEscrow.BalanceTooLow.selector, own, address(usdt), uint256(0), uint256(25e18))
        );
        escrow.withdraw(address(usdt), 25e18, thief);
    }

    function test_thiefCannotActOnPaymentsOfAnotherOperator() public {
        IEscrow.Terms memory terms = terms25();
        terms.operator = stranger;
        usdt.mint(vaultOf(terms), 5e18);
        vm.warp(uint256(EXPIRY) + 365 days);
        refused(terms, abi.encodeWithSelector(IEscrow.RefundNotAllowed.selector, escrow.idOf(terms), thief));
    }

    function test_thiefCannotPutItselfIntoTermsThatArePaid() public {
        (IEscrow.Terms memory terms, address vault) = paid(5e18);
        terms.merchant = thief;
        address other = vaultOf(terms);
        vm.prank(thief);
        vm.expectRevert(
            abi.encodeWithSelector(IEscrow.BalanceTooLow.selector, other, address(usdt), uint256(0), uint256(5e18))
        );
        escrow.refund(terms, address(usdt), thief, 5e18);
        eq("vault", usdt.balanceOf(vault), 5e18);
    }

    function test_thiefCannotListAssetsNorTakeOwnershipNorStrayMoney() public {
        bytes memory reason = abi.encodeWithSelector(Ownable.OwnableUnauthorizedAccount.selector, thief);
        vm.prank(thief);
        vm.expectRevert(reason);
        escrow.listAsset(address(usdt), address(0), 0);
        vm.prank(thief);
        vm.expectRevert(reason);
        escrow.transferOwnership(thief);
        vm.prank(thief);
        vm.expectRevert(reason);
        escrow.acceptOwnership();
        vm.prank(thief);
        vm.expectRevert(reason);
        escrow.rescueStray(address(usdt), thief);
        vm.prank(thief);
        vm.expectRevert(reason);
        escrow.renounceOwnership();
    }

    function test_thiefCannotStopTheMerchantOrTheOtherRoutes() public {
        (IEscrow.Terms memory terms,) = paid(30e18);
        vm.prank(merchant);
        escrow.refund(terms, address(usdt), customer, 5e18);
        vm.prank(stranger);
        escrow.settle(terms, USDT);
        vm.prank(merchant);
        escrow.withdraw(address(usdt), 25e18, merchant);
        eq("merchant", usdt.balanceOf(merchant), 25e18);
    }
}
