// What stands on the board, in both languages.

const WORDS = {
  zh: {
    language: 'EN', watch: '自选', security: '证券', last: '最新', percent: '涨幅', change: '涨跌', volume: '总手', depth: '十档盘口',
    trades: '逐笔成交', spread: '价差', balance: '委比', sources: '行情源', channels: '频道', find: '代码', lag: '延迟', round: '往返',
    open: '今开', high: '最高', low: '最低', prev: '昨收', value: '金额', count: '笔数', upper: '涨停', lower: '跌停', average: '均价',
    amplitude: '振幅', ask: '卖', bid: '买', empty: '等待行情…', keys: '直接输入代码 · ↑↓ 选择 · Enter 打开 · Esc 关闭',
    red: '红涨绿跌', green: '绿涨红跌', connecting: '连接中', live: '实时', broken: '连接已断开，重连中', stale: '行情停滞',
    missed: '略过 {} 笔', securities: '证券 {}', browsers: '在线 {}', gap: '缺口', nothing: '没有找到',
    up: '正常', waiting: '断开', dialling: '连接中', 'logging on': '登录中', time: '时间', price: '价格', remove: '移出自选',
    phases: { S: '启动', O: '开盘集合竞价', T: '连续竞价', B: '休市', C: '收盘集合竞价', E: '闭市', H: '临时停牌', A: '盘后交易', V: '波动性中断' },
    units: [[1e8, '亿'], [1e4, '万']],
  },
  en: {
    language: '中文', watch: 'Watch list', security: 'Security', last: 'Last', percent: 'Chg %', change: 'Chg', volume: 'Lots', depth: 'Depth',
    trades: 'Trades', spread: 'Spread', balance: 'Imbalance', sources: 'Sources', channels: 'Channels', find: 'Code', lag: 'Lag', round: 'RTT',
    open: 'Open', high: 'High', low: 'Low', prev: 'Prev', value: 'Value', count: 'Trades', upper: 'Limit up', lower: 'Limit dn', average: 'VWAP',
    amplitude: 'Range', ask: 'A', bid: 'B', empty: 'Waiting for quotes…', keys: 'Type a code · ↑↓ choose · Enter opens · Esc closes',
    red: 'Red is up', green: 'Green is up', connecting: 'Connecting', live: 'Live', broken: 'Disconnected, retrying', stale: 'Stalled',
    missed: '{} trades not shown', securities: '{} securities', browsers: '{} online', gap: 'gap', nothing: 'Nothing found',
    up: 'up', waiting: 'down', dialling: 'dialling', 'logging on': 'logging on', time: 'Time', price: 'Price', remove: 'Remove',
    phases: { S: 'Starting', O: 'Opening call', T: 'Continuous', B: 'Break', C: 'Closing call', E: 'Closed', H: 'Halted', A: 'After hours', V: 'Volatility halt' },
    units: [[1e9, 'B'], [1e6, 'M'], [1e3, 'K']],
  },
};

let language = 'zh';

export function speak(wanted) {
  language = wanted in WORDS ? wanted : 'zh';
  document.documentElement.lang = language === 'zh' ? 'zh-CN' : 'en';
  for (const element of document.querySelectorAll('[data-word]')) element.textContent = word(element.dataset.word);
}

export function spoken() {
  return language;
}

export function word(key, value) {
  const text = WORDS[language][key] ?? key;
  return value === undefined ? text : text.replace('{}', value);
}

export function phase(code) {
  return WORDS[language].phases[code?.[0]] ?? '';
}

// A count in the units of the language: 1.23万, 1.23M.
export function count(number) {
  for (const [unit, name] of WORDS[language].units) {
    if (Math.abs(number) >= unit * 1.0) return (number / unit).toFixed(2) + name;
  }
  return String(Math.round(number));
}
