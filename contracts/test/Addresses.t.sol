// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {Base} from "./Base.sol";
import {Escrow} from "../src/Escrow.sol";
import {IEscrow} from "../src/IEscrow.sol";

contract AddressesTest is Base {
    address private constant CREATE2_FACTORY = 0x4e59b44847b379578588920cA78FbF26c0B4956C;

    function test_idIsTheHashOfTheTenEncodedFields(IEscrow.Terms calldata t) public view {
        bytes memory words = abi.encode(
            t.merchant,
            t.operator,
            t.usd,
            t.slippageBps,
            t.underpaymentBps,
            t.quotedAt,
            t.expiry,
            t.round,
            t.assets,
            t.paymentId
        );
        eq("length", words.length, 320);
        eq("id", escrow.idOf(t), keccak256(words));
    }

    function test_vaultIsAnEip1167CloneOfTheImplementation(bytes32 id) public view {
        bytes memory initCode = abi.encodePacked(
            hex"3d602d80600a3d3981f3363d3d373d3d3d363d73",
            escrow.vaultImplementation(),
            hex"5af43d82803e903d91602b57fd5bf3"
        );
        bytes32 hash = keccak256(abi.encodePacked(hex"ff", address(escrow), id, keccak256(initCode)));
        eq("vault", escrow.vaultOf(id), address(uint160(uint256(hash))));
    }

    function test_implementationIsTheEscrowsFirstContract() public view {
        bytes32 hash = keccak256(abi.encodePacked(hex"d694", address(escrow), hex"01"));
        eq("implementation", escrow.vaultImplementation(), address(uint160(uint256(hash))));
    }

    function test_treasurySaltIsTheHashOfTheMerchant(address who) public view {
        eq("treasury", escrow.treasuryOf(who), escrow.vaultOf(keccak256(abi.encode(who))));
    }

    function test_treasuryIsNoVaultNamedByTheBareAddress(address who) public view {
        yes("different", escrow.treasuryOf(who) != escrow.vaultOf(bytes32(uint256(uint160(who)))));
    }

    function test_deployedCloneStandsAtTheAnnouncedAddress() public {
        (IEscrow.Terms memory terms, address vault) = paid(25e18);
        eq("no code before", vault.code.length, 0);
        escrow.settle(terms, USDT);
        eq("a clone after", vault.code.length, 45);
    }

    /// `field` counts the ten in their order; the change flips some of its bits.
    function test_anyChangedFieldChangesTheAddress(IEscrow.Terms memory terms, uint8 field, uint256 change)
        public
        view
    {
        address before = vaultOf(terms);
        bytes32 was = keccak256(abi.encode(terms));
        field %= 10;
        if (field == 0) terms.merchant = address(uint160(terms.merchant) ^ uint160(change));
        if (field == 1) terms.operator = address(uint160(terms.operator) ^ uint160(change));
        if (field == 2) terms.usd ^= uint96(change);
        if (field == 3) terms.slippageBps ^= uint16(change);
        if (field == 4) terms.underpaymentBps ^= uint16(change);
        if (field == 5) terms.quotedAt ^= uint40(change);
        if (field == 6) terms.expiry ^= uint40(change);
        if (field == 7) terms.round ^= uint80(change);
        if (field == 8) terms.assets ^= uint32(change);
        if (field == 9) terms.paymentId ^= bytes32(change);
        vm.assume(keccak256(abi.encode(terms)) != was);
        yes("another address", vaultOf(terms) != before);
    }

    function test_eachFieldByItselfChangesTheAddress() public view {
        IEscrow.Terms memory terms = terms25();
        for (uint8 field = 0; field < 10; ++field) {
            test_anyChangedFieldChangesTheAddress(terms, field, 1);
        }
    }

    function test_noPaymentsAddressIsATreasury(IEscrow.Terms calldata terms, address who) public view {
        yes("different", vaultOf(terms) != escrow.treasuryOf(who));
        yes("nor its own merchant's", vaultOf(terms) != escrow.treasuryOf(terms.merchant));
    }

    function test_factoryDeploysTheEscrowWhereItsCodeSays() public {
        bytes memory initCode = abi.encodePacked(type(Escrow).creationCode, abi.encode(owner));
        bytes32 hash = keccak256(abi.encodePacked(hex"ff", CREATE2_FACTORY, bytes32(0), keccak256(initCode)));
        (bool ok, bytes memory answer) = CREATE2_FACTORY.call(abi.encodePacked(bytes32(0), initCode));
        yes("deployed", ok);
        address at = address(bytes20(answer));
        eq("address", at, address(uint160(uint256(hash))));
        eq("owner is the argument, not the factory", Escrow(at).owner(), owner);
    }
}
