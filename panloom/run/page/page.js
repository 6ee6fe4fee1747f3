// Two images of a place on top of each other, with a slider between them. Without this the page shows all it has.
for (const swipe of document.querySelectorAll(".swipe")) {
  const images = [...swipe.closest("section").querySelectorAll("img[data-place]")];
  const unique = (key) => [...new Set(images.map((image) => image.dataset[key]))];
  const menu = (label, words, chosen) => {
    const select = document.createElement("select");
    for (const word of words) select.add(new Option(word, word, word === chosen, word === chosen));
    const holder = document.createElement("label");
    holder.append(label + " ", select);
    select.addEventListener("change", show);
    return [holder, select];
  };
  const names = unique("what");
  const [leftLabel, left] = menu("left", names, swipe.dataset.left);
  const [rightLabel, right] = menu("right", names, swipe.dataset.right);
  const [placeLabel, place] = menu("place", unique("place"), "A");
  const slider = document.createElement("input");
  Object.assign(slider, { type: "range", min: 0, max: 100, value: 50 });
  slider.setAttribute("aria-label", "where the left image ends");
  const stage = document.createElement("div");
  stage.className = "stage";
  const [under, over] = [new Image(), new Image()];
  over.className = "over";
  stage.append(under, over);
  function cut() {
    stage.style.setProperty("--cut", slider.value + "%");
  }
  function show() {
    for (const [image, select] of [[under, right], [over, left]]) {
      const found = images.find((each) => each.dataset.what === select.value && each.dataset.place === place.value);
      image.src = found.src;
      image.alt = found.alt;
    }
  }
  slider.addEventListener("input", cut);
  stage.addEventListener("pointermove", (event) => {
    const box = stage.getBoundingClientRect();
    slider.value = (100 * (event.clientX - box.left)) / box.width;
    cut();
  });
  const bar = document.createElement("div");
  bar.className = "bar";
  bar.append(leftLabel, rightLabel, placeLabel);
  swipe.append(bar, stage, slider);
  swipe.hidden = false;
  show();
  cut();
}
