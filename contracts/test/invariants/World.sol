// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {Coins} from "../../src/Coins.sol";
import {Escrow} from "../../src/Escrow.sol";
import {IEscrow} from "../../src/IEscrow.sol";
import {Vault} from "../../src/Vault.sol";
import {TestFeed} from "../../src/local/TestFeed.sol";
import {TestToken} from "../../src/local/TestToken.sol";
import {Vm} from "../Base.sol";
import {Ledger} from "./Ledger.sol";
import {Interrupted, WildToken} from "./WildToken.sol";

/// @notice Everybody who can call the escrow, calling everything in any order and at any time, with customers paying in
///         between and one listed token that calls back from within its transfers, refuses, or lies.
/// @dev No function here may revert: what the escrow refuses is caught, so anything else fails the run. Callers, payments
///      and coins are picked by numbers of any size.
contract World is Ledger, Interrupted {
    Vm private constant vm = Vm(address(uint160(uint256(keccak256("hevm cheat code")))));

    address private constant NATIVE = address(0);
    uint256 private constant PAYMENTS = 4;
    uint256 private constant MERCHANTS = 2;

    /// Two merchants, the operator, the owner, the customer, a stranger, and the hostile token itself.
    address[] public actors;
    address private immutable owner;
    /// Where all money goes that leaves, other than to a merchant by withdrawFor.
    address public immutable outside = address(0xD15C0);

    TestToken private immutable usdt;
    TestToken private immutable unlisted;
    WildToken private immutable wild;
    TestFeed private immutable feed;

    uint256 public time;
    /// What the hostile token does in its next transfer.
    uint256 private mischief;
    uint256 private depth;
    bool private inBatch;

    constructor(Escrow escrow_, address owner_, address[] memory people, IEscrow.Terms memory terms, TestFeed feed_)
        Ledger(escrow_)
    {
        (owner, feed, time) = (owner_, feed_, terms.quotedAt);
        usdt = TestToken(escrow.assetAt(0).token);
        unlisted = new TestToken("Unlisted", "UNL");
        wild = new WildToken(this);
        liar = address(wild);
        actors = people;
        actors.push(liar);
        vm.prank(owner_);
        escrow.listAsset(liar, address(0), 0);
        tokenOf = [address(usdt), NATIVE, liar];
        terms.assets = 7;
        address[3] memory operators = [people[2], people[0], liar];
        for (uint256 i = 0; i < PAYMENTS; ++i) {
            terms.merchant = people[i % MERCHANTS];
            terms.operator = operators[i % 3];
            terms.paymentId = bytes32(i);
            addPayment(terms);
        }
    }

    // ---------------------------------------------------------------------------------------- the world outside

    /// Mostly minutes, now and then days: expiry, the day after it and the 30 days after it are all met.
    function wait(uint32 seconds_) external {
        time += seconds_ % 8 == 0 ? seconds_ % 20 days : seconds_ % 10 minutes;
    }

    function pay(uint256 i, uint256 coin, uint96 amount) external {
        address token = coinAt(coin);
        // About one in two suffices.
        receiveMoney(paymentAt(i).vault, token, 1 + amount % (token == NATIVE ? 0.08 ether : 50e18));
    }

    /// Exactly what settles.
    function payEnough(uint256 i, uint256 asset) external {
        Payment storage payment = paymentAt(i);
        receiveMoney(payment.vault, tokenOf[asset % 3], payment.mins[asset % 3]);
    }

    /// Money sent where nobody should send it: to a treasury, or past all code to the escrow itself.
    function payAstray(uint256 where, uint256 coin, uint96 amount) external {
        address to = where % 2 == 0 ? address(escrow) : escrow.treasuryOf(actors[where / 2 % MERCHANTS]);
        receiveMoney(to, coinAt(coin), 1 + amount % 1e18);
    }

    function receiveMoney(address to, address token, uint256 units) private {
        if (token == NATIVE) vm.deal(to, to.balance + units);
        else TestToken(token).mint(to, units);
        enterPaidIn(to, token, units);
    }

    function answer(int64 price) external {
        feed.addRound(price, time);
    }

    function misbehave(uint256 seed, bool refuses, uint96 lie) external {
        mischief = seed;
        wild.behave(refuses && seed % 2 == 0, seed % 5 == 0 ? lie : 0);
    }

    /// @notice From within the hostile token's transfer: one more call of anything by anyone. In a batch no refund, since
    ///         the books would not know how much a later item moved.
    function interrupt() external {
        if (msg.sender != liar || depth > 2) return;
        uint256 seed = uint256(keccak256(abi.encode(mischief, depth)));
        (uint256 caller, uint256 i, uint256 coin, uint256 choice) = (seed >> 8, seed >> 32, seed >> 64, seed % 8);
        if (choice == 0) settle(caller, i, coin);
        else if (choice == 1) sweep(caller, i, coin);
        else if (choice == 2) rescue(caller, i, coin);
        else if (choice == 3) withdraw(caller, coin, seed >> 96);
        else if (choice == 4) withdrawFor(caller, i, coin);
        else if (choice == 5) rescueStray(caller, coin);
        else if (!inBatch) refund(caller, i, coin, seed >> 96);
    }

    // ---------------------------------------------------------------------------------------- calls to the escrow

    modifier call() {
        vm.warp(time);
        ++depth;
        _;
        --depth;
    }

    function settle(uint256 caller, uint256 i, uint256 assetSeed) public call {
        Payment storage payment = paymentAt(i);
        uint256 asset = assetSeed % 3;
        uint256 before = Coins.balanceOf(tokenOf[asset], payment.vault);
        vm.prank(actor(caller));
        try escrow.settle(payment.terms, uint8(asset)) returns (uint256 amount) {
            enterSettled(payment, asset, amount, before, actor(caller));
        } catch {}
    }

    /// By one who always may, more often than chance would have it.
    function settleByRight(uint256 i, uint256 asset) external {
        settle(indexOf(paymentAt(i).terms.merchant), i, asset);
    }

    /// Two payments at once, in a batch of three items of which two are for the same payment.
    function settleMany(uint256 caller, uint256 i, uint256 asset) external call {
        IEscrow.Terms[] memory terms = new IEscrow.Terms[](3);
        uint8[] memory assets = new uint8[](3);
        uint256[] memory before = new uint256[](3);
        for (uint256 k = 0; k < 3; ++k) {
            Payment storage payment = paymentAt(i % PAYMENTS + k % 2);
            (terms[k], assets[k]) = (payment.terms, uint8((asset % 3 + k) % 3));
            before[k] = Coins.balanceOf(tokenOf[assets[k]], payment.vault);
        }
        inBatch = true;
        vm.prank(actor(caller));
        bool[] memory settled = escrow.settleMany(terms, assets);
        inBatch = false;
        for (uint256 k = 0; k < 3; ++k) {
            if (settled[k]) {
                enterSettled(paymentAt(i % PAYMENTS + k % 2), assets[k], before[k], before[k], actor(caller));
            }
        }
    }

    function settleItem(uint256 caller, uint256 i, uint256 asset, uint256 feigned) external call {
        vm.prank(actor(caller));
        try escrow.settleItem(paymentAt(i).terms, uint8(asset % 3), actor(feigned)) {
            settlerBreach = "settleItem obeyed somebody outside";
        } catch {}
    }

    function sweep(uint256 caller, uint256 i, uint256 coin) public call {
        Payment storage payment = paymentAt(i);
        bool allowed = isSettledNow(payment);
        vm.prank(actor(caller));
        try escrow.sweep(payment.terms, coinAt(coin)) returns (uint256 amount) {
            if (!allowed) settlementBreach = "swept before it was settled";
            enterSwept(payment, coinAt(coin), amount);
        } catch {}
    }

    function refund(uint256 caller, uint256 i, uint256 coin, uint256 amountSeed) public call {
        Payment storage payment = paymentAt(i);
        address token = coinAt(coin);
        uint256 balance = Coins.balanceOf(token, payment.vault);
        uint256 amount = amountSeed % 3 == 0 ? amountSeed % (balance + 2) : balance;
        bool allowed = mayRefund(payment, token, actor(caller));
        vm.prank(actor(caller));
        try escrow.refund(payment.terms, token, outside, amount) {
            enterRefunded(payment, token, amount, outside, actor(caller), allowed);
        } catch {}
    }

    /// By those who may, more often than chance would have it.
    function refundByRight(uint256 i, uint256 coin, bool operator) external {
        IEscrow.Terms memory terms = paymentAt(i).terms;
        refund(indexOf(operator ? terms.operator : terms.merchant), i, coin, 1);
    }

    function rescue(uint256 caller, uint256 i, uint256 coin) public call {
        Payment storage payment = paymentAt(i);
        bool allowed = actor(caller) == payment.terms.merchant && isSettledNow(payment);
        vm.prank(actor(caller));
        try escrow.rescue(payment.terms, coinAt(coin), outside) returns (uint256 amount) {
            enterRescued(payment.vault, coinAt(coin), amount, outside, allowed);
        } catch {}
    }

    function withdraw(uint256 caller, uint256 coin, uint256 amountSeed) public call {
        (address who, address token) = (actor(caller), coinAt(coin));
        uint256 others = treasuriesBut(who, token);
        uint256 amount = amountSeed % (escrow.balanceOf(who, token) + 2);
        vm.prank(who);
        try escrow.withdraw(token, amount, outside) {
            enterWithdrawn(who, token, amount, outside);
        } catch {}
        if (token != liar && treasuriesBut(who, token) != others) treasuryBreach = "withdraw reached another treasury";
    }

    function withdrawFor(uint256 caller, uint256 merchant, uint256 coin) public call {
        (address to, address token) = (actors[merchant % MERCHANTS], coinAt(coin));
        uint256 before = Coins.balanceOf(token, to);
        vm.prank(actor(caller));
        try escrow.withdrawFor(to, token) returns (uint256 amount) {
            enterWithdrawn(to, token, amount, to);
            bool paidTheMerchant = Coins.balanceOf(token, to) == before + amount;
            if (token != liar && !paidTheMerchant) treasuryBreach = "withdrawFor paid somebody else";
        } catch {}
    }

    function rescueStray(uint256 caller, uint256 coin) public call {
        vm.prank(actor(caller));
        try escrow.rescueStray(coinAt(coin), outside) returns (uint256 amount) {
            enterRescued(address(escrow), coinAt(coin), amount, outside, actor(caller) == owner);
        } catch {}
    }

    /// Straight at a vault, a treasury or the implementation, past the escrow.
    function moveVault(uint256 caller, uint256 i, uint256 coin, uint256 which) external call {
        address vault = paymentAt(i).vault;
        if (which % 3 == 1) vault = escrow.treasuryOf(actors[i % MERCHANTS]);
        if (which % 3 == 2) vault = escrow.vaultImplementation();
        if (vault.code.length == 0) return;
        vm.prank(actor(caller));
        try Vault(payable(vault)).move(coinAt(coin), outside, 1) {
            treasuryBreach = "a vault obeyed somebody other than the escrow";
        } catch {}
    }

    function takeOwnership(uint256 caller, uint256 how) external call {
        address who = actor(caller);
        bool transfers = how % 3 == 0 && who != owner;
        vm.prank(who);
        if (transfers) {
            try escrow.transferOwnership(who) {} catch {}
        } else if (how % 3 == 1) {
            try escrow.acceptOwnership() {} catch {}
        } else {
            try escrow.renounceOwnership() {} catch {}
        }
        if (escrow.owner() != owner) rescueBreach = "ownership was taken or dropped";
    }

    // ---------------------------------------------------------------------------------------- questions

    /// The coins that have books.
    function coins() external view returns (address[] memory all) {
        all = new address[](3);
        (all[0], all[1], all[2]) = (address(usdt), NATIVE, address(unlisted));
    }

    /// All that hold money inside: vaults, treasuries, and by mistake the escrow itself.
    function inside() external view returns (address[] memory all) {
        all = new address[](PAYMENTS + MERCHANTS + 1);
        for (uint256 i = 0; i < PAYMENTS; ++i) {
            all[i] = payments[i].vault;
        }
        for (uint256 i = 0; i < MERCHANTS; ++i) {
            all[PAYMENTS + i] = escrow.treasuryOf(actors[i]);
        }
        all[PAYMENTS + MERCHANTS] = address(escrow);
    }

    function count() external pure returns (uint256) {
        return PAYMENTS;
    }

    function get(uint256 i) external view returns (Payment memory) {
        return payments[i];
    }

    /// What a token sees from within the settlement that moves it is settled, though not yet in the books.
    function isSettledNow(Payment storage payment) private view returns (bool) {
        bool begun = depth > 1 && escrow.stateOf(escrow.idOf(payment.terms)) == IEscrow.State.Settled;
        return payment.settled || begun;
    }

    function treasuriesBut(address who, address token) private view returns (uint256 sum) {
        for (uint256 i = 0; i < MERCHANTS; ++i) {
            if (actors[i] != who) sum += escrow.balanceOf(actors[i], token);
        }
    }

    function paymentAt(uint256 i) private view returns (Payment storage) {
        return payments[i % PAYMENTS];
    }

    function actor(uint256 i) private view returns (address) {
        return actors[i % actors.length];
    }

    function indexOf(address who) private view returns (uint256 i) {
        while (actors[i] != who) ++i;
    }

    function coinAt(uint256 coin) private view returns (address) {
        address[4] memory all = [address(usdt), NATIVE, liar, address(unlisted)];
        return all[coin % 4];
    }
}
