// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {Coins} from "../../src/Coins.sol";
import {Escrow} from "../../src/Escrow.sol";
import {IEscrow} from "../../src/IEscrow.sol";

/// @notice The books as the callers' answers tell them, and the rules restated: each successful call is judged by them,
///         not by what the escrow believes.
/// @dev Written to from within the calls of a hostile token too: where the outer call then fails, the entries of the inner
///      ones are undone with it. The outer one is entered last, so the books balance only between outermost calls.
contract Ledger {
    struct Payment {
        IEscrow.Terms terms;
        /// The least that settles, by asset index: what the escrow said before anything happened.
        uint256[] mins;
        address vault;
        bool settled;
        bool refundedByMerchant;
    }

    Escrow internal immutable escrow;
    /// By asset index.
    address[] internal tokenOf;
    /// The one coin that has no books: it lies about itself.
    address internal liar;
    Payment[] internal payments;

    /// What each address holds of each coin, by the books.
    mapping(address account => mapping(address token => int256)) public held;
    /// By coin: what customers and others sent in, and by which way it left.
    mapping(address token => uint256) public paidIn;
    mapping(address token => uint256) public withdrawn;
    mapping(address token => uint256) public refunded;
    mapping(address token => uint256) public rescued;

    /// Each is the first breach of a rule; empty while there was none.
    string public settlementBreach;
    string public settlerBreach;
    string public refundBreach;
    string public treasuryBreach;
    string public rescueBreach;

    constructor(Escrow escrow_) {
        escrow = escrow_;
    }

    function addPayment(IEscrow.Terms memory terms) internal {
        Payment storage payment = payments.push();
        payment.terms = terms;
        payment.vault = escrow.vaultOf(escrow.idOf(terms));
        for (uint8 asset = 0; asset < tokenOf.length; ++asset) {
            (, uint256 min) = escrow.due(terms, asset);
            payment.mins.push(min);
        }
    }

    // ---------------------------------------------------------------------------------------- entries

    function enterPaidIn(address to, address token, uint256 units) internal {
        if (token == liar) return;
        held[to][token] += int256(units);
        paidIn[token] += units;
    }

    /// `before`: what the vault held of the asset when the call began.
    function enterSettled(Payment storage payment, uint256 asset, uint256 amount, uint256 before, address caller)
        internal
    {
        address token = tokenOf[asset];
        if (payment.settled) settlementBreach = "one id settled twice";
        if (amount < payment.mins[asset]) settlementBreach = "settled below min";
        if (token != liar && amount != before) settlementBreach = "not all that the vault held";
        if (!maySettle(payment.terms, caller)) settlerBreach = "a stranger settled after expiry";
        payment.settled = true;
        move(payment.vault, treasuryOf(payment), token, amount);
    }

    function enterSwept(Payment storage payment, address token, uint256 amount) internal {
        move(payment.vault, treasuryOf(payment), token, amount);
    }

    /// `allowed`: what `mayRefund` said before the call.
    function enterRefunded(
        Payment storage payment,
        address token,
        uint256 amount,
        address to,
        address caller,
        bool allowed
    ) internal {
        if (!allowed) refundBreach = "a refund that the rules forbid";
        if (caller == payment.terms.merchant) payment.refundedByMerchant = true;
        if (token != liar) refunded[token] += amount;
        move(payment.vault, to, token, amount);
    }

    function enterRescued(address from, address token, uint256 amount, address to, bool allowed) internal {
        if (!allowed) rescueBreach = "rescued by one who may not, or too early";
        if (token != liar) rescued[token] += amount;
        move(from, to, token, amount);
    }

    function enterWithdrawn(address merchant, address token, uint256 amount, address to) internal {
        if (token != liar) withdrawn[token] += amount;
        move(escrow.treasuryOf(merchant), to, token, amount);
    }

    function move(address from, address to, address token, uint256 amount) private {
        if (token == liar) return;
        held[from][token] -= int256(amount);
        held[to][token] += int256(amount);
    }

    // ---------------------------------------------------------------------------------------- the rules, restated

    function maySettle(IEscrow.Terms memory terms, address caller) private view returns (bool) {
        bool open = block.timestamp <= terms.expiry || block.timestamp >= uint256(terms.expiry) + 30 days;
        return open || caller == terms.merchant || caller == terms.operator;
    }

    function mayRefund(Payment storage payment, address token, address caller) internal view returns (bool) {
        if (payment.settled) return false;
        if (caller == payment.terms.merchant) return true;
        if (caller != payment.terms.operator || payment.refundedByMerchant) return false;
        if (block.timestamp <= payment.terms.expiry) return false;
        if (block.timestamp >= uint256(payment.terms.expiry) + 24 hours) return true;
        uint256 balance = Coins.balanceOf(token, payment.vault);
        for (uint256 asset = 0; asset < tokenOf.length; ++asset) {
            bool accepted = payment.terms.assets >> asset & 1 == 1;
            if (accepted && tokenOf[asset] == token && balance >= payment.mins[asset]) return false;
        }
        return true;
    }

    function treasuryOf(Payment storage payment) internal view returns (address) {
        return escrow.treasuryOf(payment.terms.merchant);
    }
}
