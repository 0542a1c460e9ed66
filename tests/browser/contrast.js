// Returns each visible text of the page whose contrast with what is behind it is under `least`
// (WCAG 2.2, 1.4.3), on a page that fits into the window. axe leaves out text in SVG.
(least) => {
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = 1;
  const pen = canvas.getContext("2d", { willReadFrequently: true });

  // Red, green, blue and opacity, whichever way a colour is written.
  function parts(color) {
    pen.clearRect(0, 0, 1, 1);
    pen.fillStyle = color;
    pen.fillRect(0, 0, 1, 1);
    const [red, green, blue, opacity] = pen.getImageData(0, 0, 1, 1).data;
    return [red, green, blue, opacity / 255];
  }

  function over(front, back) {
    return [0, 1, 2].map((each) => front[each] * front[3] + back[each] * (1 - front[3])).concat(1);
  }

  function luminance(color) {
    const [red, green, blue] = color.slice(0, 3).map((value) => {
      const share = value / 255;
      return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
  }

  function ratio(one, other) {
    const [dark, bright] = [luminance(one), luminance(other)].sort((a, b) => a - b);
    return (bright + 0.05) / (dark + 0.05);
  }

  function opacityOf(element) {
    return element ? Number(getComputedStyle(element).opacity) * opacityOf(element.parentElement) : 1;
  }

  const shape = (element) => element instanceof SVGGeometryElement && element.tagName !== "line";

  function ground(element) {
    const style = getComputedStyle(element);
    const color = parts(shape(element) ? style.fill : style.backgroundColor);
    const share = shape(element) ? Number(style.fillOpacity) : 1;
    return [color[0], color[1], color[2], color[3] * share * opacityOf(element)];
  }

  // Not for each text anew: whatever is added to the page has all of it laid out again.
  const sheet = document.createElement("i");
  sheet.style.backgroundColor = "Canvas";
  document.body.append(sheet);
  const paper = parts(getComputedStyle(sheet).backgroundColor);
  sheet.remove();

  // What is seen at a point below a text, or nothing if the text is not seen there itself.
  function behind(element, x, y) {
    const stack = document.elementsFromPoint(x, y);
    const at = stack.findIndex((each) => element === each || element.contains(each));
    if (at < 0 || stack.slice(0, at).some((each) => ground(each)[3] > 0.5)) return null;
    return stack.slice(at).reduceRight((below, each) => over(ground(each), below), paper);
  }

  const found = new Map();

  function check(element, color, text, box) {
    const style = getComputedStyle(element);
    if (!text.trim() || box.width < 1 || box.height < 1 || style.visibility !== "visible") return;
    const below = behind(element, box.left + box.width / 2, box.top + box.height / 2);
    if (!below) return;
    const ink = parts(color);
    ink[3] *= opacityOf(element);
    const seen = ratio(over(ink, below), below);
    if (seen < least) found.set(text.trim().slice(0, 40), Number(seen.toFixed(2)));
  }

  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  const range = document.createRange();
  while (walk.nextNode()) {
    const element = walk.currentNode.parentElement;
    const style = getComputedStyle(element);
    range.selectNodeContents(walk.currentNode);
    const color = element instanceof SVGElement ? style.fill : style.color;
    for (const box of range.getClientRects()) check(element, color, walk.currentNode.data, box);
  }
  for (const field of document.querySelectorAll("input, textarea, select")) {
    const style = getComputedStyle(field);
    const box = field.getBoundingClientRect();
    if (field.matches("[type=range], [type=checkbox], [type=radio]")) continue;
    check(field, style.color, field.value || "", box);
    const hint = getComputedStyle(field, "::placeholder");
    if (!field.value) check(field, hint.color, field.placeholder || "", box);
  }
  return Object.fromEntries(found);
}
