// The quote board: what the feed says, kept by security and drawn at most once a frame.

import { Chart } from '/chart.js';
import { Feed } from '/feed.js';
import * as words from '/words.js';

const { word, count } = words;
const LEVELS = 10;
const TRADES_MAX = 60;
const WATCH_MAX = 60;
const WATCH_FIRST = 20;
const $ = (id) => document.getElementById(id);

// What the browser keeps between visits; a browser that keeps nothing gets the defaults.
const memory = {
  get(key, otherwise) {
    try { return JSON.parse(localStorage.getItem(key)) ?? otherwise; } catch { return otherwise; }
  },
  set(key, value) {
    try { localStorage.setItem(key, JSON.stringify(value)); } catch { /* It is as it was before. */ }
  },
};

const items = new Map();
const chart = new Chart($('chart'), $('tip'), words);
let watch = memory.get('watch', []);
let chosen = memory.get('chosen', null);
let colours = memory.get('colours', 'red');
let link = 'connecting';
let state = null;
let lags = [];
let asked = false;
// Decimals of the security that is open.
let digits = 2;
const dirty = { watch: true, quote: true, depth: true, trades: true, state: true };

const item = (code) => {
  if (!items.has(code)) items.set(code, { trades: [] });
  return items.get(code);
};
// Decimal strings as whole units of their last digit: exact, where a float is not.
const units = (text) => Number((text ?? '0').replace('.', ''));
// The time of day of a stamp; one of zeros is none.
const day = (time) => (Number(time) ? time.slice(8, 14).replace(/(..)(..)(..)/, '$1:$2:$3') : '');

// How many of their four decimals prices need, and two at least.
const needed = (...prices) => (prices.some((px) => px % 10) ? 4 : prices.some((px) => px % 100) ? 3 : 2);
const fixed = (px, places) => (px / 10000).toFixed(places);

// Those of a security: a fund moves by 0.001, and what is between two of its prices is as fine as they are.
function decimals(known) {
  const { quote, depth } = known ?? {};
  return needed(...[quote?.last, quote?.prev_close, depth?.bids[0]?.[0], depth?.asks[0]?.[0]].map(units));
}

// A price with so many decimals, and more if it needs them.
function price(text, places = digits) {
  const px = units(text);
  return px ? fixed(px, Math.max(places, needed(px))) : '–';
}

function direction(value, base) {
  return !base || !value || value === base ? 'same' : value > base ? 'rise' : 'fall';
}

function moved(quote) {
  const [last, prev] = [units(quote?.last), units(quote?.prev_close)];
  if (!last || !prev) return { side: 'same', change: '–', percent: '–' };
  const sign = last > prev ? '+' : '';
  return {
    side: direction(last, prev),
    change: sign + fixed(last - prev, digits),
    percent: `${sign}${(((last - prev) / prev) * 100).toFixed(2)}%`,
  };
}

function make(tag, className, text) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  if (text !== undefined) element.textContent = text;
  return element;
}

function set(element, text, className) {
  if (element.textContent !== text) element.textContent = text;
  if (className !== undefined && element.className !== className) element.className = className;
}

const hear = {
  hello() {
    // What was there may have changed meanwhile: the feed tells all of it again.
    items.clear();
    chart.clear();
    lags = [];
    asked = false;
    touch('watch', 'quote', 'depth', 'trades');
  },
  heard() {
    if (link !== 'live') { link = 'live'; touch('state'); }
  },
  lost() {
    link = 'broken';
    touch('state');
  },
  round(event) {
    set($('round'), `${event.ms < 10 ? event.ms.toFixed(1) : Math.round(event.ms)} ms`);
  },
  state(event) {
    state = event;
    if (!watch.length && event.securities && !asked) { asked = true; feed.search(''); }
    touch('state');
  },
  snapshot(event) {
    const known = item(event.code);
    const before = units(known.quote?.last);
    // What is told again, as when it is chosen, came when it did.
    if (event.lag_ms !== null && event.time !== known.quote?.time) { lags.push(event.lag_ms); lags = lags.slice(-40); }
    known.quote = event;
    const now = units(event.last);
    if (before && now !== before) known.flash = now > before ? 'rise' : 'fall';
    touch('watch');
    if (event.code === chosen) { chart.prev = units(event.prev_close) / 10000; chart.dirty = true; touch('quote'); }
  },
  depth(event) {
    item(event.code).depth = event;
    if (event.code === chosen) touch('depth');
  },
  trade(event) {
    const known = item(event.code);
    if (event.missed) known.trades.unshift({ missed: event.missed });
    for (const [time, px, quantity, side] of event.trades) known.trades.unshift({ time, px, quantity, side });
    known.trades.length = Math.min(known.trades.length, TRADES_MAX);
    if (event.code === chosen) touch('trades');
  },
  line(event) {
    if (event.code === chosen) chart.take(event);
  },
  codes(event) {
    if ($('search').open) return showFound(event);
    if (!watch.length && event.codes.length) {
      watch = event.codes.slice(0, WATCH_FIRST).map(([code]) => code);
      feed.subscribe(watch, ['snapshot']);
      choose(chosen ?? watch[0]);
    }
  },
  error(event) {
    console.warn(event.code, event.text);
  },
};

const feed = new Feed((event) => hear[event.type]?.(event));

function touch(...parts) {
  for (const part of parts) dirty[part] = true;
}

function draw() {
  requestAnimationFrame(draw);
  const places = decimals(items.get(chosen));
  if (places !== digits) {
    digits = chart.digits = places;
    chart.dirty = true;
    touch('quote', 'depth', 'trades');
  }
  if (take('watch')) drawWatch();
  if (take('quote')) drawQuote();
  if (take('depth')) drawDepth();
  if (take('trades')) drawTrades();
  if (take('state')) drawState();
  if (chart.dirty) chart.draw();
}

function take(part) {
  const was = dirty[part];
  dirty[part] = false;
  return was;
}

const rows = new Map();

function row(code) {
  if (rows.has(code)) return rows.get(code);
  const tr = make('tr');
  tr.dataset.code = code;
  tr.tabIndex = 0;
  const cells = [0, 1, 2, 3].map(() => tr.appendChild(make('td')));
  const made = { tr, cells, name: cells[0].appendChild(make('b')), code: cells[0].appendChild(make('small')), drop: cells[0].appendChild(make('button', 'drop', '×')) };
  made.drop.addEventListener('click', (event) => { event.stopPropagation(); unwatch(code); });
  tr.addEventListener('click', () => choose(code));
  tr.addEventListener('keydown', (event) => event.key === 'Enter' && choose(code));
  rows.set(code, made);
  return made;
}

function drawWatch() {
  const body = $('watch');
  $('empty').hidden = watch.length > 0;
  watch.forEach((code, index) => {
    const { tr, cells, name, code: small, drop } = row(code);
    const quote = items.get(code)?.quote;
    const { side, percent } = moved(quote);
    set(name, quote?.name ?? code);
    set(small, quote?.name ? code : '');
    drop.title = word('remove');
    set(cells[1], price(quote?.last, decimals(items.get(code))), `number ${side}`);
    set(cells[2], percent, `number ${side}`);
    set(cells[3], quote ? count(units(quote.volume) / 10000) : '–', 'number volume');
    tr.classList.toggle('chosen', code === chosen);
    const flash = items.get(code)?.flash;
    if (flash) {
      items.get(code).flash = null;
      cells[1].getAnimations().forEach((running) => running.cancel());
      const tint = getComputedStyle(document.body).getPropertyValue(flash === 'rise' ? '--up-shade' : '--down-shade');
      cells[1].animate([{ backgroundColor: tint }, { backgroundColor: 'transparent' }], 700);
    }
    if (body.children[index] !== tr) body.insertBefore(tr, body.children[index] ?? null);
  });
  while (body.children.length > watch.length) body.lastChild.remove();
}

function drawQuote() {
  const quote = items.get(chosen)?.quote;
  const { side, change, percent } = moved(quote);
  const prev = units(quote?.prev_close);
  set($('name'), quote?.name ?? chosen?.split('.')[0] ?? '–');
  set($('code'), chosen ?? '');
  set($('phase'), words.phase(quote?.phase));
  set($('last'), price(quote?.last), side);
  set($('change'), change, side);
  set($('percent'), percent, side);
  const [high, low] = [units(quote?.high), units(quote?.low)];
  const priced = (key, field) => [word(key), price(quote?.[field]), direction(units(quote?.[field]), prev)];
  const average = units(quote?.volume) ? units(quote.value) / units(quote.volume) * 100 : 0;
  const facts = [
    priced('open', 'open'), priced('high', 'high'), priced('low', 'low'), [word('prev'), price(quote?.prev_close), 'same'],
    [word('volume'), quote ? count(units(quote.volume) / 10000) : '–', 'same'],
    [word('value'), quote ? count(units(quote.value) / 10000) : '–', 'same'],
    [word('average'), average ? fixed(average, digits) : '–', direction(Math.round(average), prev)],
    [word('amplitude'), prev && high && low ? `${(((high - low) / prev) * 100).toFixed(2)}%` : '–', 'same'],
    priced('upper', 'upper'), priced('lower', 'lower'),
    [word('count'), quote ? count(quote.trades) : '–', 'same'], [word('time'), day(quote?.time) || '–', 'same'],
  ];
  const list = $('facts');
  facts.forEach(([name, text, kind], index) => {
    const pair = list.children[index] ?? list.appendChild(make('div'));
    if (!pair.children.length) pair.append(make('dt'), make('dd'));
    set(pair.children[0], name);
    set(pair.children[1], text, kind);
  });
  document.title = quote && units(quote.last) ? `${price(quote.last)} ${percent} ${quote.name ?? chosen} · 通道` : '通道 Tongdao';
}

function side(id, name, levels, most, prev, order) {
  const box = $(id);
  order.forEach((level, index) => {
    const line = box.children[index] ?? box.appendChild(make('div', 'level'));
    if (!line.children.length) line.append(make('i'), make('b'), make('span'), make('small'), make('u'));
    const [px, quantity, orders] = levels[level - 1] ?? [];
    set(line.children[0], `${word(name)}${level}`);
    set(line.children[1], price(px), direction(units(px), prev));
    set(line.children[2], px ? String(Math.round(units(quantity) / 10000)) : '');
    set(line.children[3], px ? `(${orders})` : '');
    line.children[4].style.width = px ? `${(units(quantity) / most) * 100}%` : '0';
  });
}

function drawDepth() {
  const { depth, quote } = items.get(chosen) ?? {};
  const [bids, asks] = [depth?.bids ?? [], depth?.asks ?? []];
  const most = Math.max(1, ...[...bids, ...asks].map(([, quantity]) => units(quantity)));
  const prev = units(quote?.prev_close);
  const down = Array.from({ length: LEVELS }, (_, index) => LEVELS - index);
  side('asks', 'ask', asks, most, prev, down);
  side('bids', 'bid', bids, most, prev, down.toReversed());
  set($('spread'), bids.length && asks.length ? fixed(units(asks[0][0]) - units(bids[0][0]), digits) : '–');
  const sum = (levels) => levels.reduce((total, [, quantity]) => total + units(quantity), 0);
  const [bought, sold] = [sum(bids), sum(asks)];
  const balance = bought + sold ? ((bought - sold) / (bought + sold)) * 100 : 0;
  set($('balance'), bought + sold ? `${balance > 0 ? '+' : ''}${balance.toFixed(2)}%` : '–', direction(balance + 100, 100));
  set($('depth-time'), day(depth?.time));
}

function drawTrades() {
  const body = $('trades');
  const { trades = [], quote } = items.get(chosen) ?? {};
  const prev = units(quote?.prev_close);
  trades.forEach((trade, index) => {
    const tr = body.children[index] ?? body.appendChild(make('tr'));
    if (!tr.children.length) tr.append(...[0, 1, 2, 3].map(() => make('td', 'number')));
    const [time, px, quantity, taker] = tr.children;
    const bought = trade.side === 'B';
    set(time, trade.missed ? '···' : day(trade.time), 'time');
    set(px, trade.missed ? '' : price(trade.px), `number ${direction(units(trade.px), prev)}`);
    set(quantity, trade.missed ? word('missed', trade.missed) : String(Math.round(units(trade.quantity) / 10000)), trade.missed ? 'missed' : `number ${bought ? 'rise' : 'fall'}`);
    set(taker, trade.missed ? '' : word(bought ? 'bid' : 'ask'), `number ${bought ? 'rise' : 'fall'}`);
  });
  while (body.children.length > trades.length) body.lastChild.remove();
}

function drawState() {
  document.body.classList.toggle('broken', link === 'broken');
  const down = state?.sources.length && !state.sources.some((source) => source.state === 'up');
  const shown = link === 'live' && down ? 'stale' : link;
  set($('link'), word(shown));
  $('link').dataset.state = shown;
  list($('sources'), (state?.sources ?? []).map((source) => [`${source.name} ${word(source.state)}`, source.state === 'up' ? 'good' : 'bad', `${source.won} / ${source.duplicates}`]));
  list($('channels'), (state?.channels ?? []).map((channel) => [`${channel.channel} #${(channel.next - 1).toLocaleString('en')}${channel.gap ? ` ${word('gap')}` : ''}`, channel.gap ? 'bad' : 'good', '']));
  set($('counts'), state ? `${word('securities', state.securities)}  ${word('browsers', state.browsers)}` : '');
  const middle = [...lags].sort((a, b) => a - b)[Math.floor(lags.length / 2)];
  set($('lag'), middle === undefined ? '–' : `${middle} ms`);
  set($('clock'), state ? new Date(state.at_ms + 8 * 3600000).toISOString().slice(11, 19) : '--:--:--');
  if (link === 'broken') { set($('lag'), '–'); set($('round'), '–'); }
}

function list(box, entries) {
  entries.forEach(([text, kind, title], index) => {
    const span = box.children[index] ?? box.appendChild(make('span'));
    set(span, text, kind);
    span.title = title;
  });
  while (box.children.length > entries.length) box.lastChild.remove();
}

function choose(code) {
  if (chosen && chosen !== code) {
    if (watch.includes(chosen)) feed.subscribe([chosen], ['snapshot']);
    else feed.unsubscribe([chosen]);
  }
  chosen = code;
  memory.set('chosen', code);
  item(code).trades = [];
  chart.clear();
  feed.subscribe([code]);
  touch('watch', 'quote', 'depth', 'trades');
  if (matchMedia('(max-width: 760px)').matches) scrollTo({ top: 0, behavior: 'smooth' });
}

function add(code) {
  if (!watch.includes(code)) {
    watch = [code, ...watch].slice(0, WATCH_MAX);
    memory.set('watch', watch);
  }
  choose(code);
}

function unwatch(code) {
  watch = watch.filter((other) => other !== code);
  memory.set('watch', watch);
  if (code !== chosen) feed.unsubscribe([code]);
  touch('watch');
}

// Typing a digit anywhere looks for a code.
let found = [];
let at = 0;

function openSearch(text) {
  $('search').showModal();
  $('text').value = text;
  $('text').focus();
  feed.search(text);
}

function showFound(event) {
  if (event.text !== $('text').value.trim().toUpperCase()) return;
  found = event.codes.slice(0, 8);
  at = 0;
  drawFound();
}

function drawFound() {
  const entries = found.map(([code, name], index) => {
    const li = make('li', index === at ? 'at' : '');
    li.append(make('b', '', code), make('span', '', name ?? ''));
    li.addEventListener('click', () => pick(index));
    return li;
  });
  $('found').replaceChildren(...(entries.length ? entries : [make('li', 'none', word('nothing'))]));
}

function pick(index) {
  if (!found[index]) return;
  $('search').close();
  add(found[index][0]);
}

addEventListener('keydown', (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (!$('search').open) {
    if (/^[0-9]$/.test(event.key)) { event.preventDefault(); openSearch(event.key); }
    if (event.key === 'Delete' && chosen) unwatch(chosen);
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    const next = step && watch[watch.indexOf(chosen) + step];
    if (next) { event.preventDefault(); choose(next); row(next).tr.scrollIntoView({ block: 'nearest' }); }
    return;
  }
  const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  if (step && found.length) { event.preventDefault(); at = (at + step + found.length) % found.length; drawFound(); }
  if (event.key === 'Enter') { event.preventDefault(); pick(at); }
});
$('text').addEventListener('input', () => feed.search($('text').value.trim().toUpperCase()));
$('find').addEventListener('click', () => openSearch(''));
$('search').addEventListener('click', (event) => event.target === $('search') && $('search').close());
$('language').addEventListener('click', () => speak(words.spoken() === 'zh' ? 'en' : 'zh'));
$('colours').addEventListener('click', () => paint(colours === 'red' ? 'green' : 'red'));

function speak(language) {
  words.speak(language);
  memory.set('language', words.spoken());
  set($('language'), word('language'));
  paint(colours);
  touch('watch', 'quote', 'depth', 'trades', 'state');
}

function paint(kind) {
  colours = kind;
  memory.set('colours', kind);
  document.body.dataset.rise = kind;
  set($('colours'), word(kind));
  chart.dirty = true;
}

speak(memory.get('language', navigator.language?.startsWith('zh') ? 'zh' : 'en'));
if (watch.length) feed.subscribe(watch, ['snapshot']);
if (chosen) choose(chosen);
draw();
