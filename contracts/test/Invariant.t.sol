// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {Base, Vm} from "./Base.sol";
import {Escrow} from "../src/Escrow.sol";
import {IEscrow} from "../src/IEscrow.sol";
import {TestToken} from "../src/local/TestToken.sol";

/// @notice Everything that a thief of the owner's and the operator's key can call, in any order and at any time, while
///         customers keep paying.
contract Thief {
    Vm private constant vm = Vm(address(uint160(uint256(keccak256("hevm cheat code")))));

    Escrow private immutable escrow;
    TestToken private immutable token;
    address private immutable merchant;
    uint40 private immutable expiry;
    IEscrow.Terms[] private payments;

    uint256 public time;
    /// Deposits that were on an unsettled payment at some moment after its expiry: all that may ever be misdirected.
    uint256 public exposed;
    uint256 public deposited;
    uint256 public settled;

    constructor(Escrow escrow_, TestToken token_, IEscrow.Terms memory terms) {
        (escrow, token, merchant, expiry) = (escrow_, token_, terms.merchant, terms.expiry);
        time = terms.quotedAt;
        terms.operator = address(this);
        for (uint256 i = 0; i < 4; ++i) {
            terms.paymentId = bytes32(i);
            payments.push(terms);
        }
    }

    modifier now_() {
        vm.warp(time);
        _;
    }

    function pick(uint256 i) private view returns (IEscrow.Terms memory) {
        return payments[i % payments.length];
    }

    function pay(uint256 i, uint96 amount) external now_ {
        uint256 units = 1 + amount % 50e18;
        token.mint(escrow.vaultOf(escrow.idOf(pick(i))), units);
        deposited += units;
    }

    function wait(uint16 seconds_) external {
        time += seconds_;
    }

    function settle(uint256 i) external now_ {
        settled += escrow.settle(pick(i), 0);
    }

    function settleMany(uint256 i, uint256 j) external now_ {
        IEscrow.Terms[] memory terms = new IEscrow.Terms[](2);
        (terms[0], terms[1]) = (pick(i), pick(j));
        uint256 before = escrow.balanceOf(merchant, address(token));
        escrow.settleMany(terms, new uint8[](2));
        settled += escrow.balanceOf(merchant, address(token)) - before;
    }

    function sweep(uint256 i) external now_ {
        settled += escrow.sweep(pick(i), address(token));
    }

    function refund(uint256 i, uint256 amount) external now_ {
        IEscrow.Terms memory terms = pick(i);
        uint256 balance = token.balanceOf(escrow.vaultOf(escrow.idOf(terms)));
        uint256 units = balance == 0 ? 0 : 1 + amount % balance;
        escrow.refund(terms, address(token), address(this), units);
        if (time > expiry) exposed += units;
    }

    function rescue(uint256 i) external now_ {
        escrow.rescue(pick(i), address(token), address(this));
    }

    function withdraw(uint256 amount) external now_ {
        escrow.withdraw(address(token), 1 + amount % 1e18, address(this));
    }

    function withdrawFor() external now_ {
        escrow.withdrawFor(merchant, address(token));
    }

    function rescueStray() external now_ {
        escrow.rescueStray(address(token), address(this));
    }
}

contract InvariantTest is Base {
    Thief private thief;

    function setUp() public override {
        super.setUp();
        thief = new Thief(escrow, usdt, terms25());
        escrow.transferOwnership(address(thief));
        vm.prank(address(thief));
        escrow.acceptOwnership();
    }

    function targetContracts() public view returns (address[] memory targets) {
        targets = new address[](1);
        targets[0] = address(thief);
    }

    function invariant_settledMoneyIsInTheTreasuryOrWithTheMerchant() public view {
        eq("settled", usdt.balanceOf(treasury()) + usdt.balanceOf(merchant), thief.settled());
    }

    function invariant_thiefOfBothServerKeysGetsOnlyExpiredUnsettledDeposits() public view {
        eq("stolen", usdt.balanceOf(address(thief)), thief.exposed());
    }

    function invariant_nothingIsLost() public view {
        eq("sum", usdt.totalSupply(), thief.deposited());
        yes("no more than was paid", thief.settled() + thief.exposed() <= thief.deposited());
        eq("the escrow holds nothing", usdt.balanceOf(address(escrow)), 0);
    }
}
