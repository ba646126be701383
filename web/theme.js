// SPDX-License-Identifier: Apache-2.0
// Light, dark, or as the system has it: set before the page is first painted, kept in this browser.
"use strict";

const THEMES = ["system", "light", "dark"];

function themeStored() {
  try {
    const stored = localStorage.getItem("evcache-theme");
    return THEMES.includes(stored) ? stored : "system";
  } catch (unavailable) {
    return "system";
  }
}

function themeSet(theme) {
  document.documentElement.dataset.theme = theme;
  try {
    localStorage.setItem("evcache-theme", theme);
  } catch (unavailable) {
    // Without storage the choice lasts until the page is left.
  }
}

document.documentElement.dataset.theme = themeStored();
