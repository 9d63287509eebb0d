// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {Base} from "./Base.sol";
import {IEscrow} from "../src/IEscrow.sol";
import {IPriceFeed} from "../src/IPriceFeed.sol";
import {TestFeed} from "../src/local/TestFeed.sol";

/// @notice What stands before Chainlink's aggregators: forwards to the one of the phase in a round id's upper 16 bits.
contract PhasedFeed is IPriceFeed {
    TestFeed[] private phases;

    error NoSuchPhase(uint80 round);

    constructor() {
        nextPhase(8);
    }

    function nextPhase(uint8 decimals_) public {
        phases.push(new TestFeed("BNB / USD", decimals_));
    }

    /// @notice Adds a round to the newest phase and answers its id as the proxy's readers know it.
    function addRound(int256 answer, uint256 updatedAt) external returns (uint80) {
        return outer(newest().addRound(answer, updatedAt));
    }

    function newest() private view returns (TestFeed) {
        return phases[phases.length - 1];
    }

    /// TestFeed's ids begin at 2^64; an aggregator's own are its lower 64 bits.
    function outer(uint80 inner) private view returns (uint80) {
        return uint80(phases.length << 64 | uint64(inner));
    }

    function description() external pure returns (string memory) {
        return "BNB / USD";
    }

    function decimals() external view returns (uint8) {
        return newest().decimals();
    }

    function getRoundData(uint80 roundId) public view returns (uint80, int256, uint256, uint256, uint80) {
        uint256 phase = roundId >> 64;
        if (phase == 0 || phase > phases.length) revert NoSuchPhase(roundId);
        return phases[phase - 1].getRoundData(uint80(1 << 64 | uint64(roundId)));
    }

    function latestRoundData() external view returns (uint80, int256, uint256, uint256, uint80) {
        return getRoundData(outer(newest().latestRound()));
    }
}

/// @notice Chainlink as it behaves, in the middle of a payment's life.
contract FeedTest is Base {
    PhasedFeed private phased;
    uint8 private asset;

    function setUp() public override {
        super.setUp();
        phased = new PhasedFeed();
        asset = escrow.listAsset(NATIVE, address(phased), MAX_AGE);
    }

    function quoted(int256 answer) private returns (IEscrow.Terms memory terms) {
        terms = terms25();
        terms.assets = uint32(1) << asset;
        terms.round = phased.addRound(answer, NOW);
    }

    function refused(IEscrow.Terms memory terms, bytes memory reason) private {
        vm.expectRevert(reason);
        escrow.due(terms, asset);
    }

    function test_quoteOutlivesThePhaseItWasMadeIn() public {
        IEscrow.Terms memory terms = quoted(600e8);
        (uint256 full, uint256 min) = escrow.due(terms, asset);
        phased.nextPhase(8);
        phased.addRound(1200e8, NOW + 60);
        (uint256 fullThen,) = escrow.due(terms, asset);
        eq("full", fullThen, full);
        vm.deal(vaultOf(terms), min);
        vm.warp(NOW + 120);
        escrow.settle(terms, asset);
    }

    function test_roundsOfANewPhasePriceNewPayments() public {
        phased.addRound(600e8, NOW);
        phased.nextPhase(8);
        IEscrow.Terms memory terms = quoted(1200e8);
        yes("the phase is part of the id", terms.round >> 64 == 2);
        (uint256 full,) = escrow.due(terms, asset);
        eq("25 / 1200 rounded up", full, 20833333333333334);
    }

    function test_sameLowerBitsInAnotherPhaseAreAnotherRound() public {
        IEscrow.Terms memory terms = quoted(600e8);
        phased.nextPhase(8);
        phased.addRound(1200e8, NOW);
        (uint256 full,) = escrow.due(terms, asset);
        eq("still the first phase", full, 41666666666666667);
    }

    function test_missingRoundOfAKnownPhaseAnswersZerosAndIsRefused() public {
        IEscrow.Terms memory terms = quoted(600e8);
        terms.round += 1;
        refused(terms, abi.encodeWithSelector(IEscrow.PriceNotPositive.selector, terms.round, int256(0)));
    }

    function test_missingPhaseRevertsAndIsPassedOn() public {
        IEscrow.Terms memory terms = quoted(600e8);
        terms.round = uint80(9 << 64 | 1);
        refused(terms, abi.encodeWithSelector(PhasedFeed.NoSuchPhase.selector, terms.round));
    }

    function test_negativeAnswerIsRefused() public {
        IEscrow.Terms memory terms = quoted(-600e8);
        refused(terms, abi.encodeWithSelector(IEscrow.PriceNotPositive.selector, terms.round, int256(-600e8)));
    }

    function test_roundThatWasNeverFinishedIsTooOld() public {
        IEscrow.Terms memory terms = terms25();
        terms.assets = uint32(1) << asset;
        terms.round = phased.addRound(600e8, 0);
        refused(terms, abi.encodeWithSelector(IEscrow.PriceTooOld.selector, terms.round, uint256(0), NOW, MAX_AGE));
    }

    function test_feedPausedForAnHourPricesNoNewPaymentAndEveryQuotedOne() public {
        IEscrow.Terms memory old = quoted(600e8);
        (, uint256 min) = escrow.due(old, asset);
        vm.warp(NOW + 1 hours);
        IEscrow.Terms memory fresh = old;
        vm.deal(vaultOf(old), min);
        bytes32 id = escrow.idOf(old);
        vm.prank(operator);
        eq("the quoted one settles", escrow.settle(old, asset), min);
        yes("state", escrow.stateOf(id) == IEscrow.State.Settled);
        fresh.quotedAt = NOW + 1 hours;
        refused(
            fresh,
            abi.encodeWithSelector(IEscrow.PriceTooOld.selector, fresh.round, uint256(NOW), NOW + 1 hours, MAX_AGE)
        );
    }

    /// The decimals are read once, when the asset is listed: rounds of the phase that was listed keep their meaning. A
    /// phase with other decimals must be listed anew, and quoting (which compares them) leaves the asset out until then.
    function test_decimalsChangedByALaterPhaseDoNotChangeWhatWasQuoted() public {
        IEscrow.Terms memory terms = quoted(600e8);
        (uint256 full,) = escrow.due(terms, asset);
        phased.nextPhase(18);
        eq("the feed says so now", phased.decimals(), 18);
        (uint256 fullThen,) = escrow.due(terms, asset);
        eq("full", fullThen, full);
        eq("as listed", escrow.assetAt(asset).feedDecimals, 8);

        uint8 anew = escrow.listAsset(NATIVE, address(phased), MAX_AGE);
        terms.assets = uint32(1) << anew;
        terms.round = phased.addRound(600e18, NOW);
        (uint256 fullAnew,) = escrow.due(terms, anew);
        eq("the same dollars", fullAnew, full);
    }

    function test_brokenFeedHoldsBackNeitherStablecoinsNorTheMerchantsRefund() public {
        IEscrow.Terms memory terms = quoted(600e8);
        terms.assets |= 1;
        terms.round = uint80(9 << 64 | 1);
        address vault = vaultOf(terms);
        vm.deal(vault, 1 ether);
        vm.prank(merchant);
        escrow.refund(terms, NATIVE, customer, 1 ether);
        eq("customer", customer.balance, 1 ether);
        usdt.mint(vault, 25e18);
        escrow.settle(terms, USDT);
        eq("treasury", usdt.balanceOf(treasury()), 25e18);
    }

    function test_brokenFeedLetsAnAcceptedStablecoinBeRefundedAfterExpiry() public {
        IEscrow.Terms memory terms = quoted(600e8);
        terms.assets |= 1;
        terms.round = uint80(9 << 64 | 1);
        usdt.mint(vaultOf(terms), 5e18);
        vm.warp(EXPIRY + 1);
        vm.prank(operator);
        escrow.refund(terms, address(usdt), customer, 5e18);
        eq("customer", usdt.balanceOf(customer), 5e18);
    }
}
