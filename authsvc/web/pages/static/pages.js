// What the pages can do without. Passwords are shown when asked for; times are told in the reader's own zone.
(function () {
  "use strict";

  document.querySelectorAll("[data-reveal]").forEach(function (box) {
    var form = box.form;
    var fields = Array.prototype.slice.call(form.querySelectorAll('input[type="password"]'));
    function show(shown) {
      fields.forEach(function (field) {
        field.type = shown ? "text" : "password";
      });
    }
    box.checked = false;
    box.closest("label").hidden = false;
    box.addEventListener("change", function () {
      show(box.checked);
    });
    // Hidden again before it is sent: browsers keep what was typed into fields of text.
    form.addEventListener("submit", function () {
      show(false);
    });
  });

  var style = { day: "numeric", month: "long", year: "numeric", hour: "2-digit", minute: "2-digit" };
  var lang = document.documentElement.lang;
  // Of the reader's own: "en-GB" where the page is in "en".
  var own = (navigator.languages || []).filter(function (each) {
    return each.split("-")[0] === lang;
  });
  document.querySelectorAll('time[datetime*="T"]').forEach(function (time) {
    time.textContent = new Date(time.dateTime).toLocaleString(own[0] || lang, style);
  });
})();
