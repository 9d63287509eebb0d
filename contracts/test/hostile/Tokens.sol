// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {TestToken} from "../../src/local/TestToken.sol";

/// @notice A token that calls somebody back in the middle of each transfer, after its own books are in order.
contract ReenteringToken is TestToken("Hostile", "HOST") {
    address private target;
    bytes private call;
    bytes public answer;
    bool public succeeded;

    /// @notice The next transfer, that one alone, makes this call.
    function reenter(address target_, bytes calldata call_) external {
        (target, call) = (target_, call_);
    }

    function _update(address from, address to, uint256 amount) internal override {
        super._update(from, to, amount);
        if (target == address(0) || from == address(0)) return;
        address once = target;
        target = address(0);
        (succeeded, answer) = once.call(call);
    }
}

/// @notice A token whose issuer can freeze an account, as those of USDT and USDC can.
contract FreezableToken is TestToken("Freezable", "FRZ") {
    mapping(address => bool) public frozen;

    error Frozen(address account);

    function freeze(address account, bool yes) external {
        frozen[account] = yes;
    }

    function _update(address from, address to, uint256 amount) internal override {
        if (frozen[from]) revert Frozen(from);
        if (frozen[to]) revert Frozen(to);
        super._update(from, to, amount);
    }
}

/// @notice A token that says more about balances than is true.
contract LyingToken is TestToken("Lying", "LIE") {
    uint256 public lie;

    function claim(uint256 extra) external {
        lie = extra;
    }

    function balanceOf(address account) public view override returns (uint256) {
        return super.balanceOf(account) + lie;
    }
}

/// @notice A token that claims any balance and moves nothing, though it answers true.
contract EmptyToken is TestToken("Empty", "NIL") {
    function balanceOf(address) public pure override returns (uint256) {
        return type(uint128).max;
    }

    function transfer(address, uint256) public pure override returns (bool) {
        return true;
    }
}

/// @notice A token that answers false instead of reverting.
contract FalseToken is TestToken("False", "NO") {
    function transfer(address, uint256) public pure override returns (bool) {
        return false;
    }
}

/// @notice A token whose transfer answers nothing at all, like USDT on Ethereum.
contract SilentToken {
    uint8 public constant decimals = 18;
    mapping(address => uint256) public balanceOf;

    function mint(address to, uint256 amount) external {
        balanceOf[to] += amount;
    }

    function transfer(address to, uint256 amount) external {
        balanceOf[msg.sender] -= amount;
        balanceOf[to] += amount;
    }
}

/// @notice A token that burns all the gas it is given.
contract GluttonToken is TestToken("Glutton", "GLUT") {
    function transfer(address, uint256) public pure override returns (bool) {
        while (true) {}
        return true;
    }
}

/// @notice An account that takes no BNB.
contract RejectsBnb {}
