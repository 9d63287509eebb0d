// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {Escrow} from "../src/Escrow.sol";
import {IEscrow} from "../src/IEscrow.sol";
import {TestFeed} from "../src/local/TestFeed.sol";
import {TestToken} from "../src/local/TestToken.sol";

/// @notice The cheat codes of forge that are used here.
interface Vm {
    function addr(uint256 key) external pure returns (address);
    function assume(bool condition) external pure;
    function deal(address account, uint256 wei_) external;
    function expectEmit(address emitter) external;
    function expectRevert(bytes calldata data) external;
    function prank(address caller) external;
    function warp(uint256 timestamp) external;
}

/// @notice An escrow with USDT at index 0, USDC at 1 and BNB at 2, at the price of 600 USD, and terms of 25 USD.
abstract contract Base {
    Vm internal constant vm = Vm(address(uint160(uint256(keccak256("hevm cheat code")))));

    uint8 internal constant USDT = 0;
    uint8 internal constant USDC = 1;
    uint8 internal constant BNB = 2;
    address internal constant NATIVE = address(0);
    uint32 internal constant MAX_AGE = 300;
    uint40 internal constant NOW = 1_790_000_000;
    uint40 internal constant EXPIRY = NOW + 1800;

    address internal immutable owner = address(this);
    address internal immutable merchant = vm.addr(1);
    address internal immutable operator = vm.addr(2);
    address internal immutable stranger = vm.addr(3);
    address internal immutable customer = vm.addr(4);

    Escrow internal escrow;
    TestToken internal usdt;
    TestToken internal usdc;
    TestFeed internal feed;
    uint80 internal round;

    error Different(string what, uint256 got, uint256 expected);

    function setUp() public virtual {
        vm.warp(NOW);
        escrow = new Escrow(owner);
        usdt = new TestToken("Tether USD", "USDT");
        usdc = new TestToken("USD Coin", "USDC");
        feed = new TestFeed("BNB / USD", 8);
        round = feed.addRound(600e8, NOW);
        escrow.listAsset(address(usdt), address(0), 0);
        escrow.listAsset(address(usdc), address(0), 0);
        escrow.listAsset(NATIVE, address(feed), MAX_AGE);
    }

    function terms25() internal view returns (IEscrow.Terms memory) {
        return IEscrow.Terms({
            merchant: merchant,
            operator: operator,
            usd: 25e6,
            slippageBps: 100,
            underpaymentBps: 0,
            quotedAt: NOW,
            expiry: EXPIRY,
            round: round,
            assets: 7,
            paymentId: keccak256("pay_1")
        });
    }

    /// @notice Terms of 25 USD whose vault holds `amount` of USDT.
    function paid(uint256 amount) internal returns (IEscrow.Terms memory terms, address vault) {
        terms = terms25();
        vault = vaultOf(terms);
        usdt.mint(vault, amount);
    }

    /// @notice Terms of 25 USD settled with exactly 25 USDT.
    function settled() internal returns (IEscrow.Terms memory terms, address vault) {
        (terms, vault) = paid(25e18);
        escrow.settle(terms, USDT);
    }

    function vaultOf(IEscrow.Terms memory terms) internal view returns (address) {
        return escrow.vaultOf(escrow.idOf(terms));
    }

    function treasury() internal view returns (address) {
        return escrow.treasuryOf(merchant);
    }

    function eq(string memory what, uint256 got, uint256 expected) internal pure {
        if (got != expected) revert Different(what, got, expected);
    }

    function eq(string memory what, address got, address expected) internal pure {
        eq(what, uint160(got), uint160(expected));
    }

    function eq(string memory what, bytes32 got, bytes32 expected) internal pure {
        eq(what, uint256(got), uint256(expected));
    }

    function yes(string memory what, bool got) internal pure {
        eq(what, got ? 1 : 0, 1);
    }

    function between(uint256 x, uint256 low, uint256 high) internal pure returns (uint256) {
        return low + x % (high - low + 1);
    }
}
