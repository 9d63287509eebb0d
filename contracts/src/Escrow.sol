// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {Ownable, Ownable2Step} from "@openzeppelin/contracts/access/Ownable2Step.sol";
import {Clones} from "@openzeppelin/contracts/proxy/Clones.sol";
import {IERC20Metadata} from "@openzeppelin/contracts/token/ERC20/extensions/IERC20Metadata.sol";
import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";

import {Coins} from "./Coins.sol";
import {DueMath} from "./DueMath.sol";
import {IEscrow} from "./IEscrow.sol";
import {IPriceFeed} from "./IPriceFeed.sol";
import {Vault} from "./Vault.sol";

/// @title Escrow
/// @notice Described in IEscrow. Each function reads: check, state, event, transfer; tokens and recipients are called
///         last, so what they call back finds the final state.
contract Escrow is IEscrow, Ownable2Step {
    uint256 private constant MAX_ASSETS = 32;
    uint8 private constant MAX_DECIMALS = 18;
    uint16 private constant MAX_BPS = 500;
    /// The longest life of a payment, from its quote; longer terms expire then.
    uint256 private constant MAX_LIFE = 30 days;
    /// Someone may settle for a merchant and an operator who are both gone.
    uint256 private constant OPEN_AGAIN_AFTER = 30 days;
    /// From then on a broken price feed cannot hold back the customer's money.
    uint256 private constant REFUND_ALL_AFTER = 24 hours;

    /// @inheritdoc IEscrow
    address public immutable vaultImplementation = address(new Vault());
    /// @inheritdoc IEscrow
    mapping(bytes32 id => State) public stateOf;

    Asset[] private _assets;

    /// @param owner Lists assets; the only constructor argument, so the address is the same on every chain.
    constructor(address owner) Ownable(owner) {}

    /// @notice Always refused: ownership only moves, in two steps, to an owner who accepts it.
    function renounceOwnership() public view override onlyOwner {
        revert OwnershipNotRenounced(msg.sender);
    }

    // ---------------------------------------------------------------------------------------------------- assets

    /// @inheritdoc IEscrow
    function listAsset(address token, address feed, uint32 maxAge) external onlyOwner returns (uint8 asset) {
        if (_assets.length == MAX_ASSETS) revert AssetsFull(MAX_ASSETS);
        if (token == address(0) && feed == address(0)) revert NativeNeedsFeed();
        if ((feed == address(0)) != (maxAge == 0)) revert MaxAgeMismatch(feed, maxAge);
        uint8 tokenDecimals = token == address(0) ? 18 : IERC20Metadata(token).decimals();
        uint8 feedDecimals = feed == address(0) ? 0 : IPriceFeed(feed).decimals();
        if (tokenDecimals > MAX_DECIMALS) revert TooManyDecimals(token, tokenDecimals, MAX_DECIMALS);
        if (feedDecimals > MAX_DECIMALS) revert TooManyDecimals(feed, feedDecimals, MAX_DECIMALS);

        asset = uint8(_assets.length);
        _assets.push(Asset(token, maxAge, tokenDecimals, feedDecimals, feed));
        emit AssetListed(asset, token, feed, maxAge);
    }

    /// @inheritdoc IEscrow
    function assetCount() external view returns (uint256) {
        return _assets.length;
    }

    /// @inheritdoc IEscrow
    function assetAt(uint8 asset) public view returns (Asset memory) {
        if (asset >= _assets.length) revert AssetNotListed(asset, _assets.length);
        return _assets[asset];
    }

    // ------------------------------------------------------------------------------------------- addresses, quote

    /// @inheritdoc IEscrow
    function idOf(Terms calldata terms) public pure returns (bytes32) {
        return keccak256(abi.encode(terms));
    }

    /// @inheritdoc IEscrow
    function vaultOf(bytes32 id) public view returns (address) {
        return Clones.predictDeterministicAddress(vaultImplementation, id);
    }

    /// @inheritdoc IEscrow
    function treasuryOf(address merchant) public view returns (address) {
        return vaultOf(_treasurySalt(merchant));
    }

    /// @inheritdoc IEscrow
    function balanceOf(address merchant, address token) external view returns (uint256) {
        return Coins.balanceOf(token, treasuryOf(merchant));
    }

    /// @inheritdoc IEscrow
    function due(Terms calldata terms, uint8 asset) public view returns (uint256 full, uint256 min) {
        Asset memory a = assetAt(asset);
        if (!_accepts(terms, asset)) revert AssetNotAccepted(asset, terms.assets);
        if (terms.merchant == address(0)) revert MerchantIsZero();
        if (terms.usd == 0) revert UsdIsZero();
        if (terms.slippageBps > MAX_BPS) revert BpsTooHigh(terms.slippageBps, MAX_BPS);
        if (terms.underpaymentBps > MAX_BPS) revert BpsTooHigh(terms.underpaymentBps, MAX_BPS);

        bool stable = a.feed == address(0);
        uint256 price = stable ? 1 : _price(terms, a);
        full = DueMath.toUnitsUp(terms.usd, a.tokenDecimals, price, a.feedDecimals);
        min = DueMath.lessBpsUp(full, stable ? terms.underpaymentBps : terms.slippageBps);
    }

    // ------------------------------------------------------------------------------------------------- settlement

    /// @inheritdoc IEscrow
    function settle(Terms calldata terms, uint8 asset) external returns (uint256) {
        return _settle(terms, asset, msg.sender);
    }

    /// @inheritdoc IEscrow
    function settleMany(Terms[] calldata terms, uint8[] calldata assets) external returns (bool[] memory settled) {
        if (terms.length != assets.length) revert LengthMismatch(terms.length, assets.length);
        settled = new bool[](terms.length);
        for (uint256 i = 0; i < terms.length; ++i) {
            try this.settleItem(terms[i], assets[i], msg.sender) {
                settled[i] = true;
            } catch (bytes memory reason) {
                emit SettleSkipped(idOf(terms[i]), assets[i], reason);
            }
        }
    }

    /// @notice One item of settleMany, called by this contract itself so that a failing item undoes only its own work.
    function settleItem(Terms calldata terms, uint8 asset, address caller) external {
        if (msg.sender != address(this)) revert OnlySelf(msg.sender);
        _settle(terms, asset, caller);
    }

    /// @inheritdoc IEscrow
    function sweep(Terms calldata terms, address token) external returns (uint256 amount) {
        bytes32 id = idOf(terms);
        if (stateOf[id] != State.Settled) revert NotSettled(id);

        amount = Coins.balanceOf(token, vaultOf(id));
        emit Swept(id, terms.merchant, token, amount);
        _move(id, token, treasuryOf(terms.merchant), amount);
    }

    /// @inheritdoc IEscrow
    function rescue(Terms calldata terms, address token, address to) external returns (uint256 amount) {
        bytes32 id = idOf(terms);
        if (msg.sender != terms.merchant) revert RescueNotAllowed(id, msg.sender);
        if (stateOf[id] != State.Settled) revert NotSettled(id);

        amount = Coins.balanceOf(token, vaultOf(id));
        emit Rescued(id, token, to, terms.merchant, amount);
        _move(id, token, to, amount);
    }

    function _settle(Terms calldata terms, uint8 asset, address caller) private returns (uint256 amount) {
        bytes32 id = idOf(terms);
        if (stateOf[id] == State.Settled) revert AlreadySettled(id);
        _checkMaySettle(terms, id, caller);
        (, uint256 min) = due(terms, asset);
        address token = _assets[asset].token;
        amount = Coins.balanceOf(token, vaultOf(id));
        if (amount < min) revert BelowMin(id, token, amount, min);

        stateOf[id] = State.Settled;
        emit Settled(id, terms.merchant, token, asset, amount, caller);
        _move(id, token, treasuryOf(terms.merchant), amount);
    }

    function _checkMaySettle(Terms calldata terms, bytes32 id, address caller) private view {
        uint256 expiry = _expiry(terms);
        uint256 openAgainAt = expiry + OPEN_AGAIN_AFTER;
        if (block.timestamp <= expiry || block.timestamp >= openAgainAt) return;
        if (caller == terms.merchant || caller == terms.operator) return;
        revert SettleNotAllowed(id, caller, openAgainAt);
    }

    // ---------------------------------------------------------------------------------------------------- refunds

    /// @inheritdoc IEscrow
    function refund(Terms calldata terms, address token, address to, uint256 amount) external {
        bytes32 id = idOf(terms);
        State state = stateOf[id];
        if (state == State.Settled) revert AlreadySettled(id);
        if (msg.sender == terms.merchant) stateOf[id] = State.RefundedByMerchant;
        else if (msg.sender != terms.operator) revert RefundNotAllowed(id, msg.sender);
        else if (state == State.RefundedByMerchant) revert RefundedByMerchant(id);
        else _checkOperatorMayRefund(terms, id, token);
        _checkBalance(id, token, amount);

        emit Refunded(id, token, to, terms.merchant, amount, msg.sender);
        _move(id, token, to, amount);
    }

    /// @dev A price that cannot be read makes `due` revert, and the operator waits for the 24 hours to pass.
    function _checkOperatorMayRefund(Terms calldata terms, bytes32 id, address token) private view {
        uint256 expiry = _expiry(terms);
        if (block.timestamp <= expiry) revert RefundTooEarly(id, expiry);
        uint256 refundableAt = expiry + REFUND_ALL_AFTER;
        if (block.timestamp >= refundableAt) return;

        uint256 balance = Coins.balanceOf(token, vaultOf(id));
        uint256 count = _assets.length;
        for (uint8 asset = 0; asset < count; ++asset) {
            if (!_accepts(terms, asset) || _assets[asset].token != token) continue;
            (, uint256 min) = due(terms, asset);
            if (balance >= min) revert CanStillSettle(id, asset, balance, min, refundableAt);
        }
    }

    // ------------------------------------------------------------------------------------------------ withdrawals

    /// @inheritdoc IEscrow
    function withdraw(address token, uint256 amount, address to) external {
        bytes32 salt = _treasurySalt(msg.sender);
        _checkBalance(salt, token, amount);

        emit Withdrawn(msg.sender, token, to, amount);
        _move(salt, token, to, amount);
    }

    /// @inheritdoc IEscrow
    function withdrawFor(address merchant, address token) external returns (uint256 amount) {
        amount = Coins.balanceOf(token, treasuryOf(merchant));
        emit Withdrawn(merchant, token, merchant, amount);
        _move(_treasurySalt(merchant), token, merchant, amount);
    }

    /// @inheritdoc IEscrow
    function rescueStray(address token, address to) external onlyOwner returns (uint256 amount) {
        if (to == address(0)) revert RecipientIsZero();
        amount = Coins.balanceOf(token, address(this));
        if (amount == 0) revert NothingToMove(address(this), token);
        emit StrayRescued(token, to, amount);
        Coins.send(token, to, amount);
    }

    // ---------------------------------------------------------------------------------------------------- helpers

    function _treasurySalt(address merchant) private pure returns (bytes32) {
        return keccak256(abi.encode(merchant));
    }

    function _expiry(Terms calldata terms) private pure returns (uint256) {
        return Math.min(terms.expiry, terms.quotedAt + MAX_LIFE);
    }

    function _accepts(Terms calldata terms, uint8 asset) private pure returns (bool) {
        return terms.assets >> asset & 1 == 1;
    }

    function _price(Terms calldata terms, Asset memory a) private view returns (uint256) {
        (, int256 answer,, uint256 updatedAt,) = IPriceFeed(a.feed).getRoundData(terms.round);
        if (answer <= 0) revert PriceNotPositive(terms.round, answer);
        if (updatedAt > terms.quotedAt) revert PriceNewerThanQuote(terms.round, updatedAt, terms.quotedAt);
        if (terms.quotedAt - updatedAt > a.maxAge) {
            revert PriceTooOld(terms.round, updatedAt, terms.quotedAt, a.maxAge);
        }
        // forge-lint: disable-next-line(unsafe-typecast): it is above 0
        return uint256(answer);
    }

    /// @dev For amounts that a caller names. The other functions move what they have just read as the balance.
    function _checkBalance(bytes32 salt, address token, uint256 amount) private view {
        address vault = vaultOf(salt);
        uint256 balance = Coins.balanceOf(token, vault);
        if (amount > balance) revert BalanceTooLow(vault, token, balance, amount);
    }

    /// @dev Sends from the vault or treasury with this salt, deploying it first where needed.
    function _move(bytes32 salt, address token, address to, uint256 amount) private {
        address vault = vaultOf(salt);
        if (to == address(0)) revert RecipientIsZero();
        if (amount == 0) revert NothingToMove(vault, token);
        if (vault.code.length == 0) Clones.cloneDeterministic(vaultImplementation, salt);
        Vault(payable(vault)).move(token, to, amount);
    }
}
