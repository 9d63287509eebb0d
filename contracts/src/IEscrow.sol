// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

/// @title The escrow of Open Pay: payments addressed by their terms
/// @notice Each payment has a deposit address of its own, the vault, computed from the payment's terms. Any wallet or
///         exchange pays it by a plain transfer, before anything is deployed there. Settling checks the amount against
///         the terms and moves the money to the merchant's treasury, from which only the merchant is paid.
///
///         Who may do what, where "expired" means a block time later than `terms.expiry`, or than 30 days after
///         `terms.quotedAt` if that is earlier:
///
///         | function     | caller                                                                                     |
///         |--------------|--------------------------------------------------------------------------------------------|
///         | settle       | anyone until expiry, then merchant or operator, anyone again 30 days after expiry          |
///         | sweep        | anyone, after settlement                                                                   |
///         | refund       | merchant before settlement; operator once expired, as described there                      |
///         | rescue       | merchant, after settlement                                                                 |
///         | withdraw     | a merchant, from its own treasury                                                          |
///         | withdrawFor  | anyone; pays only the merchant's own address                                               |
///         | listAsset, rescueStray | owner                                                                            |
///
///         Nothing can be paused, upgraded or unlisted, and no key but the merchant's reaches a treasury.
/// @dev Amounts are in the token's smallest unit, or wei; the token address(0) is BNB. Times are Unix seconds.
interface IEscrow {
    /// @notice What a payment was agreed on. Its hash is the payment's id and so its deposit address: whoever knows the
    ///         terms can settle or refund without any database, and nobody can pay under other ones.
    struct Terms {
        /// Whose treasury is paid; not address(0), whose treasury nobody could empty.
        address merchant;
        /// Who may settle late and refund what did not suffice. Never gets a say over a treasury.
        address operator;
        /// The price in US dollars, 6 decimals, above 0.
        uint96 usd;
        /// By how much less than the full amount suffices for an asset with a feed; at most 500 (5 %).
        uint16 slippageBps;
        /// The same for an asset without a feed, a stablecoin; at most 500.
        uint16 underpaymentBps;
        /// When the price was quoted; the round must not be newer, nor older than the asset's maxAge.
        uint40 quotedAt;
        /// The last second in which everyone may settle, at most 30 days after quotedAt: a later one is read as that, so
        /// that no terms can put off for ever the operator's right to send back what did not suffice.
        uint40 expiry;
        /// The Chainlink round that prices every asset with a feed.
        uint80 round;
        /// Bit i set: the asset at index i is accepted.
        uint32 assets;
        /// keccak256 of the payment's id in the merchant API; makes equal terms distinct.
        bytes32 paymentId;
    }

    /// @notice A way to pay, at a fixed index for ever.
    struct Asset {
        /// The BEP-20 token, or address(0) for BNB.
        address token;
        /// Seconds by which the round may be older than the quote; 0 without a feed.
        uint32 maxAge;
        uint8 tokenDecimals;
        uint8 feedDecimals;
        /// US dollars for one whole token, Chainlink-style; address(0) for a stablecoin: 1 token = 1 USD.
        address feed;
    }

    /// @notice What an id went through. Open leads to RefundedByMerchant and Settled, RefundedByMerchant to Settled;
    ///         Settled is final.
    enum State {
        /// Nothing happened yet, or the operator refunded something.
        Open,
        /// The merchant refunded something: from then on the operator may not.
        RefundedByMerchant,
        /// The money of one asset went to the treasury.
        Settled
    }

    event AssetListed(uint8 indexed asset, address indexed token, address feed, uint32 maxAge);
    /// @notice Once per id. `amount` is all that the vault held of `token`; `caller` settled it, which may be anyone.
    event Settled(
        bytes32 indexed id, address indexed merchant, address indexed token, uint8 asset, uint256 amount, address caller
    );
    /// @notice An item of settleMany failed; `reason` is its revert data, one of the errors below or a token's own.
    event SettleSkipped(bytes32 indexed id, uint8 asset, bytes reason);
    event Swept(bytes32 indexed id, address indexed merchant, address indexed token, uint256 amount);
    event Refunded(
        bytes32 indexed id, address indexed token, address indexed to, address merchant, uint256 amount, address caller
    );
    event Rescued(bytes32 indexed id, address indexed token, address indexed to, address merchant, uint256 amount);
    event Withdrawn(address indexed merchant, address indexed token, address indexed to, uint256 amount);
    event StrayRescued(address indexed token, address indexed to, uint256 amount);

    /// @notice All 32 indexes are taken.
    error AssetsFull(uint256 count);
    /// @notice BNB has no fixed price.
    error NativeNeedsFeed();
    /// @notice An asset with a feed needs a maxAge above 0, one without must have 0.
    error MaxAgeMismatch(address feed, uint32 maxAge);
    error TooManyDecimals(address source, uint8 decimals, uint8 max);

    error AssetNotListed(uint8 asset, uint256 count);
    error AssetNotAccepted(uint8 asset, uint32 assets);
    error MerchantIsZero();
    error UsdIsZero();
    error BpsTooHigh(uint16 bps, uint16 max);
    /// @notice The feed has no usable answer under this round.
    error PriceNotPositive(uint80 round, int256 answer);
    error PriceNewerThanQuote(uint80 round, uint256 updatedAt, uint40 quotedAt);
    error PriceTooOld(uint80 round, uint256 updatedAt, uint40 quotedAt, uint32 maxAge);

    error AlreadySettled(bytes32 id);
    error NotSettled(bytes32 id);
    /// @notice Expired: only merchant and operator until `openAgainAt`.
    error SettleNotAllowed(bytes32 id, address caller, uint256 openAgainAt);
    error BelowMin(bytes32 id, address token, uint256 balance, uint256 min);
    error LengthMismatch(uint256 terms, uint256 assets);
    error OnlySelf(address caller);

    error RefundNotAllowed(bytes32 id, address caller);
    /// @notice The operator may refund only once the payment has expired.
    error RefundTooEarly(bytes32 id, uint256 expiry);
    /// @notice The operator may not touch what the merchant has begun to refund.
    error RefundedByMerchant(bytes32 id);
    /// @notice The balance suffices to settle `asset`: the operator must settle, or wait until `refundableAt`.
    error CanStillSettle(bytes32 id, uint8 asset, uint256 balance, uint256 min, uint256 refundableAt);
    error RescueNotAllowed(bytes32 id, address caller);

    /// @notice Ownership is handed on, never dropped: what is sent to this contract would then be lost.
    error OwnershipNotRenounced(address owner);
    error NothingToMove(address from, address token);
    error RecipientIsZero();
    error BalanceTooLow(address from, address token, uint256 balance, uint256 amount);

    /// @notice Appends a way to pay and answers its index. Owner only; nothing is ever removed or changed, so terms made
    ///         earlier keep their meaning. A token may be listed again, with another feed, at a new index.
    /// @param token A BEP-20 token with at most 18 decimals, or address(0) for BNB, which needs a feed.
    /// @param feed A Chainlink-style feed with at most 18 decimals, or address(0) for a stablecoin.
    /// @param maxAge Seconds by which a round may be older than the quote; 0 exactly where there is no feed.
    function listAsset(address token, address feed, uint32 maxAge) external returns (uint8 asset);

    /// @notice Number of listed assets; the indexes are 0 to this, exclusive.
    function assetCount() external view returns (uint256);

    /// @notice The asset at an index; reverts with AssetNotListed beyond the last.
    function assetAt(uint8 asset) external view returns (Asset memory);

    /// @notice What every vault and treasury is a clone of.
    function vaultImplementation() external view returns (address);

    /// @notice keccak256(abi.encode(terms)): ten words of 32 bytes.
    function idOf(Terms calldata terms) external pure returns (bytes32 id);

    /// @notice What an id went through; Open for an id never seen.
    function stateOf(bytes32 id) external view returns (State);

    /// @notice The deposit address of a payment: the EIP-1167 clone that this contract deploys by CREATE2 with salt `id`.
    function vaultOf(bytes32 id) external view returns (address);

    /// @notice The treasury of a merchant: the clone with salt keccak256(abi.encode(merchant)).
    /// @dev Never a payment's deposit address: a payment's salt is the hash of 320 bytes and a treasury's is the hash of 32,
    ///      so that equal salts would be a collision of keccak256. Taking the bare address as the salt would not do: then
    ///      any terms whose hash begins with 12 zero bytes would name somebody's treasury.
    function treasuryOf(address merchant) external view returns (address);

    /// @notice What a merchant may withdraw: the balance of its treasury.
    function balanceOf(address merchant, address token) external view returns (uint256);

    /// @notice The quote: `full` is what to ask for, `min` what settling requires. Both round up.
    /// @dev full = usd / price; min = full less slippageBps, or less underpaymentBps where there is no feed. The same
    ///      whoever asks and whenever, because the price is that of the round named in the terms.
    function due(Terms calldata terms, uint8 asset) external view returns (uint256 full, uint256 min);

    /// @notice Moves the vault's whole balance of one accepted asset, at least `min`, to the treasury, once per id.
    ///         Deploys the vault where needed. Answers the amount moved.
    function settle(Terms calldata terms, uint8 asset) external returns (uint256 amount);

    /// @notice Settles several payments; one that reverts is skipped with SettleSkipped and the others go on.
    /// @dev Do not estimate gas, since skipped items make estimates too low: allow 200,000 for each, at most 100 at once.
    /// @return settled In the order given, whether this call settled the item.
    function settleMany(Terms[] calldata terms, uint8[] calldata assets) external returns (bool[] memory settled);

    /// @notice Moves what a settled payment's vault still holds or got later, in any token, to the treasury.
    function sweep(Terms calldata terms, address token) external returns (uint256 amount);

    /// @notice Sends money of an unsettled payment from its vault to `to`. Any token, listed or not.
    /// @dev The merchant: at any time, without reading a price; from then on nobody else may refund these terms.
    ///      The operator: once expired, a token that these terms do not accept, or whose balance before this refund is
    ///      below `min`; anything, without reading a price, from 24 hours after expiry.
    function refund(Terms calldata terms, address token, address to, uint256 amount) external;

    /// @notice Sends the whole balance of one token from a settled payment's vault to where the merchant says.
    function rescue(Terms calldata terms, address token, address to) external returns (uint256 amount);

    /// @notice Pays from the caller's own treasury. Any token, listed or not, and BNB.
    function withdraw(address token, uint256 amount, address to) external;

    /// @notice Pays a merchant's whole treasury balance of one token to the merchant's own address, whoever calls.
    function withdrawFor(address merchant, address token) external returns (uint256 amount);

    /// @notice Sends on tokens that were sent to this contract itself, which holds nobody's money, and BNB that came
    ///         without a call: before the deployment, or from a contract that destroyed itself. Owner only.
    function rescueStray(address token, address to) external returns (uint256 amount);
}
