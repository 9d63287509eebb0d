// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {Base} from "./Base.sol";
import {BalanceReader} from "../src/BalanceReader.sol";

contract BalanceReaderTest is Base {
    /// What a node does for an eth_call without `to`: run the creation code and answer what it would store.
    function read(address[] memory accounts) private returns (uint256[] memory) {
        bytes memory code = abi.encodePacked(type(BalanceReader).creationCode, abi.encode(accounts));
        address created;
        assembly {
            created := create(0, add(code, 0x20), mload(code))
        }
        return abi.decode(created.code, (uint256[]));
    }

    function test_balancesComeInTheOrderAsked() public {
        address[] memory accounts = new address[](3);
        (accounts[0], accounts[1], accounts[2]) = (customer, stranger, customer);
        vm.deal(customer, 7 ether);
        uint256[] memory balances = read(accounts);
        eq("length", balances.length, 3);
        eq("first", balances[0], 7 ether);
        eq("second", balances[1], 0);
        eq("third", balances[2], 7 ether);
    }

    function test_noAccountsGiveNoBalances() public {
        eq("length", read(new address[](0)).length, 0);
    }

    function test_sevenHundredFitIntoOneCall() public {
        address[] memory accounts = new address[](700);
        vm.deal(accounts[699] = address(0xbeef), 1);
        eq("last", read(accounts)[699], 1);
    }
}
