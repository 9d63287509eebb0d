// The page works without any of this; each module makes one part of it livelier.

import { announce } from "./announce.js";
import { startCopying } from "./copy.js";
import { Countdown } from "./countdown.js";
import { Feed } from "./feed.js";
import { FrameReport } from "./frame.js";
import { showLookup, startLookingUp } from "./lookup.js";
import { showLost } from "./offline.js";
import { Onward } from "./onward.js";
import { showPrinting, startPrinting } from "./print.js";
import { showState } from "./state.js";
import { WalletLate } from "./wallet_late.js";

function start(live) {
  const lookup = document.querySelector("[data-lookup]");
  const countdown = new Countdown(live);
  const onward = new Onward(live);
  const report = new FrameReport(live);
  const wallet = new WalletLate(live, () => feed.ask());
  const feed = new Feed({
    eventsUrl: live.dataset.events,
    stateUrl: live.dataset.state,
    tag: live.dataset.tag,
    onNow: (now) => countdown.setNow(now),
    onLost: showLost,
    onState: (message) => {
      const restoreFocus = wallet.hold();
      const changed = showState(live, message);
      if (changed) announce(changed);
      dress();
      restoreFocus();
    },
  });

  // What must be done to a state part after it was put into the page.
  function dress() {
    for (const button of live.querySelectorAll("[data-copy]")) button.hidden = false;
    countdown.attach(() => feed.ask());
    onward.attach();
    report.attach();
    wallet.attach();
    showLookup(lookup, live);
    showPrinting(live);
  }

  // Token and QR choices are links; here they change the part instead of the page.
  live.addEventListener("click", (event) => {
    const link = event.target.closest("a[data-select]");
    if (!link || event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
    event.preventDefault();
    const url = new URL(link.href);
    history.replaceState(null, "", url);
    feed.choose(url.searchParams);
  });

  startCopying(document);
  startLookingUp(lookup);
  startPrinting(document);
  countdown.setNow(Number(live.dataset.now));
  dress();
  feed.choose(new URLSearchParams(location.search), { ask: false });
}

const live = document.getElementById("live");
if (live) start(live);
