// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

/// @title The part of Chainlink's AggregatorV3Interface that is used here
interface IPriceFeed {
    /// @notice What is priced, such as "BNB / USD".
    function description() external view returns (string memory);

    /// @notice Decimals of every answer.
    function decimals() external view returns (uint8);

    /// @notice One round by its id; for an unknown id a feed reverts or answers zeros, depending on its version.
    function getRoundData(uint80 roundId)
        external
        view
        returns (uint80 id, int256 answer, uint256 startedAt, uint256 updatedAt, uint80 answeredInRound);

    /// @notice The newest round.
    function latestRoundData()
        external
        view
        returns (uint80 id, int256 answer, uint256 startedAt, uint256 updatedAt, uint80 answeredInRound);
}
