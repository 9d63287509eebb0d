// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

/// @title From US dollars to token units
/// @notice Every division rounds up, so a merchant never gets less than the terms say.
/// @dev Nothing here can overflow: `usd` < 2^96, `tokenDecimals` and `feedDecimals` <= 18 and bps <= 10,000
///      keep each product below 2^96 * 10^36 * 10^4 < 2^230.
library DueMath {
    uint256 internal constant USD_DECIMALS = 6;
    uint256 internal constant BPS = 10_000;

    /// @notice Units of a token worth `usd` at `price`, rounded up.
    /// @param usd US dollars with 6 decimals.
    /// @param tokenDecimals Decimals of the token, at most 18.
    /// @param price US dollars for one whole token, with `feedDecimals` decimals; not 0.
    /// @param feedDecimals Decimals of `price`, at most 18.
    function toUnitsUp(uint256 usd, uint256 tokenDecimals, uint256 price, uint256 feedDecimals)
        internal
        pure
        returns (uint256)
    {
        return divUp(usd * 10 ** (tokenDecimals + feedDecimals), price * 10 ** USD_DECIMALS);
    }

    /// @notice `units` less `bps` hundredths of a percent, rounded up.
    /// @param bps At most 10,000.
    function lessBpsUp(uint256 units, uint256 bps) internal pure returns (uint256) {
        return divUp(units * (BPS - bps), BPS);
    }

    /// @notice `a / b`, rounded up; `b` is not 0.
    function divUp(uint256 a, uint256 b) internal pure returns (uint256) {
        return a == 0 ? 0 : (a - 1) / b + 1;
    }
}
