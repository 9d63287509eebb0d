// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {Base} from "./Base.sol";
import {IEscrow} from "../src/IEscrow.sol";
import {DueMath} from "../src/DueMath.sol";
import {TestFeed} from "../src/local/TestFeed.sol";
import {ERC20} from "@openzeppelin/contracts/token/ERC20/ERC20.sol";

contract TwoDecimals is ERC20("Cents", "CENT") {
    function decimals() public pure override returns (uint8) {
        return 2;
    }
}

contract AnyDecimals is ERC20("Any", "ANY") {
    uint8 private immutable _decimals;

    constructor(uint8 decimals_) {
        _decimals = decimals_;
    }

    function decimals() public view override returns (uint8) {
        return _decimals;
    }
}

contract RevertingFeed is TestFeed("BNB / USD", 8) {
    function getRoundData(uint80) public pure override returns (uint80, int256, uint256, uint256, uint80) {
        revert("No data present");
    }
}

contract DueTest is Base {
    function refused(IEscrow.Terms memory terms, uint8 asset, bytes memory reason) private {
        vm.expectRevert(reason);
        escrow.due(terms, asset);
    }

    function test_stablecoinIsOneDollarInFull() public view {
        (uint256 full, uint256 min) = escrow.due(terms25(), USDT);
        eq("full", full, 25e18);
        eq("min", min, 25e18);
    }

    function test_stablecoinMayFallShortByUnderpaymentAndNotBySlippage() public view {
        IEscrow.Terms memory terms = terms25();
        terms.underpaymentBps = 200;
        (uint256 full, uint256 min) = escrow.due(terms, USDC);
        eq("full", full, 25e18);
        eq("min", min, 24.5e18);
    }

    function test_bnbIsPricedByTheNamedRoundAndRoundedUp() public view {
        (uint256 full, uint256 min) = escrow.due(terms25(), BNB);
        eq("25 / 600 rounded up", full, 41666666666666667);
        eq("99 % of it rounded up", min, 41250000000000001);
    }

    function test_laterRoundsDoNotChangeTheQuote() public {
        feed.addRound(1200e8, NOW + 10);
        vm.warp(NOW + 30 days);
        (uint256 full,) = escrow.due(terms25(), BNB);
        eq("full", full, 41666666666666667);
    }

    function test_fewDecimalsRoundUpToAWholeUnit() public {
        uint8 cents = escrow.listAsset(address(new TwoDecimals()), address(0), 0);
        IEscrow.Terms memory terms = terms25();
        terms.assets = 8;
        terms.usd = 25_000_001;
        (uint256 full, uint256 min) = escrow.due(terms, cents);
        eq("full", full, 2501);
        eq("min", min, 2501);
    }

    function test_quoteIsNeverBelowTheExactValueNorAUnitAboveIt(uint96 usd, uint64 price, uint16 bps) public {
        IEscrow.Terms memory terms = terms25();
        terms.usd = uint96(between(usd, 1, type(uint96).max));
        uint256 answer = between(price, 1, type(uint64).max);
        terms.round = feed.addRound(int256(answer), NOW);
        terms.slippageBps = uint16(between(bps, 0, 500));
        (uint256 full, uint256 min) = escrow.due(terms, BNB);

        // full * price / 10^(18 + 8) >= usd / 10^6, and with one unit less it is below.
        yes("enough", full * answer >= uint256(terms.usd) * 1e20);
        yes("not a unit too much", (full - 1) * answer < uint256(terms.usd) * 1e20);
        yes("min is enough", min * 10_000 >= full * (10_000 - terms.slippageBps));
        yes("min is not a unit too much", (min - 1) * 10_000 < full * (10_000 - terms.slippageBps));
        yes("something is always due", min > 0 && min <= full);
    }

    /// Promise to the merchant: whatever the decimals of token and feed, the full amount is worth the dollars asked, and
    /// one unit less is not.
    function test_fullIsWorthTheDollarsAndOneUnitLessIsNot(
        uint96 usd,
        uint8 tokenDecimals,
        uint8 feedDecimals,
        uint128 price
    ) public {
        (uint256 t, uint256 f) = (between(tokenDecimals, 0, 18), between(feedDecimals, 0, 18));
        uint256 answer = between(price, 1, type(uint128).max);
        uint8 asset = listed(uint8(t), uint8(f), answer);
        IEscrow.Terms memory terms = terms25();
        terms.assets = uint32(1) << asset;
        terms.usd = uint96(between(usd, 1, type(uint96).max));
        (uint256 full,) = escrow.due(terms, asset);

        // full / 10^t * answer / 10^f dollars against usd / 10^6, multiplied out.
        uint256 asked = uint256(terms.usd) * 10 ** (t + f);
        yes("worth it", wide(full, answer * 1e6, asked));
        yes("one unit less is not", !wide(full - 1, answer * 1e6, asked));
    }

    /// Whether a * b >= c, without overflow.
    function wide(uint256 a, uint256 b, uint256 c) private pure returns (bool) {
        return a != 0 && b >= (c - 1) / a + 1;
    }

    function listed(uint8 tokenDecimals, uint8 feedDecimals, uint256 answer) private returns (uint8) {
        TestFeed priced = new TestFeed("X / USD", feedDecimals);
        priced.addRound(int256(answer), NOW);
        return escrow.listAsset(address(new AnyDecimals(tokenDecimals)), address(priced), MAX_AGE);
    }

    /// The amount test is the same for whoever settles, whenever, and whatever the feed says by then.
    function test_amountTestDependsOnNeitherCallerNorTimeNorLaterRounds(
        uint256 caller,
        uint32 later,
        int128 laterAnswer,
        bool bnb
    ) public {
        IEscrow.Terms memory terms = terms25();
        uint8 asset = bnb ? BNB : USDT;
        (uint256 full, uint256 min) = escrow.due(terms, asset);
        address who = [merchant, operator, stranger, customer, owner][caller % 5];
        bool insider = who == merchant || who == operator;
        uint256 at = insider ? between(later, 0, 365 days) : between(later, 30 days + 1800, 365 days);
        vm.warp(NOW + at);
        feed.addRound(laterAnswer, NOW + at);

        vm.prank(who);
        (uint256 fullThen, uint256 minThen) = escrow.due(terms, asset);
        eq("full", fullThen, full);
        eq("min", minThen, min);
        pay(terms, asset, min - 1);
        bytes32 id = escrow.idOf(terms);
        vm.prank(who);
        vm.expectRevert(
            abi.encodeWithSelector(IEscrow.BelowMin.selector, id, bnb ? NATIVE : address(usdt), min - 1, min)
        );
        escrow.settle(terms, asset);
        pay(terms, asset, 1);
        vm.prank(who);
        escrow.settle(terms, asset);
    }

    function pay(IEscrow.Terms memory terms, uint8 asset, uint256 more) private {
        address vault = vaultOf(terms);
        if (asset == BNB) vm.deal(vault, vault.balance + more);
        else usdt.mint(vault, more);
    }

    function test_largestPossibleAmountDoesNotOverflow() public {
        uint8 asset = escrow.listAsset(address(usdt), address(fineFeed()), MAX_AGE);
        IEscrow.Terms memory terms = terms25();
        terms.assets = 8;
        terms.usd = type(uint96).max;
        (uint256 full,) = escrow.due(terms, asset);
        eq("full", full, uint256(type(uint96).max) * 1e30);
    }

    function fineFeed() private returns (TestFeed fine) {
        fine = new TestFeed("USDT / USD", 18);
        fine.addRound(1, NOW);
    }

    function test_divUpIsCeil(uint256 a, uint128 b) public pure {
        uint256 divisor = between(b, 1, type(uint128).max);
        uint256 up = DueMath.divUp(a, divisor);
        eq("ceil", up, a / divisor + (a % divisor == 0 ? 0 : 1));
    }

    function test_roundAsOldAsMaxAgeIsAcceptedAndASecondOlderIsNot() public {
        IEscrow.Terms memory terms = terms25();
        terms.quotedAt = NOW + MAX_AGE;
        escrow.due(terms, BNB);
        terms.quotedAt += 1;
        refused(
            terms,
            BNB,
            abi.encodeWithSelector(IEscrow.PriceTooOld.selector, round, uint256(NOW), NOW + MAX_AGE + 1, MAX_AGE)
        );
        escrow.due(terms, USDT);
    }

    function test_roundNewerThanTheQuoteIsRefused() public {
        IEscrow.Terms memory terms = terms25();
        terms.quotedAt = NOW - 1;
        refused(terms, BNB, abi.encodeWithSelector(IEscrow.PriceNewerThanQuote.selector, round, uint256(NOW), NOW - 1));
    }

    function test_priceOfZeroOrLessIsRefused() public {
        IEscrow.Terms memory terms = terms25();
        terms.round = feed.addRound(0, NOW);
        refused(terms, BNB, abi.encodeWithSelector(IEscrow.PriceNotPositive.selector, terms.round, int256(0)));
        terms.round = feed.addRound(-1, NOW);
        refused(terms, BNB, abi.encodeWithSelector(IEscrow.PriceNotPositive.selector, terms.round, int256(-1)));
    }

    function test_unknownRoundIsRefused() public {
        IEscrow.Terms memory terms = terms25();
        terms.round += 1;
        refused(terms, BNB, abi.encodeWithSelector(IEscrow.PriceNotPositive.selector, terms.round, int256(0)));
    }

    function test_revertOfTheFeedIsPassedOn() public {
        uint8 asset = escrow.listAsset(NATIVE, address(new RevertingFeed()), MAX_AGE);
        IEscrow.Terms memory terms = terms25();
        terms.assets = 8;
        refused(terms, asset, abi.encodeWithSignature("Error(string)", "No data present"));
    }

    function test_brokenFeedDoesNotBlockStablecoins() public view {
        IEscrow.Terms memory terms = terms25();
        terms.round = 0;
        escrow.due(terms, USDT);
    }

    function test_assetOutsideTheTermsIsRefused() public {
        IEscrow.Terms memory terms = terms25();
        terms.assets = 1;
        refused(terms, BNB, abi.encodeWithSelector(IEscrow.AssetNotAccepted.selector, BNB, uint32(1)));
    }

    function test_unlistedAssetIsRefusedEvenIfItsBitIsSet() public {
        IEscrow.Terms memory terms = terms25();
        terms.assets = type(uint32).max;
        refused(terms, 3, abi.encodeWithSelector(IEscrow.AssetNotListed.selector, uint8(3), uint256(3)));
    }

    function test_zeroDollarsAreRefused() public {
        IEscrow.Terms memory terms = terms25();
        terms.usd = 0;
        refused(terms, USDT, abi.encodeWithSelector(IEscrow.UsdIsZero.selector));
    }

    function test_tolerancesAboveFivePercentAreRefusedForEveryAsset() public {
        IEscrow.Terms memory terms = terms25();
        terms.slippageBps = 501;
        refused(terms, USDT, abi.encodeWithSelector(IEscrow.BpsTooHigh.selector, uint16(501), uint16(500)));
        terms = terms25();
        terms.underpaymentBps = 501;
        refused(terms, BNB, abi.encodeWithSelector(IEscrow.BpsTooHigh.selector, uint16(501), uint16(500)));
        terms.underpaymentBps = 500;
        terms.slippageBps = 500;
        escrow.due(terms, BNB);
    }
}
