// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {Coins} from "../../src/Coins.sol";
import {Escrow} from "../../src/Escrow.sol";
import {IEscrow} from "../../src/IEscrow.sol";
import {Base} from "../Base.sol";
import {Ledger} from "./Ledger.sol";
import {World} from "./World.sol";

/// @notice More cheat codes of forge.
interface Snapshots {
    function snapshotState() external returns (uint256);
    function revertToState(uint256 id) external returns (bool);
}

/// @notice A world of its own for each test.
abstract contract InWorld is Base {
    World internal world;
    address internal keeper = vm.addr(5);

    function setUp() public override {
        super.setUp();
        // USDT, BNB and, listed by the world, the hostile token; owned by somebody who takes part.
        escrow = new Escrow(owner);
        escrow.listAsset(address(usdt), address(0), 0);
        escrow.listAsset(NATIVE, address(feed), MAX_AGE);
        escrow.transferOwnership(keeper);
        vm.prank(keeper);
        escrow.acceptOwnership();
        address[] memory people = new address[](6);
        (people[0], people[1], people[2]) = (merchant, vm.addr(6), operator);
        (people[3], people[4], people[5]) = (keeper, customer, stranger);
        world = new World(escrow, keeper, people, terms25(), feed);
    }

    function targetContracts() public view returns (address[] memory targets) {
        targets = new address[](1);
        targets[0] = address(world);
    }

    function booked(address account, address coin) internal view returns (uint256) {
        return uint256(world.held(account, coin));
    }
}

/// @notice What holds after any calls by anyone. The other promises are of single functions: Due.t.sol (the amount is
///         worth the dollars, and depends on neither caller nor time) and Addresses.t.sol (terms and addresses).
contract InvariantTest is InWorld {
    function never(string memory breach) private pure {
        if (bytes(breach).length != 0) revert(breach);
    }

    function invariant_escrowHoldsNoMoneyButWhatWasSentToItByMistake() public view {
        address[] memory coins = world.coins();
        for (uint256 i = 0; i < coins.length; ++i) {
            eq("escrow", Coins.balanceOf(coins[i], address(escrow)), booked(address(escrow), coins[i]));
            eq("implementation", Coins.balanceOf(coins[i], escrow.vaultImplementation()), 0);
        }
    }

    function invariant_everyCallMovedExactlyWhatItAnswered() public view {
        address[] memory coins = world.coins();
        address[] memory inside = world.inside();
        address[3] memory outside = [world.outside(), world.actors(0), world.actors(1)];
        for (uint256 i = 0; i < coins.length; ++i) {
            for (uint256 j = 0; j < inside.length; ++j) {
                eq("inside", Coins.balanceOf(coins[i], inside[j]), booked(inside[j], coins[i]));
            }
            for (uint256 j = 0; j < 3; ++j) {
                eq("outside", Coins.balanceOf(coins[i], outside[j]), booked(outside[j], coins[i]));
            }
        }
    }

    function invariant_inIsVaultsTreasuriesWithdrawnAndRefundedPerCoin() public view {
        address[] memory coins = world.coins();
        address[] memory inside = world.inside();
        for (uint256 i = 0; i < coins.length; ++i) {
            uint256 sum = world.withdrawn(coins[i]) + world.refunded(coins[i]) + world.rescued(coins[i]);
            for (uint256 j = 0; j < inside.length; ++j) {
                sum += Coins.balanceOf(coins[i], inside[j]);
            }
            eq("in", world.paidIn(coins[i]), sum);
        }
    }

    function invariant_oneSettlementPerIdAtOrAboveMin() public view {
        never(world.settlementBreach());
        for (uint256 i = 0; i < world.count(); ++i) {
            Ledger.Payment memory payment = world.get(i);
            bool settled = escrow.stateOf(escrow.idOf(payment.terms)) == IEscrow.State.Settled;
            yes("state", settled == payment.settled);
        }
    }

    function invariant_fromExpiryOnlyMerchantAndOperatorSettleForThirtyDays() public view {
        never(world.settlerBreach());
    }

    function invariant_nobodyButTheMerchantLowersATreasury() public view {
        never(world.treasuryBreach());
    }

    function invariant_refundsOnlyByRight() public view {
        never(world.refundBreach());
    }

    function invariant_onlyTheMerchantRescuesAndOnlyTheOwnerSendsOnStrayMoney() public view {
        never(world.rescueBreach());
    }

    function invariant_amountTestStaysWhatItWas() public view {
        for (uint256 i = 0; i < world.count(); ++i) {
            Ledger.Payment memory payment = world.get(i);
            for (uint8 asset = 0; asset < payment.mins.length; ++asset) {
                (, uint256 min) = escrow.due(payment.terms, asset);
                eq("min", min, payment.mins[asset]);
            }
        }
    }
}

/// @notice Every coin inside has somebody who may move it and, unless its merchant took the matter in hand by refunding,
///         somebody other than the merchant who may get it to where it belongs.
/// forge-config: default.invariant.runs = 8
/// forge-config: default.invariant.depth = 30
/// forge-config: nightly.invariant.runs = 256
/// forge-config: nightly.invariant.depth = 400
contract LivenessInvariantTest is InWorld {
    function invariant_noCoinIsEverWithoutSomeoneWhoMayMoveIt() public {
        uint256 before = Snapshots(address(vm)).snapshotState();
        vm.warp(world.time());
        for (uint256 i = 0; i < world.count(); ++i) {
            Ledger.Payment memory payment = world.get(i);
            emptyVault(payment, payment.terms.merchant, payment.terms.merchant);
        }
        emptyTheRest();
        nothingInside();
        Snapshots(address(vm)).revertToState(before);
    }

    function invariant_aDayAfterExpiryNothingInAVaultDependsOnTheMerchantUnlessItRefunded() public {
        uint256 before = Snapshots(address(vm)).snapshotState();
        uint256 dayAfterExpiry = uint256(EXPIRY) + 24 hours;
        vm.warp(world.time() < dayAfterExpiry ? dayAfterExpiry : world.time());
        for (uint256 i = 0; i < world.count(); ++i) {
            Ledger.Payment memory payment = world.get(i);
            bool merchants = payment.refundedByMerchant;
            emptyVault(payment, merchants ? payment.terms.merchant : payment.terms.operator, stranger);
        }
        emptyTheRest();
        nothingInside();
        Snapshots(address(vm)).revertToState(before);
    }

    function emptyVault(Ledger.Payment memory payment, address refunder, address sweeper) private {
        address[] memory coins = world.coins();
        for (uint256 i = 0; i < coins.length; ++i) {
            uint256 amount = Coins.balanceOf(coins[i], payment.vault);
            if (amount == 0) continue;
            vm.prank(payment.settled ? sweeper : refunder);
            if (payment.settled) escrow.sweep(payment.terms, coins[i]);
            else escrow.refund(payment.terms, coins[i], customer, amount);
        }
    }

    function emptyTheRest() private {
        address[] memory coins = world.coins();
        for (uint256 i = 0; i < coins.length; ++i) {
            for (uint256 j = 0; j < 2; ++j) {
                address who = world.actors(j);
                uint256 amount = escrow.balanceOf(who, coins[i]);
                if (amount == 0) continue;
                vm.prank(who);
                escrow.withdraw(coins[i], amount, who);
            }
            if (Coins.balanceOf(coins[i], address(escrow)) == 0) continue;
            vm.prank(keeper);
            escrow.rescueStray(coins[i], customer);
        }
    }

    function nothingInside() private view {
        address[] memory coins = world.coins();
        address[] memory inside = world.inside();
        for (uint256 i = 0; i < coins.length; ++i) {
            for (uint256 j = 0; j < inside.length; ++j) {
                eq("left inside", Coins.balanceOf(coins[i], inside[j]), 0);
            }
        }
    }
}
