// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {Coins} from "./Coins.sol";

/// @title The account behind a deposit address or a treasury
/// @notice Holds BNB and BEP-20 tokens and does what its escrow says; it has no state and no rules of its own.
/// @dev The escrow deploys one as the implementation and every other as an EIP-1167 clone of it. A clone takes BNB at the
///      cost of one delegatecall (about 2,700 gas, so not from a bare 21,000 or with a 2,300 stipend: such a transfer
///      fails and stays with its sender). Before its clone is deployed, a deposit address takes BNB with any gas.
contract Vault {
    /// @notice The only caller that may move anything.
    address public immutable escrow = msg.sender;
    address private immutable implementation = address(this);

    error OnlyEscrow(address caller);
    /// @notice The implementation is nobody's deposit address: BNB sent to it would be lost.
    error ImplementationRefusesBNB();

    receive() external payable {
        if (address(this) == implementation) revert ImplementationRefusesBNB();
    }

    /// @notice Sends `amount` units of `token`, or wei where `token` is address(0), to `to`; reverts unless all of it went.
    function move(address token, address to, uint256 amount) external {
        if (msg.sender != escrow) revert OnlyEscrow(msg.sender);
        Coins.send(token, to, amount);
    }
}
