// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {TestToken} from "../../src/local/TestToken.sol";

interface Interrupted {
    function interrupt() external;
}

/// @notice The hostile token of the invariants: in each transfer it calls whoever commands it, then keeps its promise,
///         breaks it, or has said a balance that is not there.
contract WildToken is TestToken("Wild", "WILD") {
    Interrupted private immutable master;
    bool public refuses;
    uint256 public lie;

    constructor(Interrupted master_) {
        master = master_;
    }

    function behave(bool refuses_, uint256 lie_) external {
        (refuses, lie) = (refuses_, lie_);
    }

    function balanceOf(address account) public view override returns (uint256) {
        return super.balanceOf(account) + lie;
    }

    function transfer(address to, uint256 amount) public override returns (bool) {
        master.interrupt();
        if (refuses) return false;
        if (lie == 0) _transfer(msg.sender, to, amount);
        return true;
    }
}
