// What a page looks like to a reader, measured: texts with their size and contrast, pictures with their place and marks, and
// whatever is there that a page of ours never has. Evaluates to one value that can be written as JSON.
(() => {
  const colour = (text) => {
    const found = /^rgba?\(([^)]*)\)$/.exec(text);
    if (!found) return null;
    const parts = found[1].split(/[ ,/]+/).map(Number);
    return parts.length < 4 ? [...parts, 1] : parts;
  };
  // Relative luminance and contrast as WCAG 2.2 defines them.
  const linear = (part) => (part <= 0.04045 * 255 ? part / 255 / 12.92 : ((part / 255 + 0.055) / 1.055) ** 2.4);
  const luminance = ([r, g, b]) => 0.2126 * linear(r) + 0.7152 * linear(g) + 0.0722 * linear(b);
  const contrast = (ink, paper) => {
    const [light, dark] = [luminance(ink), luminance(paper)].sort((x, y) => y - x);
    return (light + 0.05) / (dark + 0.05);
  };
  // The first opaque background from an element upwards; the browser's own paper is white.
  const paper = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const found = colour(getComputedStyle(at).backgroundColor);
      if (found && found[3] === 1) return found;
    }
    return [255, 255, 255, 1];
  };
  // Pixels per unit of a picture.
  const scale = (svg) => {
    const box = svg.viewBox.baseVal;
    return box && box.width ? svg.getBoundingClientRect().width / box.width : 1;
  };
  const texts = [];
  const nodes = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (nodes.nextNode()) {
    const [words, element] = [nodes.currentNode.data.trim(), nodes.currentNode.parentElement];
    if (!words || element.closest('style,script,title') || !element.checkVisibility()) continue;
    const [style, svg] = [getComputedStyle(element), element.closest('svg')];
    texts.push({
      text: words.slice(0, 60),
      size: parseFloat(style.fontSize) * (svg ? scale(svg) : 1),
      contrast: contrast(colour(svg ? style.fill : style.color), paper(element)),
    });
  }
  // What is left of a box when everything that scrolls or hides around it has cut its part.
  const visible = (element) => {
    let { left, top, right, bottom } = element.getBoundingClientRect();
    let scrolls = false;
    for (let at = element.parentElement; at; at = at.parentElement) {
      if (at === document.documentElement || at === document.body || getComputedStyle(at).overflowX === 'visible') continue;
      const box = at.getBoundingClientRect();
      [left, right, top, bottom] = [Math.max(left, box.left), Math.min(right, box.right), Math.max(top, box.top), Math.min(bottom, box.bottom)];
      scrolls ||= getComputedStyle(at).overflowX === 'auto';
    }
    return { box: { x: left + scrollX, y: top + scrollY, width: Math.max(0, right - left), height: Math.max(0, bottom - top) }, scrolls };
  };
  const overlap = (a, b) => Math.min(a.right, b.right) - Math.max(a.left, b.left) > 1 && Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top) > 3;
  const figures = [...document.querySelectorAll('svg')].filter((svg) => svg.getBoundingClientRect().width > 0 && svg.checkVisibility()).map((svg) => {
    const box = svg.getBoundingClientRect();
    const beyond = (m) => m.left < box.left - 1 || m.right > box.right + 1 || m.top < box.top - 1 || m.bottom > box.bottom + 1;
    const marks = [...svg.querySelectorAll('rect,path,line,circle')].filter((mark) => !mark.closest('defs'));
    const words = [...svg.querySelectorAll('text')].map((text) => [text.textContent, text.getBoundingClientRect()]);
    const solid = (mark) => {
      const [style, size] = [getComputedStyle(mark), mark.getBoundingClientRect()];
      const fill = colour(style.fill);
      return fill && fill[3] === 1 && style.opacity === '1' && size.width >= 4 && size.height >= 4 ? fill.slice(0, 3).join(',') : null;
    };
    const place = visible(svg);
    return {
      class: svg.getAttribute('class') ?? '',
      label: svg.getAttribute('aria-hidden') === 'true' ? null : svg.getAttribute('aria-label') ?? '',
      image: svg.getAttribute('role') === 'img',
      ...place,
      inside: box.left >= -1 && box.right <= document.documentElement.clientWidth + 1,
      marks: marks.length,
      beyond: [...marks.map((m) => m.getBoundingClientRect()), ...words.map(([, b]) => b)].filter(beyond).length,
      clashes: words.flatMap(([a, x], i) => words.slice(i + 1).filter(([, y]) => overlap(x, y)).map(([b]) => `${a} / ${b}`)),
      fills: [...new Set(marks.map(solid).filter(Boolean))],
    };
  });
  const elements = [...document.querySelectorAll('*')];
  return {
    title: document.title,
    width: document.documentElement.clientWidth,
    scroll: document.documentElement.scrollWidth,
    height: document.documentElement.scrollHeight,
    scripts: document.scripts.length,
    foreign: elements.filter((e) => e.matches('img,iframe,object,embed,link,form,base,input,audio,video,foreignObject,use,image,animate,set')).map((e) => e.tagName),
    handlers: elements.flatMap((e) => [...e.attributes]).filter((a) => /^on/i.test(a.name) || (/^(action|data|formaction|href|ping|poster|src|srcdoc|xlink:href)$/i.test(a.name) && /^\s*javascript:/i.test(a.value))).map((a) => a.name),
    ran: Object.keys(window).filter((key) => key.startsWith('hostile')).sort(),
    texts,
    figures,
  };
})()
