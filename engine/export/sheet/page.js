'use strict';
const cards = document.getElementById('cards'), all = Array.from(cards.children);
const sort = document.getElementById('sort'), show = document.getElementById('show'), size = document.getElementById('size');
function order() {
  const key = sort.value;
  const value = f => key === 'name' || key === 'label' ? f.dataset[key] : parseFloat(f.dataset[key]);
  const missing = v => v === '' || Number.isNaN(v);
  all.sort((a, b) => {
    const x = value(a), y = value(b), rank = a.dataset.rank - b.dataset.rank;
    if (missing(x) || missing(y)) return missing(x) - missing(y) || rank;
    if (typeof x === 'string') return (x < y ? -1 : x > y ? 1 : 0) || rank;
    return (key === 'rank' ? x - y : y - x) || rank;
  });
  cards.append(...all);
}
function filter() {
  let n = 0;
  for (const f of all) {
    f.hidden = show.value !== '' && show.value !== (f.dataset.label || 'none');
    n += !f.hidden;
  }
  document.getElementById('count').textContent = n;
}
sort.addEventListener('change', order);
show.addEventListener('change', filter);
size.addEventListener('input', () => document.documentElement.style.setProperty('--size', size.value + 'px'));
