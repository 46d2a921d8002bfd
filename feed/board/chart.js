// The day's line of one security, drawn on a canvas: price and average around the previous close, volume below.

const PAD = { left: 56, right: 58, top: 10, bottom: 20 };
const VOLUME_SHARE = 0.22;
// Seconds of the day: the trading day of the A-share markets, with the noon break left out.
const MORNING = [34200, 41400];
const AFTERNOON = [46800, 54000];
const SPAN_S_MIN = 60;

export class Chart {
  constructor(canvas, tip, words) {
    this.canvas = canvas;
    this.tip = tip;
    this.words = words;
    this.points = [];
    this.prev = 0;
    this.digits = 2;
    new ResizeObserver(() => this.draw()).observe(canvas.parentElement);
    canvas.addEventListener('pointermove', (event) => this.#point(event.offsetX));
    canvas.addEventListener('pointerdown', (event) => this.#point(event.offsetX));
    canvas.addEventListener('pointerleave', () => this.#point(null));
  }

  clear() {
    this.points = [];
    this.prev = 0;
    this.draw();
  }

  // Points are [second of the day, price, average, volume].
  take(line) {
    const points = line.points.map((point) => [point[0], ...point.slice(1).map(Number)]);
    this.width_s = line.width_s;
    if (line.whole || !points.length) this.points = points;
    else this.points = [...this.points.filter((point) => point[0] < points[0][0]), ...points];
    this.dirty = true;
  }

  // A trading day has its fixed axis; anything else (a demonstration at night) the time that it has.
  #axis() {
    const [first, last] = [this.points[0][0], this.points.at(-1)[0]];
    if (first >= MORNING[0] - 900 && last <= AFTERNOON[1] + 60 && last - first > 1800) {
      const place = (s) => {
        const morning = Math.min(Math.max(s, MORNING[0]), MORNING[1]) - MORNING[0];
        const afternoon = Math.min(Math.max(s, AFTERNOON[0]), AFTERNOON[1]) - AFTERNOON[0];
        return (morning + afternoon) / 14400;
      };
      return { place, marks: [[34200, '09:30'], [37800, '10:30'], [41400, '11:30/13:00'], [50400, '14:00'], [54000, '15:00']] };
    }
    const span = Math.max(last - first, SPAN_S_MIN);
    const marks = [0, 0.25, 0.5, 0.75, 1].map((part) => [first + span * part, clock(first + span * part, span < 3600)]);
    return { place: (s) => (s - first) / span, marks };
  }

  draw() {
    this.dirty = false;
    const { canvas } = this;
    const box = canvas.parentElement.getBoundingClientRect();
    const scale = devicePixelRatio || 1;
    const [width, height] = [Math.floor(box.width), Math.floor(box.height)];
    if (canvas.width !== width * scale || canvas.height !== height * scale) {
      [canvas.width, canvas.height] = [width * scale, height * scale];
      [canvas.style.width, canvas.style.height] = [`${width}px`, `${height}px`];
    }
    const pen = canvas.getContext('2d');
    pen.setTransform(scale, 0, 0, scale, 0, 0);
    pen.clearRect(0, 0, width, height);
    if (!this.points.length || width < 120) return;
    const style = getComputedStyle(document.body);
    const colour = (name) => style.getPropertyValue(`--${name}`).trim();
    const mono = `11px ${style.fontFamily}`;
    const plot = { x: PAD.left, y: PAD.top, w: width - PAD.left - PAD.right, h: height - PAD.top - PAD.bottom };
    const priceHeight = plot.h * (1 - VOLUME_SHARE) - 8;
    const base = this.prev || this.points[0][1];
    const reach = Math.max(...this.points.map((p) => Math.max(Math.abs(p[1] - base), Math.abs(p[2] - base))), base * 0.002) * 1.06;
    const axis = this.#axis();
    const x = (s) => plot.x + axis.place(s) * plot.w;
    const y = (price) => plot.y + (1 - (price - base + reach) / (2 * reach)) * priceHeight;
    this.places = this.points.map((point) => x(point[0]));

    pen.font = mono;
    pen.lineWidth = 1;
    pen.textBaseline = 'middle';
    for (const part of [1, 0.5, 0, -0.5, -1]) {
      const price = base + reach * part;
      const at = Math.round(y(price)) + 0.5;
      pen.strokeStyle = colour(part === 0 ? 'rule-strong' : 'rule');
      pen.setLineDash(part === 0 ? [4, 3] : []);
      line(pen, plot.x, at, plot.x + plot.w, at);
      pen.fillStyle = part > 0 ? colour('up') : part < 0 ? colour('down') : colour('text');
      pen.textAlign = 'right';
      pen.fillText(price.toFixed(base < 3 ? Math.max(this.digits, 3) : this.digits), plot.x - 6, at);
      pen.textAlign = 'left';
      pen.fillText(`${((reach * part / base) * 100).toFixed(2)}%`, plot.x + plot.w + 6, at);
    }
    pen.setLineDash([]);
    pen.strokeStyle = colour('rule');
    axis.marks.forEach(([s, text], index) => {
      const at = Math.round(x(s)) + 0.5;
      line(pen, at, plot.y, at, plot.y + plot.h);
      pen.fillStyle = colour('dim');
      pen.textAlign = index === 0 ? 'left' : index === axis.marks.length - 1 ? 'right' : 'center';
      pen.fillText(text, at, height - PAD.bottom / 2);
    });

    const floor = plot.y + plot.h;
    const most = Math.max(...this.points.map((point) => point[3]), 1);
    const bar = Math.max(1, Math.min(4, plot.w / this.points.length - 1));
    let before = base;
    for (const point of this.points) {
      pen.fillStyle = colour(point[1] >= before ? 'up' : 'down');
      const tall = (point[3] / most) * plot.h * VOLUME_SHARE;
      pen.fillRect(x(point[0]) - bar / 2, floor - tall, bar, tall);
      before = point[1];
    }
    pen.fillStyle = colour('dim');
    pen.textAlign = 'right';
    pen.fillText(this.words.count(most / 100), plot.x - 6, floor - plot.h * VOLUME_SHARE + 6);

    const path = (index) => {
      pen.beginPath();
      this.points.forEach((point, at) => pen[at ? 'lineTo' : 'moveTo'](x(point[0]), y(point[index])));
    };
    pen.lineJoin = 'round';
    path(1);
    pen.lineTo(x(this.points.at(-1)[0]), plot.y + priceHeight);
    pen.lineTo(x(this.points[0][0]), plot.y + priceHeight);
    const shade = pen.createLinearGradient(0, plot.y, 0, plot.y + priceHeight);
    shade.addColorStop(0, colour('line-shade'));
    shade.addColorStop(1, 'transparent');
    pen.fillStyle = shade;
    pen.fill();
    pen.strokeStyle = colour('average');
    path(2);
    pen.stroke();
    pen.strokeStyle = colour('line');
    pen.lineWidth = 1.5;
    path(1);
    pen.stroke();
    const [s, price] = this.points.at(-1);
    pen.fillStyle = colour('line');
    pen.beginPath();
    pen.arc(x(s), y(price), 2.5, 0, 7);
    pen.fill();
    if (this.under !== undefined && this.under !== null) this.#cross(pen, colour, plot, y);
  }

  #point(at) {
    this.under = at;
    this.draw();
    if (at === null) this.tip.hidden = true;
  }

  #cross(pen, colour, plot, y) {
    let nearest = 0;
    this.places.forEach((place, index) => {
      if (Math.abs(place - this.under) < Math.abs(this.places[nearest] - this.under)) nearest = index;
    });
    const [s, price, average, volume] = this.points[nearest];
    const [at, level] = [Math.round(this.places[nearest]) + 0.5, Math.round(y(price)) + 0.5];
    pen.strokeStyle = colour('rule-strong');
    pen.lineWidth = 1;
    line(pen, at, plot.y, at, plot.y + plot.h);
    line(pen, plot.x, level, plot.x + plot.w, level);
    const { word, count } = this.words;
    this.tip.textContent = `${clock(s, true)}  ${word('price')} ${price.toFixed(this.digits)}  ${word('average')} ${average.toFixed(this.digits)}  ${word('volume')} ${count(volume / 100)}`;
    this.tip.hidden = false;
  }
}

function line(pen, x1, y1, x2, y2) {
  pen.beginPath();
  pen.moveTo(x1, y1);
  pen.lineTo(x2, y2);
  pen.stroke();
}

function clock(s, seconds) {
  const two = (value) => String(Math.floor(value)).padStart(2, '0');
  const minutes = `${two(s / 3600)}:${two((s / 60) % 60)}`;
  return seconds ? `${minutes}:${two(s % 60)}` : minutes;
}
