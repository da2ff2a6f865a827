/**
 * Loaded by `node --import` before a handset under test: its monotonic clock runs an hour a second, so that a test can
 * wait as long as a person who mistyped a PIN. Timers keep their pace; worker threads load this too.
 */
const HOUR_A_SECOND = 3_600;
const real = performance.now.bind(performance);
performance.now = () => HOUR_A_SECOND * real();
