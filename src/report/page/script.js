(function () {
  "use strict";
  var tip = document.getElementById("tip");
  var current = null;

  function items(row) {
    return Array.prototype.slice.call(row.querySelectorAll("[data-tip]"));
  }

  function centre(item) {
    var box = item.getBoundingClientRect();
    return box.left + box.width / 2;
  }

  function show(item) {
    current = item;
    tip.textContent = item.getAttribute("aria-label");
    tip.hidden = false;
    var box = item.getBoundingClientRect();
    var own = tip.getBoundingClientRect();
    var left = Math.max(6, Math.min(box.left + box.width / 2 - own.width / 2, window.innerWidth - own.width - 6));
    var above = box.top - own.height - 8;
    tip.style.left = left + "px";
    tip.style.top = (above > 4 ? above : box.bottom + 8) + "px";
  }

  function hide() {
    current = null;
    tip.hidden = true;
  }

  function go(nav, item) {
    var before = nav.querySelector('[data-tip][tabindex="0"]');
    if (before) { before.setAttribute("tabindex", "-1"); }
    item.setAttribute("tabindex", "0");
    item.focus();
  }

  function nearest(list, x) {
    var best = null;
    var distance = Infinity;
    list.forEach(function (item) {
      var box = item.getBoundingClientRect();
      var off = Math.max(box.left - x, x - box.right, 0);
      if (distance > off) { distance = off; best = item; }
    });
    return best;
  }

  function move(nav, item, key) {
    var row = item.closest("[data-row]");
    var list = items(row);
    var at = list.indexOf(item);
    if (key === "ArrowRight") { return list[at + 1]; }
    if (key === "ArrowLeft") { return list[at - 1]; }
    if (key === "Home") { return list[0]; }
    if (key === "End") { return list[list.length - 1]; }
    var step = key === "ArrowDown" ? 1 : key === "ArrowUp" ? -1 : 0;
    if (step === 0) { return null; }
    var rows = Array.prototype.slice.call(nav.querySelectorAll("[data-row]"));
    for (var to = rows.indexOf(row) + step; rows[to]; to += step) {
      var found = nearest(items(rows[to]), centre(item));
      if (found) { return found; }
    }
    return null;
  }

  Array.prototype.forEach.call(document.querySelectorAll("[data-nav]"), function (nav) {
    Array.prototype.forEach.call(nav.querySelectorAll("[data-row] [title]"), function (item) {
      item.setAttribute("aria-label", item.getAttribute("title"));
      item.removeAttribute("title");
      item.setAttribute("data-tip", "");
    });
    Array.prototype.forEach.call(nav.querySelectorAll("[data-row] title"), function (title) {
      var item = title.parentNode;
      item.setAttribute("aria-label", title.textContent);
      item.removeChild(title);
      item.setAttribute("data-tip", "");
    });
    var first = nav.querySelector("[data-tip]");
    if (first) { first.setAttribute("tabindex", "0"); }
    nav.addEventListener("keydown", function (event) {
      var item = event.target.closest("[data-tip]");
      if (event.key === "Escape") { hide(); }
      if (!item || event.ctrlKey || event.altKey || event.metaKey) { return; }
      var to = move(nav, item, event.key);
      if (to) { event.preventDefault(); go(nav, to); }
    });
    nav.addEventListener("focusin", function (event) {
      var item = event.target.closest("[data-tip]");
      if (item) { show(item); }
    });
    nav.addEventListener("focusout", hide);
    nav.addEventListener("pointerover", function (event) {
      var item = event.target.closest("[data-tip]");
      if (item) { show(item); } else { hide(); }
    });
    nav.addEventListener("pointerleave", hide);
    nav.addEventListener("click", function (event) {
      var item = event.target.closest("[data-tip]");
      if (item) { go(nav, item); }
    });
  });
  window.addEventListener("scroll", function () { if (current) { show(current); } }, true);
})();
