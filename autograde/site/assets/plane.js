// A latent plane to drag in. The decoder is vae_helpers' ExplorerVAE, computed here; its weights are in plane-data.js.
(() => {
  const half = (bits) => {
    const sign = bits & 0x8000 ? -1 : 1, exponent = (bits >> 10) & 31, fraction = bits & 1023;
    return sign * (exponent ? 2 ** (exponent - 15) * (1 + fraction / 1024) : 2 ** -14 * (fraction / 1024));
  };

  const unpack = ({ shapes, weights }) => {
    const bytes = Uint8Array.from(atob(weights), (c) => c.charCodeAt(0));
    const halves = new Uint16Array(bytes.buffer);
    let at = 0;
    return shapes.map((shape) => {
      const size = shape.reduce((a, b) => a * b, 1);
      return Float32Array.from(halves.subarray(at, (at += size)), half);
    });
  };

  const linear = (x, w, b) => b.map((bias, o) => {
    let sum = bias;
    for (let i = 0; i < x.length; i++) sum += w[o * x.length + i] * x[i];
    return sum;
  });

  const silu = (x) => x.map((v) => v / (1 + Math.exp(-v)));

  // (C, n, n) -> (O, n, n), 3 x 3, padded by one; then PixelShuffle(2): (O / 4, 2n, 2n).
  const convolveAndShuffle = (x, w, b, n) => {
    const channels = x.length / (n * n), out = new Float32Array(b.length * n * n), side = 2 * n;
    for (let o = 0; o < b.length; o++) {
      for (let row = 0; row < n; row++) {
        for (let column = 0; column < n; column++) {
          let sum = b[o];
          for (let dy = -1; dy <= 1; dy++) {
            const y = row + dy;
            if (y < 0 || y >= n) continue;
            for (let dx = -1; dx <= 1; dx++) {
              const at = column + dx;
              if (at < 0 || at >= n) continue;
              let weight = o * channels * 9 + (dy + 1) * 3 + dx + 1, pixel = y * n + at;
              for (let c = 0; c < channels; c++, weight += 9, pixel += n * n) sum += w[weight] * x[pixel];
            }
          }
          const y = 2 * row + ((o & 3) >> 1), at = 2 * column + (o & 1);
          out[(o >> 2) * side * side + y * side + at] = sum;
        }
      }
    }
    return out;
  };

  let parameters;
  // Logits (784,) of z = (z1, z2).
  const decode = (z1, z2) => {
    const [w1, b1, w2, b2, w3, b3, w4, b4, w5, b5] = (parameters ??= unpack(window.planeData));
    const hidden = silu(linear(silu(linear(Float32Array.of(z1, z2), w1, b1)), w2, b2));
    const small = silu(convolveAndShuffle(silu(linear(hidden, w3, b3)), w4, b4, 7));
    return convolveAndShuffle(small, w5, b5, 14);
  };
  window.planeDecode = decode; // for the test that sets it beside PyTorch

  const said = (value) => value.toFixed(2).replace("-", "−");

  // What a classifier reads in the image there: computed when the site is made, on a grid.
  const reads = (z1, z2) => {
    const { digits, reach, side } = window.planeData;
    const place = (z) => Math.min(side - 1, Math.max(0, Math.round(((z + reach) / (2 * reach)) * (side - 1))));
    const digit = digits[place(z2) * side + place(z1)];
    return digit === "-" ? "between digits" : `${digit === "8" ? "an" : "a"} ${digit}`;
  };

  const start = (root) => {
    const extent = Number(root.dataset.extent), step = extent / 50;
    const map = root.querySelector("[role=slider]"), ring = root.querySelector(".plane-ring");
    const canvas = root.querySelector("canvas"), words = root.querySelector(".plane-words");
    const context = canvas.getContext("2d"), picture = context.createImageData(28, 28);
    let z1 = 0, z2 = 0, waiting = false;

    const draw = () => {
      waiting = false;
      const logits = decode(z1, z2);
      const light = getComputedStyle(root).getPropertyValue("--plane-ink") !== "light";
      for (let i = 0; i < 784; i++) {
        const ink = 255 / (1 + Math.exp(-logits[i]));
        picture.data.fill(light ? 255 - ink : ink, 4 * i, 4 * i + 3);
        picture.data[4 * i + 3] = 255;
      }
      context.putImageData(picture, 0, 0);
      const text = `z = (${said(z1)}, ${said(z2)}): ${reads(z1, z2)}`;
      ring.style.left = `${50 * (1 + z1 / extent)}%`;
      ring.style.top = `${50 * (1 - z2 / extent)}%`;
      map.setAttribute("aria-valuenow", z1.toFixed(2));
      map.setAttribute("aria-valuetext", text);
      canvas.setAttribute("aria-label", `The image that the decoder makes of ${text}`);
      words.textContent = text.replace(": ", ":\n");
    };

    const go = (a, b) => {
      const within = (z) => Math.min(extent, Math.max(-extent, z));
      [z1, z2] = [within(a), within(b)];
      if (!waiting) requestAnimationFrame(draw); // at most once a frame of the screen
      waiting = true;
    };

    const follow = (event) => {
      const box = map.getBoundingClientRect();
      go(extent * ((2 * (event.clientX - box.left)) / box.width - 1), extent * (1 - (2 * (event.clientY - box.top)) / box.height));
    };
    map.addEventListener("pointerdown", (event) => {
      map.setPointerCapture(event.pointerId);
      map.focus({ preventScroll: true });
      follow(event);
      event.preventDefault();
    });
    map.addEventListener("pointermove", (event) => map.hasPointerCapture(event.pointerId) && follow(event));

    const moves = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };
    map.addEventListener("keydown", (event) => {
      const far = event.shiftKey ? 5 : 1;
      if (event.key in moves) go(z1 + far * step * moves[event.key][0], z2 + far * step * moves[event.key][1]);
      else if (event.key === "Home") go(0, 0);
      else return;
      event.preventDefault(); // the theme turns pages with the arrow keys
      event.stopPropagation();
    });

    root.classList.add("live");
    draw();
  };

  // A figure drawn beforehand at chosen values of two controls: the controls switch among its frames.
  const startFrames = (root) => {
    const image = root.querySelector("img"), controls = [...root.querySelectorAll("input")];
    const frames = JSON.parse(root.dataset.frames), still = root.dataset.still;
    const values = controls.map((control) => JSON.parse(control.dataset.values));
    const first = controls.map((control) => control.value).join(), said = image.alt;
    const draw = () => {
      let place = 0;
      const text = controls.map((control, i) => {
        place = place * values[i].length + Number(control.value);
        const value = values[i][control.value];
        control.setAttribute("aria-valuetext", value);
        control.nextElementSibling.textContent = value;
        return `${control.dataset.name} = ${value}`;
      });
      image.src = root.dataset.folder + frames[place];
      const opening = said && controls.map((control) => control.value).join() === first;
      image.alt = opening ? said : `The figure at ${[...text, still].filter(Boolean).join(", ")}`;
    };
    for (const control of controls) {
      control.addEventListener("input", draw);
      control.addEventListener("keydown", (event) => event.stopPropagation());
    }
    root.classList.add("live");
    draw();
  };

  const startAll = () => {
    document.querySelectorAll(".plane").forEach(start);
    document.querySelectorAll(".frames").forEach(startFrames);
  };
  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", startAll);
  else startAll();
})();
