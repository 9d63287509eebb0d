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

    function test_anyChangedFieldChangesTheAddress() public view {
        IEscrow.Terms memory terms = terms25();
        address before = vaultOf(terms);
        terms.expiry += 1;
        yes("expiry", vaultOf(terms) != before);
        terms = terms25();
        terms.operator = stranger;
        yes("operator", vaultOf(terms) != before);
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
