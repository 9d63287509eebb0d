// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {Base} from "./Base.sol";
import {
    EmptyToken,
    FalseToken,
    FreezableToken,
    GluttonToken,
    LyingToken,
    ReenteringToken,
    SilentToken
} from "./hostile/Tokens.sol";
import {IEscrow} from "../src/IEscrow.sol";
import {TestToken} from "../src/local/TestToken.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";

/// @notice Listed tokens that misbehave: each can hurt payments made in itself, none another token's money.
contract HostileTokenTest is Base {
    uint8 private constant HOSTILE = 3;
    uint32 private constant HOSTILE_BIT = 8;

    function accepting(address token) private returns (IEscrow.Terms memory terms, address vault) {
        eq("index", escrow.listAsset(token, address(0), 0), HOSTILE);
        terms = terms25();
        terms.assets |= HOSTILE_BIT;
        vault = vaultOf(terms);
    }

    // ------------------------------------------------------------------------------------------ calls back

    /// Whatever the token calls from within settle, for the payment being settled.
    function reentering(bytes memory call, IEscrow.Terms memory terms, ReenteringToken token) private {
        token.mint(vaultOf(terms), 25e18);
        token.reenter(address(escrow), call);
        escrow.settle(terms, HOSTILE);
        eq("treasury", token.balanceOf(treasury()), 25e18);
    }

    function test_tokenThatReentersSettleFindsThePaymentSettled() public {
        ReenteringToken token = new ReenteringToken();
        (IEscrow.Terms memory terms,) = accepting(address(token));
        reentering(abi.encodeCall(escrow.settle, (terms, HOSTILE)), terms, token);
        bytes memory reason = abi.encodeWithSelector(IEscrow.AlreadySettled.selector, escrow.idOf(terms));
        eq("by name", keccak256(token.answer()), keccak256(reason));
    }

    function test_tokenThatIsAlsoTheOperatorCannotRefundWhatIsBeingSettled() public {
        ReenteringToken token = new ReenteringToken();
        (IEscrow.Terms memory terms,) = accepting(address(token));
        terms.operator = address(token);
        usdt.mint(vaultOf(terms), 5e18);
        vm.warp(uint256(EXPIRY) + 24 hours);
        bytes memory call = abi.encodeCall(escrow.refund, (terms, address(usdt), stranger, 5e18));
        token.mint(vaultOf(terms), 25e18);
        token.reenter(address(escrow), call);
        vm.prank(merchant);
        escrow.settle(terms, HOSTILE);
        yes("the inner refund failed", !token.succeeded());
        eq("stranger", usdt.balanceOf(stranger), 0);
    }

    function test_tokenThatReentersSweepOnlyFillsTheTreasury() public {
        ReenteringToken token = new ReenteringToken();
        (IEscrow.Terms memory terms, address vault) = accepting(address(token));
        usdt.mint(vault, 5e18);
        reentering(abi.encodeCall(escrow.sweep, (terms, address(usdt))), terms, token);
        yes("swept", token.succeeded());
        eq("treasury", usdt.balanceOf(treasury()), 5e18);
    }

    function test_tokenThatReentersWithdrawForPaysOnlyTheMerchant() public {
        ReenteringToken token = new ReenteringToken();
        (IEscrow.Terms memory terms,) = accepting(address(token));
        usdt.mint(treasury(), 7e18);
        reentering(abi.encodeCall(escrow.withdrawFor, (merchant, address(usdt))), terms, token);
        eq("merchant", usdt.balanceOf(merchant), 7e18);
    }

    function test_tokenInABatchCannotSettleALaterItemTwice() public {
        ReenteringToken token = new ReenteringToken();
        (IEscrow.Terms memory first,) = accepting(address(token));
        IEscrow.Terms memory second = terms25();
        second.paymentId = keccak256("pay_2");
        token.mint(vaultOf(first), 25e18);
        usdt.mint(vaultOf(second), 25e18);
        token.reenter(address(escrow), abi.encodeCall(escrow.settle, (second, USDT)));

        IEscrow.Terms[] memory terms = new IEscrow.Terms[](2);
        (terms[0], terms[1]) = (first, second);
        uint8[] memory assets = new uint8[](2);
        assets[0] = HOSTILE;
        bool[] memory outcome = escrow.settleMany(terms, assets);
        yes("settled by the token, then skipped", outcome[0] && token.succeeded() && !outcome[1]);
        eq("once", usdt.balanceOf(treasury()), 25e18);
    }

    // ------------------------------------------------------------------------------------------ lies

    function test_tokenThatClaimsMoreThanItMovesSettlesNothing() public {
        LyingToken token = new LyingToken();
        (IEscrow.Terms memory terms,) = accepting(address(token));
        token.claim(25e18);
        try escrow.settle(terms, HOSTILE) {
            revert("settled with money that is not there");
        } catch {}
        yes("still open", escrow.stateOf(escrow.idOf(terms)) == IEscrow.State.Open);
    }

    function test_tokenThatOnlyPretendsToMoveCostsNoOtherTokenAnything() public {
        EmptyToken token = new EmptyToken();
        (IEscrow.Terms memory terms, address vault) = accepting(address(token));
        usdt.mint(vault, 20e18);
        escrow.settle(terms, HOSTILE);
        escrow.sweep(terms, address(usdt));
        eq("the real money is the merchant's", usdt.balanceOf(treasury()), 20e18);
    }

    function test_tokenThatAnswersFalseMovesNothingAndEndsNothing() public {
        FalseToken token = new FalseToken();
        (IEscrow.Terms memory terms, address vault) = accepting(address(token));
        token.mint(vault, 25e18);
        bytes memory reason = abi.encodeWithSelector(SafeERC20.SafeERC20FailedOperation.selector, address(token));
        vm.expectRevert(reason);
        escrow.settle(terms, HOSTILE);
        vm.prank(merchant);
        vm.expectRevert(reason);
        escrow.refund(terms, address(token), customer, 25e18);
        yes("still open", escrow.stateOf(escrow.idOf(terms)) == IEscrow.State.Open);
    }

    function test_tokenThatAnswersNothingIsSettledRefundedAndWithdrawn() public {
        SilentToken token = new SilentToken();
        (IEscrow.Terms memory terms, address vault) = accepting(address(token));
        token.mint(vault, 30e18);
        vm.prank(merchant);
        escrow.refund(terms, address(token), customer, 5e18);
        escrow.settle(terms, HOSTILE);
        escrow.withdrawFor(merchant, address(token));
        eq("customer", token.balanceOf(customer), 5e18);
        eq("merchant", token.balanceOf(merchant), 25e18);
    }

    // ------------------------------------------------------------------------------------------ frozen, exhausting

    function test_vaultFrozenByTheIssuerIsSettledOnceItIsReleased() public {
        FreezableToken token = new FreezableToken();
        (IEscrow.Terms memory terms, address vault) = accepting(address(token));
        token.mint(vault, 25e18);
        token.freeze(vault, true);
        bytes memory reason = abi.encodeWithSelector(FreezableToken.Frozen.selector, vault);
        vm.expectRevert(reason);
        escrow.settle(terms, HOSTILE);
        vm.prank(merchant);
        vm.expectRevert(reason);
        escrow.refund(terms, address(token), customer, 25e18);
        token.freeze(vault, false);
        escrow.settle(terms, HOSTILE);
        eq("treasury", token.balanceOf(treasury()), 25e18);
    }

    function test_frozenVaultKeepsNoOtherTokenBack() public {
        FreezableToken token = new FreezableToken();
        (IEscrow.Terms memory terms, address vault) = accepting(address(token));
        token.mint(vault, 25e18);
        token.freeze(vault, true);
        usdt.mint(vault, 25e18);
        escrow.settle(terms, USDT);
        eq("treasury", usdt.balanceOf(treasury()), 25e18);
    }

    function test_merchantFrozenByTheIssuerWithdrawsToAnotherAddress() public {
        FreezableToken token = new FreezableToken();
        accepting(address(token));
        token.mint(treasury(), 25e18);
        token.freeze(merchant, true);
        vm.expectRevert(abi.encodeWithSelector(FreezableToken.Frozen.selector, merchant));
        escrow.withdrawFor(merchant, address(token));
        vm.prank(merchant);
        escrow.withdraw(address(token), 25e18, customer);
        eq("customer", token.balanceOf(customer), 25e18);
    }

    function test_refundToAFrozenCustomerLeavesTheMoneyRefundableToAnother() public {
        FreezableToken token = new FreezableToken();
        (IEscrow.Terms memory terms, address vault) = accepting(address(token));
        token.mint(vault, 5e18);
        token.freeze(customer, true);
        vm.warp(EXPIRY + 1);
        vm.prank(operator);
        vm.expectRevert(abi.encodeWithSelector(FreezableToken.Frozen.selector, customer));
        escrow.refund(terms, address(token), customer, 5e18);
        vm.prank(operator);
        escrow.refund(terms, address(token), stranger, 5e18);
        eq("the other address", token.balanceOf(stranger), 5e18);
    }

    function test_frozenItemIsSkippedWithTheTokensOwnReason() public {
        FreezableToken token = new FreezableToken();
        (IEscrow.Terms memory first, address vault) = accepting(address(token));
        token.mint(vault, 25e18);
        token.freeze(vault, true);
        IEscrow.Terms[] memory terms = new IEscrow.Terms[](2);
        uint8[] memory assets = new uint8[](2);
        (terms[0], assets[0]) = (first, HOSTILE);
        terms[1] = terms25();
        terms[1].paymentId = keccak256("pay_2");
        usdt.mint(vaultOf(terms[1]), 25e18);
        vm.expectEmit(address(escrow));
        emit IEscrow.SettleSkipped(
            escrow.idOf(first), HOSTILE, abi.encodeWithSelector(FreezableToken.Frozen.selector, vault)
        );
        bool[] memory outcome = escrow.settleMany(terms, assets);
        yes("the other went on", !outcome[0] && outcome[1]);
    }

    function test_tokenThatBurnsAllGasCannotHoldBackAnotherTokensRefund() public {
        GluttonToken token = new GluttonToken();
        (IEscrow.Terms memory terms, address vault) = accepting(address(token));
        TestToken(token).mint(vault, 25e18);
        usdt.mint(vault, 5e18);
        vm.warp(EXPIRY + 1);
        vm.prank(operator);
        escrow.refund{gas: 500_000}(terms, address(usdt), customer, 5e18);
        eq("customer", usdt.balanceOf(customer), 5e18);
    }
}
