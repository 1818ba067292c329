// The day page works without this: arrow keys turn minutes, labels seek within the open minute,
// and a minute played to its end goes on with the next.
"use strict";
const video = document.getElementById("video");
const go = (id) => document.getElementById(id)?.click();

document.addEventListener("keydown", (event) => {
  if (event.target.closest("input, video") || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === "ArrowLeft") go("before");
  if (event.key === "ArrowRight") go("after");
});

document.querySelectorAll("a[data-offset]").forEach((link) => {
  link.addEventListener("click", (event) => {
    if (!video) return;
    event.preventDefault();
    video.currentTime = Number(link.dataset.offset);
    history.replaceState(null, "", link.href);
  });
});

if (video) {
  const next = document.getElementById("after");
  video.addEventListener("ended", () => {
    if (next) location.href = next.href + "&play=1";
  });
  video.addEventListener("timeupdate", () => {
    let now = null;
    document.querySelectorAll("a[data-offset]").forEach((link) => {
      link.removeAttribute("aria-current");
      if (Number(link.dataset.offset) <= video.currentTime) now = link;
    });
    now?.setAttribute("aria-current", "true");
  });
  if (new URLSearchParams(location.search).has("play")) video.play().catch(() => {});
}

const film = document.querySelector(".film");
const now = document.getElementById("now");
if (film && now) film.scrollLeft = now.offsetLeft - film.offsetLeft - film.clientWidth / 2 + 60;
