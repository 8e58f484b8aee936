// The page's end of the line to the test: window.player, and events to window.report.

export function install(Client) {
  const load = `${performance.timeOrigin} ${Math.random()}`;
  let n = 0;
  window.player = new Client((event) => window.report({ load, n: n++, event }));
  window.call = async (word, args) => {
    try {
      return { value: await window.player[word](...args) };
    } catch (err) {
      const { message, condition, status, type } = err ?? {};
      return { error: { message: message ?? String(err), condition, status, type } };
    }
  };
  document.title = 'ready';
}
