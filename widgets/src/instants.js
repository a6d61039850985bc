// Instants, Unix milliseconds, in the time of the user's own clock; the zone is for a tooltip.
const two = (n) => String(n).padStart(2, "0");

/** 2026-11-21 02:39:45 */
export function instant(ms) {
  const d = new Date(ms);
  return `${d.getFullYear()}-${two(d.getMonth() + 1)}-${two(d.getDate())} ${two(d.getHours())}:${two(d.getMinutes())}:${two(d.getSeconds())}`;
}

/** 02:39:45.120 */
export const clockTime = (ms) => `${instant(ms).slice(11)}.${String(new Date(ms).getMilliseconds()).padStart(3, "0")}`;

/** 2026-11-21 02:39:45.120 */
export const precise = (ms) => `${instant(ms).slice(0, 11)}${clockTime(ms)}`;

/** America/New_York, UTC−05:00 */
export function zoneAt(ms) {
  const minutes = -new Date(ms).getTimezoneOffset();
  const size = Math.abs(minutes);
  return `${Intl.DateTimeFormat().resolvedOptions().timeZone}, UTC${minutes < 0 ? "−" : "+"}${two(Math.floor(size / 60))}:${two(size % 60)}`;
}
