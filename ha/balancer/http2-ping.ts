import type { Http2Session } from "node:http2";

/** Asks the other end for a sign of life again and again; closes the connection without one. */
export function keepAlive(session: Http2Session, everyMillis: number, timeoutMillis: number): void {
  let overdue: NodeJS.Timeout | undefined;
  const timer = setInterval(() => {
    if (session.destroyed || session.closed || overdue !== undefined) return;
    overdue = setTimeout(() => session.destroy(), timeoutMillis);
    overdue.unref();
    session.ping(() => {
      clearTimeout(overdue);
      overdue = undefined;
    });
  }, everyMillis);
  timer.unref();
  session.once("close", () => {
    clearInterval(timer);
    clearTimeout(overdue);
  });
}
