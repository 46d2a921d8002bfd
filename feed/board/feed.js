// The connection to the feed: docs/websocket.md is its other half. It says what it hears, and comes back by itself.

const RETRY_MS_MIN = 250;
const RETRY_MS_MAX = 5000;
// The feed says how it is once a second. So long without a word, and the connection counts as dead though nobody closed it.
const SILENCE_MS = 5000;
const PING_MS = 2000;

export class Feed {
  constructor(hear) {
    this.hear = hear;
    this.wanted = new Map();
    this.retry_ms = RETRY_MS_MIN;
    this.pings = new Map();
    this.ping_id = 0;
    setInterval(() => this.#watch(), 1000);
    setInterval(() => this.#ping(), PING_MS);
    // A phone that wakes up, or a network that is back, need not wait for the next try.
    addEventListener('online', () => this.#now());
    document.addEventListener('visibilitychange', () => document.hidden || this.#now());
    this.#connect();
  }

  // Parts of a security that are wanted; none: everything.
  subscribe(codes, want = []) {
    for (const code of codes) this.wanted.set(code, want);
    this.#say({ op: 'subscribe', codes, want });
  }

  unsubscribe(codes) {
    for (const code of codes) this.wanted.delete(code);
    this.#say({ op: 'unsubscribe', codes });
  }

  search(text) {
    this.#say({ op: 'search', text });
  }

  #connect() {
    const scheme = location.protocol === 'https:' ? 'wss' : 'ws';
    const socket = new WebSocket(`${scheme}://${location.host}/ws`, 'tongdao.v1.json');
    this.socket = socket;
    this.heard_at = performance.now();
    socket.onmessage = (message) => {
      if (socket !== this.socket) return;
      this.heard_at = performance.now();
      for (const event of JSON.parse(message.data)) this.#take(event);
      this.hear({ type: 'heard' });
    };
    socket.onclose = () => socket === this.socket && this.#lost();
  }

  #take(event) {
    if (event.type === 'hello') {
      this.retry_ms = RETRY_MS_MIN;
      this.hear(event);
      const groups = new Map();
      for (const [code, want] of this.wanted) {
        const key = want.join();
        groups.set(key, [...(groups.get(key) ?? []), code]);
      }
      for (const [key, codes] of groups) this.#say({ op: 'subscribe', codes, want: key ? key.split(',') : [] });
    } else if (event.type === 'pong') {
      const sent = this.pings.get(event.id);
      this.pings.clear();
      if (sent !== undefined) this.hear({ type: 'round', ms: performance.now() - sent });
    } else {
      this.hear(event);
    }
  }

  #lost() {
    this.socket = null;
    this.pings.clear();
    this.hear({ type: 'lost' });
    clearTimeout(this.timer);
    // Half of the pause is left to chance: many browsers must not come back at one moment.
    this.timer = setTimeout(() => this.#connect(), this.retry_ms * (0.5 + Math.random() / 2));
    this.retry_ms = Math.min(this.retry_ms * 2, RETRY_MS_MAX);
  }

  #now() {
    if (this.socket) return;
    clearTimeout(this.timer);
    this.#connect();
  }

  #watch() {
    if (!this.socket || performance.now() - this.heard_at < SILENCE_MS) return;
    const socket = this.socket;
    this.#lost();
    socket.close();
  }

  #ping() {
    if (this.socket?.readyState !== WebSocket.OPEN) return;
    this.ping_id += 1;
    this.pings.set(this.ping_id, performance.now());
    this.#say({ op: 'ping', id: this.ping_id });
  }

  #say(message) {
    if (this.socket?.readyState === WebSocket.OPEN) this.socket.send(JSON.stringify(message));
  }
}
