// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {Address} from "@openzeppelin/contracts/utils/Address.sol";

/// @title BNB and BEP-20 tokens by one name
/// @dev `token` is a BEP-20 token, or address(0) for BNB.
library Coins {
    using SafeERC20 for IERC20;

    /// @notice Units of `token` that `account` holds. A static call, so a token can lie here but call nothing.
    function balanceOf(address token, address account) internal view returns (uint256) {
        return token == address(0) ? account.balance : IERC20(token).balanceOf(account);
    }

    /// @notice Sends `amount` units from the calling contract to `to`, with all remaining gas; reverts where the token
    ///         reverts or answers false, and where `to` refuses BNB. A token that answers nothing is believed.
    function send(address token, address to, uint256 amount) internal {
        if (token == address(0)) Address.sendValue(payable(to), amount);
        else IERC20(token).safeTransfer(to, amount);
    }
}
