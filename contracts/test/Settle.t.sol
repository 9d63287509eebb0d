// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {Base} from "./Base.sol";
import {IEscrow} from "../src/IEscrow.sol";

contract SettleTest is Base {
    function test_strangerSettlesAndOnlyTheTreasuryGains() public {
        (IEscrow.Terms memory terms, address vault) = paid(25e18);
        vm.expectEmit(address(escrow));
        emit IEscrow.Settled(escrow.idOf(terms), merchant, address(usdt), USDT, 25e18, stranger);
        vm.prank(stranger);
        eq("answer", escrow.settle(terms, USDT), 25e18);
        eq("vault", usdt.balanceOf(vault), 0);
        eq("treasury", usdt.balanceOf(treasury()), 25e18);
        eq("balanceOf", escrow.balanceOf(merchant, address(usdt)), 25e18);
        eq("stranger", usdt.balanceOf(stranger), 0);
        yes("state", escrow.stateOf(escrow.idOf(terms)) == IEscrow.State.Settled);
    }

    function test_bnbSettlesFromAVaultNeverDeployed() public {
        IEscrow.Terms memory terms = terms25();
        (, uint256 min) = escrow.due(terms, BNB);
        vm.deal(vaultOf(terms), min);
        escrow.settle(terms, BNB);
        eq("treasury", treasury().balance, min);
        eq("balanceOf", escrow.balanceOf(merchant, NATIVE), min);
    }

    function test_bnbSettlesIntoADeployedTreasury() public {
        test_bnbSettlesFromAVaultNeverDeployed();
        escrow.withdrawFor(merchant, NATIVE);
        yes("treasury is deployed", treasury().code.length > 0);
        IEscrow.Terms memory terms = terms25();
        terms.paymentId = keccak256("pay_2");
        vm.deal(vaultOf(terms), 1 ether);
        escrow.settle(terms, BNB);
        eq("treasury", treasury().balance, 1 ether);
    }

    function test_excessOfTheSameTokenGoesAlong() public {
        (IEscrow.Terms memory terms,) = paid(30e18);
        eq("answer", escrow.settle(terms, USDT), 30e18);
    }

    function test_secondSettleIsRefusedForEveryAsset() public {
        (IEscrow.Terms memory terms, address vault) = settled();
        usdc.mint(vault, 25e18);
        bytes memory reason = abi.encodeWithSelector(IEscrow.AlreadySettled.selector, escrow.idOf(terms));
        vm.expectRevert(reason);
        escrow.settle(terms, USDT);
        vm.expectRevert(reason);
        escrow.settle(terms, USDC);
    }

    function test_oneUnitBelowMinIsRefused() public {
        (IEscrow.Terms memory terms, address vault) = paid(25e18 - 1);
        bytes32 id = escrow.idOf(terms);
        vm.expectRevert(
            abi.encodeWithSelector(IEscrow.BelowMin.selector, id, address(usdt), uint256(25e18 - 1), uint256(25e18))
        );
        escrow.settle(terms, USDT);
        usdt.mint(vault, 1);
        escrow.settle(terms, USDT);
    }

    function test_bnbBelowFullButAtMinSettlesAndOneWeiLessDoesNot() public {
        IEscrow.Terms memory terms = terms25();
        bytes32 id = escrow.idOf(terms);
        (uint256 full, uint256 min) = escrow.due(terms, BNB);
        yes("min is less than full", min < full);
        vm.deal(vaultOf(terms), min - 1);
        vm.expectRevert(abi.encodeWithSelector(IEscrow.BelowMin.selector, id, NATIVE, min - 1, min));
        escrow.settle(terms, BNB);
        vm.deal(vaultOf(terms), min);
        escrow.settle(terms, BNB);
    }

    function test_tokensAreNotAddedTogether() public {
        (IEscrow.Terms memory terms, address vault) = paid(20e18);
        usdc.mint(vault, 20e18);
        bytes32 id = escrow.idOf(terms);
        vm.expectRevert(
            abi.encodeWithSelector(IEscrow.BelowMin.selector, id, address(usdc), uint256(20e18), uint256(25e18))
        );
        escrow.settle(terms, USDC);
    }

    function test_listedTokenThatTheTermsDoNotAcceptIsRefused() public {
        IEscrow.Terms memory terms = terms25();
        terms.assets = 2;
        usdt.mint(vaultOf(terms), 25e18);
        vm.expectRevert(abi.encodeWithSelector(IEscrow.AssetNotAccepted.selector, USDT, uint32(2)));
        escrow.settle(terms, USDT);
    }

    function test_changedTermsFindAnEmptyVault() public {
        (IEscrow.Terms memory terms,) = paid(25e18);
        terms.usd = 1;
        bytes32 id = escrow.idOf(terms);
        vm.expectRevert(abi.encodeWithSelector(IEscrow.BelowMin.selector, id, address(usdt), uint256(0), uint256(1e12)));
        escrow.settle(terms, USDT);
    }

    function test_anyoneSettlesInTheSecondOfExpiry() public {
        (IEscrow.Terms memory terms,) = paid(25e18);
        vm.warp(EXPIRY);
        vm.prank(stranger);
        escrow.settle(terms, USDT);
    }

    function test_strangerMayNotSettleFromExpiryForThirtyDays(uint256 later) public {
        (IEscrow.Terms memory terms,) = paid(25e18);
        bytes32 id = escrow.idOf(terms);
        uint256 openAgainAt = uint256(EXPIRY) + 30 days;
        vm.warp(between(later, uint256(EXPIRY) + 1, openAgainAt - 1));
        vm.prank(stranger);
        vm.expectRevert(abi.encodeWithSelector(IEscrow.SettleNotAllowed.selector, id, stranger, openAgainAt));
        escrow.settle(terms, USDT);
    }

    function test_merchantSettlesAfterExpiry() public {
        (IEscrow.Terms memory terms,) = paid(25e18);
        vm.warp(EXPIRY + 1);
        vm.prank(merchant);
        escrow.settle(terms, USDT);
    }

    function test_operatorSettlesAfterExpiry() public {
        (IEscrow.Terms memory terms,) = paid(25e18);
        vm.warp(EXPIRY + 1);
        vm.prank(operator);
        escrow.settle(terms, USDT);
    }

    function test_anyoneSettlesAgainThirtyDaysAfterExpiry() public {
        (IEscrow.Terms memory terms,) = paid(25e18);
        vm.warp(uint256(EXPIRY) + 30 days);
        vm.prank(stranger);
        escrow.settle(terms, USDT);
    }

    function test_paymentPartlyRefundedByMerchantStillSettlesWhenTheRestSuffices() public {
        (IEscrow.Terms memory terms,) = paid(30e18);
        vm.prank(merchant);
        escrow.refund(terms, address(usdt), customer, 5e18);
        eq("answer", escrow.settle(terms, USDT), 25e18);
    }

    function test_enoughAlwaysSettlesAndTooLittleNever(uint96 usd, uint128 units) public {
        IEscrow.Terms memory terms = terms25();
        terms.usd = uint96(between(usd, 1, 1e12));
        usdt.mint(vaultOf(terms), units);
        bytes32 id = escrow.idOf(terms);
        uint256 min = uint256(terms.usd) * 1e12;
        if (units < min) {
            vm.expectRevert(abi.encodeWithSelector(IEscrow.BelowMin.selector, id, address(usdt), uint256(units), min));
        }
        escrow.settle(terms, USDT);
        eq("treasury", usdt.balanceOf(treasury()), units < min ? 0 : units);
    }
}
