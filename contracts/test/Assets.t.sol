// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {Base} from "./Base.sol";
import {IEscrow} from "../src/IEscrow.sol";
import {TestFeed} from "../src/local/TestFeed.sol";
import {Ownable} from "@openzeppelin/contracts/access/Ownable.sol";
import {ERC20} from "@openzeppelin/contracts/token/ERC20/ERC20.sol";

contract ManyDecimals is ERC20("Many", "MANY") {
    function decimals() public pure override returns (uint8) {
        return 19;
    }
}

contract AssetsTest is Base {
    function test_assetsKeepTheirIndexAndDescription() public view {
        eq("count", escrow.assetCount(), 3);
        IEscrow.Asset memory a = escrow.assetAt(USDT);
        eq("token", a.token, address(usdt));
        eq("token decimals", a.tokenDecimals, 18);
        eq("no feed", a.feed, address(0));
        a = escrow.assetAt(BNB);
        eq("bnb", a.token, NATIVE);
        eq("feed", a.feed, address(feed));
        eq("feed decimals", a.feedDecimals, 8);
        eq("max age", a.maxAge, MAX_AGE);
    }

    function test_sameTokenMayBeListedAgainWithAnotherFeed() public {
        TestFeed second = new TestFeed("USDT / USD", 8);
        vm.expectEmit(address(escrow));
        emit IEscrow.AssetListed(3, address(usdt), address(second), 86400);
        eq("index", escrow.listAsset(address(usdt), address(second), 86400), 3);
        eq("first listing unchanged", escrow.assetAt(USDT).feed, address(0));
    }

    function test_onlyOwnerLists() public {
        vm.prank(stranger);
        vm.expectRevert(abi.encodeWithSelector(Ownable.OwnableUnauthorizedAccount.selector, stranger));
        escrow.listAsset(address(usdt), address(0), 0);
    }

    function test_ownershipMovesOnlyWhenAccepted() public {
        escrow.transferOwnership(stranger);
        eq("still the old owner", escrow.owner(), owner);
        vm.prank(stranger);
        escrow.acceptOwnership();
        eq("the new owner", escrow.owner(), stranger);
    }

    function test_bnbWithoutFeedIsRefused() public {
        vm.expectRevert(abi.encodeWithSelector(IEscrow.NativeNeedsFeed.selector));
        escrow.listAsset(NATIVE, address(0), 0);
    }

    function test_maxAgeGoesWithFeedAndOnlyWithFeed() public {
        vm.expectRevert(abi.encodeWithSelector(IEscrow.MaxAgeMismatch.selector, address(feed), uint32(0)));
        escrow.listAsset(NATIVE, address(feed), 0);
        vm.expectRevert(abi.encodeWithSelector(IEscrow.MaxAgeMismatch.selector, address(0), uint32(60)));
        escrow.listAsset(address(usdt), address(0), 60);
    }

    function test_moreThan18DecimalsAreRefused() public {
        address many = address(new ManyDecimals());
        vm.expectRevert(abi.encodeWithSelector(IEscrow.TooManyDecimals.selector, many, uint8(19), uint8(18)));
        escrow.listAsset(many, address(0), 0);
        address fine = address(new TestFeed("BNB / USD", 19));
        vm.expectRevert(abi.encodeWithSelector(IEscrow.TooManyDecimals.selector, fine, uint8(19), uint8(18)));
        escrow.listAsset(NATIVE, fine, 60);
    }

    function test_thirtyTwoAssetsAreTheMost() public {
        for (uint256 i = 3; i < 32; ++i) {
            escrow.listAsset(address(usdt), address(0), 0);
        }
        vm.expectRevert(abi.encodeWithSelector(IEscrow.AssetsFull.selector, uint256(32)));
        escrow.listAsset(address(usdt), address(0), 0);
    }

    function test_unlistedIndexIsNamed() public {
        vm.expectRevert(abi.encodeWithSelector(IEscrow.AssetNotListed.selector, uint8(3), uint256(3)));
        escrow.assetAt(3);
    }
}
