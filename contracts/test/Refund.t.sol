// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {Base} from "./Base.sol";
import {RejectsBnb} from "./hostile/Tokens.sol";
import {IEscrow} from "../src/IEscrow.sol";
import {Errors} from "@openzeppelin/contracts/utils/Errors.sol";

/// @notice An operator that, on receiving BNB, tries to have the rest refunded as well.
contract GreedyReceiver {
    address private immutable escrow;
    bytes private call;
    bool public succeeded;

    constructor(address escrow_) {
        escrow = escrow_;
    }

    function then(bytes calldata call_) external {
        call = call_;
    }

    function run(bytes calldata call_) external {
        (bool ok,) = escrow.call(call_);
        require(ok, "the outer refund failed");
    }

    receive() external payable {
        if (call.length == 0) return;
        bytes memory once = call;
        delete call;
        (succeeded,) = escrow.call(once);
    }
}

contract RefundTest is Base {
    function refused(address caller, IEscrow.Terms memory terms, address token, bytes memory reason) private {
        vm.prank(caller);
        vm.expectRevert(reason);
        escrow.refund(terms, token, customer, 1e18);
    }

    function test_merchantRefundsAtAnyTimeWhatCouldSettle() public {
        (IEscrow.Terms memory terms, address vault) = paid(25e18);
        vm.expectEmit(address(escrow));
        emit IEscrow.Refunded(escrow.idOf(terms), address(usdt), customer, merchant, 10e18, merchant);
        vm.prank(merchant);
        escrow.refund(terms, address(usdt), customer, 10e18);
        eq("customer", usdt.balanceOf(customer), 10e18);
        eq("vault", usdt.balanceOf(vault), 15e18);
        yes("state", escrow.stateOf(escrow.idOf(terms)) == IEscrow.State.RefundedByMerchant);
    }

    function test_merchantRefundsBnbWithoutAPrice() public {
        IEscrow.Terms memory terms = terms25();
        terms.round = 0;
        vm.deal(vaultOf(terms), 1 ether);
        vm.prank(merchant);
        escrow.refund(terms, NATIVE, customer, 1 ether);
        eq("customer", customer.balance, 1 ether);
    }

    function test_strangerAndOwnerNeverRefund() public {
        (IEscrow.Terms memory terms,) = paid(5e18);
        bytes32 id = escrow.idOf(terms);
        vm.warp(uint256(EXPIRY) + 365 days);
        refused(stranger, terms, address(usdt), abi.encodeWithSelector(IEscrow.RefundNotAllowed.selector, id, stranger));
        refused(owner, terms, address(usdt), abi.encodeWithSelector(IEscrow.RefundNotAllowed.selector, id, owner));
    }

    function test_nobodyRefundsAfterSettlement() public {
        (IEscrow.Terms memory terms, address vault) = settled();
        usdt.mint(vault, 5e18);
        bytes memory reason = abi.encodeWithSelector(IEscrow.AlreadySettled.selector, escrow.idOf(terms));
        vm.warp(uint256(EXPIRY) + 2 days);
        refused(merchant, terms, address(usdt), reason);
        refused(operator, terms, address(usdt), reason);
    }

    function test_operatorRefundsPartialMoneyOnlyAfterExpiry() public {
        (IEscrow.Terms memory terms,) = paid(5e18);
        bytes32 id = escrow.idOf(terms);
        vm.warp(EXPIRY);
        refused(operator, terms, address(usdt), abi.encodeWithSelector(IEscrow.RefundTooEarly.selector, id, EXPIRY));
        vm.warp(EXPIRY + 1);
        vm.prank(operator);
        escrow.refund(terms, address(usdt), customer, 5e18);
        eq("customer", usdt.balanceOf(customer), 5e18);
        yes("state", escrow.stateOf(id) == IEscrow.State.Open);
    }

    function test_operatorMayNotRefundWhatCanStillSettleUntilADayLater() public {
        (IEscrow.Terms memory terms,) = paid(25e18);
        bytes32 id = escrow.idOf(terms);
        uint256 refundableAt = uint256(EXPIRY) + 24 hours;
        bytes memory reason = abi.encodeWithSelector(
            IEscrow.CanStillSettle.selector, id, USDT, uint256(25e18), uint256(25e18), refundableAt
        );
        vm.warp(EXPIRY + 1);
        refused(operator, terms, address(usdt), reason);
        vm.warp(refundableAt - 1);
        refused(operator, terms, address(usdt), reason);
        vm.warp(refundableAt);
        vm.prank(operator);
        escrow.refund(terms, address(usdt), customer, 25e18);
        eq("customer", usdt.balanceOf(customer), 25e18);
    }

    function test_balanceBeforeTheRefundCountsNotAfterIt() public {
        IEscrow.Terms memory terms = terms25();
        (, uint256 min) = escrow.due(terms, BNB);
        vm.deal(vaultOf(terms), min);
        bytes32 id = escrow.idOf(terms);
        vm.warp(EXPIRY + 1);
        vm.prank(operator);
        vm.expectRevert(
            abi.encodeWithSelector(IEscrow.CanStillSettle.selector, id, BNB, min, min, uint256(EXPIRY) + 24 hours)
        );
        escrow.refund(terms, NATIVE, customer, 1);
    }

    function test_operatorRefundsATokenTheTermsDoNotAcceptOnceExpired() public {
        IEscrow.Terms memory terms = terms25();
        terms.assets = 2;
        usdt.mint(vaultOf(terms), 1000e18);
        bytes32 id = escrow.idOf(terms);
        refused(operator, terms, address(usdt), abi.encodeWithSelector(IEscrow.RefundTooEarly.selector, id, EXPIRY));
        vm.warp(EXPIRY + 1);
        vm.prank(operator);
        escrow.refund(terms, address(usdt), customer, 1000e18);
        eq("customer", usdt.balanceOf(customer), 1000e18);
    }

    function test_tokenAcceptedAtTwoIndexesMustFallShortOfBoth() public {
        round = feed.addRound(2e8, NOW);
        uint8 second = escrow.listAsset(address(usdt), address(feed), MAX_AGE);
        IEscrow.Terms memory terms = terms25();
        terms.assets = uint32(1 | 1 << second);
        (, uint256 min) = escrow.due(terms, second);
        yes("the second price asks for less", min < 25e18);
        usdt.mint(vaultOf(terms), min);
        bytes32 id = escrow.idOf(terms);
        vm.warp(EXPIRY + 1);
        refused(
            operator,
            terms,
            address(usdt),
            abi.encodeWithSelector(IEscrow.CanStillSettle.selector, id, second, min, min, uint256(EXPIRY) + 24 hours)
        );
    }

    function test_priceThatCannotBeReadHoldsTheOperatorBackForADayOnly() public {
        IEscrow.Terms memory terms = terms25();
        terms.round += 1;
        vm.deal(vaultOf(terms), 1 ether);
        vm.warp(EXPIRY + 1);
        refused(
            operator, terms, NATIVE, abi.encodeWithSelector(IEscrow.PriceNotPositive.selector, terms.round, int256(0))
        );
        vm.warp(uint256(EXPIRY) + 24 hours);
        vm.prank(operator);
        escrow.refund(terms, NATIVE, customer, 1 ether);
        eq("customer", customer.balance, 1 ether);
    }

    function test_operatorIsOutOnceTheMerchantRefunded() public {
        (IEscrow.Terms memory terms,) = paid(25e18);
        bytes32 id = escrow.idOf(terms);
        vm.prank(merchant);
        escrow.refund(terms, address(usdt), customer, 1e18);
        vm.warp(uint256(EXPIRY) + 2 days);
        refused(operator, terms, address(usdt), abi.encodeWithSelector(IEscrow.RefundedByMerchant.selector, id));
        vm.prank(merchant);
        escrow.refund(terms, address(usdt), customer, 24e18);
    }

    function test_merchantWhoIsTheOperatorHasTheMerchantsRights() public {
        IEscrow.Terms memory terms = terms25();
        terms.operator = merchant;
        usdt.mint(vaultOf(terms), 25e18);
        vm.prank(merchant);
        escrow.refund(terms, address(usdt), customer, 25e18);
        eq("customer", usdt.balanceOf(customer), 25e18);
    }

    function test_operatorReenteringGainsNothingBeyondThePartialMoney() public {
        GreedyReceiver greedy = new GreedyReceiver(address(escrow));
        IEscrow.Terms memory terms = terms25();
        terms.operator = address(greedy);
        usdt.mint(vaultOf(terms), 25e18);
        vm.deal(vaultOf(terms), 1000);
        vm.warp(EXPIRY + 1);
        greedy.then(abi.encodeCall(escrow.refund, (terms, address(usdt), address(greedy), 25e18)));
        greedy.run(abi.encodeCall(escrow.refund, (terms, NATIVE, address(greedy), 1000)));
        yes("the inner refund failed", !greedy.succeeded());
        eq("what suffices stays", usdt.balanceOf(vaultOf(terms)), 25e18);
    }

    function test_moreThanTheBalanceAndNothingAreRefused() public {
        (IEscrow.Terms memory terms, address vault) = paid(5e18);
        vm.prank(merchant);
        vm.expectRevert(
            abi.encodeWithSelector(IEscrow.BalanceTooLow.selector, vault, address(usdt), uint256(5e18), uint256(6e18))
        );
        escrow.refund(terms, address(usdt), customer, 6e18);
        vm.prank(merchant);
        vm.expectRevert(abi.encodeWithSelector(IEscrow.NothingToMove.selector, vault, address(usdt)));
        escrow.refund(terms, address(usdt), customer, 0);
    }

    function test_targetThatRejectsBnbLeavesTheMoneyRefundableToAnother() public {
        IEscrow.Terms memory terms = terms25();
        vm.deal(vaultOf(terms), 1000);
        address rejects = address(new RejectsBnb());
        vm.warp(EXPIRY + 1);
        vm.prank(operator);
        vm.expectRevert(abi.encodeWithSelector(Errors.FailedCall.selector));
        escrow.refund(terms, NATIVE, rejects, 1000);
        eq("still there", vaultOf(terms).balance, 1000);
        vm.prank(operator);
        escrow.refund(terms, NATIVE, customer, 1000);
        eq("customer", customer.balance, 1000);
    }

    function test_merchantThatRejectsBnbWithdrawsToAnotherAddress() public {
        address rejects = address(new RejectsBnb());
        vm.deal(escrow.treasuryOf(rejects), 1000);
        vm.expectRevert(abi.encodeWithSelector(Errors.FailedCall.selector));
        escrow.withdrawFor(rejects, NATIVE);
        vm.prank(rejects);
        escrow.withdraw(NATIVE, 1000, customer);
        eq("customer", customer.balance, 1000);
    }

    function test_zeroAddressIsNoTarget() public {
        (IEscrow.Terms memory terms,) = paid(5e18);
        vm.prank(merchant);
        vm.expectRevert(abi.encodeWithSelector(IEscrow.RecipientIsZero.selector));
        escrow.refund(terms, address(usdt), address(0), 5e18);
    }

    function test_secondOfTwoRacingRefundsFindsNothing() public {
        (IEscrow.Terms memory terms, address vault) = paid(5e18);
        vm.warp(EXPIRY + 1);
        vm.prank(operator);
        escrow.refund(terms, address(usdt), customer, 5e18);
        vm.prank(operator);
        vm.expectRevert(
            abi.encodeWithSelector(IEscrow.BalanceTooLow.selector, vault, address(usdt), uint256(0), uint256(5e18))
        );
        escrow.refund(terms, address(usdt), customer, 5e18);
    }

    function test_refundOfOneDepositLeavesOneThatArrivedMeanwhile() public {
        (IEscrow.Terms memory terms, address vault) = paid(5e18);
        vm.warp(EXPIRY + 1);
        usdt.mint(vault, 3e18);
        vm.prank(operator);
        escrow.refund(terms, address(usdt), customer, 5e18);
        eq("vault", usdt.balanceOf(vault), 3e18);
    }

    function test_depositThatCompletesThePaymentMeanwhileStopsItsRefund() public {
        (IEscrow.Terms memory terms, address vault) = paid(5e18);
        bytes32 id = escrow.idOf(terms);
        vm.warp(EXPIRY + 1);
        usdt.mint(vault, 20e18);
        refused(
            operator,
            terms,
            address(usdt),
            abi.encodeWithSelector(
                IEscrow.CanStillSettle.selector, id, USDT, uint256(25e18), uint256(25e18), uint256(EXPIRY) + 24 hours
            )
        );
    }

    /// The whole table of who may refund when, against the contract.
    function test_operatorRefundsExactlyWhatCannotSettle(uint128 units, uint32 later) public {
        IEscrow.Terms memory terms = terms25();
        uint256 balance = between(units, 1, 50e18);
        usdt.mint(vaultOf(terms), balance);
        uint256 at = between(later, uint256(EXPIRY) - 1 hours, uint256(EXPIRY) + 26 hours);
        vm.warp(at);
        bool allowed = at > EXPIRY && (balance < 25e18 || at >= uint256(EXPIRY) + 24 hours);
        vm.prank(operator);
        try escrow.refund(terms, address(usdt), customer, balance) {
            yes("allowed", allowed);
            eq("customer", usdt.balanceOf(customer), balance);
        } catch {
            yes("refused", !allowed);
        }
    }
}
