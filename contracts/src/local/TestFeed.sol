// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {IPriceFeed} from "../IPriceFeed.sol";

/// @title A Chainlink-style price feed for local chains
/// @notice Anyone may add a round. Round ids start at 2^64 + 1, as behind Chainlink's proxies, whose ids carry a phase in
///         the upper 16 bits: whatever reads them must cope with numbers above 2^53.
contract TestFeed is IPriceFeed {
    struct Round {
        int256 answer;
        uint256 updatedAt;
    }

    uint80 private constant FIRST_ROUND = (1 << 64) + 1;

    /// @inheritdoc IPriceFeed
    uint8 public immutable decimals;
    /// @inheritdoc IPriceFeed
    string public description;
    /// @notice Id of the newest round; 2^64 while there is none.
    uint80 public latestRound = FIRST_ROUND - 1;

    mapping(uint80 id => Round) private rounds;

    /// @notice Emitted by Chainlink's aggregators as well.
    event AnswerUpdated(int256 indexed current, uint256 indexed roundId, uint256 updatedAt);

    constructor(string memory description_, uint8 decimals_) {
        description = description_;
        decimals = decimals_;
    }

    /// @notice Adds a round with any answer and any time, plausible or not, and answers its id.
    function addRound(int256 answer, uint256 updatedAt) external returns (uint80 id) {
        id = ++latestRound;
        rounds[id] = Round(answer, updatedAt);
        emit AnswerUpdated(answer, id, updatedAt);
    }

    /// @inheritdoc IPriceFeed
    /// @dev Answers zeros for an unknown id, like Chainlink's current aggregators.
    function getRoundData(uint80 roundId) public view virtual returns (uint80, int256, uint256, uint256, uint80) {
        Round memory round = rounds[roundId];
        return (roundId, round.answer, round.updatedAt, round.updatedAt, roundId);
    }

    /// @inheritdoc IPriceFeed
    function latestRoundData() external view returns (uint80, int256, uint256, uint256, uint80) {
        return getRoundData(latestRound);
    }
}
