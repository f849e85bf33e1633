/** Runs in the page: texts that lie over one another, or beyond their drawing or the page. */
(() => {
  const wrong = [];
  const say = (text) => (text ?? "").trim().slice(0, 40);
  const visible = (box) => box.width > 0 && box.height > 0;
  for (const drawing of document.querySelectorAll("svg.chart")) {
    const frame = drawing.getBoundingClientRect();
    if (!visible(frame)) continue;
    const texts = [...drawing.querySelectorAll("text")].map((text) => {
      return { text: say(text.textContent), box: text.getBoundingClientRect() };
    });
    for (const [i, { text, box }] of texts.entries()) {
      if (box.left < frame.left - 1 || box.right > frame.right + 1) wrong.push(`${text} is cut`);
      for (const other of texts.slice(i + 1)) {
        const apart =
          box.right <= other.box.left + 1 ||
          other.box.right <= box.left + 1 ||
          box.bottom <= other.box.top + 3 ||
          other.box.bottom <= box.top + 3;
        if (!apart) wrong.push(`${text} lies over ${other.text}`);
      }
    }
  }
  const blocks = [...document.querySelectorAll("main > *, section > *, header > *")]
    .filter((block) => !["ASIDE", "SCRIPT"].includes(block.tagName))
    .map((block) => ({ block, box: block.getBoundingClientRect() }))
    .filter(({ box }) => visible(box));
  for (const [i, { block, box }] of blocks.entries()) {
    for (const other of blocks.slice(i + 1)) {
      if (block.contains(other.block) || other.block.contains(block)) continue;
      const width = Math.min(box.right, other.box.right) - Math.max(box.left, other.box.left);
      const height = Math.min(box.bottom, other.box.bottom) - Math.max(box.top, other.box.top);
      if (width > 1 && height > 1) {
        wrong.push(`${say(block.textContent)} lies over ${say(other.block.textContent)}`);
      }
    }
  }
  const { scrollWidth } = document.documentElement;
  if (scrollWidth > innerWidth) wrong.push(`the page is ${scrollWidth} wide, not ${innerWidth}`);
  return wrong;
})();
